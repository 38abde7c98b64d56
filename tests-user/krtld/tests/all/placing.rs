// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where sections and COMMON symbols go, and what stays out.

use std::fs;

use crate::common::{
    address, assemble, load, load_with, offset, peek, poke, refusal, section_header, symbol_entry,
};
use clinet_krtld::{Image, LoadError};

#[test]
fn writable_sections_are_data_and_all_others_text_in_file_order() {
    let image = load(&assemble(
        ".section .rodata\nconstant: .quad 1
        .text\ncode: ret
        .data\nvariable: .quad 2
        .section .strange, \"awx\"\nboth: .quad 3
        .section .note, \"\"\n.quad 4
        .bss\nzeroed: .quad 0",
    ))
    .expect("loads");
    // as puts .text, .data and .bss before the named sections.
    for pair in [
        ["code", "constant"],
        ["variable", "zeroed"],
        ["zeroed", "both"],
    ] {
        assert!(
            address(&image, pair[0]) < address(&image, pair[1]),
            "{pair:?}"
        );
    }
    for name in ["code", "constant"] {
        assert!(image.text().contains(&address(&image, name)), "{name}");
    }
    for name in ["variable", "zeroed", "both"] {
        assert!(image.data().contains(&address(&image, name)), "{name}");
    }
    assert_eq!(image.data().end - image.data().start, 24);
    assert_eq!(peek(&image, address(&image, "both")), 3_u64.to_le_bytes());
}

#[test]
fn both_areas_lie_in_the_low_2_gib() {
    let image = load(&assemble(".text\nret\n.data\n.quad 0")).expect("loads");
    assert!(image.text().end <= 1 << 31);
    assert!(image.data().end <= 1 << 31);
}

/// The permissions of the mapping at `address`, as in /proc/self/maps.
fn permissions(address: u64) -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let line = maps.lines().find(|line| {
        let (start, end) = line
            .split_once(' ')
            .and_then(|(range, _)| range.split_once('-'))
            .expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("hexadecimal");
        (number(start)..number(end)).contains(&address)
    });
    let line = line.unwrap_or("- unmapped");
    line.split(' ').nth(1).expect("permissions").to_owned()
}

#[test]
fn text_is_executable_and_data_writable_never_both() {
    let image = load(&assemble(".text\nret\n.data\n.quad 0")).expect("loads");
    assert_eq!(permissions(image.text().start), "r-xp");
    assert_eq!(permissions(image.data().start), "rw-p");
}

#[test]
fn sections_are_aligned_in_their_area() {
    let image = load(&assemble(
        ".text\nret
        .section .one, \"ax\"\n.p2align 12\npage: ret
        .section .two, \"a\"\n.p2align 4\nparagraph: .byte 1
        .data\nodd: .byte 1
        .section .three, \"aw\"\n.p2align 16\nlarge: .quad 0",
    ))
    .expect("loads");
    assert_eq!(address(&image, "page") % 4096, 0);
    assert_eq!(address(&image, "paragraph") % 16, 0);
    assert_eq!(address(&image, "large") % 65536, 0);
    assert_eq!(address(&image, "odd"), image.data().start);
}

#[test]
fn an_alignment_that_is_no_power_of_two_is_refused() {
    for (align, fits) in [(0_u64, true), (1, true), (3, false), (u64::MAX, false)] {
        let mut bytes = assemble(".data\n.quad 1");
        let header = section_header(&bytes, ".data");
        poke(
            &mut bytes,
            header + offset::SH_ADDRALIGN,
            &align.to_le_bytes(),
        );
        assert_eq!(load(&bytes).is_ok(), fits, "{align}");
    }
}

#[test]
fn nobits_is_zeroed_whatever_the_file_holds_there() {
    let image = load(&assemble(
        ".bss\nvariable: .skip 100\n.section .zeros, \"a\", @nobits\nconstant: .skip 8",
    ))
    .expect("loads");
    assert_eq!(peek(&image, address(&image, "variable")), [0_u8; 100]);
    assert!(image.text().contains(&address(&image, "constant")));
}

