// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A model of illumos's TCP/IP for tests, true to two kernels, with two sets of
//! call sites.
//!
//! What is modelled is the mechanism: the conns with their hashes, the squeue
//! that lets a packet wait while its conn is worked on, the header template
//! that outlives a refused connect, the most recent destination of UDP, and
//! what sockfs makes of it all. The faults of the original are here on purpose:
//! hook variables are loaded twice, ends are told of twice or never, a refused
//! socket is spoiled. [`Release`] says which kernel it is.
//!
//! With the hooks of a stock ip, [`Ip`] is one machine whose stacks know
//! loopback: [`trace`] plays recorded scenarios and compares, [`Attached`] puts
//! it under a simulated kernel, where a module finds it as `drv/ip`, and
//! [`AttachedNode`] loads clinet there. With the contract of `clinet.h`, a
//! [`Cluster`] has several [`Node`]s on one wire, each with its own kernel and
//! [`Clinet`], and a clock that tests move.
//!
//! ```text
//! trace                        cluster   nodes, steering, time
//! attached_node, attached      network   the wire, the clock
//!   ip                         node
//!     socket   sockfs          what programs see
//!     stack    tcp udp raw     the mechanism
//!     sites                    where it asks and tells
//!   hooks                      contract  directory
//!                                module  its functions with Rust types
//! ```

mod address;
mod attached;
mod attached_node;
mod beside;
mod cluster;
mod conn;
mod contract;
mod directory;
mod error;
mod hooks;
mod interfaces;
mod ip;
mod module;
mod network;
mod node;
mod option;
mod raw;
mod recorder;
mod release;
mod sites;
mod socket;
mod sockfs;
mod stack;
mod tcp;
pub mod trace;
mod udp;
mod walk;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use address::{AF_INET, AF_INET6, FiveTuple, IPPROTO_TCP, IPPROTO_UDP};
pub use attached::Attached;
pub use attached_node::{ADDRESSES, AttachedNode, Entry};
pub use clinet_kernel::{Context, Kernel};
pub use cluster::Cluster;
pub use conn::TcpState;
pub use error::{Errno, SetupError};
pub use hooks::{Held, Hook, HookCall, Provider};
pub use ip::Ip;
pub use module::*;
pub use network::{Body, Sighting, Steering};
pub use node::{Node, NodeId};
pub use option::SocketOption;
pub use recorder::{HookRecorder, Policy, Recorded};
pub use release::{Release, UnknownRelease};
pub use socket::{End, Shutdown, Socket};
pub use stack::{CONNECT_ABORT, Groups, TIME_WAIT};
pub use stack::{IFF_IPV4, IFF_IPV6, IFF_LOOPBACK, IFF_NOLOCAL, IFF_UP, IFF_VRRP, Interface};
pub use tcp::Segment;
pub use walk::TcpInfo;

/// Locks a mutex of the host; a thread that panicked leaves nothing half done
/// that another could not see as it is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
