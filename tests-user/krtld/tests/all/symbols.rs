// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is undefined, what is found, and who wins.

use crate::common::{
    Names, address, assemble, load, load_with, offset, peek, poke, refusal, symbol_entry,
};
use clinet_krtld::{LoadError, ModuleFile, Resolve, SymbolKind};

#[test]
fn all_undefined_symbols_are_named() {
    let error = refusal(&assemble(".text\ncall cl_inet_connect\ncall other\nret"));
    let text = error.to_string();
    let LoadError::UndefinedSymbols(names) = error else {
        panic!("{error}");
    };
    assert_eq!(names, ["cl_inet_connect", "other"]);
    assert_eq!(
        text,
        "undefined symbol 'cl_inet_connect'\nundefined symbol 'other'"
    );
}

#[test]
fn an_undefined_symbol_counts_even_if_nothing_refers_to_it() {
    let error = refusal(&assemble(".globl lonely"));
    assert!(matches!(error, LoadError::UndefinedSymbols(_)), "{error}");
}

#[test]
fn an_undefined_local_symbol_is_not_looked_up() {
    let mut bytes = assemble(".text\ncall elsewhere");
    let entry = symbol_entry(&bytes, "elsewhere");
    poke(&mut bytes, entry + offset::ST_INFO, &[0]);
    let result = load_with(&bytes, &[("elsewhere", 0x1000)]);
    assert!(matches!(result, Err(LoadError::UndefinedSymbols(_))));
}

#[test]
fn undefined_and_common_tls_symbols_are_refused() {
    let mut bytes = assemble(".text\n.weak elsewhere\ncall elsewhere");
    let entry = symbol_entry(&bytes, "elsewhere");
    poke(&mut bytes, entry + offset::ST_INFO, &[0x26]);
    let error = refusal(&bytes);
    assert!(
        matches!(&error, LoadError::TlsSymbol(name) if name == "elsewhere"),
        "{error}"
    );

    let mut bytes = assemble(".comm shared, 8, 8");
    let entry = symbol_entry(&bytes, "shared");
    poke(&mut bytes, entry + offset::ST_INFO, &[0x16]);
    assert!(matches!(refusal(&bytes), LoadError::TlsSymbol(_)));
}

#[test]
fn tls_sections_load_as_data() {
    let image = load(&assemble(
        ".section .tdata, \"awT\"\n.globl mine\n.type mine, @tls_object\nmine: .quad 5",
    ))
    .expect("loads");
    assert_eq!(peek(&image, address(&image, "mine")), 5_u64.to_le_bytes());
}

#[test]
fn a_modules_own_definition_wins() {
    let bytes = assemble(".data\n.globl mine\nmine: .quad mine");
    let image = load_with(&bytes, &[("mine", 0x1234)]).expect("loads");
    let mine = address(&image, "mine");
    assert_ne!(mine, 0x1234);
    assert_eq!(peek(&image, mine), mine.to_le_bytes());
    assert_eq!(image.warnings(), ["symbol mine multiply defined"]);
}

#[test]
fn the_multiply_defined_warning_has_exceptions() {
    let quiet = [
        "memcpy",
        "memset",
        "memmove",
        "memcmp",
        "memchr",
        "strstr",
        "strncat",
        "strlcat",
        "strlcpy",
        "strspn",
        "__udivdi3",
        "__divdi3",
        "__umoddi3",
        "__moddi3",
    ];
    for name in quiet {
        let bytes = assemble(&format!(".text\n.globl {name}\n{name}: ret"));
        let image = load_with(&bytes, &[(name, 0x1000)]).expect("loads");
        assert_eq!(image.warnings(), [] as [String; 0], "{name}");
    }
    for name in ["bcmp", "strlen"] {
        let bytes = assemble(&format!(".text\n.globl {name}\n{name}: ret"));
        let image = load_with(&bytes, &[(name, 0x1000)]).expect("loads");
        assert_eq!(image.warnings().len(), 1, "{name}");
    }
    for binding in [".local", ".weak"] {
        let bytes = assemble(&format!(".text\n{binding} bcmp\nbcmp: ret"));
        let image = load_with(&bytes, &[("bcmp", 0x1000)]).expect("loads");
        assert_eq!(image.warnings(), [] as [String; 0], "{binding}");
    }
}

