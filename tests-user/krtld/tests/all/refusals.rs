// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files that are not modules, and tables that do not hold together.

use crate::common::{assemble, load, offset, poke, refusal, section, section_header, symbol_entry};
use clinet_krtld::{LoadError, ModuleFile};

fn object() -> Vec<u8> {
    assemble(".text\nret\n.data\n.globl here\nhere: .quad here")
}

fn parse_error(bytes: &[u8]) -> LoadError {
    match ModuleFile::parse(bytes) {
        Ok(_) => panic!("parsed"),
        Err(error) => error,
    }
}

#[test]
fn the_object_that_is_spoilt_here_loads() {
    load(&object()).expect("loads");
}

#[test]
fn other_files_are_not_elf() {
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &[0; 64]] {
        assert!(matches!(parse_error(bytes), LoadError::NotElf(_)));
    }
    for (place, value) in [(0, 0), (4, 1), (5, 2)] {
        let mut bytes = object();
        bytes[place] = value;
        assert!(
            matches!(parse_error(&bytes), LoadError::NotElf(_)),
            "{place}"
        );
    }
}

#[test]
fn other_machines_and_linked_files_are_refused() {
    let mut bytes = object();
    poke(&mut bytes, offset::E_MACHINE, &183_u16.to_le_bytes());
    assert!(matches!(parse_error(&bytes), LoadError::WrongMachine(183)));
    for kind in [0_u16, 2, 3] {
        let mut bytes = object();
        poke(&mut bytes, offset::E_TYPE, &kind.to_le_bytes());
        assert!(matches!(parse_error(&bytes), LoadError::NotRelocatable(k) if k == kind));
    }
}

#[test]
fn extended_section_numbers_are_refused() {
    let mut by_count = object();
    poke(&mut by_count, offset::E_SHNUM, &[0, 0]);
    let mut by_names = object();
    poke(&mut by_names, offset::E_SHSTRNDX, &[0xff, 0xff]);
    let mut by_symbol = object();
    let entry = symbol_entry(&by_symbol, "here");
    poke(&mut by_symbol, entry + offset::ST_SHNDX, &[0xff, 0xff]);
    for bytes in [by_count, by_names, by_symbol] {
        let error = parse_error(&bytes);
        assert!(
            matches!(error, LoadError::ExtendedSectionNumbers(_)),
            "{error}"
        );
    }
}

#[test]
fn unreadable_section_names_are_no_hindrance() {
    for index in [0_u16, 1, 0xfe00] {
        let mut bytes = object();
        poke(&mut bytes, offset::E_SHSTRNDX, &index.to_le_bytes());
        load(&bytes).expect("loads");
    }
}

#[test]
fn a_file_without_symbol_table_is_refused() {
    let mut bytes = object();
    let header = section_header(&bytes, ".symtab");
    poke(&mut bytes, header + offset::SH_TYPE, &1_u32.to_le_bytes());
    assert!(matches!(parse_error(&bytes), LoadError::NoSymbolTable));
}

#[test]
fn of_two_symbol_tables_the_last_counts() {
    let mut bytes =
        assemble(".section .symbols, \"\"\n.quad 0, 0, 0\n.data\n.globl here\nhere: .quad here");
    let header = section_header(&bytes, ".symbols");
    poke(&mut bytes, header + offset::SH_TYPE, &2_u32.to_le_bytes());
    poke(
        &mut bytes,
        header + offset::SH_ENTSIZE,
        &24_u64.to_le_bytes(),
    );
    let image = load(&bytes).expect("loads");
    assert!(image.symbol("here").is_some());
}

#[test]
fn a_symbol_table_that_does_not_hold_together_is_malformed() {
    let plain = object();
    let header = section_header(&plain, ".symtab");
    let entry = symbol_entry(&plain, "here");
    let cases: [(usize, &[u8]); 8] = [
        (header + offset::SH_ENTSIZE, &0_u64.to_le_bytes()),
        (header + offset::SH_ENTSIZE, &16_u64.to_le_bytes()),
        (header + offset::SH_LINK, &u32::MAX.to_le_bytes()),
        (header + offset::SH_OFFSET, &u64::MAX.to_le_bytes()),
        (header + offset::SH_SIZE, &u64::MAX.to_le_bytes()),
        (entry, &u32::MAX.to_le_bytes()),
        (entry, &0x1000_u32.to_le_bytes()),
        (entry + offset::ST_SHNDX, &0xfe00_u16.to_le_bytes()),
    ];
    for (place, value) in cases {
        let mut bytes = plain.clone();
        poke(&mut bytes, place, value);
        let error = parse_error(&bytes);
        assert!(matches!(error, LoadError::Malformed(_)), "{place}: {error}");
    }
}

