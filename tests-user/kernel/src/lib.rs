// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The part of illumos that a loaded module sees, as a library for tests.
//!
//! A [`Kernel`] is one simulated machine. It loads a module file byte for
//! byte with `clinet_krtld`, gives it the functions of unix and genunix that
//! [`kernel_symbols`] lists, and calls it on small guarded stacks in a
//! [`Context`] that says what the caller is and what it holds. It is as strict
//! as a DEBUG kernel: what would panic there is a [`Fault`] here, and what
//! would be left behind by an unload is an error.
//!
//! Several kernels live in one process and do not see each other.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use clinet_kernel::{Context, Kernel};
//!
//! let kernel = Kernel::new();
//! let file = std::fs::read("build/kernel/misc/amd64/clinet")?;
//! let module = kernel.load("misc/clinet", &file, &[("clinet_mode", 0)])?;
//! let address = module.address("clinet_listen");
//! // SAFETY: the function takes no more than these four arguments.
//! unsafe { module.call(&Context::thread(), address, &[6, 2, 0, 80]) };
//! kernel.unload(&module)?;
//! # Ok(())
//! # }
//! ```

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("module files are x86-64 code, and this kernel runs them on Linux");

mod block;
mod context;
mod devices;
mod driver;
mod fault;
mod imports;
mod instance;
mod kernel;
mod leak;
mod load_error;
mod locks;
mod machine;
mod memory;
mod module;
mod network;
mod open_file;
mod record;
mod sched;
pub mod slab;
mod stack;
mod thunk;
pub mod together;
mod trap;
mod user;

pub use context::Context;
pub use devices::MinorNode;
pub use driver::{Driver, Info};
pub use fault::{Fault, guard};
pub use imports::kstat::{KstatError, KstatValue};
pub use imports::log::{Destination, Level, Message};
pub use imports::mutex::before_next_mutex;
pub use imports::netstack::NetstackLayout;
pub use kernel::Kernel;
pub use leak::{Leak, Leaks};
pub use load_error::{ModloadError, ModunloadError};
pub use module::{ModinfoEntry, Module};
pub use network::IpControl;
pub use open_file::{OpenFile, OpenFlags, PollSet};
pub use record::Symbol;
pub use stack::STACK_SIZE;
pub use thunk::{kernel_function, kernel_symbols};
pub use user::{Cred, Model, Privileges, UserMemory};
