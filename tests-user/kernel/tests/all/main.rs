// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The userspace kernel, held against modules in C.
//!
//! One program for all of them: linking takes longer than most tests.

mod calls;
mod common;
mod direct;
mod driver;
mod early;
mod kmem_cache;
mod kstats;
mod library;
mod loading;
mod locks;
mod memory;
mod modules;
mod netstack;
mod network;
mod rwlock;
mod threads;
mod waiting;
mod waits;
