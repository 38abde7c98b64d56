// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The messages of the module, against those of its manual page.

use std::net::IpAddr;
use std::path::Path;

use clinet_attach_tests::Machine;
use clinet_ip::{AttachedNode, IFF_NOLOCAL, IFF_UP, IFF_VRRP};
use clinet_module_tests::{Args, Control, Grants, abi, module_file, root};
use clinet_pkg_tests::read;
use zerocopy::FromZeros;

use super::man::{PAGE, items, section};

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
