// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module as the model calls it: loading and unloading, two ways of calls.

use std::sync::Arc;

use crate::common::addr;
use clinet_ip::{
    AF_INET6, Clinet, ClinetTcp, Context, Errno, IPPROTO_TCP, Kernel, Mode, SetupError,
    released_module,
};

fn load(tunables: &[(&str, u64)]) -> (Arc<Kernel>, Clinet) {
    let kernel = Arc::new(Kernel::new());
    let file = released_module().unwrap();
    let clinet = Clinet::load(kernel.clone(), &file, tunables).unwrap();
    (kernel, clinet)
}

#[test]
fn without_a_provider_it_unloads_and_leaves_nothing() {
    let (kernel, clinet) = load(&[("clinet_provider", 0)]);
    let (local, foreign) = (addr("192.0.2.10:1"), addr("198.51.100.1:2"));
    let thread = Context::thread();
    let answer = clinet.ask(&thread, IPPROTO_TCP, true, local, foreign);
    assert_eq!(answer, Ok(()));
    assert_eq!(clinet.stats().no_provider, 1);
    assert_eq!(
        clinet.install(2, IPPROTO_TCP, local, foreign),
        Err(Errno::ENXIO)
    );
    clinet.unload().unwrap();
    assert_eq!(kernel.kmem_in_use(), 0);
}

#[test]
fn with_a_provider_it_stays() {
    let (kernel, clinet) = load(&[("clinet_provider", 1)]);
    let Err((Some(clinet), error)) = clinet.unload() else {
        panic!("it was unloaded");
    };
    assert!(error.to_string().contains("errno 16"), "{error}");
    assert_eq!(clinet.stats().capacity, 1_048_576);
    assert!(kernel.kmem_in_use() > 0);
}

#[test]
fn it_says_what_it_is() {
    let (_kernel, clinet) = load(&[]);
    assert_eq!(clinet.version(), "1.1");
    let stats = clinet.stats();
    assert_eq!(stats.iter().count(), 36);
    assert_eq!(stats.iter().last(), Some(("install_late", 0)));
    let json = serde_json::to_value(stats).unwrap();
    assert_eq!(json["capacity"], 1_048_576);
    assert_eq!(json["tcp_out_asked"], 0);
}

#[test]
fn direct_calls_answer_as_checked_ones() {
    let (_kernel, clinet) = load(&[]);
    let context = Context::interrupt();
    let foreign = addr("[2001:db8:1::1]:80");
    for mode in [Mode::Checked, Mode::Direct] {
        clinet.set_mode(mode);
        assert_eq!(clinet.mode(), mode);
        let before = clinet.stats();
        let mut ct = ClinetTcp::default();
        let local = addr("[2001:db8::10]:5000");
        clinet
            .tcp_connect(&context, &mut ct, true, local, foreign)
            .unwrap();
        assert!(ct.is_open());
        clinet.tcp_disconnect(&context, &mut ct);
        clinet.install(2, IPPROTO_TCP, local, foreign).unwrap();
        assert_eq!(
            clinet.tcp_connect(&context, &mut ct, true, local, foreign),
            Err(Errno::EADDRINUSE)
        );
        clinet.purge(2).unwrap();
        let answer = clinet.ask(&context, IPPROTO_TCP, false, local, foreign);
        assert_eq!(answer, Ok(()));
        assert_eq!(clinet.stats().since(&before).tcp_in_asked, 1);
        clinet.end(&context, IPPROTO_TCP, local, foreign);
        let stats = clinet.stats().since(&before);
        assert_eq!((stats.registered, stats.removed, stats.tuples), (2, 2, 0));
        assert_eq!((stats.tcp_out_asked, stats.tcp_out_refused), (2, 1));
    }
}

#[test]
fn ends_of_two_families_travel_as_ipv6() {
    let (_kernel, clinet) = load(&[]);
    let calls = clinet.record();
    let context = Context::no_sleep();
    let (local, foreign) = (addr("192.0.2.10:1"), addr("[::ffff:198.51.100.1]:2"));
    let mut ct = ClinetTcp::default();
    clinet
        .tcp_connect(&context, &mut ct, true, local, foreign)
        .unwrap();
    clinet.tcp_disconnect(&context, &mut ct);
    let asked = &calls.take()[0];
    assert_eq!(asked.family, Some(AF_INET6));
    assert_eq!(asked.local, Some(addr("[::ffff:192.0.2.10]:1")));
    assert_eq!(clinet.stats().removed, 1);
}

#[test]
fn a_missing_or_broken_file_says_what_to_do() {
    let kernel = Arc::new(Kernel::new());
    let error = Clinet::load(kernel, b"not a module", &[]).unwrap_err();
    assert!(matches!(error, SetupError::Modload(_)), "{error}");
    let error = SetupError::NoModule {
        path: "build/clinet".into(),
        error: std::io::ErrorKind::NotFound.into(),
    };
    assert!(error.to_string().contains("run `make` first"));
}
