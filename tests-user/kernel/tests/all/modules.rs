// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Loading, unloading, dependencies, and modules that look for each other.

use std::sync::atomic::Ordering;

use crate::common::{LINKAGE, Machine, PLAIN, compile, load_plain};
use clinet_kernel::{Context, Kernel, Leak, ModloadError, ModunloadError, kernel_symbols};

fn load(kernel: &Kernel, name: &str, source: &str) -> Result<clinet_kernel::Module, ModloadError> {
    kernel.load(name, &compile(&format!("{LINKAGE}{source}")), &[])
}

#[test]
fn modinfo_is_known_before_init_and_tunables_after_it() {
    let kernel = Kernel::new();
    let source = "
        uint64_t seen_by_info; uint32_t knob = 7; char *text = \"\";
        uint64_t seen_by_init;
        int _init(void) { seen_by_init = knob; return (mod_install(&linkage)); }
        int _fini(void) { return (mod_remove(&linkage)); }
        uint64_t get(void) { return (seen_by_init * 1000 + text[1]); }";
    let file = compile(&format!("{LINKAGE}{source}"));
    let tunables = [("knob", 42), ("text", kernel.string("xyz"))];
    let module = kernel.load("misc/test", &file, &tunables).expect("loads");
    assert_eq!(module.info().linkinfo, "a test module 1.0");
    assert_eq!(module.info().rev, 1);
    assert_eq!(module.name(), "misc/test");
    // SAFETY: the function takes no arguments.
    let got = unsafe { module.call(&Context::thread(), module.address("get"), &[]) };
    assert_eq!(got, 42 * 1000 + u64::from(b'y'));
    assert!(matches!(
        kernel.load("misc/test", &file, &[]),
        Err(ModloadError::Loaded(_))
    ));
    kernel.unload(&module).expect("unloads");
    assert_eq!(
        kernel.unload(&module),
        Err(ModunloadError::NotLoaded("misc/test".to_owned()))
    );
    kernel.load("misc/test", &file, &[]).expect("loads again");
}

#[test]
fn an_init_that_fails_unloads_and_reports_what_it_left() {
    let kernel = Kernel::new();
    let error = load(
        &kernel,
        "misc/test",
        "
        int _init(void) { (void) kmem_alloc(48, KM_SLEEP); return (12); }
        int _fini(void) { return (0); }",
    )
    .expect_err("errno 12");
    let text = error.to_string();
    assert!(
        text.contains("errno 12") && text.contains("48 bytes allocated by test`_init"),
        "{text}"
    );
    assert_eq!(kernel.kmem_in_use(), 0);
    load_plain(&kernel, "misc/test", "");
}

#[test]
fn a_missing_entry_or_symbol_fails_the_load() {
    let kernel = Kernel::new();
    let error =
        load(&kernel, "misc/test", "int _fini(void) { return (0); }").expect_err("no _init");
    assert!(error.to_string().contains("has no _init"), "{error}");
    let error = load(
        &kernel,
        "misc/test",
        "
        extern int cl_inet_connect(void);
        int _init(void) { return (cl_inet_connect()); }",
    )
    .expect_err("undefined");
    assert!(error.to_string().contains("cl_inet_connect"), "{error}");
    let error = kernel
        .load(&format!("misc/{}", "x".repeat(32)), &[], &[])
        .expect_err("long");
    assert!(matches!(error, ModloadError::NameTooLong(_)), "{error}");
}

#[test]
fn fini_may_refuse_and_its_absence_means_never() {
    let kernel = Kernel::new();
    let busy = load(
        &kernel,
        "misc/busy",
        "
        int errno = 16;
        int _init(void) { return (0); } int _fini(void) { return (errno); }",
    )
    .expect("loads");
    assert!(matches!(
        kernel.unload(&busy),
        Err(ModunloadError::Refused { errno: 16, .. })
    ));
    let late = load(
        &kernel,
        "misc/late",
        "
        int _init(void) { return (0); } int _fini(void) { return (149); }",
    )
    .expect("loads");
    assert!(matches!(
        kernel.unload(&late),
        Err(ModunloadError::Refused { errno: 22, .. })
    ));
    let never = load(&kernel, "misc/never", "int _init(void) { return (0); }").expect("loads");
    assert!(matches!(
        kernel.unload(&never),
        Err(ModunloadError::NoFini(_))
    ));
}

#[test]
fn dependencies_are_searched_before_the_kernel_and_kept() {
    let kernel = Kernel::new();
    let dependent = "
        char _depends_on[] = \"misc/base drv/ip\";
        extern uint64_t value(void), cl_inet_listen;
        extern int servicing_interrupt(void);
        uint64_t knob = 1000;
        uint64_t get(void) { return (value() + cl_inet_listen + servicing_interrupt() + knob); }";
    let error = load(&kernel, "misc/user", &format!("{PLAIN}{dependent}")).expect_err("no base");
    assert!(
        error.to_string().contains("misc/base, which is not loaded"),
        "{error}"
    );
    let base = load_plain(
        &kernel,
        "misc/base",
        "
        uint64_t value(void) { return (40); }
        int servicing_interrupt(void) { return (100); }",
    );
    kernel.provide("drv/ip", &[("cl_inet_listen", 0), ("cl_inet_bind", 9)]);
    let user = load_plain(&kernel, "misc/user", dependent);
    let slot = kernel
        .variable("drv/ip", "cl_inet_listen")
        .expect("provided");
    slot.store(2, Ordering::SeqCst);
    // SAFETY: the function takes no arguments.
    let got = unsafe { user.call(&Context::thread(), user.address("get"), &[]) };
    assert_eq!(got, 1142);
    assert_eq!(user.read("knob"), 1000);
    user.write("knob", 0);
    // SAFETY: as above.
    let got = unsafe { user.call(&Context::thread(), user.address("get"), &[]) };
    assert_eq!(got, 142);
    assert!(matches!(
        kernel.unload(&base),
        Err(ModunloadError::Referenced(_))
    ));
    kernel.unload(&user).expect("nobody needs it");
    kernel.unload(&base).expect("nobody needs it any more");
    let other = Kernel::new();
    assert!(other.variable("drv/ip", "cl_inet_listen").is_none());
}

