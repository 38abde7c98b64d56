// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module itself: loading, unloading, its symbols, odd arguments, and a
//! provider of the host in its slots.

mod common;

use std::ptr::null;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use clinet_ip::{
    AF_INET, AF_INET6, Clinet, ClinetTcp, Context, Errno, HostProvider, IPPROTO_TCP, IPPROTO_UDP,
    Kernel, Mode, SetupError, Slot, released_module,
};
use common::addr;

fn load(tunables: &[(&str, u64)]) -> (Arc<Kernel>, Clinet) {
    let kernel = Arc::new(Kernel::new());
    let file = released_module().unwrap();
    let clinet = Clinet::load(kernel.clone(), &file, tunables).unwrap();
    (kernel, clinet)
}

#[test]
fn without_a_provider_it_unloads_and_leaves_nothing() {
    let (kernel, clinet) = load(&[("clinet_provider", 0)]);
    for slot in Slot::ALL {
        assert_eq!(clinet.slot(slot).load(Ordering::Relaxed), 0, "{slot:?}");
    }
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
    let contract = clinet.contract();
    assert_eq!((contract.size, contract.version.as_str()), (64, "1.1"));
    for (slot, address) in Slot::ALL.into_iter().zip(contract.slots) {
        assert_eq!(clinet.slot(slot).as_ptr() as u64, address, "{slot:?}");
    }
    let stats = clinet.stats();
    assert_eq!(stats.iter().count(), 33);
    assert_eq!(stats.iter().last(), Some(("cleared", 0)));
    let json = serde_json::to_value(stats).unwrap();
    assert_eq!(json["capacity"], 1_048_576);
    assert_eq!(json["tcp_out_asked"], 0);
}

#[test]
fn odd_arguments_change_nothing() {
    let (_kernel, clinet) = load(&[]);
    let thread = Context::thread();
    let bytes = [192, 0, 2, 10];
    let here = bytes.as_ptr();
    let mut ct = ClinetTcp::default();
    // SAFETY: the pointers are NULL or have the four bytes of AF_INET, and an
    // unknown family has none.
    unsafe {
        let ask = |protocol, family, laddr, faddr| {
            clinet.clinet_ask(&thread, protocol, 1, family, laddr, 1, faddr, 2)
        };
        assert_eq!(ask(IPPROTO_TCP, AF_INET, null(), here), Errno::EINVAL.0);
        assert_eq!(ask(IPPROTO_TCP, AF_INET, here, null()), Errno::EINVAL.0);
        assert_eq!(ask(IPPROTO_UDP, 10, here, here), Errno::EAFNOSUPPORT.0);
        assert_eq!(ask(132, AF_INET, here, here), 0);
        let error = clinet.clinet_tcp_connect(&thread, &mut ct, 1, AF_INET, null(), 1, here, 2);
        assert_eq!(error, Errno::EINVAL.0);
        clinet.clinet_tcp_disconnect(&thread, std::ptr::null_mut());
    }
    let stats = clinet.stats();
    assert_eq!((stats.bad_argument, stats.other_protocol), (5, 1));
    assert_eq!((stats.registered, stats.tuples), (0, 0));
    assert!(!ct.is_open());
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

/// The arguments of one question, ports in host order.
type Question = (u8, bool, u16, [u8; 4], u16, [u8; 4], u16);

/// What the provider below was asked.
static QUESTIONS: Mutex<Vec<Question>> = Mutex::new(Vec::new());

/// # Safety
///
/// The addresses have four bytes: the test uses IPv4 only.
unsafe extern "C" fn ask(
    protocol: u8,
    outgoing: i32,
    family: u16,
    laddr: *const u8,
    lport: u16,
    faddr: *const u8,
    fport: u16,
) -> i32 {
    // SAFETY: as the contract and the test say.
    let (local, foreign) = unsafe { (*laddr.cast(), *faddr.cast()) };
    let (lport, fport) = (u16::from_be(lport), u16::from_be(fport));
    let mut questions = QUESTIONS.lock().unwrap();
    questions.push((
        protocol,
        outgoing != 0,
        family,
        local,
        lport,
        foreign,
        fport,
    ));
    match fport {
        1 => -8,
        2 => Errno::EINPROGRESS.0,
        3 => 99,
        _ => 0,
    }
}

#[test]
fn a_foreign_provider_is_asked_through_the_slots() {
    let mut cluster = clinet_ip::Cluster::new(&released_module().unwrap());
    cluster.set_tunable("clinet_provider", 0);
    let a = cluster
        .add_node("a", &["192.0.2.10".parse().unwrap()])
        .unwrap();
    let host = cluster.add_host("host", &["198.51.100.1".parse().unwrap()]);
    let _listener = host.tcp_listen(addr("198.51.100.1:80")).unwrap();
    let provider = HostProvider {
        connect2: ask,
        disconnect: None,
        listen: None,
        unlisten: None,
        bind: None,
        unbind: None,
    };
    assert!(a.clinet().associate(&provider));
    assert!(!a.clinet().associate(&provider), "the slot is taken");

    let local = Some(addr("192.0.2.10:5000"));
    let socket = a.tcp_connect(local, addr("198.51.100.1:80")).unwrap();
    let udp = a.udp_bind(addr("192.0.2.10:6000")).unwrap();
    common::sendto(&udp, "198.51.100.1:53").unwrap();
    let (node, peer) = ([192, 0, 2, 10], [198, 51, 100, 1]);
    assert_eq!(
        *QUESTIONS.lock().unwrap(),
        [
            (6, true, AF_INET, node, 5000, peer, 80),
            (17, true, AF_INET, node, 6000, peer, 53)
        ]
    );
    socket.abort();

    // An answer that would harm the stack does not reach it.
    for (port, errno) in [
        (1, Errno::EADDRNOTAVAIL),
        (2, Errno::EADDRNOTAVAIL),
        (3, Errno(99)),
    ] {
        let peer = addr(&format!("198.51.100.1:{port}"));
        assert_eq!(a.tcp_connect(None, peer).unwrap_err(), errno);
    }
    assert_eq!(a.stats().bad_answer, 2);
}
