// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Measures the registry inside the released module file, in one process with
//! its peers and with c, the cost of a dependent access to memory.
//!
//! ```text
//! cli        options; which rows, what comes out
//!   report   the tables and the JSON
//!   chart    latency over the number of tuples, as SVG
//!   bench    what the rows share: settings, c, results
//!     rows   one file for each kind of measurement
//!       peers   the module, dashmap, hashbrown, papaya, scc: one loop each
//!       module  loads the file
//!         caller  calls its functions
//!         api     their names and signatures
//!         sender  a stack in C that calls it by name
//!         kernel  native kernel functions for it
//!   marks    the rows and their goals
//!   keys, order, chase, cpu, pages, alloc
//! ```
//!
//! The names of rows and the members of the JSON are stable.

pub mod alloc;
pub mod api;
pub mod bench;
pub mod caller;
pub mod chart;
pub mod chase;
pub mod cli;
pub mod cpu;
pub mod error;
pub mod kernel;
pub mod keys;
pub mod marks;
pub mod module;
pub mod order;
pub mod pages;
pub mod peers;
pub mod report;
pub mod rows;
pub mod sender;

/// The module's name among its peers'.
pub const OURS: &str = "clinet";
/// This node's number.
pub const NODE: u32 = 1;
/// Another node's.
pub const OTHER: u32 = 2;
