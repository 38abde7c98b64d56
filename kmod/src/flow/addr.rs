// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Addresses: read from a caller's pointer, and owned from then on.

use super::Family;
use crate::kernel::sys;

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
    /// Copies a caller's address; `None` for a NULL pointer or another family.
    ///
    /// # Safety
    ///
    /// The pointer is as [`Addr::read`] wants it for the family of this number.
    #[inline]
    pub unsafe fn read(
        family: sys::sa_family_t,
        (addr, port): (*const u8, sys::in_port_t),
    ) -> Option<Self> {
        // SAFETY: the caller promises of the pointer all that this asks for.
        let addr = unsafe { Addr::read(Family::from_number(family)?, addr)? };
        Some(Self { addr, port })
    }

    /// As [`Addr::from_v6_form`], of the family of this number.
    #[must_use]
    pub fn from_v6_form(
        family: sys::sa_family_t,
        (addr, port): ([u8; 16], sys::in_port_t),
    ) -> Option<Self> {
        let addr = Addr::from_v6_form(Family::from_number(family)?, addr)?;
        Some(Self { addr, port })
    }
}

// Probes get a pointer to it.
const _: () = {
    use core::mem::offset_of;
    use sys::{clinet_probe_addr_t as ProbeAddr, clinet_probe_end_t as End};
    assert!(offset_of!(SockAddr, addr) == offset_of!(End, cpe_addr));
    assert!(offset_of!(SockAddr, port) == offset_of!(End, cpe_port));
    assert!(offset_of!(Addr, words) == offset_of!(ProbeAddr, cpa_words));
    assert!(offset_of!(Addr, family) == offset_of!(ProbeAddr, cpa_family));
};
