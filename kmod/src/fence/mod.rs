// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Takes the shared addresses away, and brings them back.
//!
//! Clearing IFF_UP stops nothing that is sent: the address of an interface that is
//! down is a good source. With IFF_NOLOCAL it is none, but senders look at their
//! source only when the addresses of the machine have changed since they last did,
//! and ip says that they have before it sets the flags. So an interface is added to
//! lo0 afterwards and removed again: then all of them look. A packet whose sender
//! was past that look may still leave; a privileged IPV6_PKTINFO, raw sockets and
//! whoever clears the check of the source are not stopped.
//!
//! What was stopped goes on when its address comes back. So connections are ended
//! first if their ports may belong to another node by then.
//!
//! All functions are for one thread at a time, which may sleep and holds no lock.
//! Each may be called again, after an error and after it was done.

#[cfg(target_os = "illumos")]
mod away;
#[cfg(target_os = "illumos")]
mod connections;
#[cfg(target_os = "illumos")]
mod family;
pub mod taken;

#[cfg(target_os = "illumos")]
pub use away::{abort_connections, bring_up, fini, init, take_down};
