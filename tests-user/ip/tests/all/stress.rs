// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Threads drive sockets on two machines whose modules know of each other's
//! entries, while others attach, detach, audit, and change modes and address
//! lists. In the end nothing is left, and the counters add up.
//!
//! The seed is printed; `CLINET_SEED` gives another one. It runs for some
//! seconds; `CLINET_STRESS_SECONDS` says for how many.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::mapped;
use clinet_ip::*;
use clinet_kernel::together;
use fastrand::Rng;

/// Driving threads of each machine.
const DRIVERS: usize = 2;
/// A second stack, beside the global one.
const STACK: i32 = 7;
const STACKS: [i32; 2] = [0, STACK];
/// Sockets that a driver keeps.
const SOCKETS: usize = 40;
/// Seconds that an entry of UDP lives.
const UDP_AGE: u64 = 64;
const LISTS: [&std::ffi::CStr; 4] = [
    c"127.0.0.1,127.0.0.2,10.1.1.1,10.1.1.2,::1,fd00::1,fd00::2",
    c"127.0.0.1,fd00::1",
    c"",
    c"127.0.0.1,",
];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| {
        let parsed = text.parse();
        parsed.unwrap_or_else(|_| panic!("{variable} is a decimal number, not {text}"))
    })
}

/// One machine, and what is known of the entries of the other one on it.
struct Machine {
    node: AttachedNode,
    /// The number of the other node.
    other: u32,
    listeners: Vec<Socket>,
    installed: Mutex<BTreeSet<(u8, SocketAddr, SocketAddr)>>,
    installs: AtomicU64,
    withdrawals: AtomicU64,
}

impl Machine {
    fn new(file: &[u8], number: u32, other: u32) -> Self {
        let tunables = [
            ("clinet_node_id", number.into()),
            ("clinet_udp_age", UDP_AGE),
            ("clinet_audit_period", 10),
            ("clinet_max_tuples", 512),
        ];
        let node = AttachedNode::new(file, &tunables).unwrap_or_else(|error| panic!("{error}"));
        node.attached().add_stack(STACK);
        let listeners = STACKS.into_iter().flat_map(|stack| {
            let wildcards = [(AF_INET, 5001), (AF_INET6, 5002)];
            wildcards.map(|(family, port)| {
                let listener = node.ip().tcp(stack, family);
                listener.bind(None, port).expect("the port is free");
                listener.listen(128).expect("it is bound");
                listener
            })
        });
        Self {
            listeners: listeners.collect(),
            node,
            other,
            installed: Mutex::default(),
            installs: AtomicU64::new(0),
            withdrawals: AtomicU64::new(0),
        }
    }

    /// The other node has these now, and what it had before no more.
    fn replicate(&self, entries: &[Entry]) {
        let clinet = self.node.clinet();
        let mut installed = self.installed.lock().expect("nobody panicked");
        let is_global = |entry: &&Entry| entry.stack == 0 && entry.references > 0;
        let there: BTreeSet<_> = entries
            .iter()
            .filter(is_global)
            .map(|entry| (entry.protocol, entry.local, entry.foreign))
            .collect();
        installed.retain(|tuple| {
            if there.contains(tuple) {
                return true;
            }
            // It may be gone with its address.
            let withdrawn = clinet.withdraw(self.other, tuple.0, tuple.1, tuple.2);
            self.withdrawals
                .fetch_add(withdrawn.is_ok().into(), Ordering::Relaxed);
            false
        });
        for tuple in there {
            // Else it is this node's, not shared, or there is no room.
            if !installed.contains(&tuple)
                && clinet
                    .install(self.other, tuple.0, tuple.1, tuple.2)
                    .is_ok()
            {
                self.installs.fetch_add(1, Ordering::Relaxed);
                installed.insert(tuple);
            }
        }
    }

    /// The other node leaves.
    fn purge(&self) {
        let mut installed = self.installed.lock().expect("nobody panicked");
        let purged = self.node.clinet().purge(self.other);
        purged.expect("it is another node");
        installed.clear();
    }

