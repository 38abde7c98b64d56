// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Threads of a test, which end together: when one of them panics the others
//! are told, and none is waited for without a bound.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// More than any test takes on a machine that is busy with others.
pub(crate) const BOUND: Duration = Duration::from_secs(600);

/// Says that the threads of a scope are to end.
#[derive(Debug, Clone, Default)]
pub struct Over(Arc<AtomicBool>);

impl Over {
    /// Is a thread that works until it is told to be done now?
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Sets it when dropped, in a panic too.
struct AtEnd(Over);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// The same in a panic only.
struct AtPanic(Over);

impl Drop for AtPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set();
        }
    }
}

/// Where threads are spawned.
#[derive(Debug)]
pub struct Threads<'scope, 'env> {
    scope: &'scope thread::Scope<'scope, 'env>,
    over: Over,
}

impl<'scope> Threads<'scope, '_> {
    /// Spawns a thread; what it does in a loop without an end it does until
    /// [`Over::is_set`].
    pub fn spawn<T: Send + 'scope>(
        &self,
        work: impl FnOnce(&Over) -> T + Send + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        let over = self.over.clone();
        self.scope.spawn(move || {
            let _told = AtPanic(over.clone());
            work(&over)
        })
    }
}

/// Runs `body`, which may spawn threads, and waits for these; they are to end
/// when it returns, and when it or one of them panics.
///
/// # Panics
///
/// If a thread panicked that the body did not join. Where threads do not end
/// within ten minutes, the process is aborted.
pub fn scope<'env, R>(body: impl for<'scope> FnOnce(&Threads<'scope, 'env>) -> R) -> R {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let _watched = watch(BOUND, move || {
        give_up(&format!("{test}: its threads have not ended"))
    });
    thread::scope(|scope| {
        let over = Over::default();
        let _told = AtEnd(over.clone());
        body(&Threads { scope, over })
    })
}

/// Ends the process: somebody would wait for ever.
pub(crate) fn give_up(what: &str) -> ! {
    eprintln!("{what} within {BOUND:?}");
    process::abort()
}

/// Calls `bark` unless the result is dropped in time.
pub(crate) fn watch(bound: Duration, bark: impl FnOnce() + Send + 'static) -> Sender<()> {
    let (alive, ended) = mpsc::channel();
    thread::spawn(move || {
        if ended.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
            bark();
        }
    });
    alive
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_in_a_thread_ends_the_others() {
        let result = catch_unwind(|| {
            scope(|threads| {
                threads.spawn(|over| while !over.is_set() {});
                threads.spawn(|_| panic!("one of two")).join().is_err()
            })
        });
        assert_eq!(result.ok(), Some(true));
        let unjoined = catch_unwind(|| {
            scope(|threads| {
                let waits = threads.spawn(|over| while !over.is_set() {});
                threads.spawn(|_| panic!("nobody joins it"));
                waits.join()
            })
        });
        assert!(unjoined.is_err());
    }

    #[test]
    fn a_panic_in_the_body_ends_the_threads() {
        let result = catch_unwind(AssertUnwindSafe(|| {
            scope(|threads| {
                threads.spawn(|over| while !over.is_set() {});
                panic!("in the body");
            })
        }));
        assert!(result.is_err());
    }

    #[test]
    fn threads_that_do_not_end_are_noticed() {
        let (barked, heard) = mpsc::channel();
        let bark = |barked: Sender<()>| move || barked.send(()).expect("somebody listens");
        let late = watch(Duration::from_millis(1), bark(barked.clone()));
        heard.recv_timeout(BOUND).expect("the bound is over");
        drop(late);
        drop(watch(BOUND, bark(barked)));
        assert!(heard.recv_timeout(BOUND).is_err(), "it ended in time");
    }
}
