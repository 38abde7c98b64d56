// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Messages, strings, atomics and random numbers.

use crate::common::Machine;
use clinet_kernel::{Context, Destination, Level, Message};

#[test]
fn messages_are_formatted_and_sorted() {
    let machine = Machine::new(
        "void talk(void) {
            cmn_err(CE_WARN, \"!%s is %d%% of 0x%lx, %u %c %5d|%-3d|\", \"this\", -7, 0xabcdef0123UL, 4000000000U, 'x', 42, 7);
            cmn_err(CE_NOTE, \"^console\");
            cmn_err(CE_CONT, \"?verbose %d %d %d %d %d %d %d\", 1, 2, 3, 4, 5, 6, 7);
        }",
    );
    machine.call("talk", &[]);
    let message = |level, destination, text: &str| Message {
        level,
        destination,
        text: text.to_owned(),
    };
    let expected = [
        message(
            Level::Warning,
            Destination::Log,
            "this is -7% of 0xabcdef0123, 4000000000 x    42|7  |",
        ),
        message(Level::Note, Destination::Console, "console"),
        message(
            Level::Continue,
            Destination::Verbose,
            "verbose 1 2 3 4 5 6 7",
        ),
    ];
    assert_eq!(machine.kernel.log(), expected);
    machine.kernel.clear_log();
    assert!(machine.kernel.log().is_empty());
}

#[test]
fn a_format_is_a_literal_that_the_kernel_knows() {
    let source = "
        void says(const char *text) { cmn_err(CE_NOTE, text, 1); }
        void floats(void) { cmn_err(CE_NOTE, \"%g\", 1); }
        void level(void) { cmn_err(9, \"?\"); }";
    let machine = Machine::new(&source.replace("\"%g\", 1", "\"%n\", NULL"));
    let text = machine.kernel.string("data");
    assert!(
        machine
            .fault("says", &[text])
            .contains("no literal of a module")
    );
    let machine = Machine::new(&source.replace("\"%g\", 1", "\"%n\", NULL"));
    assert!(machine.fault("floats", &[]).contains("does not know %n"));
    let machine = Machine::new(&source.replace("\"%g\", 1", "\"%n\", NULL"));
    assert!(machine.fault("level", &[]).contains("unknown level 9"));
}

#[test]
fn strings_behave_as_in_the_kernel() {
    let machine = Machine::new(
        "extern size_t strlen(const char *), strlcpy(char *, const char *, size_t);
        extern size_t snprintf(char *, size_t, const char *, ...);
        extern int strcmp(const char *, const char *), strncmp(const char *, const char *, size_t);
        extern int memcmp(const void *, const void *, size_t), bcmp(const void *, const void *, size_t);
        extern void *memchr(const void *, int, size_t), *memmove(void *, const void *, size_t);
        extern void *memcpy(void *, const void *, size_t), *memset(void *, int, size_t);
        extern void bcopy(const void *, void *, size_t), bzero(void *, size_t);
        static volatile size_t three = 3, eight = 8;
        #define CHECK(x) if (!(x)) return (__LINE__)
        int check(void) {
            char a[16] = \"abcdefgh\", b[16];
            CHECK(strlen(a) == eight);
            CHECK(strlcpy(b, a, three + 1) == 8 && strcmp(b, \"abc\") == 0);
            CHECK(strlcpy(b, a, 0) == 8 && b[0] == 'a');
            CHECK(strcmp(a, \"abd\") < 0 && strncmp(a, \"abcx\", three) == 0);
            CHECK(memcmp(\"b\", a, three - 2) > 0 && bcmp(a, \"abc\", three) == 0);
            CHECK(bcmp(a, \"abd\", three) != 0);
            CHECK(memchr(a, 'd', eight) == a + 3 && memchr(a, 'z', eight) == NULL);
            CHECK(memmove(a + 1, a, three) == a + 1 && strncmp(a, \"aabcefgh\", eight) == 0);
            bcopy(\"xyz\", a, three);
            CHECK(strncmp(a, \"xyzc\", three + 1) == 0);
            bzero(a, three);
            CHECK(a[0] == 0 && a[2] == 0 && a[3] == 'c');
            CHECK(memset(b, 'q', three) == b && b[2] == 'q');
            CHECK(memcpy(a, b, three) == a && a[1] == 'q');
            CHECK(snprintf(b, 6, \"%d-%s\", 12, \"long\") == 7 && strcmp(b, \"12-lo\") == 0);
            return (0);
        }",
    );
    assert_eq!(machine.call("check", &[]), 0, "the line that failed");
}

#[test]
fn atomics_return_what_they_should() {
    let machine = Machine::new(
        "extern void *atomic_cas_ptr(volatile void *, void *, void *);
        extern uint32_t atomic_add_32_nv(volatile uint32_t *, int), atomic_inc_32_nv(volatile uint32_t *);
        extern uint64_t atomic_dec_64_nv(volatile uint64_t *), atomic_swap_64(volatile uint64_t *, uint64_t);
        extern uint8_t atomic_or_8_nv(volatile uint8_t *, uint8_t);
        extern uint16_t atomic_and_16_nv(volatile uint16_t *, uint16_t);
        extern void atomic_add_64(volatile uint64_t *, long), membar_enter(void), membar_producer(void);
        #define CHECK(x) if (!(x)) return (__LINE__)
        int check(void) {
            void *p = NULL; uint32_t w = 5; uint64_t d = 1; uint8_t b = 1; uint16_t h = 0xff;
            CHECK(atomic_cas_ptr(&p, NULL, &w) == NULL && p == &w);
            CHECK(atomic_cas_ptr(&p, NULL, &d) == &w && p == &w);
            CHECK(atomic_add_32_nv(&w, -6) == 0xffffffffu && atomic_inc_32_nv(&w) == 0);
            CHECK(atomic_dec_64_nv(&d) == 0 && atomic_swap_64(&d, 9) == 0 && d == 9);
            atomic_add_64(&d, -10);
            CHECK(d == 0xffffffffffffffffUL);
            CHECK(atomic_or_8_nv(&b, 6) == 7 && b == 7);
            CHECK(atomic_and_16_nv(&h, 0x0f) == 0x0f && h == 0x0f);
            membar_enter(); membar_producer();
            return (0);
        }
        void odd(char *p) { (void) atomic_inc_32_nv((void *)(p + 1)); }",
    );
    assert_eq!(machine.call("check", &[]), 0, "the line that failed");
    let at = machine.kernel.string("12345678");
    assert!(machine.fault("odd", &[at]).contains("aligned 4-byte word"));
}

#[test]
fn random_bytes_repeat_for_a_seed() {
    let source = "extern int random_get_bytes(uint8_t *, size_t), random_get_pseudo_bytes(uint8_t *, size_t);
        uint64_t next(void) { uint64_t r = 0; (void) random_get_bytes((uint8_t *)&r, 8); return (r); }
        uint64_t part(void) { uint64_t r = 0; (void) random_get_pseudo_bytes((uint8_t *)&r, 3); return (r); }";
    let (one, two) = (Machine::new(source), Machine::new(source));
    let first = one.call("next", &[]);
    assert_ne!(first, one.call("next", &[]));
    assert_eq!(first, two.call("next", &[]));
    one.kernel.seed_random(7);
    assert_ne!(first, one.call("next", &[]));
    let part = one.call("part", &[]);
    assert!(part != 0 && part < 1 << 24);
    // They are loaded now.
    let in_hook = one.call_in(&Context::interrupt(), "part", &[]);
    assert_ne!(in_hook, Ok(0));
    for function in ["next", "part"] {
        let machine = Machine::new(source);
        let fault = machine.fault_in(&Context::interrupt(), function, &[]);
        assert!(
            fault.message.starts_with("the first random_get_"),
            "{fault}"
        );
    }
}