    /// Does one of the things that an administrator or a cluster does.
    fn administer(&self, rng: &mut Rng, other: &Self) {
        let node = &self.node;
        match rng.u8(0..12) {
            0 => assert_eq!(node.call("clinet_detach_ip", &[]), 0),
            1..4 => assert_eq!(node.call("clinet_attach_ip", &[]), 0),
            4 => {
                // ENXIO while detached.
                let result = node.call("clinet_audit", &[]);
                assert!(matches!(result, 0 | 6), "clinet_audit: {result}");
            }
            5 => {
                let mode = rng.u32(0..3);
                node.tunable("clinet_mode").store(mode, Ordering::Relaxed);
            }
            6 => {
                let list = LISTS[rng.usize(..LISTS.len())];
                let expected = if list == LISTS[3] { Errno::EINVAL.0 } else { 0 };
                assert_eq!(node.call_with_text("clinet_set_addrs", list), expected);
            }
            7 => self.purge(),
            8 => assert!(node.kstat("registry", "capacity") > 0),
            9..11 => self.replicate(&other.node.entries()),
            _ => node.seconds(rng.u64(1..15)),
        }
    }

    /// Drives sockets until it is time.
    fn drive(&self, mut rng: Rng, end: Instant) -> (Vec<Socket>, u64) {
        let mut sockets = Vec::new();
        let mut operations = 0;
        while Instant::now() < end {
            self.act(&mut rng, &mut sockets);
            operations += 1;
            if sockets.len() > SOCKETS {
                let socket = sockets.swap_remove(rng.usize(..sockets.len()));
                close(&mut rng, &socket);
            }
        }
        (sockets, operations)
    }

    /// One thing that a program, a network card or time does. Failures are
    /// ordinary: ports are taken, and 5-tuples are another node's.
    fn act(&self, rng: &mut Rng, sockets: &mut Vec<Socket>) {
        let ip = self.node.ip();
        let stack = STACKS[rng.usize(..STACKS.len())];
        match rng.u8(0..20) {
            0..5 => sockets.extend(connect(rng, ip, stack)),
            5..9 => {
                let listener = &self.listeners[rng.usize(..self.listeners.len())];
                sockets.extend(listener.accept());
            }
            9..12 => sockets.push(udp(rng, ip, stack)),
            12..15 if !sockets.is_empty() => {
                let socket = rng.usize(..sockets.len());
                use_again(rng, &sockets[socket]);
            }
            15 => ip.advance(rng.u64(..7000)),
            16 => ip.provoke_duplicate_syn(stack),
            17 => ip.provoke_no_destination(stack),
            18 => ip.set_interrupts(stack, rng.bool()),
            _ if !sockets.is_empty() => {
                let socket = sockets.swap_remove(rng.usize(..sockets.len()));
                close(rng, &socket);
            }
            _ => {}
        }
    }

    /// With every socket closed and every connection over.
    fn finish(&self, sockets: Vec<Socket>) {
        let node = &self.node;
        for socket in sockets.iter().chain(&self.listeners) {
            socket.close();
        }
        // The listeners' queues are closed with them, what was under way is not.
        assert_eq!(node.ip().drain(), 0, "every socket is closed");
        node.tunable("clinet_mode").store(2, Ordering::Relaxed);
        // Until it is followed there are no audits.
        node.seconds(1);
        assert_eq!(node.call_with_text("clinet_set_addrs", LISTS[0]), 0);
        assert_eq!(node.call("clinet_attach_ip", &[]), 0);
        self.replicate(&[]);
        for _ in 0..3 {
            node.audit();
        }
        assert_eq!(node.tcp_entries(), []);
        self.check_counters();
        node.seconds(2 * UDP_AGE);
        assert_eq!(node.entries(), []);
        assert_eq!(node.kstat("registry", "endpoints"), 0);
        self.check_counters();
        let kernel = node.attached().kernel();
        kernel.check_memory().expect("nothing freed was written to");
        assert!(kernel.fault().is_none());
        // Nobody holds it, or the id would still be in use.
        node.attached().remove_stack(STACK);
        node.attached().add_stack(STACK);
    }

    fn check_counters(&self) {
        let stats = self.node.clinet().stats();
        let came = stats.registered + stats.audit_added + self.installs.load(Ordering::Relaxed);
        let went = stats.removed
            + stats.aged
            + stats.dropped
            + stats.audit_removed
            + stats.cleared
            + self.withdrawals.load(Ordering::Relaxed);
        assert_eq!(came, went + stats.tuples, "{stats:?}");
        let no_room = [&stats.tcp_out, &stats.tcp_in, &stats.udp]
            .map(|flow| flow.full + flow.late + flow.udp_full + flow.addresses_full);
        let handled = stats.full_admitted + stats.full_refused;
        assert_eq!(no_room.iter().sum::<u64>(), handled, "{stats:?}");
    }
}

