// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Addresses, endpoints and 5-tuples: the only place that reads the address
//! pointers of a caller.
//!
//! What a caller hands over is an allegation: a protocol number, an address
//! family and pointers that may be anything. Reading it gives a value that
//! owns its bytes, or says what was wrong.

use crate::kernel::errno::Errno;
use crate::kernel::sys;

/// The transport protocols whose 5-tuples are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = sys::IPPROTO_TCP as u8,
    /// UDP.
    Udp = sys::IPPROTO_UDP as u8,
}

impl Protocol {
    /// The protocol with this number in the IP header.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match u32::from(number) {
            sys::IPPROTO_TCP => Some(Self::Tcp),
            sys::IPPROTO_UDP => Some(Self::Udp),
            _ => None,
        }
    }

    /// Its number in the IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Who opens a connection. UDP is always outgoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This node.
    Outgoing,
    /// The other end.
    Incoming,
}

impl Direction {
    /// What a caller's `is_outgoing` says.
    #[inline]
    #[must_use]
    pub fn of(is_outgoing: sys::boolean_t) -> Self {
        if is_outgoing == sys::B_FALSE {
            Self::Incoming
        } else {
            Self::Outgoing
        }
    }
}

/// An address family as a caller named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// `AF_INET`, four bytes.
    V4 = sys::AF_INET as u8,
    /// `AF_INET6` (26 on illumos), sixteen bytes.
    V6 = sys::AF_INET6 as u8,
}

impl Family {
    /// The family with this number on illumos.
    #[must_use]
    pub fn from_number(number: sys::sa_family_t) -> Option<Self> {
        match u32::from(number) {
            sys::AF_INET => Some(Self::V4),
            sys::AF_INET6 => Some(Self::V6),
            _ => None,
        }
    }

    /// Its number on illumos.
    #[must_use]
    pub fn number(self) -> sys::sa_family_t {
        self as sys::sa_family_t
    }
}

/// Why what a caller said is not a 5-tuple or an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// A pointer is NULL.
    Null,
    /// The address family is neither `AF_INET` nor `AF_INET6`.
    Family,
    /// The protocol is neither TCP nor UDP: never asked about.
    Protocol,
}

impl Reject {
    /// The errno for it; `None` for another protocol, which is no error.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Null => Some(Errno::INVAL),
            Self::Family => Some(Errno::AFNOSUPPORT),
            Self::Protocol => None,
        }
    }
}

/// The second eight bytes of `::ffff:0.0.0.0`, as a word in native byte order.
const MAPPED: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);

/// As `MAPPED`, without the IPv4 address.
const PREFIX: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/// An IP address together with the family it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Addr {
    /// The sixteen bytes of its IPv6 form, as words in native byte order;
    /// IPv4 as `::ffff:a.b.c.d`.
    words: [u64; 2],
    family: Family,
}

impl Addr {
    /// An IPv4 address, network byte order.
    #[inline]
    #[must_use]
    pub fn v4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self {
            family: Family::V4,
            words: [0, u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d])],
        }
    }

    /// An IPv6 address, network byte order.
    #[inline]
    #[must_use]
    pub fn v6(bytes: [u8; 16]) -> Self {
        Self {
            family: Family::V6,
            words: to_words(bytes),
        }
    }

    /// An address in IPv6 form that came in `family`. `None` if it came as
    /// IPv4 and is not a mapped one.
    #[must_use]
    pub fn from_v6_form(family: Family, bytes: [u8; 16]) -> Option<Self> {
        let words = to_words(bytes);
        (family == Family::V6 || is_mapped(words)).then_some(Self { words, family })
    }

    /// An address in IPv6 form whose family is not known: IPv4 if it is a
    /// mapped one. Two words in native byte order.
    #[must_use]
    pub fn from_words(words: [u64; 2]) -> Self {
        let family = match is_mapped(words) {
            true => Family::V4,
            false => Family::V6,
        };
        Self { words, family }
    }

    /// Copies a caller's address; `None` for a NULL pointer.
    ///
    /// # Safety
    ///
    /// `pointer` is NULL or points at 4 (V4) or 16 (V6) readable bytes that
    /// nobody writes during the call. Alignment does not matter.
    #[inline]
    pub unsafe fn read(family: Family, pointer: *const u8) -> Option<Self> {
        if pointer.is_null() {
            return None;
        }
        Some(match family {
            // SAFETY: four readable bytes by the contract of this function.
            Family::V4 => Self::v4(unsafe { pointer.cast::<[u8; 4]>().read() }),
            // SAFETY: sixteen readable bytes by the contract of this function.
            Family::V6 => Self::v6(unsafe { pointer.cast::<[u8; 16]>().read() }),
        })
    }

    /// The family it came in; [`Addr::v6_form`] does not depend on it.
    #[inline]
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Sixteen bytes, IPv4 as `::ffff:a.b.c.d`: equal addresses are equal here
    /// in whichever family they came.
    #[must_use]
    pub fn v6_form(&self) -> [u8; 16] {
        from_words(self.words)
    }

    /// As [`Addr::v6_form`], as two words in native byte order.
    #[inline]
    #[must_use]
    pub fn words(&self) -> [u64; 2] {
        self.words
    }

    /// The bytes that a caller of this family passes; IPv4 uses the first
    /// four, and the rest is zero.
    #[must_use]
    pub fn wire(&self) -> [u8; 16] {
        let [_, low] = self.words;
        match self.family {
            Family::V6 => from_words(self.words),
            Family::V4 => {
                let [_, _, _, _, a, b, c, d] = low.to_ne_bytes();
                [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
        }
    }

    /// `::`, `0.0.0.0`, or the latter in IPv6 form.
    #[inline]
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        let [high, low] = self.words;
        high == 0 && (low == 0 || low == MAPPED)
    }
}

