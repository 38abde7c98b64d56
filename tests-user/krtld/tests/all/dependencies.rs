// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `DT_NEEDED` and `_depends_on`.

use crate::common::{assemble, offset, poke, section, section_header, symbol_entry};
use clinet_krtld::{DEPENDENCY_NAME_LIMIT, LoadError, ModuleFile};

fn dependencies(bytes: &[u8]) -> Result<Vec<String>, LoadError> {
    ModuleFile::parse(bytes).expect("parses").dependencies()
}

fn depends_on(value: &str) -> Vec<u8> {
    assemble(&format!(
        ".section .rodata\n.globl _depends_on\n.type _depends_on, @object
        _depends_on: {value}
        .size _depends_on, . - _depends_on"
    ))
}

#[test]
fn no_statement_means_no_dependencies() {
    assert_eq!(
        dependencies(&assemble("")).expect("none"),
        [] as [String; 0]
    );
}

#[test]
fn depends_on_is_separated_by_blanks() {
    let bytes = depends_on(r#".asciz "  drv/ip misc/ksocket\tmisc/kcf ""#);
    assert_eq!(
        dependencies(&bytes).expect("three"),
        ["drv/ip", "misc/ksocket", "misc/kcf"]
    );
}

#[test]
fn depends_on_ends_at_its_first_nul() {
    let bytes = depends_on(r#".asciz "drv/ip\0misc/none""#);
    assert_eq!(dependencies(&bytes).expect("one"), ["drv/ip"]);
}

#[test]
fn depends_on_may_be_local() {
    let bytes =
        assemble(".data\n_depends_on: .asciz \"drv/ip\"\n.size _depends_on, . - _depends_on");
    assert_eq!(dependencies(&bytes).expect("one"), ["drv/ip"]);
}

#[test]
fn depends_on_without_nul_or_size_or_section_is_refused() {
    let plain = depends_on(r#".asciz "drv/ip""#);
    let entry = symbol_entry(&plain, "_depends_on");
    for (place, value) in [
        (offset::ST_SIZE, 6_u64),
        (offset::ST_SIZE, 0),
        (offset::ST_SIZE, 8),
        (offset::ST_SIZE, u64::MAX),
        (offset::ST_VALUE, u64::MAX),
        (offset::ST_VALUE, 1),
    ] {
        let mut bytes = plain.clone();
        poke(&mut bytes, entry + place, &value.to_le_bytes());
        let error = dependencies(&bytes).expect_err("refused");
        assert!(matches!(error, LoadError::Dependencies(_)), "{error}");
    }
    let error = dependencies(&assemble(".globl _depends_on\n_depends_on = 4096"));
    assert!(matches!(error, Err(LoadError::Dependencies(_))));
    let error = dependencies(&assemble(
        ".section .note, \"\"\n_depends_on: .asciz \"drv/ip\"\n.size _depends_on, 7",
    ));
    assert!(matches!(error, Err(LoadError::Dependencies(_))));
}

#[test]
fn a_pointer_states_nothing() {
    let bytes = depends_on(
        ".quad text\n.section .rodata.str, \"a\"\ntext: .asciz \"drv/ip\"\n.section .rodata",
    );
    assert_eq!(dependencies(&bytes).expect("none"), [] as [String; 0]);
}

#[test]
fn zeroed_memory_states_nothing() {
    let bytes = assemble(".bss\n_depends_on: .skip 8\n.size _depends_on, 8");
    assert_eq!(dependencies(&bytes).expect("none"), [] as [String; 0]);
}

#[test]
fn the_length_of_a_name_is_limited() {
    let fits = "m".repeat(DEPENDENCY_NAME_LIMIT);
    let bytes = depends_on(&format!(".asciz \"{fits}\""));
    assert_eq!(dependencies(&bytes).expect("fits"), [fits.as_str()]);
    let bytes = depends_on(&format!(".asciz \"{fits}m\""));
    let error = dependencies(&bytes).expect_err("too long");
    assert!(error.to_string().contains("too long"), "{error}");
}

/// An object with a dynamic section of `entries` and a string table that holds
/// "drv/ip" at 1 and "misc/kcf extra" at 8, and with a `_depends_on` too.
fn dynamic(entries: &str) -> Vec<u8> {
    let mut bytes = assemble(&format!(
        ".section .dynamic, \"\"\n{entries}
        .section .names, \"\"\n.asciz \"\", \"drv/ip\", \"misc/kcf extra\"
        .data\n_depends_on: .asciz \"misc/other\"\n.size _depends_on, 11"
    ));
    let names = section_header(&bytes, ".names");
    poke(&mut bytes, names + offset::SH_TYPE, &3_u32.to_le_bytes());
    let link = section(&bytes, ".names") as u32;
    let header = section_header(&bytes, ".dynamic");
    poke(&mut bytes, header + offset::SH_TYPE, &6_u32.to_le_bytes());
    poke(&mut bytes, header + offset::SH_LINK, &link.to_le_bytes());
    bytes
}

#[test]
fn needed_entries_are_read_in_order_up_to_the_null_entry() {
    let bytes = dynamic(".quad 1, 8, 5, 0, 1, 1, 0, 0, 1, 1");
    assert_eq!(
        dependencies(&bytes).expect("three"),
        ["misc/kcf", "extra", "drv/ip"]
    );
}

#[test]
fn depends_on_counts_only_if_nothing_is_needed() {
    let bytes = dynamic(".quad 5, 0, 0, 0");
    assert_eq!(dependencies(&bytes).expect("one"), ["misc/other"]);
}

#[test]
fn a_dynamic_section_may_end_without_a_null_entry() {
    let bytes = dynamic(".quad 1, 1");
    assert_eq!(dependencies(&bytes).expect("one"), ["drv/ip"]);
}

#[test]
fn needed_names_must_be_inside_their_strings() {
    for name in ["23", "0xffffffffffffffff"] {
        let error = dependencies(&dynamic(&format!(".quad 1, {name}")));
        assert!(matches!(error, Err(LoadError::Malformed(_))), "{name}");
    }
}

#[test]
fn a_dynamic_section_without_strings_is_refused() {
    let mut bytes = dynamic(".quad 1, 1");
    let header = section_header(&bytes, ".dynamic");
    for link in [1_u32, u32::MAX] {
        poke(&mut bytes, header + offset::SH_LINK, &link.to_le_bytes());
        let error = dependencies(&bytes);
        assert!(matches!(error, Err(LoadError::Malformed(_))), "{link}");
    }
}

#[test]
fn two_dynamic_sections_are_refused() {
    let mut bytes = dynamic(".quad 1, 1");
    let data = section_header(&bytes, ".bss");
    poke(&mut bytes, data + offset::SH_TYPE, &6_u32.to_le_bytes());
    let error = dependencies(&bytes).expect_err("refused");
    assert!(
        error.to_string().contains("multiple dynamic sections"),
        "{error}"
    );
}
