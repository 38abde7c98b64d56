// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The keyed hash that places an entry.
//!
//! Remote ends choose part of a key, so they must not be able to choose its
//! place. The hash is multilinear modulo 2^128 with the high 64 bits kept: with
//! 128-bit coefficients drawn at random, any two different keys have hashes
//! that are uniform and independent of each other (Carter and Wegman; Dietzfelbinger
//! 1996). For keys chosen without the secret, two of them share a bucket of
//! `n` with probability `1/n` (plus at most 2^-32 from scaling), whatever they
//! are. The bijective finish afterwards changes none of that; it breaks up the arithmetic
//! progressions that keys in arithmetic progression would otherwise become.

/// The secret of one load of the module.
#[derive(Clone, Copy, Debug)]
pub struct Secret([u128; 4]);

/// Random bytes that a [`Secret`] is made of.
pub const SECRET_BYTES: usize = 64;

impl Secret {
    /// A secret from random bytes.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        let mut secret = [0; 4];
        let (words, _) = random.as_chunks::<16>();
        for (key, word) in secret.iter_mut().zip(words) {
            *key = u128::from_le_bytes(*word);
        }
        Self(secret)
    }

    /// Where three words belong.
    #[inline]
    #[must_use]
    pub fn hash(&self, a: u64, b: u64, c: u64) -> Hash {
        let [k0, k1, k2, k3] = self.0;
        let sum = k0
            .wrapping_add(k1.wrapping_mul(u128::from(a)))
            .wrapping_add(k2.wrapping_mul(u128::from(b)))
            .wrapping_add(k3.wrapping_mul(u128::from(c)));
        let high = (sum >> 64) as u64;
        // 2^64 divided by the golden ratio, made odd.
        let mixed = (high ^ (high >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Hash(mixed ^ (mixed >> 29))
    }
}

/// The hash of a key: the top bits name the shard, the lower half the place in
/// it, and of that the lowest eight bits the fingerprint. A shard would need
/// millions of buckets before the last two had bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub(super) u64);

impl Hash {
    /// All of it.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The shard, of two to the power of `63 - shift`.
    #[inline]
    #[must_use]
    pub fn shard(self, shift: u32) -> usize {
        // Two shifts: for one shard a single one would be by 64.
        ((self.0 >> 1) >> (shift & 63)) as usize
    }

    /// The place within a shard, as a fraction of 2^32. Independent of the
    /// size of the shard, and in the order of its buckets for every size.
    #[inline]
    #[must_use]
    pub fn fraction(self) -> u32 {
        self.0 as u32
    }

    /// What a bucket remembers of it; never 0, which is a free place, nor 1,
    /// which the search in a bucket could take for one.
    #[inline]
    #[must_use]
    pub fn fingerprint(self) -> u8 {
        self.0 as u8 | 2
    }
}

/// The bucket that a fraction belongs to, of `len` buckets.
#[inline]
#[must_use]
pub fn home(fraction: u32, len: usize) -> usize {
    ((u64::from(fraction).wrapping_mul(len as u64)) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn secret(seed: u8) -> Secret {
        let mut bytes = [0; SECRET_BYTES];
        let mut state = u64::from(seed) + 1;
        for byte in &mut bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        Secret::new(bytes)
    }

    #[test]
    fn shard_and_fraction_use_different_bits() {
        let hash = Hash(0xffc0_0000_0000_0000);
        assert_eq!((hash.shard(53), hash.fraction()), (1023, 0));
        assert_eq!(hash.shard(63), 0);
        let hash = Hash(0x003f_ffff_ffff_ffff);
        assert_eq!((hash.shard(53), hash.fraction()), (0, u32::MAX));
        // Neither a free place nor what is taken for one.
        assert_eq!(Hash(0).fingerprint(), 2);
        assert_eq!(Hash(1).fingerprint(), 3);
        assert_eq!(Hash(0x1ff).fingerprint(), 255);
    }

    #[test]
    fn homes_keep_the_order_of_fractions_and_stay_inside() {
        for len in [1, 2, 3, 64, 1000, 4097] {
            assert_eq!(home(0, len), 0);
            assert_eq!(home(u32::MAX, len), len - 1);
            let homes: Vec<_> = (0..100).map(|n| home(n * 42_000_000, len)).collect();
            assert!(homes.is_sorted());
        }
    }

    /// Keys that somebody chose who knows the code and not the secret: all
    /// have the longest bucket that random numbers would have.
    #[test]
    fn chosen_keys_have_no_long_buckets() {
        const KEYS: u64 = 1 << 16;
        const BUCKETS: usize = 1 << 14;
        type Family = (&'static str, fn(u64) -> [u64; 3]);
        let families: [Family; 6] = [
            ("ports count up", |n| [1, 2, n]),
            ("addresses count up", |n| [1, n, 443]),
            ("high halves count up", |n| [n, 0, 443]),
            ("steps of 2^32", |n| [0, n << 32, 443]),
            ("steps of the inverse of the finish", |n| {
                [0, n.wrapping_mul(0xf1de_83e1_9937_733d), 443]
            }),
            ("sums are equal", |n| [n, n.wrapping_neg(), 443]),
        ];
        for seed in 0..4 {
            let secret = secret(seed);
            for (name, key) in families {
                let mut load = vec![0u32; BUCKETS];
                for n in 0..KEYS {
                    let [a, b, c] = key(n);
                    let hash = secret.hash(a, b, c);
                    load[home(hash.fraction(), BUCKETS)] += 1;
                }
                let longest = load.iter().max().unwrap();
                // Four on average; random numbers reach 13 to 16.
                assert!(*longest <= 20, "{name}: {longest} of {KEYS} in one bucket");
            }
        }
    }

    #[test]
    fn another_secret_is_another_order() {
        let (one, two) = (secret(1), secret(2));
        let equal = (0..1000)
            .filter(|n| one.hash(0, *n, 0).fraction() >> 16 == two.hash(0, *n, 0).fraction() >> 16)
            .count();
        assert!(equal < 5, "{equal} of 1000");
    }
}
