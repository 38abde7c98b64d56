// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `atomic_*` and `membar_*` for words of 32 and 64 bits.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::Import;

/// The functions of one width, and which names are theirs.
macro_rules! width {
    ($width:ident, $atomic:ty, $value:ty, [$(($suffix:literal, $nv:literal)),*]) => {
        mod $width {
            use super::{Import, Ordering};

            /// # Safety
            /// `word` is aligned and alive.
            unsafe fn at<'a>(word: *mut $value) -> &'a $atomic {
                // SAFETY: passed on by the caller.
                unsafe { <$atomic>::from_ptr(word) }
            }

            width!(@op add, fetch_add, wrapping_add, $value);
            width!(@op or, fetch_or, bits_or, $value);
            width!(@op and, fetch_and, bits_and, $value);

            trait Bits {
                fn bits_or(self, other: Self) -> Self;
                fn bits_and(self, other: Self) -> Self;
            }
            impl Bits for $value {
                fn bits_or(self, other: Self) -> Self { self | other }
                fn bits_and(self, other: Self) -> Self { self & other }
            }

            unsafe extern "C" fn inc(word: *mut $value) -> $value {
                // SAFETY: the caller's word is aligned and alive.
                unsafe { add(word, 1) }
            }

            unsafe extern "C" fn dec(word: *mut $value) -> $value {
                // SAFETY: the caller's word is aligned and alive.
                unsafe { add(word, <$value>::MAX) }
            }

            unsafe extern "C" fn cas(word: *mut $value, old: $value, new: $value) -> $value {
                // SAFETY: the caller's word is aligned and alive.
                let word = unsafe { at(word) };
                word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
                    .unwrap_or_else(|found| found)
            }

            unsafe extern "C" fn swap(word: *mut $value, new: $value) -> $value {
                // SAFETY: the caller's word is aligned and alive.
                unsafe { at(word) }.swap(new, Ordering::SeqCst)
            }

            pub(super) fn table() -> Vec<Import> {
                let mut all = Vec::new();
                $(
                    for (name, address) in [
                        (concat!("atomic_add_", $suffix), add as *const ()),
                        (concat!("atomic_add_", $nv), add as *const ()),
                        (concat!("atomic_inc_", $suffix), inc as *const ()),
                        (concat!("atomic_inc_", $nv), inc as *const ()),
                        (concat!("atomic_dec_", $suffix), dec as *const ()),
                        (concat!("atomic_dec_", $nv), dec as *const ()),
                        (concat!("atomic_or_", $suffix), or as *const ()),
                        (concat!("atomic_or_", $nv), or as *const ()),
                        (concat!("atomic_and_", $suffix), and as *const ()),
                        (concat!("atomic_and_", $nv), and as *const ()),
                        (concat!("atomic_cas_", $suffix), cas as *const ()),
                        (concat!("atomic_swap_", $suffix), swap as *const ()),
                    ] {
                        all.push(Import::new(name, address));
                    }
                )*
                all
            }
        }
    };
    (@op $name:ident, $fetch:ident, $apply:ident, $value:ty) => {
        unsafe extern "C" fn $name(word: *mut $value, operand: $value) -> $value {
            // SAFETY: the caller's word is aligned and alive.
            unsafe { at(word) }.$fetch(operand, Ordering::SeqCst).$apply(operand)
        }
    };
}

width!(
    narrow,
    super::AtomicU32,
    u32,
    [("32", "32_nv"), ("uint", "uint_nv")]
);
width!(
    wide,
    super::AtomicU64,
    u64,
    [
        ("64", "64_nv"),
        ("ulong", "ulong_nv"),
        ("ptr", "ptr_nv"),
        ("long", "long_nv")
    ]
);

extern "C" fn membar() {
    fence(Ordering::SeqCst);
}

extern "C" fn membar_ordered() {
    // amd64 keeps stores in order, and loads.
    std::sync::atomic::compiler_fence(Ordering::AcqRel);
}

/// The imports of this file.
#[must_use]
pub fn table() -> Vec<Import> {
    let fences = [
        ("membar_enter", membar as *const ()),
        ("membar_exit", membar as *const ()),
        ("membar_sync", membar as *const ()),
        ("membar_producer", membar_ordered as *const ()),
        ("membar_consumer", membar_ordered as *const ()),
    ];
    let fences = fences.map(|(name, address)| Import::new(name, address));
    [narrow::table(), wide::table(), fences.to_vec()].concat()
}
