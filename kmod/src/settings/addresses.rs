// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The list of shared addresses: `192.0.2.10, 2001:db8::10`.

#![forbid(unsafe_code)]

use super::list::{ListError, decimal, elements};
use crate::flow::{Addr, Family};
use crate::registry::shared::is_unicast;

/// Addresses in one list at most.
pub const MAX: usize = 256;

/// What is no element of a list.
const NO_ADDRESS: &str = "is no IPv4 or IPv6 address";
const NOT_UNICAST: &str = "is no unicast address";
const TOO_MANY: &str = "is one address more than 256";

/// The addresses of a list, in their order; duplicates stay.
pub fn parse(list: &[u8]) -> impl Iterator<Item = Result<Addr, ListError>> {
    elements(list).enumerate().map(|(number, element)| {
        let problem = match address(element.text) {
            _ if number >= MAX => TOO_MANY,
            None => NO_ADDRESS,
            Some(addr) if !is_unicast(addr.words()) => NOT_UNICAST,
            Some(addr) => return Ok(addr),
        };
        Err(element.error(problem))
    })
}

/// An address in its usual notation. The parser of `core::net` takes the same,
/// but can panic as far as the compiler knows.
fn address(text: &[u8]) -> Option<Addr> {
    if text.contains(&b':') {
        v6(text).map(Addr::v6)
    } else {
        v4(text).map(Addr::v4)
    }
}

/// Hands an address (in IPv6 form, as two words in native byte order) in its usual
/// notation to `put`, byte by byte. The formatter of `core` can panic as far as the
/// compiler knows.
pub fn write(words: [u64; 2], put: &mut impl FnMut(u8)) {
    let addr = Addr::from_words(words);
    let bytes = addr.wire();
    if addr.family() == Family::V4 {
        for (number, octet) in bytes.iter().take(4).enumerate() {
            if number > 0 {
                put(b'.');
            }
            write_decimal(*octet, put);
        }
        return;
    }
    let (pairs, _) = bytes.as_chunks::<2>();
    let groups = || pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let (gap, len) = longest_zeros(groups());
    let is_in_gap = |place: usize| len > 1 && (gap..gap + len).contains(&place);
    for (place, group) in groups().enumerate() {
        if is_in_gap(place) {
            if place == gap {
                put(b':');
                put(b':');
            }
            continue;
        }
        if place > 0 && !is_in_gap(place - 1) {
            put(b':');
        }
        write_hexadecimal(group, put);
    }
}

/// Where the first of the longest rows of zeros is, and how long it is.
fn longest_zeros(groups: impl Iterator<Item = u16>) -> (usize, usize) {
    let (mut longest, mut row) = ((0, 0), 0);
    for (place, group) in groups.enumerate() {
        row = if group == 0 { row + 1 } else { 0 };
        if row > longest.1 {
            longest = (place + 1 - row, row);
        }
    }
    longest
}

fn write_decimal(octet: u8, put: &mut impl FnMut(u8)) {
    for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
        if octet >= least {
            put(b'0' + octet / unit % 10);
        }
    }
}

fn write_hexadecimal(group: u16, put: &mut impl FnMut(u8)) {
    for shift in [12, 8, 4, 0] {
        let digit = (group >> shift & 0xf) as u8;
        if group >> shift != 0 || shift == 0 {
            put(if digit < 10 {
                b'0' + digit
            } else {
                b'a' - 10 + digit
            });
        }
    }
}

fn v4(text: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        *octet = decimal(parts.next()?, 255)? as u8;
    }
    parts.next().is_none().then_some(octets)
}

/// Up to eight groups of sixteen bits.
#[derive(Default)]
struct Groups {
    values: [u16; 8],
    len: usize,
}

impl Groups {
    /// Groups between colons; nothing is no group. The last may be two as an
    /// IPv4 address if that is allowed.
    fn read(text: &[u8], v4_last: bool) -> Option<Self> {
        let mut groups = Self::default();
        if text.is_empty() {
            return Some(groups);
        }
        let mut parts = text.split(|byte| *byte == b':').peekable();
        while let Some(part) = parts.next() {
            if v4_last && parts.peek().is_none() && part.contains(&b'.') {
                let [a, b, c, d] = v4(part)?;
                groups.push(u16::from_be_bytes([a, b]))?;
                groups.push(u16::from_be_bytes([c, d]))?;
            } else {
                groups.push(hexadecimal(part)?)?;
            }
        }
        Some(groups)
    }

    fn push(&mut self, value: u16) -> Option<()> {
        *self.values.get_mut(self.len)? = value;
        self.len += 1;
        Some(())
    }

    fn values(&self) -> &[u16] {
        self.values.get(..self.len).unwrap_or(&[])
    }
}

fn v6(text: &[u8]) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let (places, _) = bytes.as_chunks_mut::<2>();
    let gap = text.array_windows().position(|pair| pair == b"::");
    let (head, tail) = match gap {
        Some(gap) => (text.get(..gap)?, text.get(gap + 2..)?),
        None => (text, [].as_slice()),
    };
    let head = Groups::read(head, gap.is_none())?;
    let tail = Groups::read(tail, true)?;
    let len = head.len + tail.len;
    // A gap stands for one group at least.
    if (gap.is_none() && len != 8) || (gap.is_some() && len > 7) {
        return None;
    }
    for (place, value) in places.iter_mut().zip(head.values()) {
        *place = value.to_be_bytes();
    }
    for (place, value) in places.iter_mut().rev().zip(tail.values().iter().rev()) {
        *place = value.to_be_bytes();
    }
    Some(bytes)
}

/// One to four digits.
fn hexadecimal(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | digit as u16)
    })
}

