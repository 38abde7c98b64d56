// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Threads that look at something again and again, until they are told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A thread that appends what it sees to a list.
pub struct Watching<T> {
    seen: Arc<Mutex<Vec<T>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Clone + Send + 'static> Watching<T> {
    /// Calls `look` every `pause`; what it returns is appended.
    pub fn start(pause: Duration, mut look: impl FnMut() -> Vec<T> + Send + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (list, stopped) = (seen.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let more = look();
                list.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(more);
                thread::sleep(pause);
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// What was seen last.
    pub fn last(&self) -> Option<T> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last().cloned()
    }

    /// What was seen so far.
    pub fn seen(&self) -> Vec<T> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl<T> Drop for Watching<T> {
    /// Not waited for if it is in the middle of a look: that may wait for a
    /// machine that is stopped.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            drop(thread.join());
        }
    }
}
