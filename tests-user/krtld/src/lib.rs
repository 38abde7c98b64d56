// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A `krtld` for Linux processes: loads an illumos kernel module file (ELF64,
//! relocatable, amd64) and treats it as illumos' own run-time linker would.
//! What krtld refuses is refused here, and what krtld resolves wrongly is
//! resolved wrongly in the same way, so that a file which works here is not
//! helped by a kinder loader.
//!
//! ```text
//! bytes -- ModuleFile::parse --> ModuleFile -- load(&mut dyn Resolve) --> Image
//! ```
//!
//! Loading never runs anything of the file. [`Image`] is memory in the low
//! 2 GiB, text read-only and executable, data writable; the code in it may be
//! called by whoever knows its signature, as long as the image lives.
//!
//! Where this loader is stricter than krtld, the reason is that krtld would
//! read or write outside its own memory, or never return:
//!
//! * tables, sections, names and relocated fields must lie inside the file and
//!   their section; entry sizes must be those of ELF64; alignments must be
//!   powers of two;
//! * a relocation type that sends the 2015 and 2021 kernels into an endless
//!   loop is [`LoadError::WouldHang`];
//! * a module larger than [`SIZE_LIMIT`] is refused.

mod area;
mod dependencies;
mod error;
mod file;
mod image;
mod layout;
mod load;
mod probe;
mod relocate;
mod relocation;
mod symbols;

pub use dependencies::DEPENDENCY_NAME_LIMIT;
pub use error::{LoadError, RelocationSite, Warning};
pub use file::ModuleFile;
pub use image::{Image, Symbol, SymbolKind};
pub use load::Resolve;
pub use probe::ProbeSite;

/// The most bytes that one module's text, data, or symbol names may take.
///
/// krtld knows no limit; its text comes from an area of this size.
pub const SIZE_LIMIT: u64 = 64 << 20;
