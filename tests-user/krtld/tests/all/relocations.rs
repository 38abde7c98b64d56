// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One test for each row of krtld's relocation table, and for what it does
//! around it.

use crate::common::{
    Names, address, assemble, load, load_with, offset, peek, poke, refusal, relocation_entry,
};
use clinet_krtld::{Image, LoadError};

/// A kernel symbol's address; here, as there, within reach of the module.
const KERNEL: u64 = 0x4123_4567;

/// A data section with eight zero bytes at `here`, one relocation at them of
/// type `kind` against the undefined `kernel_symbol` with addend 0x10, and
/// eight bytes 0xee behind them.
fn object(kind: u32) -> Vec<u8> {
    let mut bytes = assemble(
        ".data
        .globl here
        here: .quad 0
        .quad 0xeeeeeeeeeeeeeeee
        .reloc here, R_X86_64_64, kernel_symbol + 0x10",
    );
    let entry = relocation_entry(&bytes, ".rela.data", 0);
    poke(&mut bytes, entry + offset::R_TYPE, &kind.to_le_bytes());
    bytes
}

fn loaded(kind: u32) -> Image {
    load_with(&object(kind), &[("kernel_symbol", KERNEL)])
        .unwrap_or_else(|error| panic!("type {kind}: {error}"))
}

fn refused(kind: u32) -> LoadError {
    match load_with(&object(kind), &[("kernel_symbol", KERNEL)]) {
        Ok(_) => panic!("type {kind} was accepted"),
        Err(error) => error,
    }
}

/// Loads type `kind` and checks that `size` bytes of `value` were stored, and
/// not one more.
#[track_caller]
fn check_stored(kind: u32, size: usize, value: impl Fn(u64) -> u64) -> Image {
    let image = loaded(kind);
    let here = address(&image, "here");
    let mut expected = [0; 8];
    expected[..size].copy_from_slice(&value(here).to_le_bytes()[..size]);
    assert_eq!(peek::<8>(&image, here), expected, "type {kind}");
    assert_eq!(peek::<8>(&image, here + 8), [0xee; 8], "type {kind}");
    image
}

const SUM: u64 = KERNEL + 0x10;

#[track_caller]
fn check_quiet(image: &Image) {
    assert_eq!(image.warnings(), [] as [String; 0]);
}

#[track_caller]
fn check_warned(image: &Image, words: &[&str]) {
    let [warning] = image.warnings() else {
        panic!("one warning expected: {:?}", image.warnings());
    };
    for word in words {
        assert!(warning.contains(word), "{warning}");
    }
}

#[test]
fn type_0_is_skipped() {
    check_quiet(&check_stored(0, 0, |_| 0));
}

#[test]
fn type_1_stores_symbol_and_addend() {
    check_quiet(&check_stored(1, 8, |_| SUM));
}

#[test]
fn type_2_stores_the_distance() {
    check_quiet(&check_stored(2, 4, |here| SUM.wrapping_sub(here)));
}

#[test]
fn type_4_stores_the_distance_without_plt() {
    check_quiet(&check_stored(4, 4, |here| SUM.wrapping_sub(here)));
}

#[test]
fn type_24_stores_the_long_distance() {
    check_quiet(&check_stored(24, 8, |here| SUM.wrapping_sub(here)));
}

#[test]
fn type_11_stores_a_low_address() {
    check_quiet(&check_stored(11, 4, |_| SUM));
}

#[test]
fn type_10_never_fits_an_address() {
    let error = refused(10);
    assert!(matches!(error, LoadError::OutOfRange { .. }), "{error}");
    let local = load(&assemble(".data\nhere: .long here"));
    assert!(matches!(local, Err(LoadError::OutOfRange { .. })));
}

#[test]
fn type_10_takes_a_plain_number() {
    let image = load(&assemble(
        ".data\nhere: .long 0\n.globl number\nnumber = 0x80000001\n\
         .reloc here, R_X86_64_32, number",
    ))
    .expect("a number fits");
    assert_eq!(
        peek(&image, image.data().start),
        0x8000_0001_u32.to_le_bytes()
    );
}

