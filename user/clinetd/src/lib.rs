// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The agent of a node: what it does with what `clinet-slices` decides.
//!
//! `clinetadm cluster` uses the configuration and the directory of this library.

pub mod agent;
pub mod config;
pub mod directory;
pub mod identity;
pub mod metrics;
pub mod module;
pub mod operator;
pub mod platform;
pub mod state;
pub mod worker;
