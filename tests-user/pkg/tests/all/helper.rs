// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The helper module of the VM test: what it owns is refused to this machine as
//! long as it is loaded. And the tool that changes settings in module files.

use std::path::Path;

use clinet_attach_tests::{Machine, connect_arguments};
use clinet_kernel::{Context, Kernel, Module};
use clinet_module_tests::{
    EADDRINUSE, EADDRNOTAVAIL, EINVAL, SHARED4, SHARED6, TCP, Tuple, UDP, built, module_file,
};
use clinet_pkg_tests::command;

/// Ports as people write them.
const PORTS: (u16, u16) = (41000, 41001);

fn helper_file() -> Vec<u8> {
    built("foreign/vm_helper")
}

/// A machine whose two shared addresses are those of the VM test.
fn machine() -> Machine {
    let machine = Machine::new();
    let addrs = machine.kernel.string("192.0.2.10,2001:db8::10");
    machine.load(&[("clinet_addrs", addrs)]);
    machine
}

/// A connection between two ports of one shared address, as ip asks about it.
fn tuples(protocol: u8) -> [Tuple; 2] {
    let (lport, fport) = (PORTS.0.to_be(), PORTS.1.to_be());
    [
        Tuple {
            faddr: SHARED4,
            ..Tuple::v4(protocol, lport, fport)
        },
        Tuple {
            faddr: SHARED6,
            ..Tuple::v6(protocol, lport, fport)
        },
    ]
}

/// The same from the other end.
fn reversed(tuple: Tuple) -> Tuple {
    Tuple {
        lport: tuple.fport,
        fport: tuple.lport,
        ..tuple
    }
}

/// The tunables with which the helper owns a tuple.
fn tunables(tuple: &Tuple) -> Vec<(&'static str, u64)> {
    let words = |address: &[u8; 16]| match *address {
        SHARED4 => (0, 0xffff_c000_020a),
        SHARED6 => (0x2001_0db8_0000_0000, 0x10),
        other => panic!("{other:?} is not shared"),
    };
    let (laddr, faddr) = (words(&tuple.laddr), words(&tuple.faddr));
    vec![
        ("vm_helper_protocol", tuple.protocol.into()),
        ("vm_helper_laddr_high", laddr.0),
        ("vm_helper_laddr_low", laddr.1),
        ("vm_helper_faddr_high", faddr.0),
        ("vm_helper_faddr_low", faddr.1),
        ("vm_helper_lport", u16::from_be(tuple.lport).into()),
        ("vm_helper_fport", u16::from_be(tuple.fport).into()),
    ]
}

fn load(machine: &Machine, tunables: &[(&str, u64)]) -> Result<Module, String> {
    let loaded = machine
        .kernel
        .load("misc/vm_helper", &helper_file(), tunables);
    loaded.map_err(|error| error.to_string())
}

fn unload(machine: &Machine, helper: &Module) {
    let unloaded = machine.kernel.unload(helper);
    unloaded.expect("it unloads and leaves nothing");
}

/// What ip is told about a connection; it ends again.
fn ask(machine: &Machine, outgoing: bool, tuple: &Tuple) -> i32 {
    let arguments = connect_arguments(0, outgoing, tuple);
    let hook = "cl_inet_connect2";
    let answer = machine.through(hook, &Context::no_sleep(), &arguments);
    if tuple.protocol == TCP {
        machine.disconnect(0, tuple);
    }
    answer.expect("the hook is set")
}

#[test]
fn what_the_helper_owns_is_refused_until_it_is_unloaded() {
    let machine = machine();
    let mut messages = Vec::new();
    for (protocol, outgoing) in [(TCP, true), (TCP, false), (UDP, true)] {
        for tuple in tuples(protocol) {
            let helper = load(&machine, &tunables(&tuple)).expect("nobody owns it");
            assert_eq!(ask(&machine, outgoing, &tuple), EADDRINUSE, "{tuple:?}");
            // Of the other end nobody said anything.
            assert_eq!(ask(&machine, outgoing, &reversed(tuple)), 0, "{tuple:?}");
            unload(&machine, &helper);
            assert_eq!(ask(&machine, outgoing, &tuple), 0, "{tuple:?}, given back");
            for what in ["installs", "withdraws"] {
                messages.push(format!(
                    "vm_helper: node 2 {what} protocol {protocol}, port 41000 to port 41001: errno 0"
                ));
            }
            if protocol == UDP {
                // Entries of UDP stay until their endpoint is unbound.
                assert!(load(&machine, &tunables(&tuple)).is_err());
                messages.push(format!(
                    "vm_helper: node 2 installs protocol 17, port 41000 to port 41001: errno {EADDRINUSE}"
                ));
            }
        }
    }
    let said = machine.warnings().into_iter();
    let said: Vec<String> = said
        .map(|text| text.trim_start_matches('!').into())
        .collect();
    assert_eq!(said, messages);
}

