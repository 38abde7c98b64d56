// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is decided about local ports, row by row, for every kind of question.

use std::time::Duration;

use clinet_kernel::Kernel;

use crate::{
    Control, EADDRINUSE, EADDRNOTAVAIL, Grants, INET6, Loaded, PEER4, SHARED4, TCP, Tuple, UDP, abi,
};

/// A kind of question.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// This node begins.
    pub outgoing: bool,
    /// IPv4, IPv6, or IPv4 as IPv6.
    pub family: Family,
    /// What its counters begin with.
    pub counters: &'static str,
}

/// How the addresses of a question come.
#[derive(Clone, Copy, Debug)]
pub enum Family {
    /// As `AF_INET`.
    V4,
    /// As `AF_INET6`.
    V6,
    /// As `AF_INET6`, and v4-mapped.
    Mapped,
}

/// All of them.
pub const FLOWS: [Flow; 9] = {
    const fn flows(protocol: u8, outgoing: bool, counters: &'static str) -> [Flow; 3] {
        let flow = Flow {
            protocol,
            outgoing,
            family: Family::V4,
            counters,
        };
        let v6 = Flow {
            family: Family::V6,
            ..flow
        };
        let mapped = Flow {
            family: Family::Mapped,
            ..flow
        };
        [flow, v6, mapped]
    }
    let [a, b, c] = flows(TCP, true, "tcp_out");
    let [d, e, f] = flows(TCP, false, "tcp_in");
    let [g, h, i] = flows(UDP, true, "udp");
    [a, b, c, d, e, f, g, h, i]
};

impl Flow {
    /// A question from this local port of the shared address, in host byte order.
    #[must_use]
    pub fn tuple(&self, port: u16) -> Tuple {
        let (lport, fport) = (port.to_be(), 80_u16.to_be());
        let mapped = |addr: [u8; 16]| {
            let mut wide = [0; 16];
            wide[10..12].fill(0xff);
            wide[12..].copy_from_slice(&addr[..4]);
            wide
        };
        match self.family {
            Family::V4 => Tuple::v4(self.protocol, lport, fport),
            Family::V6 => Tuple::v6(self.protocol, lport, fport),
            Family::Mapped => Tuple {
                family: INET6,
                laddr: mapped(SHARED4),
                faddr: mapped(PEER4),
                ..Tuple::v4(self.protocol, lport, fport)
            },
        }
    }

    fn is_incoming_tcp(&self) -> bool {
        self.protocol == TCP && !self.outgoing
    }

    fn index(&self) -> usize {
        usize::from(self.protocol == UDP)
    }
}

/// A machine that is asked.
pub trait Node: Control {
    /// The machine.
    fn kernel(&self) -> &Kernel;
    /// Puts a question to it, on the global stack.
    fn ask(&self, outgoing: bool, tuple: &Tuple) -> i32;
    /// `clinet_install` by another node.
    fn install(&self, tuple: &Tuple) -> i32;
}

impl Node for Loaded {
    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn ask(&self, outgoing: bool, tuple: &Tuple) -> i32 {
        self.connect2(outgoing, tuple)
    }

    fn install(&self, tuple: &Tuple) -> i32 {
        self.other_node("clinet_install", 7, tuple)
    }
}

/// What a question has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Accepted,
    Admitted,
    Owned,
    Lapsed,
    NotGranted,
    Explicit,
}

impl Row {
    /// The errno, the reason, and the counter that moves.
    fn told(self) -> (i32, u32, &'static str) {
        match self {
            Self::Accepted => (0, abi::CLINET_FREE, "registered"),
            Self::Admitted => (0, abi::CLINET_FREE, "explicit_admitted"),
            Self::Owned => (EADDRINUSE, abi::CLINET_OWNED, "owned"),
            Self::Lapsed => (EADDRNOTAVAIL, abi::CLINET_LAPSED, "lapsed"),
            Self::NotGranted => (EADDRINUSE, abi::CLINET_NOT_GRANTED, "not_granted"),
            Self::Explicit => (EADDRINUSE, abi::CLINET_EXPLICIT, "explicit"),
        }
    }
}

/// What each port has to come to for a flow.
type Expected = fn(&Flow, u16) -> Row;

