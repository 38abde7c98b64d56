// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The keys: 5-tuples computed from an index, the same for everybody.

use std::hash::{Hash, Hasher};

/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// `AF_INET6` of illumos.
pub const INET6: u16 = 26;

/// How many local addresses are shared.
pub const SHARED: u32 = 8;

/// An IPv6 5-tuple, 40 bytes: both addresses, both ports (network order), the
/// protocol, three zeros.
///
/// In words, because it is made and read in words: a caller that stored
/// single bytes would keep the reader's loads waiting until the stores have
/// left the processor, and with them everything that could overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Tuple([u64; 5]);

impl Hash for Tuple {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.0 {
            state.write_u64(word);
        }
    }
}

impl Tuple {
    /// The 16 bytes of the local address.
    #[must_use]
    #[inline]
    pub fn laddr(&self) -> *const u8 {
        (&raw const self.0).cast()
    }

    /// The 16 bytes of the foreign address.
    #[must_use]
    #[inline]
    pub fn faddr(&self) -> *const u8 {
        (&raw const self.0[2..]).cast()
    }

    /// The local port as it lies in memory.
    #[must_use]
    #[inline]
    pub fn lport(&self) -> u16 {
        self.0[4] as u16
    }

    /// The foreign port as it lies in memory.
    #[must_use]
    #[inline]
    pub fn fport(&self) -> u16 {
        (self.0[4] >> 16) as u16
    }

    /// TCP or UDP.
    #[must_use]
    #[inline]
    pub fn protocol(&self) -> u8 {
        (self.0[4] >> 32) as u8
    }
}

/// A family of 2^32 different 5-tuples.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    template: [u64; 5],
    /// Local addresses: their last byte is this and the following ones.
    first_local: u8,
}

/// Eight bytes of an address, as a number, as they lie in memory.
const fn memory(bytes: u64) -> u64 {
    bytes.to_be()
}

impl Keys {
    /// Between shared addresses and foreign ones that differ by `space`.
    #[must_use]
    pub fn shared(protocol: u8, space: u8) -> Self {
        let (fport, protocol) = (443_u16.to_be(), u64::from(protocol));
        Self {
            template: [
                memory(0x2001_0db8_0000_0000),
                0,
                memory(0x2001_0db8_0007_0000 | u64::from(space)),
                0,
                u64::from(fport) << 16 | protocol << 32,
            ],
            first_local: 0x10,
        }
    }

    /// The same from local addresses that are not shared.
    #[must_use]
    pub fn not_shared(protocol: u8) -> Self {
        Self {
            first_local: 0x80,
            ..Self::shared(protocol, 0)
        }
    }

    /// TCP or UDP.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        (self.template[4] >> 32) as u8
    }

    /// The `index`-th: neighbours have nothing in common.
    #[must_use]
    #[inline]
    pub fn get(&self, index: u32) -> Tuple {
        let mixed = scramble(index, u32::BITS);
        let local = mixed % SHARED;
        let rest = mixed / SHARED;
        let lport = (0x8000 | (rest & 0x7fff) as u16).to_be();
        let [laddr, _, faddr, _, ports] = self.template;
        Tuple([
            laddr,
            memory(u64::from(self.first_local) + u64::from(local)),
            faddr,
            memory(u64::from(rest >> 15)),
            ports | u64::from(lport),
        ])
    }

    /// Many destinations of the local endpoint of `get(endpoint)`.
    #[must_use]
    #[inline]
    pub fn of_endpoint(&self, endpoint: u32, index: u32) -> Tuple {
        let Tuple(mut words) = self.get(endpoint);
        words[3] |= memory(u64::from(scramble(index, u32::BITS)) << 32);
        Tuple(words)
    }
}

/// The shared addresses as `clinet_addrs` names them.
#[must_use]
pub fn shared_addresses() -> String {
    let all: Vec<String> = (0..SHARED)
        .map(|local| format!("2001:db8::{:x}", 0x10 + local))
        .collect();
    all.join(",")
}

/// A permutation of the numbers below 2^`bits`: each step is one (a product
/// with an odd number, an exclusive or with higher bits).
#[must_use]
#[inline]
pub fn scramble(number: u32, bits: u32) -> u32 {
    let mask = u32::MAX >> (u32::BITS - bits);
    let half = bits.div_ceil(2);
    let mut x = number & mask;
    for factor in [0x9e37_79b1_u32, 0x85eb_ca6b, 0xc2b2_ae35] {
        x = x.wrapping_mul(factor) & mask;
        x ^= x >> half;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn scramble_is_a_permutation() {
        for bits in [1, 7, 12] {
            let all: HashSet<u32> = (0..1 << bits).map(|n| scramble(n, bits)).collect();
            assert_eq!(all.len(), 1 << bits);
            assert!(all.iter().all(|&n| n < 1 << bits));
        }
    }

    #[test]
    fn no_two_indices_give_the_same_tuple() {
        let keys = Keys::shared(TCP, 1);
        let all: HashSet<Tuple> = (0..100_000).map(|index| keys.get(index)).collect();
        assert_eq!(all.len(), 100_000);
        let all: HashSet<Tuple> = (0..1000).map(|index| keys.of_endpoint(3, index)).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|tuple| tuple.lport() == keys.get(3).lport()));
    }

    #[test]
    fn shared_and_other_addresses_do_not_meet() {
        let (shared, other) = (Keys::shared(TCP, 0), Keys::not_shared(TCP));
        let last = |tuple: Tuple| tuple.0[1].to_ne_bytes()[7];
        for index in 0..1000 {
            assert!((0x10..0x18).contains(&last(shared.get(index))));
            assert!((0x80..0x88).contains(&last(other.get(index))));
        }
    }
}