#[test]
fn a_symbol_name_has_a_limit() {
    let fits = assemble(&format!(".data\n{}: .quad 0", "n".repeat(4096)));
    load(&fits).expect("fits");
    let long = assemble(&format!(".data\n{}: .quad 0", "n".repeat(4097)));
    assert!(matches!(parse_error(&long), LoadError::Malformed(_)));
}

#[test]
fn a_section_outside_the_file_is_malformed() {
    for (place, value) in [
        (offset::SH_OFFSET, u64::MAX),
        (offset::SH_OFFSET, 1 << 20),
        (offset::SH_SIZE, 1 << 20),
    ] {
        let mut bytes = object();
        let header = section_header(&bytes, ".data");
        poke(&mut bytes, header + place, &value.to_le_bytes());
        let error = refusal(&bytes);
        assert!(
            error.to_string().contains("'.data' is not inside"),
            "{error}"
        );
    }
}

#[test]
fn rel_sections_are_refused() {
    let mut bytes = object();
    let header = section_header(&bytes, ".rela.data");
    poke(&mut bytes, header + offset::SH_TYPE, &9_u32.to_le_bytes());
    let error = refusal(&bytes);
    assert!(
        matches!(&error, LoadError::RelSection(name) if name == ".rela.data"),
        "{error}"
    );
}

#[test]
fn relocations_must_use_the_symbol_table_even_those_that_are_not_applied() {
    for flags in ["aw", ""] {
        let mut bytes = assemble(&format!(
            ".section .part, \"{flags}\"\n.globl here\nhere: .quad here"
        ));
        let symtab = section(&bytes, ".symtab") as u32;
        let header = section_header(&bytes, ".rela.part");
        poke(&mut bytes, header + offset::SH_LINK, &1_u32.to_le_bytes());
        let error = refusal(&bytes);
        assert!(
            matches!(&error, LoadError::ForeignRelocations { section, link: 1, symtab: s }
                if section == ".rela.part" && *s == symtab),
            "{error}"
        );
    }
}

#[test]
fn relocations_of_sections_that_are_not_loaded_are_not_applied() {
    let mut bytes = assemble(".section .debug, \"\"\n.quad 0\n.reloc 0, R_X86_64_TPOFF32, 0");
    load(&bytes).expect("a hanging type is never reached");
    let header = section_header(&bytes, ".rela.debug");
    for target in [1000_u32, u32::MAX] {
        poke(&mut bytes, header + offset::SH_INFO, &target.to_le_bytes());
        assert!(
            matches!(refusal(&bytes), LoadError::Malformed(_)),
            "{target}"
        );
    }
}

#[test]
fn relocation_sections_have_whole_entries_inside_the_file() {
    for (place, value) in [
        (offset::SH_ENTSIZE, 0),
        (offset::SH_ENTSIZE, 8),
        (offset::SH_SIZE, u64::MAX),
        (offset::SH_OFFSET, u64::MAX),
    ] {
        let mut bytes = object();
        let header = section_header(&bytes, ".rela.data");
        poke(&mut bytes, header + place, &value.to_le_bytes());
        let error = refusal(&bytes);
        assert!(matches!(error, LoadError::Malformed(_)), "{place}: {error}");
    }
}

#[test]
fn relocation_sections_that_share_bytes_are_refused() {
    let mut bytes = assemble(&format!(
        ".data\nhere: .rept 400\n.quad here\n.endr\n{}",
        (0..8)
            .map(|n| format!(".section .s{n}, \"aw\"\n.quad here\n"))
            .collect::<String>()
    ));
    load(&bytes).expect("as it was");
    let large = section_header(&bytes, ".rela.data");
    let place = bytes[large + offset::SH_OFFSET..][..16].to_vec();
    for n in 0..8 {
        let header = section_header(&bytes, &format!(".rela.s{n}"));
        poke(&mut bytes, header + offset::SH_OFFSET, &place);
        let data = section(&bytes, ".data") as u32;
        poke(&mut bytes, header + offset::SH_INFO, &data.to_le_bytes());
    }
    let error = refusal(&bytes);
    assert!(error.to_string().contains("overlap"), "{error}");
}