/// An address for sockets of a family, IPv4 in IPv6 form included.
fn address(rng: &mut Rng, family: u16) -> IpAddr {
    let v4 = ["127.0.0.1", "127.0.0.2", "10.1.1.1"];
    let v6 = ["::1", "fd00::1"];
    let pick = |rng: &mut Rng, from: &[&str]| -> IpAddr {
        let text = from[rng.usize(..from.len())];
        text.parse().expect("an address")
    };
    match family {
        AF_INET => pick(rng, &v4),
        _ if rng.bool() => mapped(pick(rng, &v4)),
        _ => pick(rng, &v6),
    }
}

fn family(rng: &mut Rng) -> u16 {
    if rng.bool() { AF_INET } else { AF_INET6 }
}

/// A TCP socket that is, or will soon be, connected.
fn connect(rng: &mut Rng, ip: &Ip, stack: i32) -> Option<Socket> {
    let family = family(rng);
    let to = address(rng, family);
    let socket = ip.tcp(stack, family);
    if rng.bool() {
        // One of few ports, so that the other machine uses it, too.
        let _taken = socket.bind(Some(to), rng.u16(15000..15008));
    }
    socket.set_nonblocking(rng.u8(..4) != 0);
    let port = if rng.bool() { 5001 } else { 5002 };
    let is_up = matches!(socket.connect(to, port), Ok(()) | Err(Errno::EINPROGRESS));
    if !is_up {
        socket.close();
    }
    is_up.then_some(socket)
}

/// A UDP socket that has sent or is connected.
fn udp(rng: &mut Rng, ip: &Ip, stack: i32) -> Socket {
    let socket = ip.udp(stack, family(rng));
    if rng.bool() {
        let own = address(rng, socket.family());
        let _taken = socket.bind(Some(own), rng.u16(15000..15008));
    }
    use_again(rng, &socket);
    socket
}

/// Uses a socket that may be of any kind and in any state.
fn use_again(rng: &mut Rng, socket: &Socket) {
    let to = address(rng, socket.family());
    let port = rng.u16(7001..7004);
    let _may_fail = match rng.u8(0..9) {
        0..3 => socket
            .send_to(Some((to, port)), rng.u8(..8) == 0, 4)
            .map(drop),
        3 => socket.connect(to, port),
        4 => socket.disconnect(),
        5 => socket.bind_null(),
        6 => socket.shutdown(Shutdown::Write),
        7 => socket.receive().map(drop),
        _ => {
            let option = SocketOption::ALL[rng.usize(..SocketOption::ALL.len())];
            // Its value is a time, which would be a very short one.
            if option == SocketOption::TCP_CONN_ABORT_THRESHOLD {
                Ok(())
            } else {
                socket.set_option(option, 1)
            }
        }
    };
}

fn close(rng: &mut Rng, socket: &Socket) {
    if rng.u8(..4) == 0 {
        socket.set_linger0();
    }
    socket.close();
}

#[test]
fn nothing_is_left_of_what_threads_do_to_each_other() {
    let seed = number("CLINET_SEED", 0x636c_696e_6574);
    let seconds = number("CLINET_STRESS_SECONDS", 4);
    println!("CLINET_SEED={seed} CLINET_STRESS_SECONDS={seconds}");
    let end = Instant::now() + Duration::from_secs(seconds);
    let file = clinet_ip::released_module().unwrap_or_else(|error| panic!("{error}"));
    let machines = [(1, 2), (2, 1)].map(|(own, other)| Arc::new(Machine::new(&file, own, other)));
    let mut rngs = (0..).map(|thread| Rng::with_seed(seed ^ thread << 32));
    let mut rng = || rngs.next().expect("there is always one more");
    let mut all = 0;
    let sockets: Vec<Vec<Socket>> = together::scope(|threads| {
        let mut drivers = Vec::new();
        for (machine, other) in [(0, 1), (1, 0)] {
            let (machine, other) = (&machines[machine], &machines[other]);
            for _ in 0..DRIVERS {
                let rng = rng();
                drivers.push(threads.spawn(move |_| machine.drive(rng, end)));
            }
            let mut rng = rng();
            threads.spawn(move |over| {
                while Instant::now() < end && !over.is_set() {
                    machine.administer(&mut rng, other);
                }
            });
        }
        let mut sockets = drivers
            .into_iter()
            .map(|driver| driver.join().expect("no panic"));
        machines
            .iter()
            .map(|_| {
                let own = sockets.by_ref().take(DRIVERS);
                own.flat_map(|(sockets, operations)| {
                    all += operations;
                    sockets
                })
                .collect()
            })
            .collect()
    });
    println!("{all} operations");
    for (machine, sockets) in machines.iter().zip(sockets) {
        machine.finish(sockets);
    }
}
