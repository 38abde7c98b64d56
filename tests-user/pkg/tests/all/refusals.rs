// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What programs see of the helper module's 5-tuples, with the model of the
//! stock ip between them and the released module: the errnos that
//! `tools/vm-test` expects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use clinet_ip::{Attached, Socket};
use clinet_kernel::{Kernel, Module};
use clinet_module_tests::{
    EADDRINUSE, EADDRNOTAVAIL, EHOSTUNREACH, INET, INET6, TCP, UDP, built, module_file,
};
use clinet_pkg_tests::read;

/// What is at the end of a connect() whose SYNs are dropped: nothing came.
const ETIMEDOUT: i32 = 145;

const PORTS: (u16, u16) = (41000, 41001);

/// A machine whose loopback addresses are shared.
struct Machine {
    attached: Attached,
    _clinet: Module,
}

impl Machine {
    fn new() -> Self {
        let attached = Attached::new(Arc::new(Kernel::new()));
        let kernel = attached.kernel();
        let addrs = kernel.string("127.0.0.1,::1");
        let tunables = [("clinet_addrs", addrs), ("clinet_max_tuples", 4096)];
        let clinet = kernel.load("misc/clinet", &module_file(), &tunables);
        Self {
            _clinet: clinet.expect("it loads"),
            attached,
        }
    }

    fn socket(&self, protocol: u8, address: IpAddr, port: u16) -> Socket {
        let family = if address.is_ipv4() { INET } else { INET6 };
        let ip = self.attached.ip();
        let socket = match protocol {
            TCP => ip.tcp(0, family),
            _ => ip.udp(0, family),
        };
        socket.bind(Some(address), port).expect("a free port");
        socket
    }

    /// The errno of an operation between the two ports; 0 is none.
    fn does(&self, kind: &str, address: IpAddr) -> i32 {
        let protocol = if kind == "tcp" { TCP } else { UDP };
        let other = self.socket(protocol, address, PORTS.1);
        if protocol == TCP {
            other.listen(5).expect("it is bound");
        }
        let socket = self.socket(protocol, address, PORTS.0);
        let result = match kind {
            "udp-send" => socket
                .send_to(Some((address, PORTS.1)), false, 1)
                .map(|_| ()),
            _ => socket.connect(address, PORTS.1),
        };
        socket.set_linger0();
        socket.close();
        other.close();
        self.attached.ip().settle();
        result.err().map_or(0, |errno| errno.0)
    }

    /// Another node owns the connection, out of this machine or into it.
    fn helper(&self, protocol: u8, address: IpAddr, ports: (u16, u16)) -> Module {
        let bits = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        let tunables = [
            ("vm_helper_protocol", protocol.into()),
            ("vm_helper_laddr_high", high),
            ("vm_helper_laddr_low", low),
            ("vm_helper_faddr_high", high),
            ("vm_helper_faddr_low", low),
            ("vm_helper_lport", ports.0.into()),
            ("vm_helper_fport", ports.1.into()),
        ];
        let file = built("foreign/vm_helper");
        let helper = self
            .attached
            .kernel()
            .load("misc/vm_helper", &file, &tunables);
        helper.expect("nobody owns it")
    }
}

#[test]
fn programs_see_the_errnos_that_the_script_expects() {
    let reversed = (PORTS.1, PORTS.0);
    let script = read("tools/vm-test");
    for address in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        for (line, ports, expected) in [
            ("tcp 6 out tcp_out \"errno 125\"", PORTS, EADDRINUSE),
            ("tcp 6 in tcp_in silent", reversed, ETIMEDOUT),
            ("udp-connect 17 out udp \"errno 126\"", PORTS, EADDRNOTAVAIL),
            ("udp-send 17 out udp \"errno 148\"", PORTS, EHOSTUNREACH),
        ] {
            assert!(script.contains(&format!("try_refused {line}\n")), "{line}");
            let kind = line.split(' ').next().expect("a kind");
            let protocol = if kind == "tcp" { TCP } else { UDP };
            // A UDP entry that was left would be this node's.
            let machine = Machine::new();
            let helper = machine.helper(protocol, address, ports);
            assert_eq!(machine.does(kind, address), expected, "{kind} {address}");
            let unloaded = machine.attached.kernel().unload(&helper);
            unloaded.expect("it unloads and leaves nothing");
            assert_eq!(machine.does(kind, address), 0, "{kind} {address}");
        }
    }
}
