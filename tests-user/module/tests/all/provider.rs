// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! C1 to C3 on the released module file: who may store what, and which
//! version it is.

use std::sync::atomic::Ordering;

use clinet_module_tests::{EBUSY, ENOTSUP, Loaded, SLOTS, TCP, Tuple, c_string, read};

const TCP4: Tuple = Tuple::v4(TCP, 40000, 80);

// C1: the slot.

#[test]
fn c1_slots_are_eight_bytes_of_writable_exported_data() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let image = loaded.module.image().unwrap();
    for name in SLOTS {
        let symbol = loaded.module.symbol(name).unwrap();
        assert!(symbol.global, "{name}");
        assert_eq!(symbol.size, 8, "{name}");
        assert!(
            image.data().contains(&symbol.address),
            "{name} is not in data"
        );
    }
}

#[test]
fn c1_slots_are_null_until_a_provider_associates_itself() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    assert!(loaded.slots_are_null());
    assert_eq!(loaded.connect2(true, &TCP4), 0);
    assert_eq!(loaded.stat("no_provider"), 1);
    let _recorder = loaded.load_recorder("provider_11").unwrap();
    for name in SLOTS {
        assert_ne!(read(loaded.slot(name)), 0, "{name}");
    }
}

#[test]
fn c1_a_second_provider_is_declined_and_stores_nothing() {
    let (loaded, recorder) = Loaded::with_recorder();
    let before = SLOTS.map(|name| read(loaded.slot(name)));
    let error = loaded.load_foreign("provider_both").unwrap_err();
    assert!(error.to_string().contains("errno 16"), "{error}");
    assert_eq!(SLOTS.map(|name| read(loaded.slot(name))), before);
    assert_eq!(loaded.connect2(true, &TCP4), 0);
    assert_eq!(recorder.questions(), 1);
}

#[test]
fn c1_the_built_in_provider_obeys_the_same_rules() {
    let loaded = Loaded::with_builtin();
    for name in [
        "cl_inet_bind",
        "cl_inet_connect2",
        "cl_inet_disconnect",
        "cl_inet_unbind",
    ] {
        assert_ne!(read(loaded.slot(name)), 0, "{name}");
    }
    let before = SLOTS.map(|name| read(loaded.slot(name)));
    assert!(loaded.load_foreign("provider_11").is_err());
    assert_eq!(SLOTS.map(|name| read(loaded.slot(name))), before);
}

/// /etc/system can set any variable before `_init` runs, which is how a test
/// gets there before the built-in provider.
#[test]
fn c1_the_built_in_provider_stores_nothing_if_a_slot_it_wants_is_taken() {
    let wanted = [
        "cl_inet_bind",
        "cl_inet_connect2",
        "cl_inet_disconnect",
        "cl_inet_unbind",
    ];
    for taken in wanted {
        let loaded = Loaded::new(&[(taken, 0x1234)]);
        for name in SLOTS {
            let expected = if name == taken { 0x1234 } else { 0 };
            assert_eq!(read(loaded.slot(name)), expected, "{name}, {taken} taken");
        }
        let warned = loaded.kernel.log().iter().any(|message| {
            message.text == "clinet: another provider is associated; the built-in one is not"
        });
        assert!(warned, "{taken}");
    }
}

#[test]
fn c1_once_associated_no_module_unloads_and_no_slot_becomes_null() {
    for loaded in [Loaded::with_builtin(), Loaded::with_recorder().0] {
        let before = SLOTS.map(|name| read(loaded.slot(name)));
        let error = loaded.kernel.unload(&loaded.module).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("EBUSY") || error.contains("errno 16"),
            "{error}"
        );
        assert_eq!(SLOTS.map(|name| read(loaded.slot(name))), before);
    }
    let (loaded, recorder) = Loaded::with_recorder();
    let error = loaded.kernel.unload(&recorder.module).unwrap_err();
    assert!(error.to_string().contains("errno 16"), "{error}");
    assert_eq!(loaded.connect2(true, &TCP4), 0);
    assert_eq!(recorder.questions(), 1);
}

/// Another module's dependency would hold the module as well, so `_fini` is
/// looked at alone: any one slot is enough.
#[test]
fn c1_fini_is_busy_while_any_slot_is_set() {
    for name in SLOTS {
        let loaded = Loaded::new(&[("clinet_provider", 0)]);
        loaded.slot(name).store(0x1234, Ordering::SeqCst);
        assert_eq!(loaded.call("_fini", &[]), EBUSY, "{name}");
        loaded.slot(name).store(0, Ordering::SeqCst);
        loaded.kernel.unload(&loaded.module).unwrap();
    }
}

// C2: the version.

