// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the kernel and clinet offer, as safe Rust over the raw declarations in
//! [`sys`]. What the module has as well is the module's file.

pub mod buffer;
pub mod clinet;
#[path = "../../../src/kernel/condvar.rs"]
pub mod condvar;
pub mod cred;
#[path = "../../../src/kernel/errno.rs"]
pub mod errno;
#[path = "../../../src/kernel/log.rs"]
pub mod log;
#[path = "../../../src/kernel/mutex.rs"]
pub mod mutex;
pub mod node;
#[cfg(target_os = "illumos")]
#[path = "../../../src/kernel/panic.rs"]
mod panic;
pub mod poll;
pub mod sys;
#[path = "../../../src/kernel/text.rs"]
pub mod text;
pub mod user;
