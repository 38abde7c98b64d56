// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The script that makes the connections of the VM test, on this machine: what
//! it says of a connection that comes to be, and of one that does not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

use clinet_pkg_tests::command;

fn run(kind: &str, address: &str, lport: u16, fport: u16) -> (Option<i32>, String, String) {
    let output = command("perl")
        .args(["pkg/vm/sockets.pl", kind, address])
        .args([lport.to_string(), fport.to_string()])
        .output()
        .expect("perl runs");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("text"),
        String::from_utf8(output.stderr).expect("text"),
    )
}

/// Loopback of each family that this machine has.
fn addresses() -> Vec<IpAddr> {
    let all = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let found: Vec<IpAddr> = all
        .into_iter()
        .filter(|address| UdpSocket::bind((*address, 0)).is_ok())
        .collect();
    assert!(!found.is_empty(), "this machine has no loopback");
    found
}

/// Two ports that nobody has at this moment.
fn ports(address: IpAddr) -> (u16, u16) {
    let free = [(); 2].map(|()| TcpListener::bind((address, 0)).expect("a free port"));
    let [one, two] = free.map(|socket| socket.local_addr().expect("its address").port());
    (one, two)
}

#[test]
fn what_arrives_is_accepted_and_again_at_once() {
    for address in addresses() {
        for kind in ["tcp", "udp-connect", "udp-send"] {
            let (lport, fport) = ports(address);
            for _ in 0..2 {
                let (status, said, error) = run(kind, &address.to_string(), lport, fport);
                assert_eq!((status, said.as_str()), (Some(0), "accepted\n"), "{error}");
            }
        }
    }
}

/// Port 0 can be bound, to any port, and nobody can connect to it: an errno.
#[test]
fn a_failure_is_told_with_its_errno() {
    for kind in ["tcp", "udp-send"] {
        let (status, said, _) = run(kind, "127.0.0.1", 0, 0);
        assert_eq!(status, Some(0));
        let errno = said.strip_prefix("errno ").expect("an errno");
        let errno: i32 = errno.trim_end().parse().expect("a number");
        assert!(errno > 0);
    }
}

#[test]
fn what_cannot_be_tried_is_no_result() {
    let holder = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("its address").port();
    for (kind, address, fport, why) in [
        ("sctp", "127.0.0.1", 1, "is none of"),
        ("tcp", "somewhere", 1, "is no address"),
        ("udp-send", "127.0.0.1", taken, "bind to 127.0.0.1"),
    ] {
        let (status, said, error) = run(kind, address, 0, fport);
        assert_eq!((status, said.as_str()), (Some(2), ""), "{kind} {address}");
        assert!(error.contains(why), "{error}");
    }
    drop(holder);
}