#[cfg(test)]
mod tests {
    use super::super::list::is_blank;
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::string::{String, ToString as _};
    use std::vec::Vec;

    fn all(list: &str) -> Result<Vec<Addr>, ListError> {
        parse(list.as_bytes()).collect()
    }

    fn addr(of: IpAddr) -> Addr {
        match of {
            IpAddr::V4(of) => Addr::v4(of.octets()),
            IpAddr::V6(of) => Addr::v6(of.octets()),
        }
    }

    #[test]
    fn a_list_has_its_addresses_in_order() {
        let v4 = Addr::v4([192, 0, 2, 10]);
        let v6 = addr("2001:db8::10".parse().unwrap());
        assert_eq!(all("192.0.2.10,2001:db8::10"), Ok([v4, v6].into()));
        assert_eq!(all(" \t192.0.2.10 ,  2001:DB8::10\t"), Ok([v4, v6].into()));
        assert_eq!(all("192.0.2.10,192.0.2.10"), Ok([v4, v4].into()));
        assert_eq!(all(""), Ok([].into()));
        assert_eq!(all(" \t "), Ok([].into()));
        let mapped = all("::ffff:192.0.2.10").unwrap();
        assert_eq!(mapped[0].v6_form(), v4.v6_form());
    }

    #[test]
    fn an_error_names_its_position() {
        for (list, position, problem) in [
            ("192.0.2", 1, NO_ADDRESS),
            ("  192.0.2.256", 3, NO_ADDRESS),
            ("192.0.2.10,", 12, NO_ADDRESS),
            (",192.0.2.10", 1, NO_ADDRESS),
            ("192.0.2.10,,192.0.2.11", 12, NO_ADDRESS),
            ("192.0.2.10, x,192.0.2.11", 13, NO_ADDRESS),
            ("192.0.2.10 192.0.2.11", 1, NO_ADDRESS),
            ("192.0.2.10;", 1, NO_ADDRESS),
            ("192.0.2.010", 1, NO_ADDRESS),
            ("2001:db8::10%net0", 1, NO_ADDRESS),
            ("2001:db8::10/64", 1, NO_ADDRESS),
            ("192.0.2.10\n", 1, NO_ADDRESS),
            ("192.0.2.10,0.0.0.0", 12, NOT_UNICAST),
            ("::", 1, NOT_UNICAST),
            ("::ffff:0.0.0.0", 1, NOT_UNICAST),
            ("192.0.2.10,224.0.1.1", 12, NOT_UNICAST),
            ("255.255.255.255", 1, NOT_UNICAST),
            ("::1,ff02::1", 5, NOT_UNICAST),
        ] {
            let error = ListError { position, problem };
            assert_eq!(all(list), Err(error), "{list:?}");
        }
        let latin = ListError {
            position: 5,
            problem: NO_ADDRESS,
        };
        assert_eq!(parse(b"::1,\xe4").nth(1), Some(Err(latin)));
    }

    #[test]
    fn two_hundred_and_fifty_six_are_enough() {
        let mut list: Vec<String> = (0..=255).map(|last| format!("10.0.0.{last}")).collect();
        assert_eq!(all(&list.join(",")).unwrap().len(), MAX);
        let position = list.join(",").len() + 2;
        list.push("10.0.1.0".into());
        let error = ListError {
            position,
            problem: TOO_MANY,
        };
        assert_eq!(all(&list.join(",")), Err(error));
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (1..0xe000_0000_u32).prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
            ((1u128 << 64)..0xff << 120).prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            list in proptest::collection::vec((any_address(), "[ \t]{0,3}", "[ \t]{0,3}"), 0..20),
        ) {
            let text: Vec<String> = list
                .iter()
                .map(|(addr, before, after)| before.clone() + &addr.to_string() + after)
                .collect();
            let expected: Vec<Addr> = list.iter().map(|(of, _, _)| addr(*of)).collect();
            prop_assert_eq!(all(&text.join(",")), Ok(expected));
        }

        /// The standard library writes IPv6 in the same way.
        #[test]
        fn an_address_is_written_as_the_standard_library_does(
            of in any_address(),
            zeros in proptest::array::uniform16(proptest::bool::ANY),
        ) {
            let mut octets = addr(of).v6_form();
            if of.is_ipv6() {
                for (octet, zero) in octets.iter_mut().zip(zeros) {
                    if zero {
                        *octet = 0;
                    }
                }
                octets[0] = 0x20;
            }
            let mut text = Vec::new();
            write(Addr::v6(octets).words(), &mut |byte| text.push(byte));
            let expected = match of {
                IpAddr::V4(of) => of.to_string(),
                IpAddr::V6(_) => Ipv6Addr::from(octets).to_string(),
            };
            prop_assert_eq!(String::from_utf8(text).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_a_list_or_an_error_inside_it(list: Vec<u8>) {
            match parse(&list).collect::<Result<Vec<Addr>, _>>() {
                Ok(addresses) => {
                    let commas = list.iter().filter(|byte| **byte == b',').count();
                    let elements = if list.iter().all(is_blank) { 0 } else { commas + 1 };
                    prop_assert_eq!(addresses.len(), elements);
                }
                Err(error) => prop_assert!((1..=list.len() + 1).contains(&error.position)),
            }
        }

        /// What one element is, core's parser knows too.
        #[test]
        fn an_element_is_an_address_if_the_standard_library_says_so(
            element in prop_oneof!["[0-9a-fF:.]{0,12}", "[0-9:.]{0,20}", "([0-9a-f]{0,4}:){1,8}[0-9a-f.]{0,9}"],
        ) {
            let expected = element.parse().ok().map(addr);
            prop_assert_eq!(address(element.as_bytes()), expected);
        }
    }
}
