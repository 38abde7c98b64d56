// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sections that krtld refuses, ignores or misunderstands.

use crate::common::{
    GOOD, assemble, assert_breaks, assert_file_breaks, assert_notes, assert_passes, good_and,
    header_of,
};
use clinet_check::Rule;

/// The number of the first section of a type.
fn section_of_type(file: &[u8], kind: u32) -> usize {
    (1..)
        .find(|&index| {
            let at = header_of(file, index) + 4;
            file[at..at + 4] == kind.to_le_bytes()
        })
        .unwrap()
}

#[test]
fn a_good_module_passes() {
    assert_passes(GOOD);
}

#[test]
fn section_group() {
    let group = ".section .rodata.g,\"aG\",@progbits,shared,comdat\n.byte 1";
    assert_notes(&good_and(group), Rule::SectionGroup, &[".group"]);
}

#[test]
fn writable_and_executable() {
    let section = ".section .both,\"awx\",@progbits\nnop";
    assert_breaks(&good_and(section), Rule::WritableExecutable, &[".both"]);
}

#[test]
fn section_address() {
    let mut file = assemble(GOOD);
    let at = header_of(&file, 1) + 16;
    file[at] = 0x40;
    assert_file_breaks(&file, Rule::SectionAddress, &[".text", "0x40"]);
}

#[test]
fn missing_symbol_table() {
    let mut file = assemble(GOOD);
    let symtab = section_of_type(&file, 2);
    let at = header_of(&file, symtab) + 4;
    // SHT_PROGBITS
    file[at] = 1;
    assert_file_breaks(&file, Rule::MissingSymbolTable, &["SHT_SYMTAB"]);
}

#[test]
fn relocations_without_addends() {
    let section = ".section .rel.extra,\"\",@9\n.quad 0, 0";
    assert_breaks(
        &good_and(section),
        Rule::RelocationFormat,
        &[".rel.extra", "SHT_REL"],
    );
}

#[test]
fn extended_section_numbers() {
    // An empty SHT_SYMTAB_SHNDX section.
    let section = ".section .symtab_shndx,\"\",@18";
    assert_breaks(
        &good_and(section),
        Rule::ExtendedSectionNumbers,
        &["sections"],
    );
    let mut file = assemble(GOOD);
    // e_shnum 0: the number is in the size of section 0.
    let number = u16::from_le_bytes([file[60], file[61]]);
    file[60..62].fill(0);
    let at = header_of(&file, 0) + 32;
    file[at..at + 2].copy_from_slice(&number.to_le_bytes());
    assert_file_breaks(&file, Rule::ExtendedSectionNumbers, &["sections"]);
}

#[test]
fn initializers() {
    for section in [
        ".section .init_array,\"aw\",@init_array",
        ".section .fini_array.5,\"aw\",@fini_array",
        ".section .ctors,\"aw\",@progbits",
    ] {
        let source = good_and(&format!("{section}\n.quad _init"));
        let name = section.split([' ', ',']).nth(1).unwrap();
        assert_breaks(&source, Rule::InitializerSection, &[name]);
    }
}

#[test]
fn offset_table() {
    let section = ".section .got,\"aw\",@progbits\n.quad _init";
    assert_breaks(&good_and(section), Rule::GotReference, &[".got"]);
    assert_passes(&good_and(".section .gotten,\"aw\",@progbits\n.quad _init"));
}

#[test]
fn thread_local_section() {
    let section = ".section .tbss,\"awT\",@nobits\n.zero 8";
    assert_breaks(&good_and(section), Rule::TlsReference, &[".tbss"]);
}
