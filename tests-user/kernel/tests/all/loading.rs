// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Drivers that are used before their `_init` has returned, and while they are in
//! their `_fini`.

use crate::common::compile_driver_with;
use clinet_kernel::{Cred, Driver, Kernel, Leak, ModloadError, ModunloadError, OpenFlags};

/// A driver that does nothing without its lock.
const LOCKED: &str = "
    #define OPEN opens
    #define OWN_INIT
    #define OWN_FINI
    static kmutex_t lock;
    static uint32_t opened;
    static int opens(uint64_t *dev, int flag, int otyp, void *cr) {
        mutex_enter(&lock);
        *dev = makedevice(getmajor(*dev), ++opened);
        mutex_exit(&lock);
        return (0);
    }
    uint32_t how_often(void) { return (opened); }
";
const INIT: &str = "
    int _init(void) {
        int error;
        mutex_init(&lock, NULL, MUTEX_DEFAULT, NULL);
        if ((error = mod_install(&linkage)) != 0)
            mutex_destroy(&lock);
        return (error);
    }
";
const FINI: &str = "
    int _fini(void) {
        int error;
        if ((error = mod_remove(&linkage)) == 0)
            mutex_destroy(&lock);
        return (error);
    }
";

fn load(kernel: &Kernel, source: &str, entries: &[&str]) -> Result<Driver, ModloadError> {
    let file = compile_driver_with(source, &entries.concat());
    kernel.load_driver("drv/test", &file, &[])
}

fn opened(driver: &Driver) -> u64 {
    let module = driver.module();
    // SAFETY: a function without arguments.
    unsafe {
        module.call(
            &clinet_kernel::Context::thread(),
            module.address("how_often"),
            &[],
        )
    }
}

#[test]
fn somebody_opens_a_device_before_init_returns() {
    let own = "
        int seen;
        int get_seen(void) { return (seen); }
        int _init(void) {
            mutex_init(&lock, NULL, MUTEX_DEFAULT, NULL);
            int error = mod_install(&linkage);
            seen = opened;
            return (error);
        }";
    let kernel = Kernel::new();
    let driver = load(&kernel, LOCKED, &[own, FINI]).expect("it loads");
    let module = driver.module();
    let context = clinet_kernel::Context::thread();
    // SAFETY: a function without arguments.
    let seen = unsafe { module.call(&context, module.address("get_seen"), &[]) };
    assert_eq!((seen, opened(&driver)), (1, 1));
    assert_eq!(driver.minor_nodes().len(), 1);
    driver.unload().expect("it unloads, and leaves nothing");
}

