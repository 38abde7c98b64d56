// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The protocol between the agents of a cluster: who has which local ports.
//!
//! The port space is divided into *slices*, and a directory (etcd) has a record of each: whose it
//! is. A node registers 5-tuples only from ports of its own slices, and only until a deadline, so
//! that nobody has to ask anybody when a connection is made. Leases of the directory tell who
//! lives, and nothing more: that two nodes never have one slice rests on transactions, and on
//! waiting by one's own clock.
//!
//! Nothing here does anything. [`Agent::step`] takes what happened and what time it is, and answers
//! what is to be done; [`Transaction`](directory::Transaction)s, grants and times are values. So the
//! same code runs in the agent, in a model checker and in a simulator.
//!
//! * [`names`], [`records`]: keys and values of the directory; [`time`](mod@time): how long to wait.
//! * [`directory`]: requests and answers, and what is known.
//! * [`rules`]: each step of the protocol, one function with one transaction.
//! * [`choice`]: which slice to ask for.
//! * [`agent`]: which step is next. [`operator`]: what an operator says to all agents.
//!
//! # What holds
//!
//! * I1: no two nodes can send from one local port of a slice.
//! * I2: what is registered in the port space has a record of this node, and a deadline to come.
//! * I3: the deadline is the clock at sending + T at most.
//! * I4: a record changes hands only through quarantine, leaving, or the operator's word.
//! * I5: after the deadline + F nothing is sent from a shared address, and nothing resumes that
//!   another node may own.
//! * I6: two agents never both set grants (the device has one control role).
//! * I7: one node name is one machine and boot.
//! * I8: after faults end, a node that wants a slice gets one if one is free.

pub mod agent;
pub mod choice;
pub mod directory;
pub mod names;
pub mod operator;
pub mod records;
pub mod rules;
pub mod time;

pub use agent::{Agent, Effect, Event};
pub use time::{Now, Timing};