/// Is it the IPv6 form of an IPv4 address?
fn is_mapped([high, low]: [u64; 2]) -> bool {
    high == 0 && low & PREFIX == MAPPED
}

/// Sixteen bytes as two words in native byte order.
#[inline]
#[must_use]
pub fn to_words(bytes: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    [
        u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
    ]
}

/// The sixteen bytes of two words.
#[must_use]
pub fn from_words([high, low]: [u64; 2]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h] = high.to_ne_bytes();
    let [i, j, k, l, m, n, o, p] = low.to_ne_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// An address with a port, the latter in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SockAddr {
    /// The address.
    pub addr: Addr,
    /// The port, network byte order.
    pub port: sys::in_port_t,
}

impl SockAddr {
    /// Copies a caller's address; `None` for a NULL pointer.
    ///
    /// # Safety
    ///
    /// The pointer is as [`Addr::read`] wants it for `family`.
    #[inline]
    pub unsafe fn read(family: Family, (addr, port): (*const u8, sys::in_port_t)) -> Option<Self> {
        // SAFETY: the caller promises of the pointers all that this asks for.
        let addr = unsafe { Addr::read(family, addr)? };
        Some(Self { addr, port })
    }
}

/// What is wrong with a 5-tuple or an endpoint that could not be read.
#[cold]
fn reason(family: sys::sa_family_t, null: bool) -> Reject {
    if null {
        Reject::Null
    } else if Family::from_number(family).is_none() {
        Reject::Family
    } else {
        Reject::Protocol
    }
}

/// Protocol, local and foreign end. Laid out as `clinet_probe_tuple_t`, so
/// that a probe gets a pointer to it and nothing has to be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FiveTuple {
    /// The transport protocol.
    pub protocol: Protocol,
    /// This node's end.
    pub local: SockAddr,
    /// The other end.
    pub foreign: SockAddr,
}

const _: () = {
    use core::mem::offset_of;
    use sys::{
        clinet_probe_addr_t as ProbeAddr, clinet_probe_end_t as End, clinet_probe_tuple_t as Probe,
    };
    assert!(size_of::<FiveTuple>() == size_of::<Probe>());
    assert!(offset_of!(FiveTuple, protocol) == offset_of!(Probe, cpt_protocol));
    assert!(offset_of!(FiveTuple, local) == offset_of!(Probe, cpt_local));
    assert!(offset_of!(FiveTuple, foreign) == offset_of!(Probe, cpt_foreign));
    assert!(offset_of!(SockAddr, addr) == offset_of!(End, cpe_addr));
    assert!(offset_of!(SockAddr, port) == offset_of!(End, cpe_port));
    assert!(offset_of!(Addr, words) == offset_of!(ProbeAddr, cpa_words));
    assert!(offset_of!(Addr, family) == offset_of!(ProbeAddr, cpa_family));
};

impl FiveTuple {
    /// Reads a caller's 5-tuple. Everything that can be wrong is looked at in
    /// this order: pointers, family, protocol.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    ///
    /// # Safety
    ///
    /// Both pointers are as [`Addr::read`] wants them for `family`.
    #[inline]
    pub unsafe fn read(
        protocol: u8,
        family: sys::sa_family_t,
        local: (*const u8, sys::in_port_t),
        foreign: (*const u8, sys::in_port_t),
    ) -> Result<Self, Reject> {
        // SAFETY: the caller promises of the pointers all that this asks for.
        match unsafe { Self::read_good(protocol, family, local, foreign) } {
            Some(tuple) => Ok(tuple),
            None => Err(reason(family, local.0.is_null() || foreign.0.is_null())),
        }
    }

    /// As [`FiveTuple::read`], without the reason.
    ///
    /// # Safety
    ///
    /// As for [`FiveTuple::read`].
    #[inline]
    pub unsafe fn read_good(
        protocol: u8,
        family: sys::sa_family_t,
        local: (*const u8, sys::in_port_t),
        foreign: (*const u8, sys::in_port_t),
    ) -> Option<Self> {
        let (protocol, family) = (
            Protocol::from_number(protocol)?,
            Family::from_number(family)?,
        );
        // SAFETY: the caller promises of the pointers all that this asks for.
        let local = unsafe { SockAddr::read(family, local)? };
        // SAFETY: the caller promises of the pointers all that this asks for.
        let foreign = unsafe { SockAddr::read(family, foreign)? };
        Some(Self {
            protocol,
            local,
            foreign,
        })
    }

