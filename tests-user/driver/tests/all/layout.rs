// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The structures of the device are the same for C programs of 32 and of 64 bits,
//! for the driver, and for `facts/abi.json`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use clinet_module_tests::root;
use serde_json::{Map, Value};

/// What the facts say of the structures of `clinetctl.h`.
fn facts() -> Map<String, Value> {
    let text = std::fs::read_to_string(root().join("facts/abi.json")).expect("the facts");
    let facts: Value = serde_json::from_str(&text).expect("JSON");
    let own = facts["own"].as_object().expect("an object");
    let own = own
        .iter()
        .filter(|(name, _)| name.starts_with("clinetctl_"));
    own.map(|(name, about)| (name.clone(), about.clone()))
        .collect()
}

/// A C program that does not compile if a structure has another layout.
fn program() -> String {
    let mut text = String::from("#include <clinet.h>\n#include <clinetctl.h>\n");
    let mut check = |condition: String| {
        writeln!(text, "_Static_assert({condition}, \"layout\");").expect("a string grows");
    };
    for (name, about) in facts() {
        check(format!("sizeof ({name}) == {}", about["size"]));
        check(format!("sizeof ({name}) % 8 == 0"));
        for (field, offset) in about["fields"].as_object().expect("fields") {
            check(format!("__builtin_offsetof({name}, {field}) == {offset}"));
        }
    }
    check("sizeof (clinet_entry_t) == 56".to_owned());
    check("sizeof (clinet_cursor_t) == 8".to_owned());
    check("__builtin_offsetof(clinet_entry_t, ce_age) == 52".to_owned());
    text
}

/// What the compiler says for a target.
fn compile(target: &str, program: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("layout.c");
    std::fs::write(&file, program).expect("it is written");
    let compiler = std::env::var("CLINET_CC").unwrap_or_else(|_| "clang".into());
    let output = Command::new(&compiler)
        .current_dir(root())
        .args([&format!("--target={target}"), "-std=c11", "-ffreestanding"])
        .args(["-fsyntax-only", "-Iinclude", "-Iinclude/kern"])
        .arg(&file)
        .output();
    let output = output.unwrap_or_else(|error| panic!("{compiler}: {error}; install clang"));
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn programs_of_32_and_64_bits_have_the_same_structures() {
    for target in [
        "i386-pc-solaris2.11",
        "x86_64-pc-solaris2.11",
        "x86_64-linux-gnu",
    ] {
        compile(target, &program()).unwrap_or_else(|said| panic!("{target}: {said}"));
    }
}

#[test]
fn a_program_with_another_layout_does_not_compile() {
    let odd = "struct { uint32_t a; uint64_t b; } odd;\n\
               _Static_assert(sizeof (odd) == 16, \"layout\");\n";
    let program = format!("{}{odd}", program());
    compile("x86_64-pc-solaris2.11", &program).expect("it has 16 bytes there");
    let said = compile("i386-pc-solaris2.11", &program).expect_err("12 there");
    assert!(said.contains("static assertion failed"), "{said}");
}

/// No structure of the header is without facts, nor a fact without structure.
#[test]
fn every_structure_is_compared() {
    let header = std::fs::read_to_string(root().join("include/clinetctl.h")).expect("the header");
    let defined = header
        .lines()
        .filter_map(|line| line.strip_prefix("} ")?.strip_suffix("_t;"))
        .map(|name| format!("{name}_t"));
    let known: BTreeSet<String> = facts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(defined.collect::<BTreeSet<_>>(), known);
}
