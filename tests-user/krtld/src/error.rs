// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Why a module file is refused.

use std::fmt;
use std::io;

/// Something that krtld prints, or would do silently and wrongly, while it
/// goes on loading.
pub type Warning = String;

/// Names longer than this are cut in messages.
const SHOWN_NAME: usize = 120;

/// One relocation, named for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelocationSite {
    /// The number in `r_info`: `R_AMD64_*`, the same as Linux's `R_X86_64_*`.
    pub kind: u32,
    /// Name of the section that is relocated.
    pub section: String,
    /// `r_offset`: bytes from the start of that section.
    pub offset: u64,
    /// Name of the symbol; empty for the null symbol and section symbols.
    pub symbol: String,
}

impl fmt::Display for RelocationSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = crate::relocation::name(self.kind).unwrap_or("unknown");
        write!(
            f,
            "relocation type {} ({name}) at {}+{:#x}",
            self.kind, self.section, self.offset
        )?;
        if self.symbol.is_empty() {
            Ok(())
        } else {
            write!(f, " against '{}'", shown(&self.symbol))
        }
    }
}

/// A name of the file, cut to what a message can bear.
pub(crate) fn shown(name: &str) -> String {
    if name.len() <= SHOWN_NAME {
        return name.to_owned();
    }
    let mut text: String = name.chars().take(SHOWN_NAME).collect();
    text.push_str("...");
    text
}

/// Why a module file was refused, or a variable in it could not be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No ELF64 little-endian header at the start of the file.
    #[error("not an ELF64 little-endian file: {0}")]
    NotElf(String),
    /// `e_machine` is not amd64 (62).
    #[error("e_machine is {0}, krtld wants 62: build the module for amd64")]
    WrongMachine(u16),
    /// `e_type` is not `ET_REL` (1).
    #[error("e_type is {0}, krtld loads only relocatable files (1): link the module with `ld -r`")]
    NotRelocatable(u16),
    /// The file ends early or contradicts itself.
    #[error("truncated or malformed: {0}")]
    Malformed(String),
    /// Section numbers that do not fit 16 bits.
    #[error("{0}: krtld does not read extended section numbers; link into fewer sections")]
    ExtendedSectionNumbers(String),
    /// No `SHT_SYMTAB`.
    #[error("no SHT_SYMTAB symbol table: do not strip the module")]
    NoSymbolTable,
    /// An allocated section has an address already.
    #[error("section '{section}' has sh_addr {address:#x}, krtld wants 0: link with `ld -r`")]
    SectionAddress {
        /// Name of the section.
        section: String,
        /// Its `sh_addr`.
        address: u64,
    },
    /// A section of type `SHT_REL`.
    #[error("section '{0}' is SHT_REL, krtld reads only SHT_RELA on amd64")]
    RelSection(String),
    /// A relocation section that uses another symbol table.
    #[error(
        "section '{section}' (SHT_RELA) links to section {link}, not to the symbol table {symtab}"
    )]
    ForeignRelocations {
        /// Name of the relocation section.
        section: String,
        /// Its `sh_link`.
        link: u32,
        /// Section number of the symbol table.
        symtab: u32,
    },
    /// A relocation type that krtld's table does not support.
    #[error("{0}: krtld does not support this type")]
    RejectedRelocation(RelocationSite),
    /// A relocation type at which krtld of 2015 and 2021 never returns.
    #[error(
        "{0}: modload would hang, the kernels of 2015 and 2021 print this relocation for ever; \
         build without TLS and without relaxable GOT references"
    )]
    WouldHang(RelocationSite),
    /// A value that does not fit its field.
    #[error("{site}: value {value:#x} does not fit; build with -mcmodel=kernel")]
    OutOfRange {
        /// The relocation.
        site: RelocationSite,
        /// What should have been stored.
        value: u64,
    },
    /// A relocated field that is not inside its section.
    #[error("{0}: the field is not inside the section, a real krtld would write outside it")]
    OutsideSection(RelocationSite),
    /// Symbols that neither the dependencies nor the kernel define.
    #[error("{}", undefined_message(.0))]
    UndefinedSymbols(Vec<String>),
    /// An undefined or COMMON symbol of type `STT_TLS`.
    #[error("TLS symbol not supported '{}'", shown(.0))]
    TlsSymbol(String),
    /// The stated dependencies cannot be read.
    #[error("dependencies: {0}")]
    Dependencies(String),
    /// More memory than a module may have.
    #[error("{what} would take more than {} bytes", crate::SIZE_LIMIT)]
    TooLarge {
        /// What is too large.
        what: String,
    },
    /// No memory in the low 2 GiB of this process.
    #[error("cannot map {size} bytes in the low 2 GiB: {error}")]
    Mapping {
        /// Bytes wanted.
        size: usize,
        /// What the system says.
        error: io::Error,
    },
    /// `set module:variable` names a symbol that the module does not have.
    #[error("no variable '{}' in the module", shown(.0))]
    NoVariable(String),
    /// `set module:variable` names a symbol of an odd size.
    #[error(
        "variable '{}' has size {size}: only 1, 2, 4 and 8 can be set",
        shown(name)
    )]
    VariableSize {
        /// The name.
        name: String,
        /// `st_size`, in bytes.
        size: u64,
    },
    /// `set module:variable` names something outside the module's data.
    #[error("'{}' is not in the module's data: make it a writable variable", shown(.0))]
    NotAVariable(String),
}

fn undefined_message(names: &[String]) -> String {
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("undefined symbol '{}'", shown(name)))
        .collect();
    lines.join("\n")
}
