// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The files in `tests/corpus`, which are also where the fuzzer starts: one
//! whose name begins with `ok-` loads, one that begins with `no-` is refused.
//!
//! `cargo test -p clinet-krtld --test all -- --ignored` writes those that
//! are made here anew; inputs that a fuzzer found may lie beside them.

use std::fs;
use std::path::PathBuf;

use crate::common::{Names, assemble, offset, poke, section, section_header, symbol_entry};
use clinet_krtld::ModuleFile;

/// The names that the fuzz target resolves, too.
const KNOWN: [(&str, u64); 2] = [("memcpy", 0x4000_0000), ("cmn_err", 0x4000_1000)];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

#[test]
fn every_file_does_what_its_name_says() {
    let mut files = 0;
    for entry in fs::read_dir(folder()).expect("tests/corpus") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let bytes = fs::read(&path).expect("readable");
        let loads = ModuleFile::parse(&bytes).and_then(|file| {
            file.dependencies()?;
            file.load(&mut Names::of(&KNOWN))
        });
        match (name.split_once('-'), loads) {
            (Some(("ok", _)), Err(error)) => panic!("{name} was refused: {error}"),
            (Some(("no", _)), Ok(_)) => panic!("{name} was loaded"),
            (Some(("ok" | "no", _)), _) => files += 1,
            _ => panic!("{name}: the name must begin with ok- or no-"),
        }
    }
    assert!(files >= 12, "only {files} files");
}

#[test]
#[ignore = "writes tests/corpus"]
fn write() {
    for (name, bytes) in inputs() {
        fs::write(folder().join(name), bytes).expect("write");
    }
}

fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let mut inputs: Vec<_> = SOURCES
        .iter()
        .map(|(name, source)| (*name, assemble(source)))
        .collect();
    inputs.push(("ok-dynamic", dynamic()));
    inputs.push(("no-truncated", truncated()));
    inputs.push(("no-rel", altered(".rela.data", offset::SH_TYPE, 9)));
    inputs.push(("no-alignment", altered(".data", offset::SH_ADDRALIGN, 3)));
    inputs.push(("no-address", altered(".data", offset::SH_ADDR, 4096)));
    inputs.push(("no-entsize", altered(".rela.data", offset::SH_ENTSIZE, 0)));
    inputs.push((
        "no-symtab-entsize",
        altered(".symtab", offset::SH_ENTSIZE, 0),
    ));
    inputs.push(("no-names", altered(".symtab", offset::SH_LINK, 0xffff)));
    inputs.push(("no-common-overflow", common_overflow()));
    inputs.push(("no-overlapping-relocations", overlapping()));
    inputs
}

const SOURCES: [(&str, &str); 9] = [
    (
        "ok-plain",
        ".text\n.globl _init\n.type _init, @function\n_init: call memcpy@PLT\nmov $table, %rax\n\
         ret\n.size _init, . - _init\n.data\ntable: .quad _init, table - .\n.bss\n.skip 64\n\
         .comm shared, 8, 32\n.section .rodata\n_depends_on: .asciz \"drv/ip\"\n\
         .size _depends_on, 7",
    ),
    (
        "ok-probes",
        ".text\n.type f, @function\nf: call __dtrace_probe_a__b\njmp __dtrace_probe_last\n\
         .size f, . - f",
    ),
    (
        "ok-gotpcrel",
        ".data\n.quad 0\n.reloc 0, R_X86_64_GOTPCREL, memcpy",
    ),
    (
        "ok-weak",
        ".text\n.weak optional\ncall optional\nmov $optional, %rax\n.quad optional",
    ),
    ("no-undefined", ".text\ncall cl_inet_connect\ncall memcpy"),
    (
        "no-hang",
        ".data\n.quad 0\n.reloc 0, R_X86_64_TPOFF32, memcpy",
    ),
    (
        "no-outside",
        ".data\n.quad 0\n.reloc 5, R_X86_64_PC32, memcpy",
    ),
    (
        "no-early-probe",
        ".text\n.quad 0\n.reloc 0, R_X86_64_PC32, __dtrace_probe_early",
    ),
    (
        "no-large",
        ".bss\n.skip 1 << 40\n.comm huge, 1 << 40, 1 << 30",
    ),
];

fn small() -> Vec<u8> {
    assemble(".data\n.globl here\nhere: .quad here")
}

/// A small object with one field of a section header changed.
fn altered(name: &str, field: usize, value: u32) -> Vec<u8> {
    let mut bytes = small();
    let header = section_header(&bytes, name);
    poke(&mut bytes, header + field, &value.to_le_bytes());
    bytes
}

fn truncated() -> Vec<u8> {
    let mut bytes = small();
    bytes.truncate(bytes.len() - 100);
    bytes
}

fn dynamic() -> Vec<u8> {
    let mut bytes = assemble(
        ".section .dynamic, \"\"\n.quad 1, 1, 0, 0\n.section .names, \"\"\n.asciz \"\", \"drv/ip\"",
    );
    let names = section_header(&bytes, ".names");
    poke(&mut bytes, names + offset::SH_TYPE, &3_u32.to_le_bytes());
    let link = section(&bytes, ".names") as u32;
    let header = section_header(&bytes, ".dynamic");
    poke(&mut bytes, header + offset::SH_TYPE, &6_u32.to_le_bytes());
    poke(&mut bytes, header + offset::SH_LINK, &link.to_le_bytes());
    bytes
}

fn common_overflow() -> Vec<u8> {
    let mut bytes = assemble(".comm one, 8, 8\n.comm two, 8, 8");
    for name in ["one", "two"] {
        let entry = symbol_entry(&bytes, name);
        poke(&mut bytes, entry + offset::ST_SIZE, &u64::MAX.to_le_bytes());
    }
    bytes
}

/// Nine relocation sections that are all the same large table.
fn overlapping() -> Vec<u8> {
    let others: String = (0..8)
        .map(|n| format!(".section .s{n}, \"aw\"\n.quad here\n"))
        .collect();
    let mut bytes = assemble(&format!(
        ".data\nhere: .rept 60\n.quad here\n.endr\n{others}"
    ));
    let large = section_header(&bytes, ".rela.data");
    let place = bytes[large + offset::SH_OFFSET..][..16].to_vec();
    let data = section(&bytes, ".data") as u32;
    for n in 0..8 {
        let header = section_header(&bytes, &format!(".rela.s{n}"));
        poke(&mut bytes, header + offset::SH_OFFSET, &place);
        poke(&mut bytes, header + offset::SH_INFO, &data.to_le_bytes());
    }
    bytes
}
