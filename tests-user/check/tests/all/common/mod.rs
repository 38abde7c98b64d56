// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Small modules, assembled by GNU as.

use std::fs;
use std::process::Command;

use clinet_check::{Limits, Mapfile, Report, Rule, Severity, check};

/// A module that breaks no rule.
pub const GOOD: &str = include_str!("good.s");

/// The mapfile of [`GOOD`].
pub const MAPFILE: &str = "$mapfile_version 2\n\
    SYMBOL_SCOPE {\n global: _init; _info; _fini; local: *;\n};\n";

/// The object file of a source in the assembler's language.
pub fn assemble(source: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (dir.path().join("module.s"), dir.path().join("module.o"));
    fs::write(&input, source).expect("the source is written");
    let result = Command::new("as")
        .arg("--64")
        .arg("-o")
        .args([&output, &input])
        .output()
        .expect("GNU as is installed (package binutils)");
    let messages = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{messages}\n{source}");
    fs::read(&output).expect("the object file is read")
}

/// The good module with more text at its end.
pub fn good_and(more: &str) -> String {
    format!("{GOOD}\n{more}\n")
}

/// The good module with one part replaced.
pub fn good_with(part: &str, by: &str) -> String {
    assert_eq!(GOOD.matches(part).count(), 1, "{part:?}");
    GOOD.replace(part, by)
}

/// The good module with a local function of that body.
pub fn function(body: &str) -> String {
    let parts = ".text\n.type subject, @function\nsubject:\n";
    good_and(&format!(
        "{parts}{body}\n.size subject, . - subject\n.section .note.GNU-stack,\"\",@progbits"
    ))
}

/// The report on a file called clinet.
pub fn report(file: &[u8]) -> Report {
    let mapfile = Mapfile::parse(MAPFILE).expect("the mapfile is good");
    check(file, "clinet", Some(&mapfile), &Limits::default()).expect("the file is usable")
}

/// The report on a source.
pub fn report_on(source: &str) -> Report {
    report(&assemble(source))
}

/// The findings in one string, to be shown and searched.
pub fn lines(report: &Report) -> String {
    let lines: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// There is nothing to say about the source.
pub fn assert_passes(source: &str) {
    let report = report_on(source);
    assert!(report.findings.is_empty(), "{}\n{source}", lines(&report));
}

/// The file breaks one rule and no other, and the findings say all of `words`.
pub fn assert_file_breaks(file: &[u8], rule: Rule, words: &[&str]) {
    let report = report(file);
    let text = lines(&report);
    assert!(!report.passed(), "nothing found, {rule} expected");
    assert!(
        report.findings.iter().all(|finding| finding.rule == rule),
        "only {rule} expected:\n{text}"
    );
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// The source breaks one rule and no other, and the findings say all of
/// `words`.
pub fn assert_breaks(source: &str, rule: Rule, words: &[&str]) {
    // Shown when the test fails.
    println!("{}", source.strip_prefix(GOOD).unwrap_or(source));
    assert_file_breaks(&assemble(source), rule, words);
}

/// The source breaks no rule, and there are notes, which are all of one rule
/// and say all of `words`.
pub fn assert_notes(source: &str, rule: Rule, words: &[&str]) {
    println!("{}", source.strip_prefix(GOOD).unwrap_or(source));
    let report = report_on(source);
    let text = lines(&report);
    assert!(
        !report.findings.is_empty(),
        "nothing found, {rule} expected"
    );
    for finding in &report.findings {
        assert_eq!(
            (finding.rule, finding.severity),
            (rule, Severity::Note),
            "{text}"
        );
    }
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// A 64-bit number in a file.
pub fn word(file: &[u8], at: usize) -> usize {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize
}

/// Where section number `index` has its header.
pub fn header_of(file: &[u8], index: usize) -> usize {
    word(file, 40) + 64 * index
}

/// The number of a section.
pub fn section_named(file: &[u8], name: &str) -> usize {
    let string = |at: usize| file[at..].split(|&byte| byte == 0).next().unwrap();
    let strings = usize::from(u16::from_le_bytes([file[62], file[63]]));
    let names = word(file, header_of(file, strings) + 24);
    (1..)
        .find(|&index| {
            let at = header_of(file, index);
            let offset = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
            string(names + offset as usize) == name.as_bytes()
        })
        .unwrap()
}
