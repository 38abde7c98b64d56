// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names: imports, exports, probes, entry points and descriptions.

mod common;

use clinet_check::{Limits, Mapfile, Rule, check};
use common::{
    GOOD, MAPFILE, assemble, assert_breaks, assert_passes, function, good_and, good_with, lines,
    report_on,
};

fn call(name: &str) -> String {
    function(&format!("call {name}\nret"))
}

fn depends_on(object: &str) -> String {
    format!(
        ".section .rodata\n.type _depends_on, @object\n_depends_on: {object}\n.size _depends_on, . - _depends_on"
    )
}

#[test]
fn imports_from_the_kernel_pass() {
    for name in ["kmem_alloc", "mutex_enter", "random_get_bytes"] {
        assert_passes(&call(name));
    }
}

#[test]
fn other_imports_are_refused_with_their_place() {
    assert_breaks(
        &call("puts"),
        Rule::UndefinedSymbol,
        &["undefined-symbol: puts: ", ".text+0x", "(subject)"],
    );
    let weak = format!(".weak nowhere\n{}", call("nowhere"));
    assert_breaks(&weak, Rule::UndefinedSymbol, &["nowhere"]);
    // krtld resolves what nothing refers to as well.
    let unused = good_and(".globl unused");
    assert_breaks(&unused, Rule::UndefinedSymbol, &["unused"]);
}

#[test]
fn imports_from_a_module_that_is_no_dependency() {
    assert_breaks(
        &call("ip_input"),
        Rule::UndefinedSymbol,
        &["it is in ip, which is not a dependency"],
    );
}

#[test]
fn ip_is_never_linked_with() {
    let rule = Rule::IpReference;
    assert_breaks(&call("cl_inet_connect2"), rule, &["cl_inet_connect2"]);
    assert_breaks(&call("cl_tcp_walk_list"), rule, &["cl_tcp_walk_list"]);
    for name in ["drv/ip", "strmod/ip"] {
        let source = good_and(&depends_on(&format!(".asciz \"misc/kcf {name}\"")));
        assert_breaks(&source, rule, &[name]);
        // Its symbols are found, then.
        let source = format!(
            "{}\n{}",
            call("ip_input"),
            depends_on(&format!(".asciz \"{name}\""))
        );
        assert_breaks(&source, rule, &[name]);
    }
}

#[test]
fn dependencies_are_read() {
    let source = good_and(&depends_on(".asciz \"misc/kcf drv/clinet\""));
    assert_passes(&source);
    let dependencies = report_on(&source).summary.dependencies;
    assert_eq!(dependencies, ["misc/kcf", "drv/clinet"]);
}

#[test]
fn dependencies_that_krtld_cannot_read() {
    for (object, word) in [
        (".quad description", "pointer"),
        (".ascii \"misc/kcf\"", "NUL"),
        (".asciz \"misc/kcf  fs/sockfs\"", "\"\""),
        (".asciz \"misc/kcf,fs/sockfs\\n\"", "name"),
    ] {
        let source = good_and(&depends_on(object));
        assert_breaks(&source, Rule::Dependencies, &["_depends_on", word]);
    }
    let long = depends_on(&format!(".asciz \"misc/{}\"", "x".repeat(27)));
    assert_breaks(&good_and(&long), Rule::NameLength, &["32 characters"]);
}

#[test]
fn reachable_panic() {
    assert_breaks(
        &call("clinet_panic_reached"),
        Rule::ReachablePanic,
        &["clinet_panic_reached", "(subject)"],
    );
}

#[test]
fn offset_table_and_thread_local_symbols() {
    assert_breaks(
        &good_and(".data\n.quad _GLOBAL_OFFSET_TABLE_"),
        Rule::GotReference,
        &["_GLOBAL_OFFSET_TABLE_"],
    );
    assert_breaks(
        &call("__tls_get_addr"),
        Rule::TlsReference,
        &["__tls_get_addr"],
    );
    let variable = ".type per_thread, @tls_object\n.globl per_thread\n.data\n.quad per_thread";
    assert_breaks(&good_and(variable), Rule::TlsReference, &["per_thread"]);
}

#[test]
fn probes() {
    let name = "__dtrace_probe_clinet__refused";
    assert_passes(&function(&format!("mov %rdi, %rsi\ncall {name}\nret")));
    for body in [
        format!("jmp {name}"),
        format!("jmp {name}\nnop\nret"),
        format!("je {name}\nret"),
        format!("call *{name}(%rip)\nret"),
        format!("mov ${name}, %rax\nret"),
        format!("call {name}"),
        format!("call {name}\nnop\nnop"),
        format!("bnd call {name}\nret"),
    ] {
        if body.starts_with("bnd") {
            // The prefix lies before the five bytes that krtld overwrites.
            assert_breaks(&function(&body), Rule::ProbeSite, &[name]);
        } else {
            assert_breaks(&function(&body), Rule::ProbeSite, &[name, "(subject)"]);
        }
    }
    let data = good_and(&format!(".data\n.quad {name}"));
    assert_breaks(&data, Rule::ProbeSite, &[".data+0x", "not in a function"]);
}