#[test]
fn types_12_to_15_cut_the_value() {
    check_quiet(&check_stored(12, 2, |_| SUM));
    check_quiet(&check_stored(13, 2, |here| SUM.wrapping_sub(here)));
    check_quiet(&check_stored(14, 1, |_| SUM));
    check_quiet(&check_stored(15, 1, |here| SUM.wrapping_sub(here)));
}

#[test]
fn meaningless_types_are_stored_with_a_warning() {
    for kind in [6, 16, 17, 18] {
        check_warned(&check_stored(kind, 8, |_| SUM), &["no meaning"]);
    }
}

#[test]
fn type_8_adds_the_start_of_the_section_whatever_the_symbol() {
    let image = check_stored(8, 8, |here| here + 0x10);
    check_warned(&image, &["RELATIVE", "no meaning"]);
}

#[test]
fn type_9_stores_the_symbol_itself_since_there_is_no_got() {
    let image = check_stored(9, 4, |_| SUM);
    check_warned(
        &image,
        &["type 9 (GOTPCREL)", ".data+0x0", "kernel_symbol", "no GOT"],
    );
}

#[test]
fn other_got_and_size_types_are_wrong_too() {
    check_warned(&check_stored(25, 8, |_| SUM), &["no GOT"]);
    check_warned(
        &check_stored(26, 4, |here| SUM.wrapping_sub(here)),
        &["no GOT"],
    );
    check_warned(&check_stored(32, 4, |_| SUM), &["not its size"]);
    check_warned(&check_stored(33, 8, |_| SUM), &["not its size"]);
}

#[test]
fn types_without_a_size_are_rejected() {
    for kind in [3, 5, 7, 27, 28, 29, 30, 31] {
        let error = refused(kind);
        let LoadError::RejectedRelocation(site) = &error else {
            panic!("type {kind}: {error}");
        };
        assert_eq!(
            (
                site.kind,
                site.section.as_str(),
                site.offset,
                site.symbol.as_str()
            ),
            (kind, ".data", 0, "kernel_symbol")
        );
    }
}

#[test]
fn type_34_which_is_read_from_behind_the_table_is_rejected() {
    assert!(matches!(refused(34), LoadError::RejectedRelocation(_)));
}

#[test]
fn tls_and_unknown_types_would_hang() {
    for kind in [19, 20, 21, 22, 23, 35, 40, 41, 42, 43, u32::MAX] {
        let error = refused(kind);
        assert!(matches!(error, LoadError::WouldHang(_)), "{kind}: {error}");
        assert!(error.to_string().contains("modload would hang"), "{error}");
    }
}

#[test]
fn a_hanging_type_behind_a_misfit_still_hangs() {
    let error = refusal(&assemble(
        ".data\nhere: .long 0\n.long 0\n.reloc 0, R_X86_64_32, here\n\
         .reloc 4, R_X86_64_TPOFF32, here",
    ));
    assert!(matches!(error, LoadError::WouldHang(_)), "{error}");
}

/// An object with one relocation against an absolute symbol.
fn absolute(kind: &str, number: &str) -> Vec<u8> {
    assemble(&format!(
        ".data\n.quad 0\n.globl number\nnumber = {number}\n.reloc 0, {kind}, number"
    ))
}

#[test]
fn signed_range_is_checked() {
    let far = "0x7fff0000000";
    for kind in [
        "R_X86_64_PC32",
        "R_X86_64_32S",
        "R_X86_64_GOTPCREL",
        "R_X86_64_GOTPC32",
    ] {
        let error = refusal(&absolute(kind, far));
        assert!(matches!(error, LoadError::OutOfRange { .. }), "{error}");
    }
    assert!(matches!(
        refusal(&absolute("R_X86_64_32", "0x100000000")),
        LoadError::OutOfRange { .. }
    ));
    load(&absolute("R_X86_64_32S", "-0x80000000")).expect("-2 GiB fits");
}

#[test]
fn plt32_is_cut_without_a_check() {
    let image = load(&absolute("R_X86_64_PLT32", "0x7fff0000000")).expect("no check");
    let place = image.data().start;
    let expected = 0x7ff_f000_0000_u64.wrapping_sub(place) as u32;
    assert_eq!(peek(&image, place), expected.to_le_bytes());
}

