// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The model of TCP/IP, alone and with modules attached.
//!
//! One program for all of them: linking takes longer than most tests.

mod attached;
mod cluster_tcp;
mod cluster_udp;
mod common;
mod interfaces;
mod module;
#[allow(dead_code, reason = "the userspace kernel's tests use the rest")]
#[path = "../../../kernel/tests/all/common/mod.rs"]
mod modules_in_c;
mod options;
mod random;
mod refusals;
mod release;
mod reuseport;
mod scenarios;
mod stock_node;
mod stress;
mod tcp;
mod tcp_incoming;
mod traces;
mod udp;
mod unbalanced;
