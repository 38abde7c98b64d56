// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Relocations that krtld refuses or applies wrongly.

use crate::common::{
    GOOD, assemble, assert_breaks, assert_file_breaks, assert_passes, good_and, header_of,
    report_on, word,
};
use clinet_check::Rule;

/// The good module with a local object of that contents.
fn object(contents: &str) -> String {
    good_and(&format!(
        ".data\n.type subject, @object\nsubject:\n{contents}\n.size subject, . - subject"
    ))
}

/// Where the bytes of a section begin in the file, by its number.
fn contents_of(file: &[u8], index: usize) -> usize {
    word(file, header_of(file, index) + 24)
}

#[test]
fn the_five_types_pass_and_are_counted() {
    let source = object(
        ".quad counter\n.quad counter - .\n.long counter - .\n.reloc ., R_X86_64_32S, counter\n.long 0",
    );
    assert_passes(&source);
    let counts = report_on(&source).summary.relocations;
    assert_eq!(
        counts.keys().copied().collect::<Vec<_>>(),
        [1, 2, 4, 11, 24]
    );
    assert_eq!(counts[&24], 1);
}

#[test]
fn every_other_type_is_refused() {
    for (kind, rule) in [
        ("R_X86_64_NONE", Rule::RelocationType),
        ("R_X86_64_32", Rule::RelocationType),
        ("R_X86_64_16", Rule::RelocationType),
        ("R_X86_64_PC8", Rule::RelocationType),
        ("R_X86_64_SIZE64", Rule::RelocationType),
        ("R_X86_64_GOTPCREL", Rule::GotReference),
        ("R_X86_64_GOTPCRELX", Rule::GotReference),
        ("R_X86_64_REX_GOTPCRELX", Rule::GotReference),
        ("R_X86_64_GOT32", Rule::GotReference),
        ("R_X86_64_GOTOFF64", Rule::GotReference),
        ("R_X86_64_GOTTPOFF", Rule::TlsReference),
        ("R_X86_64_TPOFF32", Rule::TlsReference),
        ("R_X86_64_TLSGD", Rule::TlsReference),
    ] {
        let source = object(&format!(".reloc ., {kind}, _init\n.quad 0"));
        assert_breaks(&source, rule, &[".data+0x", "(subject)", "to _init"]);
    }
}

#[test]
fn types_in_sections_that_are_not_loaded_do_not_matter() {
    let section = ".section .debug_info,\"\",@progbits\n.reloc ., R_X86_64_32, _init\n.long 0";
    assert_passes(&good_and(section));
}

#[test]
fn bytes_in_place() {
    for (size, kind) in [
        (".long", "PC32"),
        (".long", "32S"),
        (".quad", "64"),
        (".quad", "PC64"),
    ] {
        let field = format!(".reloc ., R_X86_64_{kind}, counter\n{size} 0x100");
        assert_breaks(
            &object(&field),
            Rule::RelocatedBytes,
            &[".data+0x", "(subject)", "counter"],
        );
    }
    // What follows the field is not part of it.
    assert_passes(&object(
        ".reloc ., R_X86_64_32S, counter\n.long 0\n.long 0x100",
    ));
}

#[test]
fn two_relocations_of_one_field() {
    let field = ".reloc ., R_X86_64_64, counter\n.reloc . + 4, R_X86_64_32S, counter\n.quad 0";
    assert_breaks(&object(field), Rule::RelocatedBytes, &["two relocations"]);
}

#[test]
fn relocations_that_lead_nowhere() {
    let good = assemble(GOOD);
    // Section 2 is .rela.text: 24 bytes an entry, offset, type, symbol, addend.
    let entry = contents_of(&good, 2);
    let mut beyond = good.clone();
    beyond[entry..entry + 8].copy_from_slice(&0x1000_u64.to_le_bytes());
    let mut no_symbol = good.clone();
    no_symbol[entry + 12..entry + 16].copy_from_slice(&9999_u32.to_le_bytes());
    assert_file_breaks(&beyond, Rule::RelocationFormat, &[".rela.text", "0x1000"]);
    assert_file_breaks(&no_symbol, Rule::RelocationFormat, &["symbol 9999"]);
}

#[test]
fn relocations_of_another_symbol_table() {
    let good = assemble(GOOD);
    // sh_link and sh_info of .rela.text.
    let link = header_of(&good, 2) + 40;
    let mut other = good.clone();
    other[link] = 1;
    assert_file_breaks(
        &other,
        Rule::RelocationFormat,
        &[".rela.text", "section 1", "symbol table"],
    );
    let mut no_target = good.clone();
    no_target[link + 4] = 99;
    assert_file_breaks(&no_target, Rule::RelocationFormat, &["section 99"]);
}

#[test]
fn relocation_of_a_section_without_bytes() {
    let field = ".bss\n.reloc counter, R_X86_64_64, _init";
    let source = good_and(field);
    assert_breaks(&source, Rule::RelocationFormat, &[".bss"]);
}