#[test]
fn globals_and_the_mapfile() {
    let global = good_and(".globl counter");
    assert_breaks(&global, Rule::UnlistedGlobal, &[".bss", "(counter)"]);
    let weak = good_and(".weak counter");
    assert_breaks(&weak, Rule::UnlistedGlobal, &["(counter)"]);
    // Without a mapfile there is nothing to hold them against.
    let report = check(&assemble(&global), "clinet", None, &Limits::default()).expect("usable");
    assert!(report.passed(), "{}", lines(&report));
}

#[test]
fn listed_symbols_are_there() {
    let file = assemble(GOOD);
    for (name, word) in [("counter", "local"), ("absent", "not defined")] {
        let text = MAPFILE.replace("_fini;", &format!("_fini; {name};"));
        let mapfile = Mapfile::parse(&text).expect("good");
        let report = check(&file, "clinet", Some(&mapfile), &Limits::default()).expect("usable");
        let [finding] = &report.findings[..] else {
            panic!("one finding expected:\n{}", lines(&report));
        };
        assert_eq!(finding.rule, Rule::MissingGlobal);
        let line = finding.to_string();
        assert!(line.contains(name) && line.contains(word), "{line}");
    }
}

#[test]
fn common_symbols() {
    assert_breaks(
        &good_and(".comm shared, 8, 8"),
        Rule::CommonSymbol,
        &["shared", "8 bytes"],
    );
}

#[test]
fn entry_points() {
    let mapfile = Mapfile::parse("$mapfile_version 2\nSYMBOL_SCOPE { _init; _info; _fini; };");
    let mapfile = mapfile.expect("good");
    for name in ["_init", "_info", "_fini"] {
        for (from, to) in [
            (format!("\t.globl\t{name}\n"), String::new()),
            (format!("\t.type\t{name}, @function\n"), String::new()),
        ] {
            let file = assemble(&good_with(&from, &to));
            let report =
                check(&file, "clinet", Some(&mapfile), &Limits::default()).expect("usable");
            let text = lines(&report);
            assert!(
                report
                    .findings
                    .iter()
                    .any(|f| f.rule == Rule::EntryPoint && f.symbol.as_deref() == Some(name)),
                "{text}"
            );
        }
    }
    let file = assemble(
        &GOOD
            .replace("_fini", "finish")
            .replace("\t.globl\tfinish\n", ""),
    );
    let report = check(&file, "clinet", None, &Limits::default()).expect("usable");
    assert_eq!(lines(&report), "entry-point: _fini: it is not defined");
}

#[test]
fn linkage_structures() {
    let rule = Rule::Linkage;
    assert_breaks(&GOOD.replace("modlmisc", "misc"), rule, &["modlmisc"]);
    assert_breaks(
        &GOOD.replace("modlinkage", "linkage"),
        rule,
        &["modlinkage"],
    );
    assert_breaks(
        &good_with("\t.long\t1\n", "\t.long\t2\n"),
        rule,
        &["(modlinkage)", "revision is 2"],
    );
    assert_breaks(
        &good_with("\t.quad\tmodlmisc\n", "\t.quad\tcounter\n"),
        rule,
        &["(modlinkage)", "first entry"],
    );
    assert_breaks(
        &good_with("mod_miscops", "mod_driverops"),
        rule,
        &["(modlmisc)", "mod_driverops"],
    );
    let driver = GOOD
        .replace("modlmisc", "modldrv")
        .replace("mod_miscops", "mod_driverops");
    assert_passes(&driver);
}

#[test]
fn description() {
    let text = "a module for tests";
    let longest = "x".repeat(31);
    assert_passes(&good_with(text, &longest));
    let rule = Rule::Description;
    let place = ".data+0x40 (modlmisc)";
    assert_breaks(
        &good_with(text, &"x".repeat(32)),
        rule,
        &[place, "32 characters"],
    );
    assert_breaks(&good_with(text, ""), rule, &[place, "empty"]);
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

#[test]
fn module_name() {
    let file = assemble(GOOD);
    let rules = |name: &str| -> Vec<Rule> {
        let report = check(&file, name, None, &Limits::default()).expect("usable");
        report.findings.iter().map(|finding| finding.rule).collect()
    };
    assert_eq!(rules(&format!("kernel/misc/amd64/{}", "x".repeat(31))), []);
    assert_eq!(rules(&"x".repeat(32)), [Rule::NameLength]);
    assert_eq!(rules("kernel/"), [Rule::NameLength]);
}
