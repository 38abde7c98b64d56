// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The control device of clinet: its structures and commands, and the ways to
//! reach it.
//!
//! [`Control`] is what programs use. It speaks through a [`Device`], which is
//! `/dev/clinet` on illumos and a socket of `lab node` elsewhere; nothing but
//! [`device`], `illumos` and [`socket`] knows which.
//!
//! Ports are numbers of the host, addresses [`std::net`]'s, times nanoseconds of
//! the module's clock. Error numbers are illumos's on every system.
//!
//! Nothing here is asynchronous: a program that has other things to do gives a
//! [`Control`] a thread.

pub mod abi;
mod change;
mod control;
pub mod device;
mod errno;
mod error;
mod events;
mod filter;
mod grants;
#[cfg(target_os = "illumos")]
pub mod illumos;
mod list;
mod look;
pub mod machine;
mod role;
pub mod socket;
mod state;
mod tuple;
pub mod wire;
mod words;

pub use change::Deleted;
pub use control::{Control, Version};
pub use device::Device;
pub use errno::Errno;
pub use error::Error;
pub use events::{Event, EventMask, Events};
pub use filter::Filter;
pub use grants::{Grants, GrantsState, PortSet, Space};
pub use list::List;
pub use look::Stat;
pub use state::{SpaceState, State};
pub use tuple::{Answer, Entry, Protocol, Tuple};
pub use words::{
    Attached, EventType, FenceAction, FenceState, Full, Incoming, Mode, NoSuchWord, Policy,
    Property, Provider, Reason,
};

/// Where the device is on illumos.
pub const DEFAULT_DEVICE: &str = "/dev/clinet";