#[test]
fn c2_the_version_is_exported_and_is_1_1() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let symbol = loaded.module.symbol("cluster_version_supported").unwrap();
    assert!(symbol.global);
    assert_eq!(
        c_string(read(loaded.slot("cluster_version_supported"))),
        "1.1"
    );
}

#[test]
fn c2_a_provider_for_another_version_declines_and_names_both() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    assert!(loaded.load_foreign("provider_20").is_err());
    assert!(loaded.slots_are_null());
    let log = loaded.kernel.log();
    let named = log
        .iter()
        .any(|message| message.text == "wanted version 2.0 of the cluster contract, found 1.1");
    assert!(named, "{log:?}");
}

/// A version is the whole string: neither a prefix nor a newer one will do.
#[test]
fn c2_versions_that_look_alike_are_others() {
    for found in [
        "", "1", "1.", "1.0", "1.10", "1.1.0", "1.1 ", "01.1", "1.2", "2.1",
    ] {
        let loaded = Loaded::new(&[("clinet_provider", 0)]);
        let string = loaded.kernel.string(found);
        loaded.overwrite("cluster_version_supported", string);
        let error = loaded.load_foreign("provider_11").unwrap_err().to_string();
        assert!(
            error.contains(&format!("errno {ENOTSUP}")),
            "{found}: {error}"
        );
        assert!(loaded.slots_are_null(), "{found}");
    }
}

#[test]
fn c2_a_provider_of_several_versions_picks_the_one_that_is_there() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let recorder = loaded.load_recorder("provider_both").unwrap();
    assert_eq!(recorder.version(), "1.1");
    assert_eq!(loaded.connect2(true, &TCP4), 0);
    assert_eq!(recorder.questions(), 1);
}

#[test]
fn c2_clinet_contract_names_our_own_slots() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let symbol = loaded.module.symbol("clinet_contract").unwrap();
    assert!(symbol.global);
    assert_eq!(symbol.size, 64);
    let words: Vec<u64> = (0..8)
        .map(|index| {
            let word = std::ptr::with_exposed_provenance::<u64>(symbol.address as usize);
            // SAFETY: the symbol is 64 bytes of the module's data.
            unsafe { word.add(index).read() }
        })
        .collect();
    assert_eq!(words[0], 64);
    assert_eq!(c_string(words[1]), "1.1");
    let names = [
        "cl_inet_connect2",
        "cl_inet_disconnect",
        "cl_inet_listen",
        "cl_inet_unlisten",
        "cl_inet_bind",
        "cl_inet_unbind",
    ];
    assert_eq!(words[2..], names.map(|name| loaded.module.address(name)));
}

/// The helper looks at the size and at every slot: one that is somebody
/// else's is enough. A larger structure is a later one of ours.
#[test]
fn c2_a_provider_declines_if_any_slot_is_not_clinets() {
    for offset in [0, 16, 24, 32, 40, 48, 56] {
        let loaded = Loaded::new(&[("clinet_provider", 0)]);
        let other = match offset {
            0 => 56,
            _ => loaded.kernel.string("not a slot"),
        };
        loaded.overwrite_at("clinet_contract", offset, other);
        let error = loaded.load_foreign("provider_11").unwrap_err().to_string();
        assert!(error.contains("errno 6"), "{offset}: {error}");
        assert!(loaded.slots_are_null(), "{offset}");
    }
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    loaded.overwrite_at("clinet_contract", 0, 72);
    let _recorder = loaded.load_recorder("provider_11").unwrap();
}

#[test]
fn c2_a_provider_that_got_the_variables_of_ip_declines() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    loaded
        .kernel
        .provide("drv/ip", &SLOTS.map(|name| (name, 0)));
    assert!(loaded.load_foreign("provider_ip_first").is_err());
    assert!(loaded.slots_are_null());
    for name in SLOTS {
        let ip = loaded.kernel.variable("drv/ip", name).unwrap();
        assert_eq!(ip.load(Ordering::SeqCst), 0, "{name}");
    }
    let log = loaded.kernel.log();
    assert!(
        log.iter()
            .any(|message| message.text == "these hooks are not clinet's"),
        "{log:?}"
    );
}

// C3: the name that is gone.

#[test]
fn c3_cl_inet_connect_is_neither_defined_nor_referenced() {
    let file = clinet_module_tests::module_file();
    let names = clinet_module_tests::symbol_names(&file);
    assert!(names.iter().any(|name| name == "cl_inet_connect2"));
    assert!(!names.iter().any(|name| name == "cl_inet_connect"));
}

#[test]
fn c3_a_provider_built_for_it_does_not_load() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let error = loaded.load_foreign("provider_old").unwrap_err().to_string();
    assert!(error.contains("undefined symbol"), "{error}");
    assert!(error.contains("cl_inet_connect"), "{error}");
    assert!(!error.contains("cl_inet_connect2"), "{error}");
    assert!(loaded.slots_are_null());
}
