// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the kernel offers, as safe Rust over the raw declarations in [`sys`].
//!
//! Parts that call the kernel exist only where there is one; the host build,
//! which runs unit tests and makes documentation, has the rest.

#[cfg(target_os = "illumos")]
pub mod blocks;
#[cfg(target_os = "illumos")]
pub mod callout;
#[cfg(target_os = "illumos")]
pub mod condvar;
pub mod constant;
pub mod cpu;
pub mod errno;
#[cfg(target_os = "illumos")]
pub mod kmem;
#[cfg(target_os = "illumos")]
pub mod ksocket;
#[cfg(target_os = "illumos")]
pub mod kstat;
#[cfg(target_os = "illumos")]
pub mod ldi;
#[cfg(target_os = "illumos")]
pub mod lif;
#[cfg(target_os = "illumos")]
pub mod log;
#[cfg(target_os = "illumos")]
pub mod modsym;
#[cfg(target_os = "illumos")]
pub mod mutex;
#[cfg(target_os = "illumos")]
pub mod netstack;
pub mod once;
#[cfg(target_os = "illumos")]
mod panic;
#[cfg(target_os = "illumos")]
pub mod probe;
#[cfg(target_os = "illumos")]
pub mod random;
pub mod slot;
pub mod stack;
pub mod sys;
#[cfg(target_os = "illumos")]
pub mod task;
pub mod text;
#[cfg(target_os = "illumos")]
pub mod time;