/// What cannot be installed is not loaded, and modload says why.
#[test]
fn a_helper_that_cannot_install_is_not_loaded() {
    let machine = machine();
    let [tuple, _] = tuples(TCP);
    let with = |name, value| [tunables(&tuple), vec![(name, value)]].concat();
    for (tunables, errno) in [
        // No node, and this one.
        (with("vm_helper_owner", 0), EINVAL),
        (with("vm_helper_owner", 1), EINVAL),
        // Not shared.
        (with("vm_helper_laddr_low", 0xffff_c000_020b), EADDRNOTAVAIL),
        // Two families.
        (with("vm_helper_faddr_high", 1), EINVAL),
    ] {
        let error = load(&machine, &tunables).expect_err("refused");
        assert!(error.ends_with(&format!("errno {errno}")), "{error}");
    }
    let said = machine.warnings();
    assert!(
        said.iter().any(|text| text.contains("one of IPv6")),
        "{said:?}"
    );
}

#[test]
fn without_clinet_there_is_no_helper() {
    let error = Kernel::new().load("misc/vm_helper", &helper_file(), &[]);
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("misc/clinet"), "{error}");
}

fn patch(file: &Path, name: &str, value: &str) -> (Option<i32>, String) {
    let patch = command("tools/patch-tunable")
        .arg(file)
        .args([name, value])
        .output()
        .expect("the script runs");
    let said = String::from_utf8(patch.stderr).expect("text");
    (patch.status.code(), said)
}

/// A patched file is the file with the tunable set, for both sizes.
#[test]
fn a_patched_file_has_other_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vm_helper");
    std::fs::write(&path, helper_file()).expect("a copy");
    let [tuple, _] = tuples(UDP);
    for (name, value) in tunables(&tuple) {
        let written = match value {
            // Both ways to write a number.
            17 => value.to_string(),
            _ => format!("{value:#x}"),
        };
        assert_eq!(
            patch(&path, name, &written),
            (Some(0), String::new()),
            "{name}"
        );
    }
    let machine = machine();
    let file = std::fs::read(&path).expect("the copy");
    let helper = machine.kernel.load("misc/vm_helper", &file, &[]);
    let helper = helper.expect("nobody owns it");
    assert_eq!(ask(&machine, true, &tuple), EADDRINUSE);
    unload(&machine, &helper);
    assert_eq!(ask(&machine, true, &tuple), 0);
}

/// clinet as the VM test loads it first: unattached and unassociated, so that
/// it can be unloaded.
#[test]
fn an_idle_copy_of_the_module_can_be_unloaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("clinet");
    std::fs::write(&path, module_file()).expect("a copy");
    for name in ["clinet_attach", "clinet_provider"] {
        assert_eq!(patch(&path, name, "0"), (Some(0), String::new()));
    }
    let machine = Machine::new();
    let file = std::fs::read(&path).expect("the copy");
    let module = machine.kernel.load("misc/clinet", &file, &[]);
    let module = module.expect("it loads");
    assert_eq!(machine.hooks(), [0; 12]);
    let unloaded = machine.kernel.unload(&module);
    unloaded.expect("it unloads and leaves nothing");
}

#[test]
fn what_cannot_be_patched_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("clinet");
    std::fs::write(&path, module_file()).expect("a copy");
    for (name, value, why) in [
        ("clinet_nothing", "1", "has no variable clinet_nothing"),
        ("clinet_scope", "1", "has no bytes there"),
        ("clinet_contract", "1", "has 64 bytes"),
        ("clinet_mode", "one", "one is no number"),
        ("clinet_mode", "-1", "-1 is no number"),
        ("clinet_mode", "", "is no number"),
        ("clinet_mode", "0x100000000", "more than clinet_mode"),
    ] {
        let (status, said) = patch(&path, name, value);
        assert_eq!(status, Some(2), "{name} {value}");
        assert!(said.contains(why), "{name} {value}: {said}");
        assert_eq!(std::fs::read(&path).expect("the copy"), module_file());
    }
    let (status, said) = patch(&folder.path().join("nothing"), "clinet_mode", "1");
    assert_eq!(status, Some(2));
    assert!(said.contains("is not there"), "{said}");
}
