// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calls to `__dtrace_probe_*`.

use crate::common::{address, assemble, load, load_with, peek, refusal};
use clinet_krtld::{LoadError, ProbeSite};

const NOPS: [u8; 5] = [0x90; 5];

fn source(call: &str) -> String {
    format!(
        ".text
        .type work, @function
        work: push %rbp
        {call}
        pop %rbp
        ret
        .size work, . - work"
    )
}

#[test]
fn a_probe_call_becomes_nops_and_a_site() {
    for kind in ["", "@PLT"] {
        let call = format!("call __dtrace_probe_flow__refused{kind}");
        let image = load(&assemble(&source(&call))).expect("no definition is needed");
        let site = address(&image, "work") + 1;
        assert_eq!(peek(&image, site), NOPS);
        assert_eq!(peek(&image, site + 5), [0x5d, 0xc3]);
        let expected = ProbeSite {
            name: "flow-refused".into(),
            function: "work".into(),
            address: site,
        };
        assert_eq!(image.probes(), [expected]);
        assert_eq!(image.warnings(), [] as [String; 0]);
    }
}

#[test]
fn every_site_of_a_probe_is_listed() {
    let calls = "call __dtrace_probe_a\ncall __dtrace_probe_b\ncall __dtrace_probe_a";
    let image = load(&assemble(&source(calls))).expect("loads");
    let names: Vec<&str> = image
        .probes()
        .iter()
        .map(|site| site.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "a"]);
}

#[test]
fn a_site_outside_of_any_function_has_no_function() {
    let bytes = assemble(&(source("nop") + "\ncall __dtrace_probe_stray\nret"));
    let image = load(&bytes).expect("loads");
    assert_eq!(image.probes()[0].function, "");
}

#[test]
fn a_tail_call_falls_through_with_a_warning() {
    let image = load(&assemble(&source("jmp __dtrace_probe_last"))).expect("loads");
    assert_eq!(peek(&image, address(&image, "work") + 1), NOPS);
    assert_eq!(image.probes().len(), 1);
    let [warning] = image.warnings() else {
        panic!("{:?}", image.warnings());
    };
    assert!(warning.contains("__dtrace_probe_last"), "{warning}");
    assert!(warning.contains("falls through"), "{warning}");
}

#[test]
fn an_indirect_call_is_cut_in_half_with_a_warning() {
    let image = load(&assemble(&source("call *__dtrace_probe_cut(%rip)"))).expect("loads");
    let work = address(&image, "work");
    assert_eq!(
        peek(&image, work + 1),
        [0xff, 0x90, 0x90, 0x90, 0x90, 0x90, 0x5d]
    );
    assert!(
        image.warnings()[0].contains("not a call"),
        "{:?}",
        image.warnings()
    );
}

#[test]
fn a_type_without_a_size_is_a_probe_site_too() {
    let image = load(&assemble(
        ".text\nwork: .byte 0xe8\n.long 0\n.reloc 1, R_X86_64_GOT32, __dtrace_probe_odd",
    ))
    .expect("loads");
    assert_eq!(peek(&image, image.text().start), NOPS);
}

#[test]
fn types_0_and_8_are_no_probe_sites() {
    for kind in ["R_X86_64_NONE", "R_X86_64_RELATIVE"] {
        let bytes = assemble(&format!(
            ".text\n.byte 0xe8\n.quad 0\n.reloc 1, {kind}, __dtrace_probe_odd"
        ));
        let image = load(&bytes).expect("loads");
        assert_eq!(image.probes(), [] as [ProbeSite; 0], "{kind}");
        assert_eq!(peek(&image, image.text().start), [0xe8], "{kind}");
    }
}

#[test]
fn a_hanging_type_against_a_probe_hangs() {
    let error = refusal(&assemble(
        ".text\n.byte 0xe8\n.quad 0\n.reloc 1, R_X86_64_IRELATIVE, __dtrace_probe_odd",
    ));
    assert!(matches!(error, LoadError::WouldHang(_)), "{error}");
}

#[test]
fn a_definition_elsewhere_makes_it_an_ordinary_call() {
    let bytes = assemble(&source("call __dtrace_probe_mine"));
    let image = load_with(&bytes, &[("__dtrace_probe_mine", 0x4000_0000)]).expect("loads");
    let site = address(&image, "work") + 1;
    assert_eq!(peek(&image, site), [0xe8]);
    let distance = 0x4000_0000_u64.wrapping_sub(site + 5) as u32;
    assert_eq!(peek(&image, site + 1), distance.to_le_bytes());
    assert_eq!(image.probes(), [] as [ProbeSite; 0]);
}

#[test]
fn a_site_that_is_not_inside_its_section_is_refused() {
    for source in [
        ".text\n.quad 0\n.reloc 0, R_X86_64_PC32, __dtrace_probe_early",
        ".text\n.quad 0\n.reloc 5, R_X86_64_PC32, __dtrace_probe_late",
    ] {
        let error = refusal(&assemble(source));
        assert!(matches!(error, LoadError::OutsideSection(_)), "{error}");
    }
}
