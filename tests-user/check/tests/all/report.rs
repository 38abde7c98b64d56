// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a report says, and what it says of files that are no modules.

use std::collections::BTreeSet;

use crate::common::{GOOD, assemble, function, header_of, lines, report, report_on};
use clinet_check::{Limits, Rule, Unusable, check};
use proptest::prelude::*;

#[test]
fn summary_of_a_good_module() {
    let summary = report_on(GOOD).summary;
    assert_eq!(summary.module, "clinet");
    assert_eq!(summary.functions, 3);
    assert_eq!(summary.sizes.data, 80);
    assert_eq!(summary.sizes.bss, 8);
    assert_eq!(summary.sizes.rodata, 19);
    assert_eq!(summary.sizes.text % 16, 0);
    assert_eq!(
        summary.undefined,
        ["mod_info", "mod_install", "mod_miscops"]
    );
    assert_eq!(summary.relocations.values().sum::<usize>(), 7);
}

#[test]
fn a_finding_is_one_line_and_one_json_object() {
    let report = report_on(&function("nop\nud2"));
    let [finding] = &report.findings[..] else {
        panic!("{report:?}");
    };
    let offset = finding.offset.expect("a place");
    assert_eq!(
        finding.to_string(),
        format!(
            "reachable-panic: .text+{offset:#x} (subject): instruction ud2 stops the machine: {}",
            Rule::ReachablePanic.remedy()
        )
    );
    let json = serde_json::to_value(&report).expect("it is plain data");
    assert_eq!(json["findings"][0]["rule"], "reachable-panic");
    assert_eq!(json["findings"][0]["symbol"], "subject");
    assert_eq!(json["findings"][0]["severity"], "bad");
    assert_eq!(json["findings"][0]["remedy"], Rule::ReachablePanic.remedy());
    assert_eq!(json["summary"]["module"], "clinet");
    assert_eq!(json["summary"]["largest_frame"]["bytes"], 8);
}

#[test]
fn findings_are_in_the_order_of_the_file() {
    let report = report_on(&function("mov -8(%rsp), %rax\nud2\ncall puts\nud2\nret"));
    let text = lines(&report);
    let rules: Vec<_> = report.findings.iter().map(|f| f.rule.name()).collect();
    let expected = [
        "red-zone",
        "reachable-panic",
        "undefined-symbol",
        "reachable-panic",
    ];
    assert_eq!(rules, expected, "{text}");
}

#[test]
fn rules_have_names_and_explanations_of_their_own() {
    let names: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(rule.name().chars().all(kebab), "{rule}");
        assert!(!rule.remedy().is_empty(), "{rule}");
        assert!(!rule.explanation().contains('\n'), "{rule}");
    }
}

#[test]
fn files_of_other_kinds() {
    let unusable = |file: &[u8]| check(file, "clinet", None, &Limits::default()).unwrap_err();
    assert_eq!(unusable(b""), Unusable::NotElf);
    assert_eq!(unusable(b"#!/bin/sh\n"), Unusable::NotElf);
    let good = assemble(GOOD);
    assert_eq!(unusable(&good[..40]), Unusable::NotElf);
    for (at, value, word) in [
        (4, 1, "64-bit"),
        (5, 2, "little-endian"),
        (16, 2, "relocatable"),
        (18, 183, "x86-64"),
    ] {
        let mut file = good.clone();
        file[at] = value;
        let message = unusable(&file).to_string();
        assert!(message.contains(word), "{message}");
    }
    let message = unusable(&good[..good.len() - 1]).to_string();
    assert!(message.contains("cut short"), "{message}");
}

#[test]
fn a_file_at_an_odd_address_is_read_alike() {
    let file = assemble(GOOD);
    let mut moved = vec![0];
    moved.extend_from_slice(&file);
    assert_eq!(report(&moved[1..]), report(&file));
}

#[test]
fn sections_that_share_bytes_are_refused() {
    let mut file = assemble(GOOD);
    // Section 1 is .text: it becomes the whole file, beside the others.
    let offset = header_of(&file, 1) + 24;
    let length = file.len() as u64;
    file[offset..offset + 8].fill(0);
    file[offset + 8..offset + 16].copy_from_slice(&length.to_le_bytes());
    let error = check(&file, "clinet", None, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("overlap"), "{error}");
}

#[test]
fn names_are_shown_without_control_characters() {
    let mut file = assemble(&function("ud2"));
    let at = file.windows(8).position(|w| w == b"subject\0").unwrap();
    file[at] = b'\n';
    file[at + 1] = 0x1b;
    let text = lines(&report(&file));
    assert!(text.contains(r"(\n\u{1b}bject)"), "{text}");
}

fn rich() -> &'static [u8] {
    static FILE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        assemble(&function(
            "push %rbp\nmov %rsp, %rbp\nsub $64, %rsp\ncall __dtrace_probe_x\n\
             1: push $0\nmov %rax, -8(%rsp)\njne 1b\njmp *%rax\nmovaps %xmm0, (%rsp)\nleave\nret\n\
             .section .rodata\n.type _depends_on, @object\n_depends_on: .asciz \"misc/kcf\"\n\
             .size _depends_on, . - _depends_on\n.text",
        ))
    });
    &FILE
}

/// No outcome is wrong here, but there is one.
fn survives(file: &[u8]) {
    if let Ok(report) = check(file, "clinet", None, &Limits::default()) {
        let _ = serde_json::to_string(&report).expect("it is plain data");
        for finding in &report.findings {
            assert!(!finding.to_string().contains('\n'));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cut_short(length in 0..rich().len()) {
        let result = check(&rich()[..length], "clinet", None, &Limits::default());
        prop_assert!(result.is_err(), "the section headers are at the end");
    }

    #[test]
    fn flipped(flips in prop::collection::vec((0..rich().len(), any::<u8>()), 1..8)) {
        let mut file = rich().to_vec();
        for (at, value) in flips {
            file[at] = value;
        }
        survives(&file);
    }

    #[test]
    fn any_code(code in prop::collection::vec(any::<u8>(), 60)) {
        let mut file = rich().to_vec();
        file[64..64 + code.len()].copy_from_slice(&code);
        survives(&file);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
        let mut file = rich()[..64].to_vec();
        file.extend_from_slice(&bytes);
        survives(&file);
    }
}

#[test]
fn every_byte_flipped() {
    for at in 0..rich().len() {
        for value in [rich()[at] ^ 0xff, rich()[at] ^ 1] {
            let mut file = rich().to_vec();
            file[at] = value;
            survives(&file);
        }
    }
}
