// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `set module:variable = value`.

use crate::common::{address, assemble, load, peek};
use clinet_krtld::{Image, LoadError};

/// Variables of `size` bytes among bytes 0xee.
fn image(size: u32) -> Image {
    load(&assemble(&format!(
        ".data
        .globl variable
        variable: .quad 0xeeeeeeeeeeeeeeee, 0xeeeeeeeeeeeeeeee
        .size variable, {size}
        .section .rodata\nconstant: .long 0\n.size constant, 4
        .globl number\nnumber = 0x1000\n.size number, 4"
    )))
    .expect("loads")
}

const VALUE: u64 = 0x1122_3344_5566_7788;

#[test]
fn as_many_bytes_are_set_as_the_symbol_has() {
    for size in [1, 2, 4, 8] {
        let image = image(size);
        let warning = image.set_tunable("variable", VALUE).expect("set");
        assert_eq!(warning, None);
        let mut expected = [0xee; 16];
        let size = size as usize;
        expected[..size].copy_from_slice(&VALUE.to_le_bytes()[..size]);
        assert_eq!(
            peek(&image, address(&image, "variable")),
            expected,
            "{size}"
        );
    }
}

#[test]
fn a_variable_without_a_size_is_an_int_with_a_warning() {
    let image = image(0);
    let warning = image.set_tunable("variable", VALUE).expect("set");
    assert!(warning.expect("a warning").contains("int"));
    let expected = 0xeeee_eeee_5566_7788_u64;
    assert_eq!(
        peek(&image, address(&image, "variable")),
        expected.to_le_bytes()
    );
}

#[test]
fn other_sizes_are_refused() {
    for wanted in [3, 5, 16] {
        let image = image(wanted);
        let error = image.set_tunable("variable", VALUE).expect_err("refused");
        assert!(
            matches!(error, LoadError::VariableSize { size, .. } if size == u64::from(wanted)),
            "{error}"
        );
        assert_eq!(peek(&image, address(&image, "variable")), [0xee; 16]);
    }
}

#[test]
fn unknown_names_and_other_symbols_are_refused() {
    let image = image(4);
    let error = image.set_tunable("absent", 1).expect_err("refused");
    assert!(matches!(error, LoadError::NoVariable(_)), "{error}");
    for name in ["constant", "number"] {
        let error = image.set_tunable(name, 1).expect_err("refused");
        assert!(matches!(error, LoadError::NotAVariable(_)), "{error}");
    }
}

#[test]
fn local_and_common_variables_can_be_set() {
    let image = load(&assemble(
        ".bss\nlocal: .skip 4\n.size local, 4\n.comm shared, 8, 8",
    ))
    .expect("loads");
    for name in ["local", "shared"] {
        image.set_tunable(name, 7).expect("set");
        assert_eq!(peek(&image, address(&image, name)), [7, 0, 0, 0], "{name}");
    }
}

#[test]
fn a_variable_that_sticks_out_of_the_data_is_refused() {
    let image = load(&assemble(".data\n.quad 0\nlast: .byte 0\n.size last, 8")).expect("loads");
    let error = image.set_tunable("last", 1).expect_err("refused");
    assert!(matches!(error, LoadError::NotAVariable(_)), "{error}");
}
