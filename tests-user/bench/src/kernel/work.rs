// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module's threads do between two waits, and for how long.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mutex::{self, Hold};
use super::taskq;

/// What a thread did between two waits.
#[derive(Clone, Debug)]
pub struct Work {
    /// How long it took.
    pub time: Duration,
    /// The mutexes that it held, in a kernel with timed ones; of one that
    /// walked, those that it took since.
    pub holds: Vec<Hold>,
    /// It went through ip's connections.
    pub walked: bool,
}

static RECORDING: AtomicBool = AtomicBool::new(false);
static DONE: Mutex<Vec<Work>> = Mutex::new(Vec::new());

thread_local! {
    /// When this thread began to work, and whether it has walked since.
    static BEGAN: RefCell<Option<(Instant, bool)>> = const { RefCell::new(None) };
}

fn done() -> MutexGuard<'static, Vec<Work>> {
    DONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on work is recorded that begins.
pub fn record() {
    done().clear();
    RECORDING.store(true, Ordering::SeqCst);
}

/// It is not any more: what was.
#[must_use]
pub fn recorded() -> Vec<Work> {
    RECORDING.store(false, Ordering::SeqCst);
    std::mem::take(&mut done())
}

/// This thread has waited.
pub(super) fn begin() {
    if RECORDING.load(Ordering::SeqCst) && taskq::is_task() {
        mutex::begin_timing();
        BEGAN.set(Some((Instant::now(), false)));
    }
}

/// This thread walks.
pub(super) fn walks() {
    BEGAN.with_borrow_mut(|began| {
        if let Some((_, walked)) = began {
            *walked = true;
            mutex::begin_timing();
        }
    });
}

/// This thread waits.
pub(super) fn end() {
    if let Some((began, walked)) = BEGAN.take() {
        let time = began.elapsed();
        let holds = mutex::end_timing();
        done().push(Work {
            time,
            holds,
            walked,
        });
    }
}
