// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A program that opens and closes connections, so that there is something to
//! see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clinet_control::Protocol;
use clinet_control::machine::{MachineReply, MachineRequest};

use super::machine::Machine;
use super::programs::Program;

/// How many connections are open at most.
const MOST_OPEN: usize = 500;
/// How long one stays open, in seconds.
const LIFE: std::ops::Range<u64> = 5..60;

/// Somebody whom the program talks to.
struct Server {
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    port: u16,
    protocol: Protocol,
}

const fn server(v4: [u8; 4], v6: [u16; 2], port: u16, protocol: Protocol) -> Server {
    let [a, b, c, d] = v4;
    Server {
        v4: Ipv4Addr::new(a, b, c, d),
        v6: Ipv6Addr::new(0x2001, 0xdb8, v6[0], 0, 0, 0, 0, v6[1]),
        port,
        protocol,
    }
}

/// What a program of a web site talks to.
const SERVERS: [Server; 6] = [
    server([198, 51, 100, 7], [7, 7], 443, Protocol::Tcp),
    server([198, 51, 100, 7], [7, 7], 80, Protocol::Tcp),
    server([198, 51, 100, 21], [7, 0x21], 5432, Protocol::Tcp),
    server([203, 0, 113, 5], [9, 5], 443, Protocol::Tcp),
    server([203, 0, 113, 53], [9, 0x53], 53, Protocol::Udp),
    server([203, 0, 113, 123], [9, 0x123], 123, Protocol::Udp),
];

/// Opens `rate` connections a second from these addresses, in turn, as long as
/// the process lives.
pub fn start(machine: Arc<Machine>, addresses: Vec<IpAddr>, rate: f64) {
    let program = Program {
        name: "busy".to_owned(),
        pid: std::process::id(),
        number: 0,
    };
    thread::spawn(move || {
        let pause = Duration::from_secs_f64(1.0 / rate);
        let mut open: Vec<(Instant, u64)> = Vec::new();
        let pairs = addresses.iter().cycle().zip(SERVERS.iter().cycle());
        for (address, server) in pairs {
            thread::sleep(pause);
            let now = Instant::now();
            let (over, rest): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|(until, _)| *until <= now);
            open = rest;
            for (_, socket) in over {
                // One that the machine ended is closed all the same.
                drop(machine.ask(&program, &MachineRequest::Close { socket }));
            }
            let request = connect(*address, server);
            if open.len() < MOST_OPEN
                && let Ok(MachineReply::Connected { socket, .. }) = machine.ask(&program, &request)
            {
                drop(machine.ask(&program, &MachineRequest::Send { socket }));
                open.push((now + Duration::from_secs(fastrand::u64(LIFE)), socket));
            }
        }
    });
}

/// A connect to a server from a local address.
fn connect(local: IpAddr, server: &Server) -> MachineRequest {
    let foreign = match local {
        IpAddr::V4(_) => server.v4.into(),
        IpAddr::V6(_) => server.v6.into(),
    };
    MachineRequest::Connect {
        protocol: server.protocol,
        local: Some(SocketAddr::new(local, 0)),
        foreign: SocketAddr::new(foreign, server.port),
    }
}