#[test]
fn what_is_set_up_after_mod_install_comes_too_late() {
    let late = "
        int _init(void) {
            int error = mod_install(&linkage);
            mutex_init(&lock, NULL, MUTEX_DEFAULT, NULL);
            return (error);
        }";
    let error = load(&Kernel::new(), LOCKED, &[late, FINI]).expect_err("a fault");
    let expected = "mutex_init: test`lock";
    assert!(error.to_string().contains(expected), "{error}");
    assert!(error.to_string().contains("was taken before"), "{error}");
    let source = "
        #define ATTACH attaches
        #define OWN_INIT
        int ready;
        static int attaches(void *dip, int cmd) { return (ready ? NODE(dip, \"test\") : -1); }
    ";
    let late = "
        int _init(void) {
            int error = mod_install(&linkage);
            ready = 1;
            return (error);
        }";
    let error = load(&Kernel::new(), source, &[late]).expect_err("it was not ready");
    assert!(matches!(error, ModloadError::Attach { .. }), "{error}");
}

/// It waits for the lock, and goes on when it gets it.
#[test]
fn init_may_hold_a_lock_while_somebody_opens() {
    let holds = "
        int _init(void) {
            mutex_init(&lock, NULL, MUTEX_DEFAULT, NULL);
            mutex_enter(&lock);
            int error = mod_install(&linkage);
            opened = 7;
            mutex_exit(&lock);
            return (error);
        }";
    let kernel = Kernel::new();
    let driver = load(&kernel, LOCKED, &[holds, FINI]).expect("it loads");
    assert_eq!(opened(&driver), 8);
    driver.unload().expect("it unloads");
}

#[test]
fn an_init_that_fails_after_mod_install_leaves_an_attached_driver() {
    let fails = "
        int _init(void) {
            mutex_init(&lock, NULL, MUTEX_DEFAULT, NULL);
            if (mod_install(&linkage) != 0)
                return (5);
            if (mod_remove(&linkage) == 0)
                mutex_destroy(&lock);
            return (6);
        }";
    let kernel = Kernel::new();
    let leaks = match load(&kernel, LOCKED, &[fails, FINI]) {
        Err(ModloadError::Init {
            errno: 6, leaks, ..
        }) => leaks.0,
        other => panic!("{other:?}"),
    };
    assert!(
        leaks.contains(&Leak::Operations("test".to_owned())),
        "{leaks:?}"
    );
    assert!(
        leaks.contains(&Leak::MinorNode("test".to_owned())),
        "{leaks:?}"
    );
    load(&kernel, LOCKED, &[INIT, FINI]).expect("nothing is in the way of another");
}

#[test]
fn somebody_opens_a_device_while_fini_runs() {
    let kernel = Kernel::new();
    let driver = load(&kernel, LOCKED, &[INIT, FINI]).expect("it loads");
    driver.unload().expect("it came and went again");
    let early = "
        int _fini(void) {
            mutex_destroy(&lock);
            return (mod_remove(&linkage));
        }";
    let driver = load(&kernel, LOCKED, &[INIT, early]).expect("it loads");
    let error = driver.unload().expect_err("a fault");
    assert!(matches!(error, ModunloadError::Panic(_)), "{error}");
    assert!(error.to_string().contains("test`lock"), "{error}");
    assert!(error.to_string().contains("is destroyed"), "{error}");
}

#[test]
fn a_driver_that_somebody_attached_again_stays() {
    let kernel = Kernel::new();
    let driver = load(&kernel, LOCKED, &[INIT, FINI]).expect("it loads");
    kernel.fail_next("mod_remove");
    let refused = driver.unload();
    assert!(
        matches!(refused, Err(ModunloadError::Refused { errno: 16, .. })),
        "{refused:?}"
    );
    assert_eq!(driver.minor_nodes().len(), 1);
    let file = driver.open(Cred::root(), OpenFlags::READ);
    drop(file.expect("it works as before"));
    driver.unload().expect("it unloads, and leaves nothing");
}

/// The machine is suspended too, which is no detach.
#[test]
fn an_instance_suspends_and_resumes_or_refuses() {
    let source = |suspends: &str, resumes: &str| {
        format!(
            "#define ATTACH attaches
            #define DETACH detaches
            static int attaches(void *dip, int cmd) {{
                if (cmd == 1)
                    return ({resumes});
                return (plain_attach(dip, cmd));
            }}
            static int detaches(void *dip, int cmd) {{
                if (cmd == 1)
                    return ({suspends});
                return (plain_detach(dip, cmd));
            }}"
        )
    };
    let load = |suspends, resumes| {
        let kernel = Kernel::new();
        let driver = load(&kernel, &source(suspends, resumes), &[])?;
        driver.unload().expect("it unloads");
        Ok::<_, ModloadError>(())
    };
    load("-1", "-1").expect("it refuses");
    load("0", "0").expect("it can");
    for (suspends, resumes, expected) in [
        ("0", "-1", "does not resume"),
        ("plain_detach(dip, 0)", "0", "changed its nodes"),
    ] {
        let error = load(suspends, resumes).expect_err("a fault").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_whoever_came_first_finds_is_a_fault() {
    let source = "
        #define CLOSE fails
        static int fails(uint64_t dev, int flag, int otyp, void *cr) { return (5); }";
    let error = load(&Kernel::new(), source, &[]).expect_err("a fault");
    assert!(
        error.to_string().contains("close returned errno 5"),
        "{error}"
    );
}
