// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Lists of ports: `32768-65535`, or `tcp=32768-34815, tcp=443, udp=40000-40999`.

#![forbid(unsafe_code)]

use super::addresses::{is_blank, trim};
use crate::flow::Protocol;

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortError {
    /// The first character of what is wrong, counted from 1.
    pub position: usize,
    /// Why.
    pub problem: Problem,
}

/// Why something is not an element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Neither a port nor a range of ports, perhaps after `tcp=` or `udp=`.
    NoPorts,
    /// A protocol has a port space already.
    SecondSpace,
}

impl Problem {
    /// The end of a sentence that begins with where it is.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::NoPorts => "is no port or range of ports, 1 to 65535",
            Self::SecondSpace => "is a second range for a protocol",
        }
    }
}

/// An element of a list: ports in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Of this protocol, or of both.
    pub protocol: Option<Protocol>,
    /// The first port; not 0.
    pub first: u16,
    /// The last port.
    pub last: u16,
    /// Where it begins.
    pub position: usize,
}

impl Ports {
    /// Are they of this protocol, too?
    #[must_use]
    pub fn are_of(&self, protocol: Protocol) -> bool {
        self.protocol.is_none_or(|of| of == protocol)
    }
}

/// The elements of a list, in their order. An empty list has none. Elements are
/// separated by commas and may have blanks around them. After an error there is
/// nothing more.
#[must_use]
pub fn parse(list: &[u8]) -> List<'_> {
    let is_empty = list.iter().all(is_blank);
    List {
        rest: (!is_empty).then_some(list),
        position: 1,
    }
}

/// The iterator of [`parse`].
#[derive(Clone, Debug)]
pub struct List<'a> {
    /// What follows the last comma; `None` after the last element.
    rest: Option<&'a [u8]>,
    /// Where `rest` begins.
    position: usize,
}

impl Iterator for List<'_> {
    type Item = Result<Ports, PortError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let mut parts = rest.splitn(2, |byte| *byte == b',');
        let element = parts.next()?;
        let blanks = element.iter().take_while(|byte| is_blank(byte)).count();
        let position = self.position.saturating_add(blanks);
        let Some((protocol, first, last)) = ports(trim(element)) else {
            return Some(Err(PortError {
                position,
                problem: Problem::NoPorts,
            }));
        };
        self.rest = parts.next();
        self.position = self.position.saturating_add(element.len() + 1);
        Some(Ok(Ports {
            protocol,
            first,
            last,
            position,
        }))
    }
}

fn ports(element: &[u8]) -> Option<(Option<Protocol>, u16, u16)> {
    let (protocol, range) = match (element.strip_prefix(b"tcp="), element.strip_prefix(b"udp=")) {
        (Some(range), _) => (Some(Protocol::Tcp), range),
        (_, Some(range)) => (Some(Protocol::Udp), range),
        _ => (None, element),
    };
    let mut ends = range.splitn(2, |byte| *byte == b'-');
    let first = port(ends.next()?)?;
    let last = match ends.next() {
        Some(last) => port(last)?,
        None => first,
    };
    (first <= last).then_some((protocol, first, last))
}

/// A port in decimal, without leading zeros.
fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.starts_with(b"0") {
        return None;
    }
    digits.iter().try_fold(0_u16, |value, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    type Found = (Option<Protocol>, u16, u16);

    fn all(list: &str) -> Result<Vec<Found>, PortError> {
        let ports = |found: Ports| (found.protocol, found.first, found.last);
        parse(list.as_bytes()).map(|item| item.map(ports)).collect()
    }

    #[test]
    fn a_list_has_its_ports_in_order() {
        let (tcp, udp) = (Some(Protocol::Tcp), Some(Protocol::Udp));
        assert_eq!(all(""), Ok([].into()));
        assert_eq!(all(" \t"), Ok([].into()));
        assert_eq!(all("32768-65535"), Ok([(None, 32768, 65535)].into()));
        assert_eq!(
            all(" tcp=32768-34815,tcp=443 ,\tudp=1-1"),
            Ok([(tcp, 32768, 34815), (tcp, 443, 443), (udp, 1, 1)].into())
        );
    }

    #[test]
    fn an_error_names_its_position_and_ends_the_list() {
        for (list, position) in [
            ("x", 1),
            ("0", 1),
            ("0-5", 1),
            ("65536", 1),
            ("  99999", 3),
            ("5-4", 1),
            ("1-2-3", 1),
            ("1-", 1),
            ("-1", 1),
            ("tcp=", 1),
            ("tcp:5", 1),
            ("TCP=5", 1),
            ("sctp=5", 1),
            ("tcp= 5", 1),
            ("1,", 3),
            (",1", 1),
            ("1,,2", 3),
            ("1, x,2", 4),
            ("080", 1),
            ("1 2", 1),
            ("1\n", 1),
        ] {
            let problem = Problem::NoPorts;
            assert_eq!(all(list), Err(PortError { position, problem }), "{list:?}");
            let mut items = parse(list.as_bytes());
            while items.next().is_some_and(|item| item.is_ok()) {}
            assert_eq!(items.next(), None, "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            list in proptest::collection::vec((0..3_u8, 1..=u16::MAX, 1..=u16::MAX), 0..20),
        ) {
            let list: Vec<Found> = list.into_iter().map(|(protocol, a, b)| {
                let protocol = [None, Some(Protocol::Tcp), Some(Protocol::Udp)][usize::from(protocol)];
                (protocol, a.min(b), a.max(b))
            }).collect();
            let text: Vec<String> = list.iter().map(|(protocol, first, last)| {
                let protocol = match protocol {
                    None => "",
                    Some(Protocol::Tcp) => "tcp=",
                    Some(Protocol::Udp) => "udp=",
                };
                format!(" {protocol}{first}-{last}")
            }).collect();
            prop_assert_eq!(all(&text.join(",")), Ok(list));
        }

        #[test]
        fn any_bytes_are_a_list_or_an_error_inside_it(list: Vec<u8>) {
            if let Err(error) = parse(&list).collect::<Result<Vec<Ports>, _>>() {
                prop_assert!((1..=list.len() + 1).contains(&error.position));
            }
        }
    }
}
