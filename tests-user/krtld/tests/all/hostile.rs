// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files that were cut short or altered: refused, or mapped and relocated;
//! never a panic, a crash, or a loop.

use std::sync::OnceLock;

use crate::common::{Names, assemble};
use clinet_krtld::{LoadError, ModuleFile};
use proptest::collection::vec;
use proptest::prelude::*;

/// A module with something of everything.
fn module() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        assemble(
            ".text
            .globl _init
            .type _init, @function
            _init: call memcpy@PLT
            call __dtrace_probe_start
            mov $table, %rax
            mov optional(%rip), %rbx
            ret
            .size _init, . - _init
            .weak optional
            .section .rodata
            _depends_on: .asciz \"drv/ip misc/kcf\"
            .size _depends_on, . - _depends_on
            .data
            .globl table
            table: .quad _init, memcpy, table - .
            .size table, 8
            .bss
            .skip 64
            .comm shared, 8, 32",
        )
    })
}

/// Does everything that can be done to a file. The image's bytes are read, so
/// that an area which is not what it claims to be is found out.
fn exercise(bytes: &[u8]) -> Result<(), LoadError> {
    let file = ModuleFile::parse(bytes)?;
    let dependencies = file.dependencies();
    let image = file.load(&mut Names::of(&[("memcpy", 0x4000_0000)]))?;
    for area in [image.text(), image.data()] {
        assert!(area.start <= area.end && area.end <= 1 << 31);
        if !area.is_empty() {
            crate::common::peek::<1>(&image, area.start);
            crate::common::peek::<1>(&image, area.end - 1);
        }
    }
    for symbol in image.symbols() {
        // Refused or stored, both are right.
        let _ = image.set_tunable(&symbol.name, u64::MAX);
    }
    dependencies.map(drop)
}

#[test]
fn the_module_itself_loads() {
    exercise(module()).expect("loads");
}

#[test]
fn no_prefix_of_a_module_loads() {
    for len in 0..module().len() {
        // GNU as ends a file with the section headers: each cut hits them.
        assert!(exercise(&module()[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn any_bit_may_flip() {
    let mut bytes = module().to_vec();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            let _ = exercise(&bytes);
            bytes[place] ^= 1 << bit;
        }
    }
}

#[test]
fn a_module_may_lie_anywhere_in_memory() {
    for skip in 0..8 {
        let mut padded = vec![0; skip];
        padded.extend_from_slice(module());
        exercise(&padded[skip..]).expect("loads");
    }
}

proptest! {
    #[test]
    fn many_bytes_may_change(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut bytes = module().to_vec();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = exercise(&bytes);
    }

    #[test]
    fn words_may_become_extreme(
        changes in vec(
            (any::<prop::sample::Index>(), prop::sample::select(&[
                0_u64, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 63, u64::MAX, u64::MAX - 7,
            ][..])),
            1..6,
        ),
    ) {
        let mut bytes = module().to_vec();
        for (place, value) in changes {
            let place = place.index(bytes.len() / 8) * 8;
            bytes[place..place + 8].copy_from_slice(&value.to_le_bytes());
        }
        let _ = exercise(&bytes);
    }

    #[test]
    fn an_elf_header_may_be_followed_by_anything(
        tail in vec(any::<u8>(), 0..2000),
    ) {
        let mut bytes = module()[..64].to_vec();
        bytes.extend_from_slice(&tail);
        let _ = exercise(&bytes);
    }
}
