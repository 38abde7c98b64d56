// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The manual pages against the module: what they name exists, and what exists
//! they name.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use clinet_attach_tests::Machine;
use clinet_ip::{AttachedNode, IFF_NOLOCAL, IFF_UP, IFF_VRRP};
use clinet_module_tests::{Args, Control, Grants, abi, module_file, root, symbol_names};
use clinet_pkg_tests::{command, read, variables};

use crate::docs::is_service;
use zerocopy::FromZeros;

const PAGE: &str = "pkg/man/clinet.4";

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

/// Is this what the page has with `%s` and `%d` for names and numbers?
fn matches(pattern: &str, message: &str) -> bool {
    let pattern = pattern.replace("%d", "%s");
    let Some((first, others)) = pattern.split_once("%s") else {
        return pattern == message;
    };
    let Some(mut rest) = message.strip_prefix(first) else {
        return false;
    };
    let mut others: Vec<&str> = others.split("%s").collect();
    let last = others.pop().unwrap_or_default();
    for part in others {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() > last.len() && rest.ends_with(last)
}

#[test]
fn a_pattern_matches_what_it_should() {
    assert!(matches("a %s is %d; x", "a b is 3; x"));
    assert!(matches("a %s is %d", "a b is 3") && !matches("a %s is %d", "a b is "));
    for other in ["a b is 3; y", "a b was 3; x", "b is 3; x", "a b is 3; x y"] {
        assert!(!matches("a %s is %d; x", other), "{other}");
    }
    assert!(matches("plain", "plain") && !matches("plain", "plainer"));
}

/// All literals of the module's sources that begin as messages do, the parts
/// of a literal that is put together being one.
fn source_messages(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(source_messages(&path));
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]").next().expect("a beginning");
        for (at, _) in code.match_indices("\"clinet: ") {
            let before = &code[..at];
            let literal = |text: &str| text.split('"').next().expect("a literal").to_owned();
            if before.ends_with("text!(") {
                // Literals, and a name that the macro knows.
                let arguments = code[at..].replace("stringify!($variable)", "\"cl_inet_bind\"");
                let arguments = arguments.split_once("),").expect("its end").0;
                found.push(arguments.split('"').skip(1).step_by(2).collect());
            } else if before.ends_with('c') {
                found.push(literal(&code[at + 1..]));
            } else {
                // Put together while it runs; the tests provoke those.
                assert!(before.ends_with("text.string("), "{}", path.display());
            }
        }
    }
    found
}

/// Warnings about lists of addresses.
fn list_messages() -> Vec<String> {
    let mut found = Vec::new();
    let many = vec!["192.0.2.10"; 257].join(",");
    for list in ["192.0.2", "192.0.2.10,::", &many] {
        let machine = Machine::new();
        let bad = machine.kernel.string(list);
        machine.load(&[("clinet_attach", 0), ("clinet_addrs", bad)]);
        assert_eq!(machine.call("clinet_set_addrs", &[bad]), 22);
        assert_eq!(machine.warnings().len(), 2);
        found.extend(machine.warnings());
    }
    found
}

/// Warnings about lists of ports.
fn port_messages() -> Vec<String> {
    [("clinet_port_space", "1-2,tcp=3"), ("clinet_grants", "0")]
        .map(|(tunable, list)| {
            let machine = Machine::new();
            let bad = machine.kernel.string(list);
            assert!(machine.try_load(&[(tunable, bad)]).is_err());
            machine.warnings().remove(0)
        })
        .into()
}

/// Warnings about memory that is not there at load.
fn load_messages() -> Vec<String> {
    [0, 1]
        .map(|prealloc| {
            let machine = Machine::new();
            machine.kernel.fail_nth_allocation(1 + 20 * prealloc);
            let tunables = [("clinet_attach", 0), ("clinet_prealloc", prealloc)];
            assert!(machine.try_load(&tunables).is_err());
            machine.warnings().remove(0)
        })
        .into()
}

/// A machine of whose addresses but loopback all are shared.
struct Fenced(AttachedNode);

impl Control for Fenced {
    fn control(&self, function: &str, args: Args<'_>) -> i32 {
        self.0.call(function, args)
    }
}

impl Fenced {
    fn new() -> Self {
        let node = AttachedNode::new(&module_file(), &[("clinet_addrs", 0)]);
        Self(node.expect("the module loads"))
    }

