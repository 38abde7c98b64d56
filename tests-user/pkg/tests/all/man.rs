// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The manual pages against the module: what they name exists, and what exists
//! they name.

use std::collections::BTreeSet;

use clinet_attach_tests::Machine;
use clinet_module_tests::{module_file, symbol_names};
use clinet_pkg_tests::{command, read, variables};

use super::docs::is_service;

pub const PAGE: &str = "pkg/man/clinet.4";

/// The lines between two section headings.
pub fn section(page: &str, name: &str) -> Vec<String> {
    let heading = format!(".Sh {name}");
    let text = read(page);
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<String> = lines
        .take_while(|line| !line.starts_with(".Sh "))
        .map(str::to_owned)
        .collect();
    assert!(!lines.is_empty(), "{page} has no {name}");
    lines
}

/// What follows a macro at the beginning of lines.
pub fn items<'a>(lines: &'a [String], beginning: &str) -> Vec<&'a str> {
    let found = lines.iter().filter_map(|line| line.strip_prefix(beginning));
    found.collect()
}

pub fn set<S: Into<String>>(names: impl IntoIterator<Item = S>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

/// A tunable as the page has it.
struct Tunable {
    name: String,
    bytes: u64,
    range: String,
    default: String,
    live: bool,
}

fn tunables() -> Vec<Tunable> {
    let lines = section(PAGE, "TUNABLES");
    let items = items(&lines, ".It Va ").into_iter();
    items
        .map(|item| {
            let (name, about) = item.split_once(" Pq ").expect("a name and its facts");
            let mut facts = about.split("; ");
            let mut next = |after: &str, before: &str| {
                let fact = facts.next().unwrap_or_else(|| panic!("{item}"));
                let fact = fact
                    .strip_prefix(before)
                    .and_then(|f| f.strip_suffix(after));
                fact.unwrap_or_else(|| panic!("{item}")).to_owned()
            };
            Tunable {
                name: name.to_owned(),
                bytes: next(" bytes", "").parse().expect("a number"),
                range: next("", ""),
                default: next("", "default "),
                live: facts.next().is_some_and(|fact| fact == "live"),
            }
        })
        .collect()
}

#[test]
fn tunables_are_those_of_the_module() {
    let page = tunables();
    let source = variables();
    assert_eq!(
        set(page.iter().map(|tunable| tunable.name.as_str())),
        set(source.iter().map(|variable| variable.0.as_str()))
    );
    assert_eq!(page.len(), source.len(), "one comes twice");
    let machine = Machine::attached(&[("clinet_attach", 0)]);
    for tunable in page {
        let name = &tunable.name;
        let variable = source.iter().find(|variable| variable.0 == *name);
        let (_, value, is_volatile) = variable.expect("compared above");
        assert_eq!(
            (&tunable.default, tunable.live),
            (value, *is_volatile),
            "{name}"
        );
        let symbol = machine.module().symbol(name).expect("a variable");
        assert_eq!(symbol.size, tunable.bytes, "{name}");
    }
}

/// Warnings of a load with this value.
fn warnings(name: &str, value: u64) -> Vec<String> {
    let machine = Machine::new();
    machine.load(&[("clinet_attach", 0), (name, value)]);
    let warnings = machine.warnings().into_iter();
    warnings.filter(|warning| warning.contains(name)).collect()
}

/// What is in a range is taken, and what is just outside is not.
#[test]
fn tunables_have_the_ranges_that_the_page_says() {
    for Tunable { name, range, .. } in tunables() {
        if ["any", "a string"].contains(&range.as_str()) {
            continue;
        }
        let (never, range) = match range.strip_prefix("0 or ") {
            Some(rest) => (true, rest),
            None => (false, range.as_str()),
        };
        let (least, most) = range.split_once(" to ").expect("a range");
        let (least, most): (u64, u64) = (
            least.parse().expect("a number"),
            most.parse().expect("a number"),
        );
        let mut good = vec![least, most];
        let mut bad = vec![];
        good.extend(never.then_some(0));
        bad.extend(least.checked_sub(1));
        bad.extend(Some(most + 1).filter(|value| *value <= u32::MAX.into()));
        for value in good {
            assert_eq!(warnings(&name, value), [""; 0], "{name} = {value}");
        }
        for value in bad {
            assert_eq!(warnings(&name, value).len(), 1, "{name} = {value}");
        }
    }
}

/// Live ones are named with the command that changes them.
#[test]
fn live_tunables_have_an_example() {
    let text = section(PAGE, "TUNABLES").join("\n");
    for tunable in tunables() {
        let example = text.contains(&format!("echo '{}/W 1' | mdb -kw", tunable.name));
        assert_eq!(example, tunable.live, "{}", tunable.name);
    }
}

#[test]
fn kstats_are_those_of_the_module() {
    let machine = Machine::attached(&[]);
    let lines = section(PAGE, "KSTATS");
    let mut parts = lines.split(|line| line.starts_with(".Ss "));
    let _introduction = parts.next();
    let headings = set(items(&lines, ".Ss "));
    let kstats = ["clinet:0:attach", "clinet:0:grants", "clinet:0:registry"];
    assert_eq!(headings, set(kstats));
    for (heading, part) in items(&lines, ".Ss ").into_iter().zip(parts) {
        let name = heading.rsplit(':').next().expect("a name");
        let found = machine.kernel.kstat("clinet", 0, name).expect("the kstat");
        let named = items(part, ".It Va ").into_iter();
        let named: Vec<&str> = named.flat_map(|names| names.split(" , ")).collect();
        assert_eq!(
            named.len(),
            set(named.iter().copied()).len(),
            "one comes twice"
        );
        assert_eq!(
            set(named),
            set(found.into_iter().map(|value| value.0)),
            "{name}"
        );
    }
}

/// Probes and their arguments, as the table in clinet.h has them.
#[test]
fn probes_are_those_of_the_header_and_the_module() {
    let header = read("include/clinet.h");
    let table = header
        .split_once("Arguments of each probe:")
        .expect("a table")
        .1;
    let lines = table
        .lines()
        .map(|line| line.trim_start_matches([' ', '*', '\t']));
    let known: BTreeSet<String> = lines
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .map(|line| {
            line.replace(',', "")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let lines = section(PAGE, "PROBES");
    assert_eq!(set(items(&lines, ".It Fn ")), known);

    let machine = Machine::attached(&[("clinet_attach", 0)]);
    let image = machine.module().image().expect("it is a file");
    for probe in image.probes() {
        let is_known = known
            .iter()
            .any(|line| line.split(' ').next() == Some(&probe.name));
        assert!(is_known, "{}", probe.name);
    }
}

#[test]
fn files_are_those_of_the_package() {
    let listed = section(PAGE, "FILES").join(" ");
    let text = listed.replace(".It", "").replace("Pa ", "");
    let listed = text.split_whitespace().filter(|word| word.starts_with('/'));
    let listed = set(listed.filter(|path| !path.starts_with("/etc/system")));
    let installed = clinet_pkg_tests::manifest().into_iter();
    let installed = installed
        .filter(|action| action.kind == "file")
        .map(|action| format!("/{}", action.attribute("path")))
        .filter(|path| !path.starts_with("/usr/share/man/"));
    assert_eq!(listed, set(installed));
}

/// What the pages of the programs say is installed, is.
#[test]
fn files_of_the_programs_are_those_of_their_package() {
    let installed = clinet_pkg_tests::manifest_of("pkg/clinet-node.p5m").into_iter();
    let installed: BTreeSet<String> = installed
        .filter_map(|action| action.attributes.get("path").map(|path| format!("/{path}")))
        .collect();
    for page in ["pkg/man/clinetd.8", "pkg/man/clinetadm.8"] {
        let listed = section(page, "FILES").join(" ");
        for path in listed
            .split_whitespace()
            .filter(|word| word.starts_with("/usr/"))
        {
            assert!(installed.contains(path), "{page}: {path}");
        }
    }
    for page in [
        read("pkg/man/clinetd.8"),
        read("pkg/man/clinet-cluster.7"),
        read("user/clinetd/src/main.rs"),
        read("user/clinetadm/src/hint.rs"),
    ] {
        let lines = page.lines();
        for words in lines.filter_map(|line| line.split_once("svcadm ")) {
            let mut words = words.1.split([' ', ',', '"']).skip(1);
            let service = words.find(|word| !word.starts_with('-'));
            assert!(service.is_some_and(is_service), "{service:?}");
        }
        let full = page.split_whitespace();
        for name in full.filter(|word| word.starts_with("svc:/")) {
            assert!(is_service(name), "{name}");
        }
    }
    let help = command("build/clinetadm")
        .args(["completions", "--help"])
        .output();
    let help = String::from_utf8(help.expect("it runs").stdout).expect("text");
    for path in help
        .split_whitespace()
        .filter(|word| word.starts_with("/usr/"))
    {
        assert!(installed.contains(path), "completions: {path}");
    }
}

/// The functions of section 9 are those that the module exports.
#[test]
fn functions_are_those_of_the_module() {
    let text = read("pkg/man/clinet.9");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let named = items(&lines, ".It Fn ");
    let named = set(named.into_iter().flat_map(|names| names.split(" , Fn ")));
    let map = read("mapfiles/clinet.map");
    let exported = map.lines().filter_map(|line| line.trim().strip_suffix(';'));
    let variables = [
        "clinet_contract",
        "clinet_control_version",
        "clinet_version",
    ];
    let exported =
        set(exported.filter(|name| name.starts_with("clinet_") && !variables.contains(name)));
    assert_eq!(named, exported);
    let symbols = symbol_names(&module_file());
    let page = read("pkg/man/cl_inet.9");
    let name_section = page.split(".Sh SYNOPSIS").next().expect("a beginning");
    for name in map.lines().filter_map(|line| line.trim().strip_suffix(';')) {
        let is_contract = name.starts_with("cl_inet_")
            || ["clinet_contract", "cluster_version_supported"].contains(&name);
        if is_contract {
            assert!(symbols.iter().any(|symbol| symbol == name), "{name}");
            assert!(name_section.contains(&format!(".Nm {name}")), "{name}");
        }
    }
}
