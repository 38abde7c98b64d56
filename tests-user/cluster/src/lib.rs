// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A cluster on one Linux machine, real in everything but the TCP/IP stacks: etcd
//! members, simulated machines and their agents, each a process of its own.
//!
//! ```text
//! chaos                 faults at random, and the oracle's judgement
//! bench                 numbers
//!   oracle              what must not have happened
//!   run                 a cluster at work
//!     history observer  what the directory said, what the machines said
//!     traffic           programs that connect
//!   cluster             all of it
//!     member            a machine and its agent
//!     etcd  proxy       the directory, and the way to it
//!       process         what ends when the tool does
//! ```

pub mod bench;
pub mod chaos;
mod clock;
mod cluster;
pub mod directory;
mod etcd;
pub mod history;
mod member;
pub mod observer;
pub mod oracle;
mod process;
mod proxy;
mod run;
mod settings;
pub mod traffic;
mod watching;

pub use clock::now;
pub use cluster::Cluster;
pub use etcd::Etcd;
pub use member::{Member, Programs};
pub use process::{Process, end_all};
pub use proxy::{Proxy, Weather};
pub use run::Run;
pub use settings::Settings;
pub use watching::Watching;