const SPACE: std::ops::RangeInclusive<u16> = 32768..=60000;
const GRANTED: std::ops::RangeInclusive<u16> = 32800..=34815;
const RESERVED: u16 = 443;

/// Ports on both sides of every border.
const PORTS: [u16; 12] = [
    1, 442, 443, 444, 32767, 32768, 32799, 32800, 34815, 34816, 60000, 60001,
];

fn is_granted(port: u16) -> bool {
    port == RESERVED || GRANTED.contains(&port)
}

fn with_defaults(flow: &Flow, port: u16) -> Row {
    match port {
        port if is_granted(port) => Row::Accepted,
        port if SPACE.contains(&port) => Row::NotGranted,
        _ if flow.is_incoming_tcp() => Row::Accepted,
        _ => Row::Explicit,
    }
}

fn with_other_policies(flow: &Flow, port: u16) -> Row {
    match with_defaults(flow, port) {
        Row::Explicit => Row::Admitted,
        Row::Accepted if !is_granted(port) => Row::Explicit,
        row => row,
    }
}

fn after_the_deadline(flow: &Flow, port: u16) -> Row {
    match with_defaults(flow, port) {
        Row::Accepted if is_granted(port) => Row::Lapsed,
        row => row,
    }
}

/// Asks about every port for every flow.
fn check(node: &impl Node, expected: Expected) {
    for flow in FLOWS {
        for port in PORTS {
            // Another foreign end each time, so that nothing repeats.
            let mut tuple = flow.tuple(port);
            tuple.fport = (node.number_of("tuples") as u16 + 1000).to_be();
            check_one(node, &flow, &tuple, expected(&flow, port));
        }
    }
}

fn check_one(node: &impl Node, flow: &Flow, tuple: &Tuple, row: Row) {
    let (errno, reason, counter) = row.told();
    let place = format!("{flow:?}, {tuple:?}, {row:?}");
    let query = node.query(tuple, !flow.outgoing).expect(&place);
    assert_eq!(
        (query.cq_error, query.cq_reason),
        (errno, reason),
        "{place}"
    );
    let granted = node.grants().has(flow.index(), u16::from_be(tuple.lport));
    assert_eq!(query.cq_granted, u32::from(granted), "{place}");
    let counter = format!("{}_{counter}", flow.counters);
    let before = node.number_of(&counter);
    assert_eq!(node.ask(flow.outgoing, tuple), errno, "{place}");
    assert_eq!(node.number_of(&counter), before + 1, "{place}");
}

/// Sets what is granted until so many seconds from now.
fn grant(node: &impl Node, sequence: u64, seconds: u64) {
    let deadline = node.clock() + seconds * 1_000_000_000;
    let mut grants = Grants::with_space(SPACE)
        .and(GRANTED)
        .and(RESERVED..=RESERVED)
        .until(deadline);
    grants.terms.cg_sequence = sequence;
    assert_eq!(node.set_grants(&mut grants), 0);
}

/// Every row of the table for every flow, on a node whose `clinet_fence` is 2, without
/// a port space so far.
///
/// # Panics
///
/// If one does not hold.
pub fn every_row_holds(node: &impl Node) {
    check(node, |_, _| Row::Accepted);
    grant(node, 1, 100);
    check(node, with_defaults);
    assert_eq!(node.set(abi::CLINETCTL_INCOMING, 1, 0), 0);
    assert_eq!(node.set(abi::CLINETCTL_EXPLICIT, 1, 0), 0);
    check(node, with_other_policies);
    assert_eq!(node.set(abi::CLINETCTL_INCOMING, 0, 0), 0);
    assert_eq!(node.set(abi::CLINETCTL_EXPLICIT, 0, 0), 0);
    for flow in FLOWS {
        let tuple = flow.tuple(RESERVED);
        assert!([0, EADDRINUSE].contains(&node.install(&tuple)));
        let owned = node.query(&tuple, !flow.outgoing).expect("a query");
        assert_eq!(owned.cq_reason, abi::CLINET_OWNED, "{flow:?}");
        check_one(node, &flow, &tuple, Row::Owned);
    }
    node.kernel().advance(Duration::from_secs(100));
    check(node, after_the_deadline);
    grant(node, 2, 100);
    check(node, with_defaults);
}
