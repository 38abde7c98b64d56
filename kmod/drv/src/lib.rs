// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! clinetctl: the device `/dev/clinet`, by which programs see and steer the module
//! clinet.
//!
//! # Map
//!
//! ```text
//! glue/clinetctl.c  _init, _info, _fini, the tables of entry points
//!   entry           the entry points: pointers become values, an errno comes out
//!     command       which ioctl needs what, and who answers it
//!       look, list, change, control   the answers
//!         call      the caller's structure, in and out; its privileges
//!     events        read, poll, and who wants which events
//!       files       what is open
//!         kernel    what the kernel and clinet offer, as safe Rust
//! ```
//!
//! The driver has no state but its open files. All that it answers it asks clinet,
//! so it may be unloaded and another one loaded while clinet stays.
//!
//! # Locking
//!
//! One mutex, that of `files`, is held for a few loads and stores. Nothing is
//! called with it held but what wakes or waits for the condition beside it:
//! neither clinet, which wants no lock held and whose thread takes this mutex in
//! `events::wake`, nor what copies to a program, which may wait for a page. The
//! kernel takes its own locks before it calls `chpoll`; so `wake` gives the mutex
//! back before it calls pollwakeup(9F).
//!
//! The kernel calls `close` when all other calls for that minor number have
//! returned, and `detach` when everything is closed.

#![no_std]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

// The files of the module bring their tests.
#[cfg(test)]
extern crate std;

pub mod call;
pub mod change;
pub mod command;
pub mod control;
pub mod entry;
pub mod events;
pub mod files;
pub mod filter;
pub mod kernel;
pub mod list;
pub mod look;
