// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Comparing what was recorded with what the model did.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::recorder::Recorded;
use crate::stack::FIRST_EPHEMERAL;
use crate::trace::format::{Conn, Expected, Port, Shown};
use crate::walk::TcpInfo;

/// The ephemeral ports of the model by the names that a scenario gives them.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, u16>);

impl Names {
    pub fn get(&self, name: &str) -> Option<u16> {
        self.0.get(name).copied()
    }

    /// Is this the port? A name that is new stands for a port that has none.
    pub fn is(&mut self, expected: &Port, got: u16) -> bool {
        match expected {
            Port::Number(number) => *number == got,
            Port::Name(name) => match self.0.get(name) {
                Some(known) => *known == got,
                None => {
                    let is_new = got >= FIRST_EPHEMERAL && !self.0.values().any(|&p| p == got);
                    if is_new {
                        self.0.insert(name.clone(), got);
                    }
                    is_new
                }
            },
        }
    }

    /// Is this the end that is shown?
    pub fn is_shown(&mut self, expected: &Shown, got: &(std::net::IpAddr, u16)) -> bool {
        got.0.to_string() == expected.0 && self.is(&expected.1, got.1)
    }

    /// The port as the scenario would write it.
    fn write(&self, port: u16) -> String {
        let name = self.0.iter().find(|(_, known)| **known == port);
        name.map_or_else(|| port.to_string(), |(name, _)| name.clone())
    }
}

pub(super) fn write_end_of(names: &Names, end: Option<(std::net::IpAddr, u16)>) -> String {
    match end {
        Some((address, port)) => format!("{address} port {}", names.write(port)),
        None => "none".to_owned(),
    }
}

pub(super) fn write_port(port: &Port) -> String {
    match port {
        Port::Number(number) => number.to_string(),
        Port::Name(name) => name.clone(),
    }
}

pub(super) fn write_shown(shown: Option<&Shown>) -> String {
    match shown {
        Some((address, port)) => format!("{address} port {}", write_port(port)),
        None => "none".to_owned(),
    }
}

/// Is it this call? Names of ports are learnt only if all else is equal.
pub(super) fn is_call(names: &mut Names, expected: &Expected, got: &Recorded) -> bool {
    let call = &got.call;
    let same_address = |expected: &Option<String>, got: Option<std::net::IpAddr>| {
        *expected == got.map(|address| address.to_string())
    };
    let is_asked = expected.answer.is_some();
    let all_but_ports = expected.hook == call.hook.name()
        && expected.stack == call.stack
        && expected.proto == call.protocol
        && expected.outgoing == call.outgoing
        && expected.af == call.family()
        && same_address(&expected.laddr, Some(call.laddr))
        && same_address(&expected.faddr, call.faddr)
        && expected.args_null != Some(false)
        && expected.interrupt.is_none_or(|is| is == call.interrupt)
        && (!is_asked || expected.answer == Some(got.answer));
    let mut same_port = |expected: &Option<Port>, got: Option<u16>| match (expected, got) {
        (None, None) => true,
        (Some(expected), Some(got)) => names.is(expected, got),
        _ => false,
    };
    all_but_ports
        && same_port(&expected.lport, call.lport)
        && same_port(&expected.fport, call.fport)
}

/// A call with the ends that it has.
fn write(
    hook: &str,
    outgoing: Option<bool>,
    (stack, protocol, family): (i32, u8, u16),
    ends: [(Option<String>, Option<String>); 2],
    answer: Option<i32>,
) -> String {
    let way = match outgoing {
        None => "",
        Some(true) => " out",
        Some(false) => " in",
    };
    let mut text = format!("{hook}{way} stack {stack} protocol {protocol} family {family}");
    for (address, port) in ends {
        if let Some(address) = address {
            let _ = write!(text, " {address} port {}", port.unwrap_or_default());
        }
    }
    if let Some(answer) = answer {
        let _ = write!(text, " = {answer}");
    }
    text
}

pub(super) fn write_expected(expected: &Expected) -> String {
    let ends = [
        (&expected.laddr, &expected.lport),
        (&expected.faddr, &expected.fport),
    ];
    write(
        &expected.hook,
        expected.outgoing,
        (expected.stack, expected.proto, expected.af),
        ends.map(|(address, port)| (address.clone(), port.as_ref().map(write_port))),
        expected.answer,
    )
}

pub(super) fn write_call(names: &Names, got: &Recorded) -> String {
    let call = &got.call;
    let ends = [(Some(call.laddr), call.lport), (call.faddr, call.fport)];
    write(
        call.hook.name(),
        call.outgoing,
        (call.stack, call.protocol, call.family()),
        ends.map(|(address, port)| {
            let address = address.map(|address| address.to_string());
            (address, port.map(|port| names.write(port)))
        }),
        call.outgoing.map(|_| got.answer),
    )
}

/// Is it this conn of a walk?
fn is_conn(names: &mut Names, expected: &Conn, got: &TcpInfo) -> bool {
    expected.version == got.version
        && expected.ipversion == got.ip_version
        && expected.state == got.state
        && expected.laddr_v6 == got.laddr().to_string()
        && expected.faddr_v6 == got.faddr().to_string()
        && names.is(&expected.lport, got.lport())
        && names.is(&expected.fport, got.fport())
}

/// Are these the conns of a walk, in any order?
pub(super) fn are_conns(names: &mut Names, expected: &[Conn], mut got: Vec<TcpInfo>) -> bool {
    // Ports that have names already find their conns first.
    let is_known = |names: &Names, port: &Port| match port {
        Port::Number(_) => true,
        Port::Name(name) => names.get(name).is_some(),
    };
    let mut order: Vec<&Conn> = expected.iter().collect();
    order.sort_by_key(|conn| !(is_known(names, &conn.lport) && is_known(names, &conn.fport)));
    order.iter().all(|conn| {
        let place = got.iter().position(|info| is_conn(names, conn, info));
        place.map(|place| got.swap_remove(place)).is_some()
    }) && got.is_empty()
}

/// A conn of a walk with its ends.
fn write_conn(
    ip_version: u16,
    state: i32,
    (laddr, lport): (impl Display, String),
    (faddr, fport): (impl Display, String),
) -> String {
    format!("IPv{ip_version} state {state} {laddr} port {lport} to {faddr} port {fport}")
}

pub(super) fn write_conns(conns: &[Conn]) -> String {
    let texts = conns.iter().map(|conn| {
        let local = (&conn.laddr_v6, write_port(&conn.lport));
        let foreign = (&conn.faddr_v6, write_port(&conn.fport));
        write_conn(conn.ipversion, conn.state, local, foreign)
    });
    texts.collect::<Vec<_>>().join("; ")
}

pub(super) fn write_infos(names: &Names, infos: &[TcpInfo]) -> String {
    let texts = infos.iter().map(|info| {
        let local = (info.laddr(), names.write(info.lport()));
        let foreign = (info.faddr(), names.write(info.fport()));
        write_conn(info.ip_version, info.state, local, foreign)
    });
    texts.collect::<Vec<_>>().join("; ")
}
