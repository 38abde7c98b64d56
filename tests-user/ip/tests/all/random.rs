// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Random programs on several threads. The seed is printed; `CLINET_SEED`
//! gives another one.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use crate::common::{self, Pair, addr, pair};
use clinet_ip::{Errno, IPPROTO_UDP, Mode, Node, Socket, SocketOption, TIME_WAIT};
use clinet_kernel::together;

/// A small generator (SplitMix64): the operations depend on the seed alone.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn port(&mut self, first: u16) -> u16 {
        first + self.next(6) as u16
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.next(from.len() as u64) as usize]
    }
}

fn seed() -> u64 {
    let seed = std::env::var("CLINET_SEED").map_or(0x636c_696e_6574, |text| {
        text.parse().expect("CLINET_SEED is a decimal number")
    });
    println!("CLINET_SEED={seed}");
    seed
}

/// Addresses of one node and of its peer, in one family.
fn ends(random: &mut Random, local: u16, foreign: u16) -> (SocketAddr, SocketAddr) {
    if random.next(3) == 0 {
        let (node, peer) = (common::SHARED6, common::SERVER6);
        (
            addr(&format!("[{node}]:{local}")),
            addr(&format!("[{peer}]:{foreign}")),
        )
    } else {
        let (node, peer) = (common::SHARED, common::SERVER);
        (
            addr(&format!("{node}:{local}")),
            addr(&format!("{peer}:{foreign}")),
        )
    }
}

/// The sockets that the threads of one node use.
#[derive(Default)]
struct Program {
    tcp: Vec<Socket>,
    udp: Vec<Socket>,
    listeners: Vec<Socket>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let sockets = [&self.tcp, &self.udp, &self.listeners];
        sockets.into_iter().flatten().for_each(Socket::close);
    }
}

fn sendto(socket: &Socket, to: SocketAddr) -> Result<(), Errno> {
    socket
        .send_to(Some((to.ip(), to.port())), false, 4)
        .map(drop)
}

fn connect(socket: &Socket, to: SocketAddr) -> Result<(), Errno> {
    socket.connect(to.ip(), to.port())
}

fn set(socket: &Socket, option: SocketOption) -> Result<(), Errno> {
    // These are never taken back, and leave few ports to others.
    if option == SocketOption::SO_EXCLBIND || option == SocketOption::UDP_EXCLBIND {
        return Ok(());
    }
    socket.set_option(option, 1)
}

/// One random thing that a thread does. Failures are ordinary: ports are taken
/// and 5-tuples held.
fn act(random: &mut Random, t: &Pair, node: &Node, program: &mut Program, common: &Socket) {
    let (foreign, local) = (random.port(80), random.port(5000));
    let (local, peer) = ends(random, local, foreign);
    match random.next(14) {
        0..3 => program.tcp.extend(node.tcp_connect(Some(local), peer)),
        3 => program.tcp.extend(node.tcp_connect(None, peer)),
        4 => {
            let service = SocketAddr::new(local.ip(), random.port(22));
            program.tcp.extend(t.host.tcp_connect(None, service));
        }
        5 => {
            for listener in &program.listeners {
                program.tcp.extend(listener.accept());
            }
        }
        6 if !program.tcp.is_empty() => {
            let index = random.next(program.tcp.len() as u64) as usize;
            let socket = program.tcp.swap_remove(index);
            if random.next(3) == 0 {
                socket.abort();
            } else {
                let _ = socket.send(4);
                socket.close();
            }
        }
        7 => program
            .listeners
            .extend(node.tcp_listen(SocketAddr::new(local.ip(), random.port(22)))),
        8 => program.udp.extend(node.udp_bind(local)),
        9 if !program.udp.is_empty() => {
            let index = random.next(program.udp.len() as u64) as usize;
            program.udp.swap_remove(index).close();
        }
        10 => {
            let _ = sendto(common, peer);
            let _ = set(common, *random.pick(SocketOption::ALL));
        }
        _ if !program.udp.is_empty() => {
            let socket = random.pick(&program.udp);
            let _ = match random.next(5) {
                0 => set(socket, *random.pick(SocketOption::ALL)),
                1 => connect(socket, peer).and_then(|()| {
                    socket.send(9)?;
                    socket.disconnect()
                }),
                2 => {
                    let bind = || socket.bind(Some(local.ip()), local.port());
                    socket.bind_null().and_then(|()| bind())
                }
                _ => sendto(socket, peer),
            };
        }
        _ => {}
    }
}

const THREADS: u64 = 2;
const ACTIONS: usize = 300;

