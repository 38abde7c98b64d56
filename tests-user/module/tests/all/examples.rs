// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The providers of `examples/`, which docs/providers.md shows, in C and in Rust.

use clinet_kernel::Module;
use clinet_module_tests::{EADDRINUSE, Loaded, SLOTS, TCP, Tuple, built, read};

fn word(module: &Module, name: &str) -> *mut u32 {
    std::ptr::with_exposed_provenance_mut(module.address(name) as usize)
}

fn get(module: &Module, name: &str) -> u32 {
    // SAFETY: a 32-bit variable of the module; no call is under way.
    unsafe { word(module, name).read_volatile() }
}

fn load(loaded: &Loaded, file: &str) -> Result<Module, String> {
    let tunables = [("provider_refused_port", 99)];
    let name = format!("misc/{file}");
    let file = built(&format!("foreign/{file}"));
    loaded
        .kernel
        .load(&name, &file, &tunables)
        .map_err(|error| error.to_string())
}

fn asked_and_may_refuse(file: &str) -> (Loaded, Module) {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let provider = load(&loaded, file).unwrap();
    assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, 1, 80)), 0);
    assert_eq!(loaded.connect2(true, &Tuple::v6(TCP, 1, 99)), EADDRINUSE);
    assert_eq!(get(&provider, "provider_asked"), 2);
    let error = loaded.kernel.unload(&provider).unwrap_err().to_string();
    assert!(error.contains("errno 16"), "{error}");
    (loaded, provider)
}

#[test]
fn the_provider_in_c_is_asked_and_told() {
    let (loaded, provider) = asked_and_may_refuse("example");
    loaded.disconnect(&Tuple::v4(TCP, 1, 80));
    assert_eq!(get(&provider, "provider_ended"), 1);
}

#[test]
fn the_provider_in_rust_is_asked() {
    asked_and_may_refuse("example_rust");
}

#[test]
fn both_decline_when_another_is_associated() {
    for file in ["example", "example_rust"] {
        let loaded = Loaded::with_builtin();
        let before = SLOTS.map(|name| read(loaded.slot(name)));
        let error = load(&loaded, file).unwrap_err();
        assert!(error.contains("errno 16"), "{error}");
        assert_eq!(SLOTS.map(|name| read(loaded.slot(name))), before);
        let log = loaded.kernel.log();
        let says = "another provider is associated; is clinet:clinet_provider 0?";
        assert!(
            log.iter().any(|message| message.text.contains(says)),
            "{log:?}"
        );
    }
}

/// The fields of clinet's that name version and slots, changed under their
/// feet before they look.
#[test]
fn both_decline_another_version() {
    for file in ["example", "example_rust"] {
        let loaded = Loaded::new(&[("clinet_provider", 0)]);
        let other = loaded.kernel.string("3.0");
        loaded.overwrite("cluster_version_supported", other);
        let error = load(&loaded, file).unwrap_err();
        assert!(error.contains("errno 48"), "{error}");
        assert!(loaded.slots_are_null());
        let expected = "provider: wanted version 1.1 of the cluster contract, found 3.0";
        let log = loaded.kernel.log();
        assert!(
            log.iter().any(|message| message.text == expected),
            "{log:?}"
        );
    }
}

#[test]
fn both_decline_the_variables_of_ip() {
    for file in ["example", "example_rust"] {
        let loaded = Loaded::new(&[("clinet_provider", 0)]);
        let elsewhere = loaded.kernel.string("not a slot");
        loaded.overwrite_at("clinet_contract", 16, elsewhere);
        let error = load(&loaded, file).unwrap_err();
        assert!(error.contains("errno 6"), "{error}");
        assert!(loaded.slots_are_null());
    }
}