#[test]
fn the_warning_is_for_the_kernels_symbols_only() {
    struct Dependency;
    impl Resolve for Dependency {
        fn resolve(&mut self, _: &str) -> Option<u64> {
            Some(0x1000)
        }
        fn is_primary(&mut self, _: &str) -> bool {
            false
        }
    }
    let bytes = assemble(".text\n.globl _init\n_init: ret");
    let file = ModuleFile::parse(&bytes).expect("parses");
    let image = file.load(&mut Dependency).expect("loads");
    assert_eq!(image.warnings(), [] as [String; 0]);
}

#[test]
fn a_resolver_without_dependencies_needs_only_resolve() {
    struct Kernel;
    impl Resolve for Kernel {
        fn resolve(&mut self, name: &str) -> Option<u64> {
            (name == "bcmp").then_some(0x1000)
        }
    }
    let bytes = assemble(".text\n.globl bcmp\nbcmp: ret\n.globl own\nown: ret");
    let file = ModuleFile::parse(&bytes).expect("parses");
    let image = file.load(&mut Kernel).expect("loads");
    assert_eq!(image.warnings(), ["symbol bcmp multiply defined"]);
}

#[test]
fn local_symbols_are_found() {
    let image = load(&assemble(
        ".text\n.type inner, @function\ninner: ret\n.size inner, . - inner
        .data\n.globl outer\n.type outer, @object\nouter: .quad 0\n.size outer, 8",
    ))
    .expect("loads");
    let inner = image.symbol("inner").expect("inner");
    assert_eq!(
        (inner.global, inner.kind, inner.size, inner.address),
        (false, SymbolKind::Func, 1, image.text().start)
    );
    let outer = image.symbol("outer").expect("outer");
    assert_eq!(
        (outer.global, outer.kind, outer.size, outer.address),
        (true, SymbolKind::Object, 8, image.data().start)
    );
    let names: Vec<&str> = image.symbols().map(|symbol| symbol.name.as_str()).collect();
    assert_eq!(names, ["inner", "outer"]);
}

#[test]
fn files_undefined_and_nameless_symbols_are_not_found() {
    let bytes = assemble(".file \"source.c\"\n.text\nret\n.weak missing\n.quad missing");
    let image = load_with(&bytes, &[("missing", 0x1000)]).expect("loads");
    for name in ["source.c", "missing", "", "absent"] {
        assert!(image.symbol(name).is_none(), "{name:?}");
    }
}

#[test]
fn of_two_symbols_with_one_name_the_first_is_found() {
    let mut bytes = assemble(".data\none: .quad 1\n.globl two\ntwo: .quad 2");
    let name = bytes[symbol_entry(&bytes, "one")..][..4].to_vec();
    let entry = symbol_entry(&bytes, "two");
    poke(&mut bytes, entry, &name);
    let image = load(&bytes).expect("loads");
    let found = image.symbol("one").expect("one");
    assert_eq!((found.global, found.address), (false, image.data().start));
}

#[test]
fn an_absolute_symbol_is_not_moved() {
    let image = load(&assemble(".globl number\nnumber = 42")).expect("loads");
    assert_eq!(address(&image, "number"), 42);
}

#[test]
fn a_symbol_with_an_unknown_reserved_section_is_not_moved() {
    let mut bytes = assemble(".data\n.quad 0\nodd: .quad 0");
    let entry = symbol_entry(&bytes, "odd");
    poke(
        &mut bytes,
        entry + offset::ST_SHNDX,
        &0xff05_u16.to_le_bytes(),
    );
    let image = load(&bytes).expect("loads");
    assert_eq!(address(&image, "odd"), 8);
}

#[test]
fn weak_definitions_are_definitions() {
    let bytes = assemble(".data\n.weak mine\nmine: .quad mine");
    let mut names = Names::of(&[("mine", 0x1234)]);
    let file = ModuleFile::parse(&bytes).expect("parses");
    let image = file.load(&mut names).expect("loads");
    assert_eq!(names.asked, [] as [String; 0]);
    assert_ne!(
        peek(&image, address(&image, "mine")),
        0x1234_u64.to_le_bytes()
    );
    assert!(image.symbol("mine").expect("mine").global);
}