const OPENER: &str = "
    extern void *ddi_modopen(const char *, int, int *);
    extern void *ddi_modsym(void *, const char *, int *);
    extern int ddi_modclose(void *);
    static void *handle;
    long open(const char *name) {
        int error = 99;
        handle = ddi_modopen(name, 1, &error);
        return (handle == NULL ? -error : error);
    }
    uint64_t sym(const char *name) {
        int error = 99;
        uint64_t *at = ddi_modsym(handle, name, &error);
        return (at == NULL ? (uint64_t)error : *at);
    }
    void close(void) { (void) ddi_modclose(handle); }";

#[test]
fn modules_open_each_other_at_run_time() {
    let machine = Machine::new(OPENER);
    let kernel = &machine.kernel;
    let text = |text: &str| kernel.string(text);
    assert_eq!(machine.call("open", &[text("drv/ip")]) as i64, -2);
    kernel.provide("drv/ip", &[("cl_inet_bind", 9)]);
    assert_eq!(machine.call("open", &[text("drv/ip")]), 0);
    assert_eq!(machine.call("sym", &[text("cl_inet_bind")]), 9);
    assert_eq!(machine.call("sym", &[text("cl_inet_connect")]), 48);
    let error = kernel
        .unload(&machine.module)
        .expect_err("the handle is open");
    assert!(
        error.to_string().contains("open handle of drv/ip"),
        "{error}"
    );
}

#[test]
fn misuses_of_handles_are_faults() {
    let machine = Machine::new(OPENER);
    assert!(machine.fault("close", &[]).contains("no open handle"));
    let machine = Machine::new(OPENER);
    let name = machine.kernel.string("drv/ip");
    let fault = machine.fault_in(&Context::no_sleep(), "open", &[name]);
    assert!(fault.message.contains("ddi_modopen may sleep"), "{fault}");
}

extern "C" fn triple(n: u64) -> u64 {
    clinet_kernel::guard(|| {
        assert!(n < 100, "too much");
        3 * n
    })
}

#[test]
fn functions_of_the_host_are_called_like_imports() {
    let kernel = Kernel::new();
    // SAFETY: the function takes one integer, any of them.
    unsafe {
        kernel.provide_with_functions("misc/host", &[], &[("triple", triple as *const ())]);
    }
    let user = load_plain(
        &kernel,
        "misc/user",
        "
        char _depends_on[] = \"misc/host\";
        extern uint64_t triple(uint64_t);
        uint64_t get(uint64_t n) { return (triple(n) + 1); }",
    );
    let get = user.address("get");
    // SAFETY: the function takes one integer.
    let got = unsafe { user.call(&Context::thread(), get, &[5]) };
    assert_eq!(got, 16);
    let panics = std::panic::AssertUnwindSafe(|| {
        // SAFETY: the function takes one integer.
        unsafe { user.call(&Context::thread(), get, &[100]) }
    });
    let payload = std::panic::catch_unwind(panics).expect_err("the host's panic comes out");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"too much"));
}

#[test]
fn a_linkage_that_is_none_is_refused() {
    let kernel = Kernel::new();
    let wrong_rev = "
        static struct { int rev; void *links[7]; } wrong = { 2, { &misc, NULL } };
        int _init(void) { return (mod_install(&wrong)); }";
    let error = load(&kernel, "misc/test", wrong_rev).expect_err("ml_rev");
    assert!(error.to_string().contains("MODREV_1"), "{error}");
    let kernel = Kernel::new();
    let source = LINKAGE.replace("a test module 1.0", &"y".repeat(32));
    let error = kernel
        .load("misc/test", &compile(&format!("{source}{PLAIN}")), &[])
        .expect_err("linkinfo");
    assert!(
        error.to_string().contains("longer than 31 bytes"),
        "{error}"
    );
}

#[test]
fn a_linkage_is_removed_as_often_as_it_is_installed() {
    let kernel = Kernel::new();
    let install = "int _init(void) { return (mod_install(&linkage)); }";
    let forgets = format!("{install} int _fini(void) {{ return (0); }}");
    let module = load(&kernel, "misc/test", &forgets).expect("it loads");
    let error = kernel.unload(&module).expect_err("it forgot something");
    let ModunloadError::Leaks { leaks, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(leaks.0, [Leak::Linkage("test".to_owned())]);
    for (twice, says) in [
        ("mod_remove", "what is not installed"),
        ("mod_install", "what is installed"),
    ] {
        let kernel = Kernel::new();
        let again = format!(
            "{install} int _fini(void) {{
                if ({twice}(&linkage) != 0)
                    return (1);
                return ({twice}(&linkage));
            }}"
        );
        let module = load(&kernel, "misc/test", &again).expect("it loads");
        let error = kernel.unload(&module).expect_err("once too often");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn the_list_of_symbols_is_sorted_and_without_doubles() {
    let symbols = kernel_symbols();
    assert!(symbols.is_sorted_by(|a, b| a < b));
    for name in ["mod_miscops", "atomic_cas_ptr", "cmn_err", "mutex_enter"] {
        assert!(symbols.binary_search(&name).is_ok(), "{name}");
    }
}
