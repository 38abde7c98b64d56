// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A TCP/IP stack with clinet's calls in it, for tests.
//!
//! [`Clinet`] is one loaded copy of the module: every function of `clinet.h`
//! with Rust types, and the slots of `cl_inet.h`. Above it, a [`Cluster`] has
//! several [`Node`]s in one process, each with its own kernel and module, an
//! in-process wire and a clock that tests move. [`TcpSocket`] and
//! [`UdpSocket`] call the module where a patched ip would: in the same order,
//! with the same locks held, from the same kinds of thread.
//!
//! ```text
//! cluster    nodes, steering, the passing of time
//!   tcp udp    endpoints: when the module is called, what its answer does
//!     node       addresses, ports, the tables endpoints are found in
//!     directory  tells the other nodes what one node holds
//!     wire clock packets and timers
//!       api        the module: functions with Rust types, slots
//!         entry      its C functions; call: what an observer sees of them
//! ```

mod address;
mod api;
mod call;
mod clock;
mod cluster;
mod directory;
mod entry;
mod error;
mod functions;
mod node;
mod option;
mod ports;
mod slots;
mod tcp;
mod types;
mod udp;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use address::{AF_INET, AF_INET6, FiveTuple, IPPROTO_TCP, IPPROTO_UDP};
pub use api::{Clinet, Mode, Tunables, module_path, released_module};
pub use call::{Call, Recorder, Tap};
pub use clinet_kernel::{Context, Kernel};
pub use cluster::{Cluster, Steering};
pub use error::{Errno, SetupError};
pub use node::{Node, NodeId};
pub use option::SocketOption;
pub use slots::{Connect2Fn, Contract, DisconnectFn, EndpointFn, HostProvider, Slot};
pub use tcp::{CONNECT_ABORT, TIME_WAIT, TcpSocket, TcpState};
pub use types::{ClinetTcp, ClinetUdp, ClinetUdpAsk, FlowStats, Stats};
pub use udp::UdpSocket;
pub use wire::{Body, Packet, Segment, Sighting};

/// Locks a mutex of the host; a thread that panicked leaves nothing half done
/// that another could not see as it is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
