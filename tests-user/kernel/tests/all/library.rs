// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Messages, strings, atomics, random numbers and kstats.

use crate::common::{Machine, load_plain};
use clinet_kernel::{Context, Destination, Kernel, KstatError, KstatValue, Level, Message};

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
}

const KSTATS: &str = "
    typedef struct { char name[31]; uint8_t type; union { uint64_t ui64; char *str; char bytes[16]; } value; } named_t;
    typedef struct kstat {
        char before[120]; named_t *ks_data; uint32_t ks_ndata; uint32_t pad; size_t ks_data_size;
        long ks_snaptime; int (*ks_update)(struct kstat *, int); void *ks_private;
        void *ks_snapshot; kmutex_t *ks_lock;
    } kstat_t;
    extern kstat_t *kstat_create(const char *, int, const char *, const char *, uint8_t, uint32_t, uint8_t);
    extern void kstat_install(kstat_t *), kstat_delete(kstat_t *);
    extern void kstat_named_init(named_t *, const char *, uint8_t), kstat_named_setstr(named_t *, const char *);
    static kstat_t *ks;
    static named_t data[2];
    static uint64_t updates;
    static int refuse, held;
    static int update(kstat_t *k, int rw) {
        held = mutex_owned(k->ks_lock);
        data[0].value.ui64 = ++updates;
        return (rw == 0 ? refuse : 13);
    }
    int make(void) {
        ks = kstat_create(\"test\", 0, \"counters\", \"net\", 1, 2, 1);
        if (ks == NULL) return (0);
        ks->ks_data = data;
        ks->ks_update = update;
        kstat_named_init(&data[0], \"updates\", 4);
        kstat_named_init(&data[1], \"version\", 9);
        kstat_named_setstr(&data[1], \"1.1\");
        return (1);
    }
    void install(void) { kstat_install(ks); }
    void drop(void) { kstat_delete(ks); }
    void set_refuse(int errno) { refuse = errno; }
    int was_held(void) { return (held); }
    void own(void) {
        ks = kstat_create(\"test\", 1, \"own\", \"misc\", 1, 1, 0);
        kstat_named_init(ks->ks_data, \"value\", 4);
        ks->ks_data->value.ui64 = 5;
        kstat_install(ks);
    }
    void drop_locked(void) { mutex_enter(ks->ks_lock); kstat_delete(ks); }
    void string_in_own(void) {
        ks = kstat_create(\"test\", 2, \"own\", \"misc\", 1, 1, 0);
        kstat_named_init(ks->ks_data, \"value\", 9);
        kstat_install(ks);
    }
    void no_data(void) { ks = kstat_create(\"test\", 3, \"x\", \"misc\", 1, 1, 1); kstat_install(ks); }
    void long_name(void) { (void) kstat_create(\"test\", 3, \"a234567890123456789012345678901\", \"misc\", 1, 1, 1); }
    void set_number(void) { kstat_named_init(data, \"n\", 4); kstat_named_setstr(data, \"\"); }
    void drop_null(void) { kstat_delete(NULL); }";

#[test]
fn a_kstat_is_updated_when_read() {
    let machine = Machine::new(KSTATS);
    let kernel = &machine.kernel;
    let read = || kernel.read_kstat("test", 0, "counters");
    assert_eq!(read(), Err(KstatError::Absent));
    assert_eq!(machine.call("make", &[]), 1);
    assert_eq!(read(), Err(KstatError::NotInstalled));
    machine.call("install", &[]);
    let expected = |updates| {
        vec![
            ("updates".to_owned(), KstatValue::Uint64(updates)),
            (
                "version".to_owned(),
                KstatValue::String(Some("1.1".to_owned())),
            ),
        ]
    };
    assert_eq!(read(), Ok(expected(1)));
    assert_eq!(kernel.kstat("test", 0, "counters"), Some(expected(2)));
    assert_eq!(machine.call("was_held", &[]), 1);
    machine.call("set_refuse", &[5]);
    assert_eq!(read(), Err(KstatError::Update(5)));
    assert_eq!(machine.call("make", &[]), 0);
    assert!(kernel.log()[0].text.contains("test:0:counters"));
    let error = kernel
        .unload(&machine.module)
        .expect_err("the kstat is left");
    assert!(
        error.to_string().contains("kstat test:0:counters"),
        "{error}"
    );
}

#[test]
fn a_kstat_with_its_own_data_is_deleted() {
    let machine = Machine::new(KSTATS);
    machine.call("own", &[]);
    let value = machine.kernel.kstat("test", 1, "own").expect("installed");
    assert_eq!(value, [("value".to_owned(), KstatValue::Uint64(5))]);
    machine.call("drop", &[]);
    assert_eq!(machine.kernel.kstat("test", 1, "own"), None);
    machine
        .kernel
        .unload(&machine.module)
        .expect("nothing is left");
}

#[test]
fn misuses_of_kstats_are_faults() {
    let cases: [(&[&str], &str); 8] = [
        (&["own", "drop_locked"], "ks_lock of test:1:own is held"),
        (&["own", "drop", "drop"], "is no kstat"),
        (&["drop_null"], "is no kstat"),
        (&["string_in_own"], "KSTAT_FLAG_VIRTUAL"),
        (&["no_data"], "has no data"),
        (&["long_name"], "longer than 30 bytes"),
        (&["set_number"], "no KSTAT_DATA_STRING"),
        (
            &["make", "install", "install_in_interrupt"],
            "kstat_create may sleep",
        ),
    ];
    for (functions, expected) in cases {
        let machine = Machine::new(KSTATS);
        let (last, first) = functions.split_last().expect("a function");
        for function in first {
            machine.call(function, &[]);
        }
        let fault = match *last {
            "install_in_interrupt" => machine.fault_in(&Context::interrupt(), "make", &[]),
            function => machine.fault_in(&Context::thread(), function, &[]),
        };
        assert!(fault.message.contains(expected), "{fault}");
    }
}

#[test]
fn two_machines_have_their_own_kstats_and_messages() {
    let (one, two) = (Kernel::new(), Kernel::new());
    let module = load_plain(&one, "misc/test", KSTATS);
    load_plain(&two, "misc/test", KSTATS);
    // SAFETY: the function takes no arguments.
    unsafe { module.call(&Context::thread(), module.address("own"), &[]) };
    assert!(one.kstat("test", 1, "own").is_some());
    assert_eq!(two.read_kstat("test", 1, "own"), Err(KstatError::Absent));
}
