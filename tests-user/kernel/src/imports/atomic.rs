// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `atomic_*` and `membar_*`.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use super::imports;
use crate::memory::{Word, atomic, touching};

/// Applies an operation to the word at an address.
fn at<A: Word + 'static, R>(address: u64, operation: impl FnOnce(&A) -> R) -> R {
    let word: &A = atomic(address);
    touching(|| operation(word))
}

/// For one width: the word's type, then the names of add, add_nv, inc, inc_nv,
/// dec, dec_nv, or, or_nv, and, and_nv, cas and swap for each C type of that
/// width.
macro_rules! atomics {
    ($(
        $word:ty, $value:ty:
        add[$($add:ident $add_nv:ident)*]
        step[$($inc:ident $inc_nv:ident $dec:ident $dec_nv:ident)*]
        bits[$($or:ident $or_nv:ident $and:ident $and_nv:ident)*]
        swap[$($cas:ident $swap:ident)*];
    )*) => {
        imports! {
            $(
                $(
                    fn $add(address: u64, delta: $value) {
                        at(address, |word: &$word| word.fetch_add(delta, Ordering::SeqCst));
                    }
                    fn $add_nv(address: u64, delta: $value) -> $value {
                        at(address, |word: &$word| word.fetch_add(delta, Ordering::SeqCst))
                            .wrapping_add(delta)
                    }
                )*
                $(
                    fn $inc(address: u64) {
                        at(address, |word: &$word| word.fetch_add(1, Ordering::SeqCst));
                    }
                    fn $inc_nv(address: u64) -> $value {
                        at(address, |word: &$word| word.fetch_add(1, Ordering::SeqCst))
                            .wrapping_add(1)
                    }
                    fn $dec(address: u64) {
                        at(address, |word: &$word| word.fetch_sub(1, Ordering::SeqCst));
                    }
                    fn $dec_nv(address: u64) -> $value {
                        at(address, |word: &$word| word.fetch_sub(1, Ordering::SeqCst))
                            .wrapping_sub(1)
                    }
                )*
                $(
                    fn $or(address: u64, bits: $value) {
                        at(address, |word: &$word| word.fetch_or(bits, Ordering::SeqCst));
                    }
                    fn $or_nv(address: u64, bits: $value) -> $value {
                        at(address, |word: &$word| word.fetch_or(bits, Ordering::SeqCst)) | bits
                    }
                    fn $and(address: u64, bits: $value) {
                        at(address, |word: &$word| word.fetch_and(bits, Ordering::SeqCst));
                    }
                    fn $and_nv(address: u64, bits: $value) -> $value {
                        at(address, |word: &$word| word.fetch_and(bits, Ordering::SeqCst)) & bits
                    }
                )*
                $(
                    fn $cas(address: u64, expected: $value, new: $value) -> $value {
                        at(address, |word: &$word| {
                            word.compare_exchange(
                                expected,
                                new,
                                Ordering::SeqCst,
                                Ordering::SeqCst,
                            )
                            .unwrap_or_else(|found| found)
                        })
                    }
                    fn $swap(address: u64, new: $value) -> $value {
                        at(address, |word: &$word| word.swap(new, Ordering::SeqCst))
                    }
                )*
            )*
            fn membar_enter() {
                fence(Ordering::SeqCst);
            }
            fn membar_exit() {
                fence(Ordering::SeqCst);
            }
            fn membar_sync() {
                fence(Ordering::SeqCst);
            }
            fn membar_producer() {
                fence(Ordering::Release);
            }
            fn membar_consumer() {
                fence(Ordering::Acquire);
            }
        }
    };
}

atomics! {
    AtomicU8, u8:
    add[
        atomic_add_8 atomic_add_8_nv
        atomic_add_char atomic_add_char_nv
    ]
    step[
        atomic_inc_8 atomic_inc_8_nv atomic_dec_8 atomic_dec_8_nv
        atomic_inc_uchar atomic_inc_uchar_nv atomic_dec_uchar atomic_dec_uchar_nv
    ]
    bits[
        atomic_or_8 atomic_or_8_nv atomic_and_8 atomic_and_8_nv
        atomic_or_uchar atomic_or_uchar_nv atomic_and_uchar atomic_and_uchar_nv
    ]
    swap[
        atomic_cas_8 atomic_swap_8
        atomic_cas_uchar atomic_swap_uchar
    ];
    AtomicU16, u16:
    add[
        atomic_add_16 atomic_add_16_nv
        atomic_add_short atomic_add_short_nv
    ]
    step[
        atomic_inc_16 atomic_inc_16_nv atomic_dec_16 atomic_dec_16_nv
        atomic_inc_ushort atomic_inc_ushort_nv atomic_dec_ushort atomic_dec_ushort_nv
    ]
    bits[
        atomic_or_16 atomic_or_16_nv atomic_and_16 atomic_and_16_nv
        atomic_or_ushort atomic_or_ushort_nv atomic_and_ushort atomic_and_ushort_nv
    ]
    swap[
        atomic_cas_16 atomic_swap_16
        atomic_cas_ushort atomic_swap_ushort
    ];
    AtomicU32, u32:
    add[
        atomic_add_32 atomic_add_32_nv
        atomic_add_int atomic_add_int_nv
    ]
    step[
        atomic_inc_32 atomic_inc_32_nv atomic_dec_32 atomic_dec_32_nv
        atomic_inc_uint atomic_inc_uint_nv atomic_dec_uint atomic_dec_uint_nv
    ]
    bits[
        atomic_or_32 atomic_or_32_nv atomic_and_32 atomic_and_32_nv
        atomic_or_uint atomic_or_uint_nv atomic_and_uint atomic_and_uint_nv
    ]
    swap[
        atomic_cas_32 atomic_swap_32
        atomic_cas_uint atomic_swap_uint
    ];
    AtomicU64, u64:
    add[
        atomic_add_64 atomic_add_64_nv
        atomic_add_long atomic_add_long_nv
        atomic_add_ptr atomic_add_ptr_nv
    ]
    step[
        atomic_inc_64 atomic_inc_64_nv atomic_dec_64 atomic_dec_64_nv
        atomic_inc_ulong atomic_inc_ulong_nv atomic_dec_ulong atomic_dec_ulong_nv
    ]
    bits[
        atomic_or_64 atomic_or_64_nv atomic_and_64 atomic_and_64_nv
        atomic_or_ulong atomic_or_ulong_nv atomic_and_ulong atomic_and_ulong_nv
    ]
    swap[
        atomic_cas_64 atomic_swap_64
        atomic_cas_ulong atomic_swap_ulong
        atomic_cas_ptr atomic_swap_ptr
    ];
}
