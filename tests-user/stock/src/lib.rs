// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A model of the *stock* illumos ip: TCP and UDP endpoints over loopback,
//! on several stacks, that call the nine-argument cluster hooks through twelve
//! hook variables where, when and with what the real one was seen to do.
//!
//! What is modelled is the mechanism: the conns with their hashes, the squeue
//! that lets a packet wait while its conn is worked on, the header template
//! that outlives a refused connect, the most recent destination of UDP. The
//! faults of the original are here on purpose: variables are loaded twice,
//! disconnects come twice or never, a refused socket is spoiled.
//!
//! [`trace`] plays recorded scenarios and compares; [`Attached`] puts the
//! model under a simulated kernel, where a module finds it as `drv/ip`, and
//! [`Node`] loads clinet there.

mod address;
mod attached;
mod beside;
mod conn;
mod errno;
mod hooks;
mod ip;
mod node;
mod option;
mod raw;
mod recorder;
mod release;
mod socket;
mod sockfs;
mod stack;
mod tcp;
pub mod trace;
mod udp;
mod walk;

pub use address::{AF_INET, AF_INET6};
pub use attached::Attached;
pub use conn::TcpState;
pub use errno::*;
pub use hooks::{Held, Hook, HookCall, Provider};
pub use ip::Ip;
pub use node::{ADDRESSES, Entry, Node};
pub use option::SocketOption;
pub use recorder::{Policy, Recorded, Recorder};
pub use release::{Release, UnknownRelease};
pub use socket::{End, Shutdown, Socket};
pub use stack::Groups;
pub use walk::TcpInfo;
