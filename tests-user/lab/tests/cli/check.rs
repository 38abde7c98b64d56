// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab check` and `lab symbols`, of modules good and bad.

use std::fs;

use serde_json::Value;

use super::{driver, json, module, root, run};

/// A module that is not clinet, in the assembler's language.
fn assembled(source: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("m.s"), folder.path().join("m"));
    fs::write(&input, source).expect("written");
    let status = std::process::Command::new("as")
        .arg("-o")
        .args([&output, &input])
        .status();
    assert!(status.expect("GNU as").success());
    let output = output.display().to_string();
    (folder, output)
}

const GOOD: &str = include_str!("../../../check/tests/all/common/good.s");

const STREAMS: &str = "
    .section .rodata
    .type _depends_on, @object
_depends_on: .asciz \"drv/ip misc/mac\"
    .size _depends_on, . - _depends_on
    .text
    .globl deliver
    .type deliver, @function
deliver:
    push %rbp
    mov hz(%rip), %eax
    call mac_hcksum_set
    call putnext
    pop %rbp
    ret
    .size deliver, . - deliver
";

/// Of any other module only the general rules are asked.
#[test]
fn a_module_of_somebody_else() {
    let source = GOOD.replace(
        "\t.quad\tmod_miscops\n\t.quad\tdescription\n",
        "\t.quad\tmod_strmodops, description, counter\n",
    );
    let (_folder, path) = assembled(&format!("{source}{STREAMS}"));
    let text = run(&["check", &path]);
    assert_eq!(text.status, 0, "{}", text.out);
    let note = text.out.lines().next().expect("a line");
    for part in [
        "note: unknown-import: .text+0x",
        "(mac_hcksum_set)",
        "misc/mac",
        "lab symbols",
    ] {
        assert!(note.contains(part), "{note}");
    }
    assert!(
        text.out.ends_with("good: no rule is broken (1 note)\n"),
        "{}",
        text.out
    );

    let report = json(&run(&["check", "--json", &path]));
    assert_eq!(report["file"], path);
    assert_eq!(report["passed"], true);
    let finding = &report["findings"][0];
    for (member, value) in [
        ("rule", "unknown-import"),
        ("severity", "note"),
        ("section", ".text"),
        ("symbol", "mac_hcksum_set"),
    ] {
        assert_eq!(finding[member], value, "{finding}");
    }
    assert!(
        finding["offset"].is_u64() && finding["remedy"].is_string(),
        "{finding}"
    );
}

#[test]
fn a_finding_is_a_line_that_says_what_to_do() {
    let (_folder, path) = assembled(&format!("{GOOD}\n.data\n.quad nowhere\n"));
    let run = run(&["check", &path]);
    assert_eq!(run.status, 1);
    let line = run.out.lines().next().expect("a line");
    for part in ["undefined-symbol: .data+0x", "(nowhere)", "name the module"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(run.out.ends_with("bad: 1 finding\n"), "{}", run.out);
}

#[test]
fn the_released_modules_are_good() {
    for file in [module(), driver()] {
        let run = run(&["check", &file.display().to_string()]);
        assert_eq!(run.status, 0, "{}", run.out);
        assert!(
            run.out.ends_with("good: no rule is broken\n"),
            "{}",
            run.out
        );
    }
}

#[test]
fn a_module_with_other_globals_is_found_out() {
    let example = root()
        .join("build/foreign/example_rust")
        .display()
        .to_string();
    let clinets = root().join("mapfiles/clinet.map").display().to_string();
    let found = run(&["check", "--json", "--mapfile", &clinets, &example]);
    assert_eq!(found.status, 1);
    let rules: Vec<Value> = json(&found)["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| finding["rule"].clone())
        .collect();
    assert!(rules.contains(&Value::from("unlisted-global")), "{rules:?}");
    let map = root()
        .join("examples/provider-rust/provider.map")
        .display()
        .to_string();
    let own = run(&["check", "--mapfile", &map, &example]);
    assert_eq!(own.status, 0, "{}", own.out);
}

/// clinet's own rules are asked of a file of its name, or with --clinet.
#[test]
fn a_global_that_the_mapfile_does_not_list_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let globalized = |name: &str| {
        let path = folder.path().join(name);
        let original = if name == "clinetctl" {
            driver()
        } else {
            module()
        };
        let status = std::process::Command::new("objcopy")
            .arg("--globalize-symbol=clinet_log")
            .args([&original, &path])
            .status();
        assert!(status.expect("objcopy").success());
        path.display().to_string()
    };
    for arguments in [
        vec!["check", "--json", &globalized("clinet")],
        vec!["check", "--json", &globalized("clinetctl")],
        vec!["check", "--json", "--clinet", &globalized("renamed")],
    ] {
        let run = run(&arguments);
        assert_eq!(run.status, 1);
        let report = json(&run);
        let findings = report["findings"].as_array().expect("findings");
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0]["rule"], "unlisted-global");
        assert_eq!(findings[0]["symbol"], "clinet_log");
    }
    assert_eq!(run(&["check", &globalized("renamed")]).status, 0);
}

/// They import what clinet offers, as modules that depend on it.
#[test]
fn the_example_providers_are_good() {
    for example in ["example", "example_rust"] {
        let path = root()
            .join("build/foreign")
            .join(example)
            .display()
            .to_string();
        let run = run(&["check", &path]);
        assert_eq!(run.status, 0, "{example}: {}", run.out);
    }
}

#[test]
fn what_is_no_module_cannot_be_judged() {
    let readme = root().join("README.md").display().to_string();
    for command in ["check", "symbols"] {
        let run = run(&[command, &readme]);
        assert_eq!(run.status, 2, "{command}");
        assert!(run.err.starts_with("lab: "), "{}", run.err);
    }
    assert_eq!(run(&["check", "/no/such/file"]).status, 2);
}

#[test]
fn symbols_come_with_where_they_come_from() {
    let run = run(&[
        "symbols",
        "--undefined",
        "--json",
        &module().display().to_string(),
    ]);
    assert_eq!(run.status, 0);
    let rows = json(&run);
    let rows = rows.as_array().expect("rows");
    let place = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no {name}"))["place"].clone()
    };
    assert_eq!(place("mutex_enter"), "unix");
    assert_eq!(place("kmem_alloc"), "genunix");
    assert!(
        rows.iter()
            .all(|row| row["place"] != "not in unix, genunix or ip")
    );
}