#[test]
fn bytes_in_place_are_added_to_wide_fields_and_lost_in_narrow_ones() {
    let image = load(&assemble(
        ".data
        .quad 0x1000
        .long 0x2000
        .short 0x3000
        .byte 0x40
        .globl number
        number = 5
        .reloc 0, R_X86_64_64, number
        .reloc 8, R_X86_64_32S, number
        .reloc 12, R_X86_64_16, number
        .reloc 14, R_X86_64_8, number",
    ))
    .expect("loads");
    let data = image.data().start;
    assert_eq!(peek(&image, data), 0x1005_u64.to_le_bytes());
    assert_eq!(peek(&image, data + 8), 0x2005_u32.to_le_bytes());
    assert_eq!(peek(&image, data + 12), 5_u16.to_le_bytes());
    assert_eq!(peek(&image, data + 14), [5]);
}

#[test]
fn a_field_outside_its_section_is_refused() {
    for place in [1_u64, 8, u64::MAX - 3, u64::MAX] {
        let mut bytes = assemble(".data\nhere: .quad here\n.section .next, \"aw\"\n.quad 0");
        let entry = relocation_entry(&bytes, ".rela.data", 0);
        poke(&mut bytes, entry + offset::R_OFFSET, &place.to_le_bytes());
        let error = refusal(&bytes);
        assert!(matches!(error, LoadError::OutsideSection(_)), "{error}");
        assert!(error.to_string().contains("write outside"), "{error}");
    }
}

#[test]
fn a_symbol_number_behind_the_table_is_refused() {
    let mut bytes = object(1);
    let entry = relocation_entry(&bytes, ".rela.data", 0);
    poke(&mut bytes, entry + offset::R_SYM, &u32::MAX.to_le_bytes());
    let result = load_with(&bytes, &[("kernel_symbol", KERNEL)]);
    assert!(matches!(result, Err(LoadError::Malformed(_))));
}

#[test]
fn extreme_addends_wrap() {
    for addend in [i64::MIN, i64::MAX, -1] {
        let mut bytes = object(24);
        let entry = relocation_entry(&bytes, ".rela.data", 0);
        poke(&mut bytes, entry + offset::R_ADDEND, &addend.to_le_bytes());
        let image = load_with(&bytes, &[("kernel_symbol", KERNEL)]).expect("loads");
        let here = address(&image, "here");
        let value = KERNEL.wrapping_add_signed(addend).wrapping_sub(here);
        assert_eq!(peek(&image, here), value.to_le_bytes());
    }
}

#[test]
fn the_null_symbol_is_zero() {
    let image = load(&assemble(".data\n.quad 0\n.reloc 0, R_X86_64_64, 7")).expect("loads");
    assert_eq!(peek(&image, image.data().start), 7_u64.to_le_bytes());
}

#[test]
fn an_undefined_weak_symbol_leaves_the_field_alone() {
    let bytes = assemble(
        ".data
        .weak perhaps
        .quad 0x55
        .long 0x66
        .reloc 0, R_X86_64_64, perhaps + 9
        .reloc 8, R_X86_64_PC32, perhaps + 9",
    );
    let image = load(&bytes).expect("weak may be missing");
    let data = image.data().start;
    assert_eq!(peek(&image, data), 0x55_u64.to_le_bytes());
    assert_eq!(peek(&image, data + 8), 0x66_u32.to_le_bytes());

    let image = load_with(&bytes, &[("perhaps", KERNEL)]).expect("loads");
    let found = peek(&image, image.data().start);
    assert_eq!(found, (0x55 + KERNEL + 9).to_le_bytes());
}

#[test]
fn each_undefined_symbol_is_asked_for_once() {
    let bytes = assemble(".text\ncall one\ncall two\ncall one\n.weak three\n.quad three");
    let mut names = Names::of(&[("one", KERNEL), ("two", KERNEL)]);
    clinet_krtld::ModuleFile::parse(&bytes)
        .expect("parses")
        .load(&mut names)
        .expect("loads");
    names.asked.sort();
    assert_eq!(names.asked, ["one", "three", "two"]);
}
