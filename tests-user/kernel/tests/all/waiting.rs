// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Waiting inside a driver: read(2), signals, and poll(2).

use std::time::Duration;

use crate::common::compile_driver;
use clinet_kernel::{
    Context, Cred, Driver, Kernel, ModunloadError, OpenFile, OpenFlags, UserMemory, together,
};

const EFAULT: i32 = 14;
const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const POLLIN: i16 = 1;
const POLLOUT: i16 = 4;

/// A driver whose devices give away the letters that `give` puts into it.
const LETTERS: &str = "
    #define READ reads
    #define CHPOLL polls
    static kmutex_t lock;
    static kcondvar_t given;
    static pollhead_t pollhead;
    static char letter;
    static int reads(uint64_t dev, struct uio *uio, void *cr) {
        char taken;
        mutex_enter(&lock);
        while (letter == 0) {
            if (uio->fmode & 0x84) {
                mutex_exit(&lock);
                return (11);
            }
            if (!cv_wait_sig(&given, &lock)) {
                mutex_exit(&lock);
                return (4);
            }
        }
        taken = letter;
        letter = 0;
        mutex_exit(&lock);
        return (uiomove(&taken, 1, 0, uio));
    }
    static int polls(uint64_t dev, short events, int any, short *revents, pollhead_t **php) {
        mutex_enter(&lock);
        *revents = letter != 0 ? events & 1 : 0;
        mutex_exit(&lock);
        if (*revents == 0 && !any)
            *php = &pollhead;
        return (0);
    }
    void give(int it) {
        mutex_enter(&lock);
        letter = it;
        cv_broadcast(&given);
        mutex_exit(&lock);
        pollwakeup(&pollhead, 1);
    }
    void give_locked(void) {
        mutex_enter(&lock);
        pollwakeup(&pollhead, 1);
        mutex_exit(&lock);
    }
    void clean(void) { pollhead_clean(&pollhead); }
    void spoil(void) { pollhead.list = &lock; }";

fn letters() -> (Kernel, Driver) {
    let kernel = Kernel::new();
    let driver = kernel.load_driver("drv/test", &compile_driver(LETTERS), &[]);
    (kernel, driver.unwrap_or_else(|error| panic!("{error}")))
}

fn open(driver: &Driver) -> OpenFile {
    let file = driver.open(Cred::root(), OpenFlags::READ);
    file.expect("it opens")
}

fn call(driver: &Driver, function: &str, argument: u64) {
    let module = driver.module();
    // SAFETY: the functions of LETTERS take at most one integer.
    unsafe { module.call(&Context::thread(), module.address(function), &[argument]) };
}

fn fault_of<R>(kernel: &Kernel, body: impl FnOnce() -> R) -> String {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    assert!(result.is_err(), "it must fault");
    kernel.fault().expect("the machine halted").message
}

#[test]
fn a_read_takes_what_is_there() {
    let (_kernel, driver) = letters();
    let file = open(&driver);
    assert_eq!(file.read(9, true), Err(EAGAIN));
    call(&driver, "give", u64::from(b'a'));
    assert_eq!(file.read(9, true).as_deref(), Ok(&b"a"[..]));
    call(&driver, "give", u64::from(b'b'));
    let mut memory = UserMemory::new();
    assert_eq!(file.read_to(&mut memory, 0x9000_0000, 9, true), Err(EFAULT));
    let flags = OpenFlags::READ | OpenFlags::NDELAY;
    let other = driver.open(Cred::root(), flags).expect("it opens");
    assert_eq!(other.read(9, false), Err(EAGAIN));
}

#[test]
fn a_read_waits_and_time_does_not_pass_meanwhile() {
    let (kernel, driver) = letters();
    let file = open(&driver);
    let before = kernel.uptime();
    together::scope(|threads| {
        let reader = threads.spawn(|_| file.read(1, false));
        while !reader.is_finished() {
            call(&driver, "give", u64::from(b'c'));
            std::thread::yield_now();
        }
        assert_eq!(reader.join().expect("it ends").as_deref(), Ok(&b"c"[..]));
    });
    assert_eq!(kernel.uptime(), before);
}