    /// The same as a probe shows it.
    #[must_use]
    pub fn as_probe(&self) -> &sys::clinet_probe_tuple_t {
        // SAFETY: both are laid out alike, which is asserted above, and the
        // members of the other one may have any value.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }

    /// The local end.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            protocol: self.protocol,
            addr: self.local.addr,
            port: self.local.port,
        }
    }
}

/// A local endpoint: what listens or is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The local address.
    pub addr: Addr,
    /// The local port, network byte order.
    pub port: sys::in_port_t,
}

impl Endpoint {
    /// Reads a caller's endpoint: pointer, family, protocol, in this order.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    ///
    /// # Safety
    ///
    /// `pointer` is as [`Addr::read`] wants it for `family`.
    #[inline]
    pub unsafe fn read(
        protocol: u8,
        family: sys::sa_family_t,
        pointer: *const u8,
        port: sys::in_port_t,
    ) -> Result<Self, Reject> {
        // SAFETY: the caller promises of the pointers all that this asks for.
        match unsafe { Self::read_good(protocol, family, (pointer, port)) } {
            Some(endpoint) => Ok(endpoint),
            None => Err(reason(family, pointer.is_null())),
        }
    }

    /// As [`Endpoint::read`], without the reason.
    ///
    /// # Safety
    ///
    /// As for [`Endpoint::read`].
    #[inline]
    pub unsafe fn read_good(
        protocol: u8,
        family: sys::sa_family_t,
        local: (*const u8, sys::in_port_t),
    ) -> Option<Self> {
        let (protocol, family) = (
            Protocol::from_number(protocol)?,
            Family::from_number(family)?,
        );
        // SAFETY: the caller promises of the pointers all that this asks for.
        let SockAddr { addr, port } = unsafe { SockAddr::read(family, local)? };
        Some(Self {
            protocol,
            addr,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: sys::sa_family_t = sys::AF_INET as sys::sa_family_t;
    const V6: sys::sa_family_t = sys::AF_INET6 as sys::sa_family_t;

    fn read(protocol: u8, family: u16, addr: *const u8) -> Result<Endpoint, Reject> {
        // SAFETY: the tests pass NULL or enough bytes for the family.
        unsafe { Endpoint::read(protocol, family, addr, 80) }
    }

    #[test]
    fn an_ipv4_address_and_its_mapped_form_are_one_address() {
        let octets = [192, 0, 2, 10];
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 10];
        let four = read(6, V4, octets.as_ptr()).unwrap().addr;
        let six = read(6, V6, mapped.as_ptr()).unwrap().addr;
        assert_eq!(four.v6_form(), six.v6_form());
        assert_eq!(
            four.wire(),
            [192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(six.wire(), mapped);
        assert_eq!(Addr::from_words(six.words()), four);
        let own = Addr::v6([1; 16]);
        assert_eq!(Addr::from_words(own.words()), own);
    }

    #[test]
    fn three_addresses_are_unspecified_and_others_are_not() {
        let mut mapped = [0; 16];
        mapped[10] = 0xff;
        mapped[11] = 0xff;
        assert!(Addr::v4([0; 4]).is_unspecified());
        assert!(Addr::v6([0; 16]).is_unspecified());
        assert!(Addr::v6(mapped).is_unspecified());
        let mut loopback = [0; 16];
        loopback[15] = 1;
        assert!(!Addr::v6(loopback).is_unspecified());
        assert!(!Addr::v4([0, 0, 0, 1]).is_unspecified());
        mapped[9] = 1;
        assert!(!Addr::v6(mapped).is_unspecified());
    }

    #[test]
    fn pointers_come_before_the_family_and_that_before_the_protocol() {
        let bytes = [1; 16];
        assert_eq!(read(132, 99, core::ptr::null()), Err(Reject::Null));
        assert_eq!(read(132, 99, bytes.as_ptr()), Err(Reject::Family));
        // Linux's AF_INET6 is not illumos's.
        assert_eq!(read(6, 10, bytes.as_ptr()), Err(Reject::Family));
        assert_eq!(read(132, V6, bytes.as_ptr()), Err(Reject::Protocol));
        assert!(read(17, V6, bytes.as_ptr()).is_ok());
    }

    #[test]
    fn a_five_tuple_needs_both_addresses() {
        let bytes = [1; 16];
        let null = core::ptr::null();
        for (local, foreign) in [(bytes.as_ptr(), null), (null, bytes.as_ptr())] {
            // SAFETY: NULL or sixteen bytes.
            let tuple = unsafe { FiveTuple::read(6, V6, (local, 1), (foreign, 2)) };
            assert_eq!(tuple, Err(Reject::Null));
        }
    }
}
