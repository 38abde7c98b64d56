// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names: imports, exports, dependencies and probes.

use crate::common::{
    GOOD, MAPFILE, assemble, assert_breaks, assert_notes, assert_passes, function, good_and,
    header_of, lines, report, report_on, section_named,
};
use clinet_check::{Limits, Mapfile, Rule, check};

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
    for name in ["kmem_alloc", "mutex_enter", "random_get_bytes", "putnext"] {
        assert_passes(&call(name));
    }
    for name in [
        "hz",
        "utsname",
        "panicstr",
        "nv_alloc_sleep",
        "__stack_chk_guard",
    ] {
        assert_passes(&function(&format!("mov {name}(%rip), %rax\nret")));
    }
}

#[test]
fn other_imports_are_refused_with_their_place() {
    assert_breaks(
        &call("puts"),
        Rule::UndefinedSymbol,
        &[
            "undefined-symbol: .text+0x",
            " (puts): ",
            "subject refers to it",
            "dependency",
        ],
    );
    let weak = format!(".weak nowhere\n{}", call("nowhere"));
    assert_notes(
        &weak,
        Rule::UndefinedSymbol,
        &["nowhere", "address will be 0"],
    );
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

/// What such a module has is not listed, so nothing can be said of it.
#[test]
fn imports_from_a_dependency_that_is_not_listed() {
    for dependencies in [
        "misc/mac",
        "drv/ip misc/mac",
        "misc/kcf\tmisc/mac  misc/dls",
    ] {
        let source = format!(
            "{}\n{}",
            call("mac_hcksum_set"),
            depends_on(&format!(".asciz \"{dependencies}\""))
        );
        let words = ["(mac_hcksum_set)", "cannot know what", "misc/mac"];
        assert_notes(&source, Rule::UnknownImport, &words);
    }
    // All of ip is listed.
    let source = format!("{}\n{}", call("puts"), depends_on(".asciz \"drv/ip\""));
    assert_breaks(&source, Rule::UndefinedSymbol, &["(puts)"]);
}

#[test]
fn needed_modules_are_dependencies() {
    let mut file = assemble(&format!(
        "{}\n.section .dynamic, \"\"\n.quad 1, 1, 0, 0\n\
         .section .names, \"\"\n.asciz \"\", \"drv/ip misc/mac\"",
        call("mac_hcksum_set")
    ));
    let names = section_named(&file, ".names");
    let strings = header_of(&file, names);
    let dynamic = header_of(&file, section_named(&file, ".dynamic"));
    // SHT_STRTAB, SHT_DYNAMIC and its sh_link.
    file[strings + 4] = 3;
    file[dynamic + 4] = 6;
    file[dynamic + 40] = names as u8;
    let report = report(&file);
    assert_eq!(report.summary.dependencies, ["drv/ip", "misc/mac"]);
    assert!(report.passed(), "{}", lines(&report));
}

/// ip comes before the module's own names, or before those of clinet.
#[test]
fn names_that_ip_has_too() {
    let rule = Rule::IpReference;
    let ip = depends_on(".asciz \"drv/ip\"");
    assert_passes(&format!("{}\n{ip}", call("ip_input")));
    assert_passes(&format!("{}\n{ip}", call("cl_inet_connect2")));
    let both = depends_on(".asciz \"misc/clinet drv/ip\"");
    let source = format!("{}\n{both}", call("cl_inet_connect2"));
    assert_breaks(&source, rule, &["(cl_inet_connect2)", "both ip and clinet"]);
    assert_passes(&format!("{}\n{both}", call("clinet_list")));
    let own = good_and(&ip).replace("counter", "cl_inet_bind");
    let mapfile = MAPFILE.replace("_fini;", "_fini; cl_inet_bind;");
    let mapfile = Mapfile::parse(&mapfile).expect("good");
    let file = assemble(&format!("{own}\n.globl cl_inet_bind"));
    let report = check(&file, "clinet", Some(&mapfile), &Limits::default()).expect("usable");
    assert_eq!(report.findings.len(), 1, "{}", lines(&report));
    assert_eq!(report.findings[0].rule, rule);
    assert_breaks(
        &call("cl_inet_connect2"),
        Rule::UndefinedSymbol,
        &["it is in ip"],
    );
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
        (".asciz \"misc/kcf,fs/sockfs\\n\"", "text"),
    ] {
        let source = good_and(&depends_on(object));
        assert_breaks(&source, Rule::Dependencies, &["_depends_on", word]);
    }
    let long = depends_on(&format!(".asciz \"misc/{}\"", "x".repeat(26)));
    assert_breaks(&good_and(&long), Rule::NameLength, &["31 characters"]);
}

#[test]
fn reachable_panic() {
    assert_breaks(
        &call("clinet_panic_reached"),
        Rule::ReachablePanic,
        &["(clinet_panic_reached)", "subject refers"],
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
    for (source, words) in [
        (".comm shared, 8, 8", ["shared", "8 bytes"]),
        (".comm hz, 4, 4", ["hz", "that of unix"]),
    ] {
        let file = assemble(&good_and(source));
        let report = check(&file, "m", None, &Limits::default()).expect("usable");
        let text = lines(&report);
        assert!(report.passed(), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert_eq!(report.findings[0].rule, Rule::CommonSymbol);
        // A mapfile does not list it.
        let with_mapfile = self::report(&file);
        assert!(!with_mapfile.passed(), "{}", lines(&with_mapfile));
    }
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