#[test]
fn a_signal_ends_a_wait_and_is_not_lost_before_it() {
    let (_kernel, driver) = letters();
    let (file, other) = (open(&driver), open(&driver));
    other.interrupt();
    file.interrupt();
    assert_eq!(file.read(1, false), Err(EINTR));
    together::scope(|threads| {
        let reader = threads.spawn(|_| file.read(1, false));
        while !reader.is_finished() {
            file.interrupt();
            std::thread::yield_now();
        }
        assert_eq!(reader.join().expect("it ends"), Err(EINTR));
    });
    assert_eq!(other.read(1, false), Err(EINTR));
}

#[test]
fn a_poll_ends_when_it_is_woken() {
    let (_kernel, driver) = letters();
    let file = open(&driver);
    assert_eq!(file.poll(POLLIN, Duration::ZERO), Ok(0));
    assert_eq!(file.poll(POLLIN, Duration::from_millis(1)), Ok(0));
    together::scope(|threads| {
        let poller = threads.spawn(|_| file.poll(POLLIN, Duration::from_secs(600)));
        call(&driver, "give", u64::from(b'd'));
        assert_eq!(poller.join().expect("it ends"), Ok(POLLIN));
    });
    assert_eq!(file.poll(POLLIN, Duration::ZERO), Ok(POLLIN));
    assert_eq!(file.poll(POLLOUT, Duration::ZERO), Ok(0));
}

#[test]
fn a_poll_set_is_woken_until_its_pollhead_is_cleaned() {
    let (_kernel, driver) = letters();
    let file = open(&driver);
    let set = file
        .add_to_poll_set(POLLIN)
        .expect("it is polled")
        .expect("no event");
    assert!(!set.was_woken());
    call(&driver, "give", u64::from(b'e'));
    assert!(set.was_woken());
    call(&driver, "clean", 0);
    call(&driver, "give", u64::from(b'f'));
    assert!(!set.was_woken());
    drop((file, set));
    driver.unload().expect("nobody waits");
}

#[test]
fn a_pollhead_that_a_poll_set_still_has_is_a_leak() {
    let (_kernel, driver) = letters();
    let set = open(&driver)
        .add_to_poll_set(POLLIN)
        .expect("it is polled")
        .expect("no event");
    let leaks = match driver.unload() {
        Err(ModunloadError::Leaks { leaks, .. }) => leaks.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(leaks.contains("pollhead"), "{leaks}");
    drop(set);
}

#[test]
fn misuse_of_pollheads_is_a_fault() {
    let (kernel, driver) = letters();
    call(&driver, "spoil", 0);
    let message = fault_of(&kernel, || call(&driver, "give", 1));
    assert!(message.contains("not initialised with zeros"), "{message}");
    let (kernel, driver) = letters();
    let file = open(&driver);
    assert_eq!(file.poll(POLLIN, Duration::ZERO), Ok(0));
    let message = fault_of(&kernel, || call(&driver, "give_locked", 0));
    assert!(message.contains("lock order"), "{message}");
    for (body, expected) in [
        ("*revents = 0;", "neither events nor a pollhead"),
        ("", "did not say which events came"),
        ("pollwakeup(&pollhead, 1);", "pollwakeup in chpoll"),
        ("pollhead_clean(&pollhead);", "pollhead_clean in chpoll"),
    ] {
        let source = format!(
            "#define CHPOLL silent
            pollhead_t pollhead;
            static int silent(uint64_t dev, short events, int any, short *revents, void **php) {{
                {body}
                return (0);
            }}"
        );
        // Whoever waited for the driver polls it at once.
        let error = Kernel::new().load_driver("drv/test", &compile_driver(&source), &[]);
        let message = error.expect_err("a fault").to_string();
        assert!(message.contains(expected), "{message}");
    }
}
