// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kstats.

use crate::common::{Machine, load_plain};
use clinet_kernel::{Context, Kernel, KstatError, KstatValue, together};

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
    static int refuse, held, growth, room = 4;
    static char text[] = \"1.1\";
    static kmutex_t stats_lock, other;
    enum { DELETE = 1, TAKE_OTHER, CHANGE_TEXT };
    static int mischief;
    static int update(kstat_t *k, int rw) {
        held = k->ks_lock != NULL && mutex_owned(k->ks_lock);
        data[0].value.ui64 = ++updates;
        k->ks_data_size += growth;
        if (mischief == DELETE)
            kstat_delete(k);
        if (mischief == TAKE_OTHER) {
            mutex_enter(&other);
            mutex_exit(&other);
        }
        if (mischief == CHANGE_TEXT)
            data[1].value.str = \"changed\";
        return (rw == 0 ? refuse : 13);
    }
    int make(void) {
        ks = kstat_create(\"test\", 0, \"counters\", \"net\", 1, 2, 1);
        if (ks == NULL) return (0);
        ks->ks_data = data;
        ks->ks_update = update;
        ks->ks_data_size += room;
        kstat_named_init(&data[0], \"updates\", 4);
        kstat_named_init(&data[1], \"version\", 9);
        kstat_named_setstr(&data[1], text);
        return (1);
    }
    int default_lock(void) { return (ks->ks_lock != NULL); }
    void give_lock(void) { ks->ks_lock = &stats_lock; }
    void set_room(int bytes) { room = bytes; }
    void grow(void) { growth = 8; }
    void mislead(int what) { mischief = what; }
    void drop_holding_other(void) { mutex_enter(&other); kstat_delete(ks); mutex_exit(&other); }
    void flags(int flags) {
        ks = kstat_create(\"test\", 4, \"flags\", \"net\", 1, 2, flags);
        kstat_install(ks);
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
    void drop_locked(void) { give_lock(); mutex_enter(ks->ks_lock); kstat_delete(ks); }
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
    assert_eq!(machine.call("default_lock", &[]), 0);
    assert_eq!(machine.call("was_held", &[]), 0);
    machine.call("give_lock", &[]);
    assert_eq!(kernel.kstat("test", 0, "counters"), Some(expected(3)));
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

/// The fault of a reader of what `make` makes after these calls.
fn reader_faults(calls: &[(&str, u64)]) -> String {
    let machine = Machine::new(KSTATS);
    for &(function, argument) in calls {
        machine.call(function, &[argument]);
    }
    let read = || machine.kernel.read_kstat("test", 0, "counters");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    assert!(result.is_err(), "{calls:?}");
    machine.kernel.fault().expect("a fault").message
}

/// A reader gets as many bytes as `ks_data_size` says, with the strings in them.
#[test]
fn a_reader_has_room_for_the_strings() {
    let make = [("make", 0), ("install", 0)];
    for room in [0, 3] {
        let message = reader_faults(&[&[("set_room", room)], &make[..]].concat());
        assert!(message.contains("have 100 bytes"), "{message}");
    }
    let message = reader_faults(&[&make[..], &[("grow", 0)]].concat());
    assert!(message.contains("made it 108 bytes from 100"), "{message}");
    let message = reader_faults(&[&make[..], &[("mislead", 3)]].concat());
    assert!(message.contains("has changed since"), "{message}");
}

#[test]
fn nobody_deletes_a_kstat_that_waits_for_him() {
    let message = reader_faults(&[("make", 0), ("install", 0), ("mislead", 1)]);
    assert!(message.contains("by its own ks_update"), "{message}");
    let machine = Machine::new(KSTATS);
    machine.call("make", &[]);
    machine.call("install", &[]);
    machine.call("mislead", &[2]);
    assert!(machine.kernel.kstat("test", 0, "counters").is_some());
    // Nobody reads it now; but who did might hold the lock.
    let message = machine.fault("drop_holding_other", &[]);
    let expected = "the end of the update of test:0:counters";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_kstat_of_variable_size_needs_a_lock() {
    let machine = Machine::new(KSTATS);
    let message = machine.fault("flags", &[2]);
    assert!(message.contains("has no ks_lock"), "{message}");
    let machine = Machine::new(KSTATS);
    let message = machine.fault("flags", &[4]);
    assert!(message.contains("are not emulated"), "{message}");
}

/// Each has it for itself, with a lock or without.
#[test]
fn readers_take_turns() {
    let machine = Machine::new(KSTATS);
    machine.call("make", &[]);
    machine.call("install", &[]);
    together::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|_| {
                for _ in 0..50 {
                    assert!(machine.kernel.kstat("test", 0, "counters").is_some());
                }
            });
        }
    });
    let last = machine
        .kernel
        .kstat("test", 0, "counters")
        .expect("it is there");
    assert_eq!(last[0].1, KstatValue::Uint64(201));
    machine.call("drop", &[]);
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

/// The kernel's own of kmem caches and of task queues have one name space.
#[test]
fn caches_and_queues_of_one_name_are_warned_of() {
    let source = "
        extern void *ddi_taskq_create(void *, const char *, int, int, uint32_t);
        extern void ddi_taskq_destroy(void *);
        extern void *taskq_create(const char *, int, int, int, int, uint32_t);
        extern void taskq_destroy(void *);
        uint64_t queue(void) { return ((uint64_t)ddi_taskq_create(NULL, \"name\", 1, -1, 0)); }
        void drop_queue(void *q) { ddi_taskq_destroy(q); }
        void other_queue(void) { taskq_destroy(taskq_create(\"name\", 1, 60, 1, 4, 0)); }
        uint64_t cache(void) {
            return ((uint64_t)kmem_cache_create(\"name\", 8, 0, NULL, NULL, NULL, NULL, NULL, 0));
        }
        void drop_cache(void *c) { kmem_cache_destroy(c); }";
    let machine = Machine::new(source);
    for (first, drop_first, second, drop_second) in [
        ("queue", "drop_queue", "cache", "drop_cache"),
        ("cache", "drop_cache", "queue", "drop_queue"),
    ] {
        for _ in 0..2 {
            let one = machine.call(first, &[]);
            machine.call("other_queue", &[]);
            machine.call(drop_first, &[one]);
        }
        assert!(machine.kernel.log().is_empty());
        let (one, two) = (machine.call(first, &[]), machine.call(second, &[]));
        let said = &machine.kernel.log()[0].text;
        assert_eq!(said, "kstat_create(unix:0:name): namespace collision");
        machine.kernel.clear_log();
        machine.call(drop_first, &[one]);
        machine.call(drop_second, &[two]);
    }
    machine.call("queue", &[]);
    machine.call("cache", &[]);
    let kernel = &machine.kernel;
    kernel.unload(&machine.module).expect_err("both are left");
    kernel.clear_log();
    let again = load_plain(kernel, "misc/test", source);
    // SAFETY: a function without arguments.
    unsafe { again.call(&Context::thread(), again.address("queue"), &[]) };
    assert!(kernel.log().is_empty(), "nothing is left of the names");
}
