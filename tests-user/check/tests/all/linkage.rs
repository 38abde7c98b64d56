// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Entry points, linkage structures and descriptions.

use crate::common::{
    GOOD, assemble, assert_breaks, assert_notes, assert_passes, good_with, lines, report_on,
};
use clinet_check::{Limits, Rule, check};

/// The good module with another linkage structure.
fn with_structure(members: &str) -> String {
    good_with("\t.quad\tmod_miscops\n\t.quad\tdescription\n", members)
}

#[test]
fn entry_points() {
    let without = |name: &str| {
        GOOD.replace(&format!("mod{name}"), "KEPT")
            .replace(&format!("\t.globl\t{name}\n"), "")
            .replace(name, "other")
            .replace("KEPT", &format!("mod{name}"))
    };
    let findings = |source: &str| {
        let report = check(&assemble(source), "m", None, &Limits::default()).expect("usable");
        (report.passed(), lines(&report))
    };
    let (passed, text) = findings(&without("_init"));
    assert!(
        !passed && text.contains("entry-point: _init: it is not defined"),
        "{text}"
    );
    for (name, word) in [("_info", "modinfo"), ("_fini", "unloaded")] {
        let (passed, text) = findings(&without(name));
        assert!(
            passed && text.contains(name) && text.contains(word),
            "{text}"
        );
    }
    // krtld looks a name up among the local ones, too.
    let (_, text) = findings(&GOOD.replace("\t.globl\t_init\n", ""));
    assert_eq!(text, "");
}

#[test]
fn every_kind_of_linkage_structure() {
    for operations in [
        "mod_brandops",
        "mod_dacfops",
        "mod_driverops",
        "mod_execops",
        "mod_fsops",
        "mod_ippops",
        "mod_kiconvops",
        "mod_pcbeops",
        "mod_schedops",
        "mod_sockmodops",
        "mod_strmodops",
        "mod_syscallops",
        "mod_syscallops32",
    ] {
        let head = format!(".quad {operations}, description");
        assert_passes(&with_structure(&format!("{head}, counter\n")));
        for third in ["0", ""] {
            let source = with_structure(&format!("{head}\n.quad {third}\n"));
            assert_breaks(
                &source,
                Rule::Linkage,
                &["(modlmisc)", operations, "offset 16"],
            );
        }
    }
    for operations in ["mod_cpuops", "mod_cryptoops"] {
        assert_passes(&with_structure(&format!(
            ".quad {operations}, description\n"
        )));
    }
}

/// A kernel or a dependency that is not listed may have more kinds.
#[test]
fn another_kind_of_linkage_structure() {
    let depends = ".section .rodata\n.type _depends_on, @object\n\
         _depends_on: .asciz \"misc/other\"\n.size _depends_on, . - _depends_on\n";
    let source = with_structure(".quad mod_otherops, description\n");
    assert_notes(
        &format!("{source}{depends}"),
        Rule::UnknownImport,
        &["mod_otherops", "misc/other"],
    );
}

#[test]
fn names_of_linkage_structures_are_free() {
    assert_passes(
        &GOOD
            .replace("modlmisc", "MISC")
            .replace("modlinkage", "LINKAGE"),
    );
    // No symbol covers them.
    let bare = GOOD
        .lines()
        .filter(|line| !line.contains(".type\tmodl") && !line.contains(".size\tmodl"));
    assert_passes(&format!("{}\n", bare.collect::<Vec<_>>().join("\n")));
}

#[test]
fn several_structures_in_one_modlinkage() {
    let second = "\n.quad mod_strmodops, description, counter\n";
    let more = "\t.quad\tmodlmisc\n\t.quad\tmodlmisc + 16\n";
    let source = with_structure(&format!(".quad mod_miscops, description{second}"));
    assert_passes(&source.replace("\t.quad\tmodlmisc\n", more));
    assert_breaks(
        &source,
        Rule::Linkage,
        &["no struct modlinkage", "modlstrmod"],
    );
    // Another may have a mod_ops of the module's own.
    let more = "\t.quad\tcounter\n\t.quad\tmodlmisc\n";
    assert_passes(&good_with("\t.quad\tmodlmisc\n", more));
}

#[test]
fn linkage_structures_that_the_kernel_cannot_use() {
    let rule = Rule::Linkage;
    assert_breaks(
        &good_with("\t.long\t1\n", "\t.long\t2\n"),
        rule,
        &["(modlinkage)", "revision is 2"],
    );
    assert_breaks(
        &good_with("\t.quad\tmodlmisc\n", "\t.quad\tcounter\n"),
        rule,
        &["(modlmisc)", "no struct modlinkage"],
    );
    assert_breaks(
        &good_with("\t.zero\t48\n", "\t.quad\t-1\n\t.zero\t40\n"),
        rule,
        &["(modlinkage)", "null pointer"],
    );
    assert_breaks(
        &good_with("mod_miscops", "counter"),
        rule,
        &["no linkage structure", "mod_ops"],
    );
}

/// What the code fills in before it calls mod_install cannot be told.
#[test]
fn structures_that_code_fills_in() {
    let store = "_init:\n\tmovq\t$counter, modlmisc+16(%rip)\n";
    let source = with_structure(".quad mod_fsops, description, 0\n");
    assert_passes(&source.replace("_init:\n", store));
    let store = "_init:\n\tmovq\t$mod_miscops, counter(%rip)\n";
    let source = good_with("mod_miscops", "0").replace("_init:\n", store);
    assert_passes(&source);
}

#[test]
fn description() {
    let text = "a module for tests";
    let longest = "x".repeat(31);
    assert_passes(&good_with(text, &longest));
    let rule = Rule::Description;
    let place = ".data+0x40 (modlmisc)";
    assert_notes(
        &good_with(text, &"x".repeat(32)),
        rule,
        &[place, "32 characters"],
    );
    assert_notes(&good_with(text, ""), rule, &[place, "empty"]);
    assert_breaks(
        &good_with("\t.quad\tdescription\n", "\t.quad\t0\n"),
        rule,
        &[place, "does not point"],
    );
    assert_breaks(
        &good_with("\t.asciz\t\"a module", "\t.ascii\t\"a module"),
        rule,
        &["no end"],
    );
    let description = report_on(GOOD).summary.description;
    assert_eq!(description.as_deref(), Some(text));
}