    /// Has the interface of 10.1.1.1 refuse to change.
    fn refuse(&self) {
        let address = IpAddr::from([10, 1, 1, 1]);
        let all = self.0.ip().interfaces(0);
        let one = all.iter().find(|one| one.address == address);
        let flags = one.expect("the model has it").flags | IFF_VRRP;
        let set = self.0.ip().set_interface_flags(0, address, "lo0:2", flags);
        set.expect("the model has it");
    }

    /// All addresses that could be shared are no source and down already.
    fn hide(&self) {
        for one in self.0.ip().interfaces(0) {
            let flags = one.flags & !(IFF_UP | IFF_VRRP) | IFF_NOLOCAL;
            let ip = self.0.ip();
            let set = ip.set_interface_flags(0, one.address, &one.name, flags);
            set.expect("the model has it");
            let flags = flags | IFF_VRRP;
            let set = ip.set_interface_flags(0, one.address, &one.name, flags);
            set.expect("the model has it");
        }
    }

    fn unfence(&self) -> i32 {
        let deadline = self.clock() + 1_000_000_000_000;
        let grants = Grants::with_space(1024..=u16::MAX).and(1024..=u16::MAX);
        assert_eq!(self.set_grants(&mut grants.until(deadline)), 0);
        let unfence = abi::clinetctl_unfence_t {
            cu_sequence: 2,
            cu_flags: abi::CLINETCTL_RECORDS_KEPT,
            ..FromZeros::new_zeroed()
        };
        self.control("clinet_control_unfence", &[(&raw const unfence) as u64])
    }

    fn warnings(&self) -> Vec<String> {
        let log = self.0.attached().kernel().log();
        log.into_iter().map(|message| message.text).collect()
    }
}

/// Warnings about addresses that do not go or come.
fn fence_messages() -> Vec<String> {
    let goes_not = Fenced::new();
    goes_not.refuse();
    assert_ne!(goes_not.control("clinet_control_fence", &[]), 0);
    let comes_not = Fenced::new();
    assert_eq!(comes_not.control("clinet_control_fence", &[]), 0);
    comes_not.refuse();
    assert_ne!(comes_not.unfence(), 0);
    let untold = Fenced::new();
    untold.0.ip().set_addresses_per_link(0, 1);
    untold.hide();
    assert_ne!(untold.control("clinet_control_fence", &[]), 0);
    let too_many = Fenced::new();
    too_many.0.ip().set_addresses_per_link(0, 1024);
    for number in 0..512_u16 {
        let [high, low] = number.to_be_bytes();
        let address = IpAddr::from([10, 2, high, low]);
        let added = too_many.0.ip().add_address(0, "lo0", address);
        added.expect("lo0 is there");
    }
    assert_eq!(too_many.control("clinet_control_fence", &[]), 0);
    [goes_not, comes_not, untold, too_many]
        .iter()
        .flat_map(Fenced::warnings)
        .filter(|text| text.starts_with("clinet: the shared address of "))
        .collect()
}

#[test]
fn diagnostics_are_the_messages_of_the_module() {
    let mut messages = source_messages(&root().join("kmod/src"));
    assert!(messages.len() > 15, "{messages:?}");
    messages.extend(list_messages());
    messages.extend(port_messages());
    messages.extend(load_messages());
    messages.extend(fence_messages());
    let glue = read("kmod/glue/clinet.c");
    let literals = glue.split("clinet_log(CE_WARN, \"").skip(1);
    messages.extend(literals.map(|text| text.split('"').next().expect("an end").to_owned()));
    let lines = section(PAGE, "DIAGNOSTICS");
    let patterns: Vec<&str> = items(&lines, ".It ")
        .into_iter()
        .map(|item| item.trim_matches('"'))
        .collect();
    for message in &messages {
        let count = patterns.iter().filter(|pattern| matches(pattern, message));
        assert_eq!(count.count(), 1, "{message}");
    }
    for pattern in patterns {
        assert!(
            messages.iter().any(|message| matches(pattern, message)),
            "{pattern}"
        );
    }
    // No other file of the module says anything, nor the glue in another way.
    assert_eq!(glue.matches("cmn_err(").count(), 1);
    assert!(glue.contains("cmn_err(level, \"%s\", message);"));
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