fn run(mode: Mode, seed: u64) {
    let t = pair();
    t.cluster.replicate(true);
    t.cluster.steer(|tuple, nodes| {
        let chosen = usize::from(tuple.foreign.port()) % nodes.len();
        nodes.get(chosen).copied()
    });
    let servers: Vec<_> = (80..83)
        .flat_map(|port| {
            [common::SERVER, common::SERVER6].map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
        })
        .map(|local| t.host.tcp_listen(local).unwrap())
        .collect();
    let accepted = Mutex::new(Vec::new());
    let nodes = [&t.a, &t.b];
    let kmem = nodes.map(|node| {
        // By then the module has the memory that it keeps in reserve.
        node.kernel().settle();
        node.kernel().kmem_in_use()
    });
    let shared = nodes.map(|node| {
        node.clinet().set_mode(mode);
        node.udp_bind(addr("192.0.2.10:7000")).unwrap()
    });
    together::scope(|threads| {
        for (index, node) in nodes.into_iter().enumerate() {
            for thread in 0..THREADS {
                let (t, accepted, servers, shared) = (&t, &accepted, &servers, &shared);
                threads.spawn(move |_| {
                    let mut random = Random(seed ^ (index as u64 * THREADS + thread) << 40);
                    let mut program = Program::default();
                    for _ in 0..ACTIONS {
                        act(&mut random, t, node, &mut program, &shared[index]);
                        for server in servers {
                            accepted.lock().unwrap().extend(server.accept());
                        }
                    }
                });
            }
        }
    });
    let accepted = accepted.into_inner().unwrap();
    let sockets = accepted.iter().chain(&servers).chain(&shared);
    sockets.for_each(Socket::close);
    assert!(nodes.iter().any(|node| node.stats().tcp_in_asked > 0));
    t.cluster.advance(TIME_WAIT);
    t.cluster.replicate(false);
    for (node, kmem) in nodes.into_iter().zip(kmem) {
        let stats = node.stats();
        let context = format!("seed {seed}, node {node}: {stats:?}");
        assert!(stats.tcp_out_asked > 0, "{context}");
        assert!(stats.udp_asked > 0 && stats.registered > 0, "{context}");
        let left = t.cluster.held(node.id());
        assert!(
            left.iter().all(|tuple| tuple.protocol == IPPROTO_UDP),
            "{context}"
        );
        assert_eq!(stats.tuples, left.len() as u64, "{context}");
        assert_eq!(stats.unknown, 0, "{context}");
        assert_eq!(stats.bad_argument, 0, "{context}");
        let tcp = stats.tcp_out_asked + stats.tcp_in_asked;
        let refused = stats.tcp_out_refused + stats.tcp_in_refused;
        assert_eq!(stats.ended, tcp - refused, "{context}");
        // A new bind clears what a connected socket left behind.
        for tuple in left {
            node.udp_bind(tuple.local).unwrap().close();
        }
        assert_eq!(node.stats().tuples, 0, "{context}");
        // Endpoints go a few sweeps later than their entries. One whose only question
        // was refused has none, and goes when it is as old as entries may get.
        for _ in 0..30 {
            node.stats();
            node.kernel().advance(Duration::from_secs(600));
            node.kernel().settle();
        }
        assert_eq!(node.kernel().fault(), None);
        assert_eq!(node.kernel().kmem_in_use(), kmem, "{context}");
        node.kernel().check_memory().unwrap();
    }
}

#[test]
fn checked_calls_from_several_threads() {
    run(Mode::Checked, seed());
}

#[test]
fn direct_calls_from_several_threads() {
    run(Mode::Direct, seed().rotate_left(17));
}

#[test]
fn two_threads_share_one_udp_endpoint() {
    let t = pair();
    let socket = t.a.udp_bind(addr("192.0.2.10:5000")).unwrap();
    let seed = seed();
    together::scope(|threads| {
        for thread in 0..2 {
            let socket = &socket;
            threads.spawn(move |_| {
                let mut random = Random(seed ^ thread);
                for _ in 0..500 {
                    let peer = SocketAddr::new(common::SERVER.parse().unwrap(), random.port(53));
                    match random.next(4) {
                        0 => drop(socket.set_option(SocketOption::IP_TTL, 64)),
                        1 => drop(connect(socket, peer).and_then(|()| socket.disconnect())),
                        _ => drop(sendto(socket, peer)),
                    }
                }
            });
        }
    });
    let before = t.a.stats();
    assert!(before.udp_asked > 0 && before.tuples > 0);
    socket.close();
    let after = t.a.stats();
    assert_eq!(after.tuples, 0, "{after:?}");
    assert_eq!(after.unknown, 0);
}
