// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Helpers: small objects from the system's assembler, changes to their bytes,
//! a resolver from a list, and looks into a loaded image.

// Each test file uses its own part of this.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use clinet_krtld::{Image, LoadError, ModuleFile, Resolve};
use object::LittleEndian as LE;
use object::elf::{FileHeader64, Rela64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader as _, SectionHeader as _};

/// Offset of `e_shoff`, `sh_type` and so on in their structures.
pub mod offset {
    pub const E_TYPE: usize = 16;
    pub const E_MACHINE: usize = 18;
    pub const E_SHNUM: usize = 60;
    pub const E_SHSTRNDX: usize = 62;
    pub const SH_TYPE: usize = 4;
    pub const SH_ADDR: usize = 16;
    pub const SH_OFFSET: usize = 24;
    pub const SH_SIZE: usize = 32;
    pub const SH_LINK: usize = 40;
    pub const SH_INFO: usize = 44;
    pub const SH_ADDRALIGN: usize = 48;
    pub const SH_ENTSIZE: usize = 56;
    pub const ST_INFO: usize = 4;
    pub const ST_SHNDX: usize = 6;
    pub const ST_VALUE: usize = 8;
    pub const ST_SIZE: usize = 16;
    pub const R_OFFSET: usize = 0;
    pub const R_TYPE: usize = 8;
    pub const R_SYM: usize = 12;
    pub const R_ADDEND: usize = 16;
}

/// Assembles `source` with GNU as. The object has a symbol table even if the
/// source defines nothing.
pub fn assemble(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (folder.path().join("m.s"), folder.path().join("m.o"));
    fs::write(&input, format!(".file \"m.s\"\n{source}\n")).expect("write the source");
    let run = Command::new("as")
        .args(["--64", "-o"])
        .arg(&output)
        .arg(&input)
        .output()
        .expect("run `as` (package binutils)");
    assert!(
        run.status.success(),
        "as: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    fs::read(&output).expect("read the object")
}

/// Number of the section called `name`.
pub fn section(bytes: &[u8], name: &str) -> usize {
    let header = FileHeader64::<LE>::parse(bytes).expect("header");
    let sections = header.sections(LE, bytes).expect("sections");
    let (index, _) = sections
        .section_by_name(LE, name.as_bytes())
        .unwrap_or_else(|| panic!("no section {name}"));
    index.0
}

/// Number of the first symbol called `name`.
pub fn symbol(bytes: &[u8], name: &str) -> usize {
    let header = FileHeader64::<LE>::parse(bytes).expect("header");
    let sections = header.sections(LE, bytes).expect("sections");
    let symbols = sections
        .symbols(LE, bytes, object::elf::SHT_SYMTAB)
        .expect("symbols");
    symbols
        .enumerate()
        .find(|(_, symbol)| symbols.symbol_name(LE, symbol) == Ok(name.as_bytes()))
        .map(|(index, _)| index.0)
        .unwrap_or_else(|| panic!("no symbol {name}"))
}

/// Offset in the file of the header of section `name`.
pub fn section_header(bytes: &[u8], name: &str) -> usize {
    let header = FileHeader64::<LE>::parse(bytes).expect("header");
    header.e_shoff.get(LE) as usize + section(bytes, name) * size_of::<SectionHeader64<LE>>()
}

/// Offset in the file of the contents of section `name`.
pub fn contents(bytes: &[u8], name: &str) -> usize {
    let header = FileHeader64::<LE>::parse(bytes).expect("header");
    let sections = header.section_headers(LE, bytes).expect("sections");
    sections[section(bytes, name)].sh_offset(LE) as usize
}

/// Offset in the file of the symbol table entry of `name`.
pub fn symbol_entry(bytes: &[u8], name: &str) -> usize {
    contents(bytes, ".symtab") + symbol(bytes, name) * size_of::<Sym64<LE>>()
}

/// Offset in the file of entry `index` of relocation section `name`.
pub fn relocation_entry(bytes: &[u8], name: &str, index: usize) -> usize {
    contents(bytes, name) + index * size_of::<Rela64<LE>>()
}

/// Overwrites the bytes at `offset`.
pub fn poke(bytes: &mut [u8], offset: usize, new: &[u8]) {
    bytes[offset..offset + new.len()].copy_from_slice(new);
}

/// Visible symbols from a list; remembers what it was asked for.
#[derive(Default)]
pub struct Names {
    known: HashMap<String, u64>,
    pub asked: Vec<String>,
}

impl Names {
    pub fn of(known: &[(&str, u64)]) -> Self {
        Self {
            known: known
                .iter()
                .map(|(name, address)| ((*name).to_owned(), *address))
                .collect(),
            asked: Vec::new(),
        }
    }
}

impl Resolve for Names {
    fn resolve(&mut self, name: &str) -> Option<u64> {
        self.asked.push(name.to_owned());
        self.known.get(name).copied()
    }

    fn is_primary(&mut self, name: &str) -> bool {
        self.known.contains_key(name)
    }
}

/// Parses and loads against `known` symbols.
pub fn load_with(bytes: &[u8], known: &[(&str, u64)]) -> Result<Image, LoadError> {
    ModuleFile::parse(bytes)?.load(&mut Names::of(known))
}

/// Parses and loads with nothing to resolve against.
pub fn load(bytes: &[u8]) -> Result<Image, LoadError> {
    load_with(bytes, &[])
}

/// The error of a load that must fail.
pub fn refusal(bytes: &[u8]) -> LoadError {
    match load(bytes) {
        Ok(_) => panic!("the module was loaded"),
        Err(error) => error,
    }
}

/// The address of symbol `name`.
pub fn address(image: &Image, name: &str) -> u64 {
    image
        .symbol(name)
        .unwrap_or_else(|| panic!("no symbol {name}"))
        .address
}

/// Copies `N` bytes out of an image.
pub fn peek<const N: usize>(image: &Image, address: u64) -> [u8; N] {
    let end = address + N as u64;
    let inside = |area: std::ops::Range<u64>| area.start <= address && end <= area.end;
    assert!(inside(image.text()) || inside(image.data()));
    let source = std::ptr::with_exposed_provenance::<[u8; N]>(address as usize);
    // SAFETY: the bytes are inside an area of the image, which is mapped and
    // readable while the reference lives, and byte arrays need no alignment.
    unsafe { source.read() }
}
