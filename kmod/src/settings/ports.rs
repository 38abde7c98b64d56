// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Lists of ports: `32768-65535`, or `tcp=32768-34815, tcp=443, udp=40000-40999`.

#![forbid(unsafe_code)]

use super::list::{Element, ListError, decimal, elements};

const NO_PORTS: &str = "is no port or range of ports, 1 to 65535";

/// An element of a list: ports in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Are they of TCP, and of UDP?
    pub of: [bool; 2],
    /// The first port; not 0.
    pub first: u16,
    /// The last port.
    pub last: u16,
    /// Where it begins.
    pub position: usize,
}

impl Ports {
    /// What an array for TCP and UDP has for the protocols of these ports.
    pub fn ours<T>(self, all: &mut [T; 2]) -> impl Iterator<Item = &mut T> {
        let ours = all.iter_mut().zip(self.of).filter(|(_, is_ours)| *is_ours);
        ours.map(|(one, _)| one)
    }
}

/// The elements of a list, in their order.
pub fn parse(list: &[u8]) -> impl Iterator<Item = Result<Ports, ListError>> {
    elements(list).map(|element| ports(element).ok_or(element.error(NO_PORTS)))
}

fn ports(element: Element<'_>) -> Option<Ports> {
    let text = element.text;
    let (of, range) = match (text.strip_prefix(b"tcp="), text.strip_prefix(b"udp=")) {
        (Some(range), _) => ([true, false], range),
        (_, Some(range)) => ([false, true], range),
        _ => ([true; 2], text),
    };
    let mut ends = range.splitn(2, |byte| *byte == b'-');
    let first = port(ends.next()?)?;
    let last = ends.next().map_or(Some(first), port)?;
    (first <= last).then_some(Ports {
        of,
        first,
        last,
        position: element.position,
    })
}

fn port(digits: &[u8]) -> Option<u16> {
    decimal(digits, u16::MAX).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    type Found = ([bool; 2], u16, u16);

    fn all(list: &str) -> Result<Vec<Found>, ListError> {
        let ports = |found: Ports| (found.of, found.first, found.last);
        parse(list.as_bytes()).map(|item| item.map(ports)).collect()
    }

    #[test]
    fn a_list_has_its_ports_in_order() {
        let (tcp, udp) = ([true, false], [false, true]);
        assert_eq!(all(""), Ok([].into()));
        assert_eq!(all(" \t"), Ok([].into()));
        assert_eq!(all("32768-65535"), Ok([([true; 2], 32768, 65535)].into()));
        assert_eq!(
            all(" tcp=32768-34815,tcp=443 ,\tudp=1-1"),
            Ok([(tcp, 32768, 34815), (tcp, 443, 443), (udp, 1, 1)].into())
        );
    }

    #[test]
    fn an_error_names_its_position() {
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
            let problem = NO_PORTS;
            assert_eq!(all(list), Err(ListError { position, problem }), "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            list in proptest::collection::vec((0..3_u8, 1..=u16::MAX, 1..=u16::MAX), 0..20),
        ) {
            let list: Vec<Found> = list.into_iter().map(|(protocol, a, b)| {
                let of = [[true, true], [true, false], [false, true]][usize::from(protocol)];
                (of, a.min(b), a.max(b))
            }).collect();
            let text: Vec<String> = list.iter().map(|(of, first, last)| {
                let protocol = match of {
                    [true, false] => "tcp=",
                    [false, true] => "udp=",
                    _ => "",
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