#[test]
fn a_relocation_may_fill_nobits() {
    let mut bytes = assemble(".data\nhere: .quad here");
    let header = section_header(&bytes, ".data");
    poke(&mut bytes, header + offset::SH_TYPE, &8_u32.to_le_bytes());
    let image = load(&bytes).expect("loads");
    let here = address(&image, "here");
    assert_eq!(peek(&image, here), here.to_le_bytes());
}

#[test]
fn a_section_with_an_address_is_refused() {
    let mut bytes = assemble(".data\n.quad 1");
    let header = section_header(&bytes, ".data");
    poke(&mut bytes, header + offset::SH_ADDR, &[1]);
    let error = refusal(&bytes);
    let LoadError::SectionAddress { section, address } = error else {
        panic!("{error}");
    };
    assert_eq!((section.as_str(), address), (".data", 1));
}

#[test]
fn a_section_that_is_not_loaded_may_have_an_address() {
    let mut bytes = assemble(".section .note, \"\"\n.quad 1");
    let header = section_header(&bytes, ".note");
    poke(&mut bytes, header + offset::SH_ADDR, &[1]);
    load(&bytes).expect("loads");
}

fn commons() -> Image {
    load(&assemble(
        ".data\n.byte 7\n.comm small, 1, 1\n.comm aligned, 8, 64\n.lcomm local, 8\n.quad aligned",
    ))
    .expect("loads")
}

#[test]
fn common_symbols_get_zeroed_aligned_data() {
    let image = commons();
    for name in ["small", "aligned"] {
        assert!(image.data().contains(&address(&image, name)), "{name}");
    }
    let aligned = address(&image, "aligned");
    assert_eq!(aligned % 64, 0);
    assert_eq!(peek(&image, aligned), [0_u8; 8]);
    assert_ne!(address(&image, "small"), image.data().start);
    assert_eq!(peek(&image, image.data().start + 1), aligned.to_le_bytes());
}

#[test]
fn a_common_symbol_takes_a_definition_elsewhere() {
    let bytes = assemble(".comm shared, 8, 8\n.data\n.quad shared");
    let image = load_with(&bytes, &[("shared", 0x1234)]).expect("loads");
    assert_eq!(peek(&image, image.data().start), 0x1234_u64.to_le_bytes());
    assert_eq!(address(&image, "shared"), 0x1234);
    assert_eq!(image.data().end - image.data().start, 8);
}

#[test]
fn a_module_of_nothing_loads() {
    let image = load(&assemble("")).expect("loads");
    assert!(image.text().is_empty() && image.data().is_empty());
}

#[test]
fn sizes_are_bounded() {
    for source in [
        ".bss\n.skip 64 << 20",
        ".bss\n.skip 40 << 20\n.section .more, \"aw\", @nobits\n.skip 40 << 20",
        ".comm huge, 1 << 40, 8",
        ".comm aligned, 8, 1 << 40",
    ] {
        let error = refusal(&assemble(source));
        assert!(
            matches!(error, LoadError::TooLarge { .. }),
            "{source}: {error}"
        );
    }
    load(&assemble(".bss\n.skip 32 << 20")).expect("half of it fits");
}

#[test]
fn sums_of_sizes_do_not_overflow() {
    let mut bytes = assemble(".comm one, 8, 8\n.comm two, 8, 8\n.bss\n.skip 8");
    for name in ["one", "two"] {
        let entry = symbol_entry(&bytes, name);
        poke(&mut bytes, entry + offset::ST_SIZE, &u64::MAX.to_le_bytes());
    }
    assert!(matches!(refusal(&bytes), LoadError::TooLarge { .. }));
}

#[test]
fn memory_is_given_back() {
    let bytes = assemble(".bss\nvariable: .skip 32 << 20");
    for _ in 0..200 {
        load(&bytes).expect("200 times 32 MiB are more than the low 2 GiB hold");
    }
}
