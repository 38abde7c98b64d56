// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Background threads: those that modules make, and others that the machine does.

use std::ops::Range;
use std::sync::Arc;

use super::{BACKGROUND, Sched, State, Thread};
use crate::locks::lock;
use crate::machine::Machine;
use crate::together;

impl State {
    /// Notes that a background thread has done its work.
    fn end(&mut self, id: u64) {
        self.running -= 1;
        if let Some(thread) = self.threads.iter_mut().find(|thread| thread.id == id) {
            thread.ended = true;
        }
    }
}

impl Sched {
    /// Runs `body` in a new background thread that counts as in `function`.
    pub fn spawn(
        &self,
        machine: &Machine,
        function: u64,
        body: impl FnOnce(&Machine) + Send + 'static,
    ) {
        self.spawn_locked(machine, &mut lock(&self.state), function, body);
    }

    pub(super) fn spawn_locked(
        &self,
        machine: &Machine,
        state: &mut State,
        function: u64,
        body: impl FnOnce(&Machine) + Send + 'static,
    ) {
        let machine: Arc<Machine> = machine.shared();
        state.running += 1;
        state.last_id += 1;
        let id = state.last_id;
        let host = std::thread::spawn(move || {
            BACKGROUND.set(true);
            body(&machine);
            lock(&machine.sched.state).end(id);
            machine.sched.changed.notify_all();
        });
        state.threads.retain(|thread| !thread.host.is_finished());
        state.threads.push(Thread {
            id,
            function,
            ended: false,
            host,
        });
    }

    /// The first functions of the threads in `text` that have not ended.
    pub fn threads_in(&self, text: &Range<u64>) -> Vec<u64> {
        lock(&self.state)
            .threads
            .iter()
            .filter(|thread| text.contains(&thread.function) && !thread.ended)
            .map(|thread| thread.function)
            .collect()
    }

    /// Waits for the end of every background thread of a halted machine.
    pub fn join_all(&self) {
        if lock(&self.state).threads.is_empty() {
            return;
        }
        let _watched = together::watch(together::BOUND, || {
            together::give_up("the threads of a machine have not ended")
        });
        loop {
            let Some(thread) = lock(&self.state).threads.pop() else {
                return;
            };
            self.changed.notify_all();
            // A panic of the thread was printed when it happened.
            let _ = thread.host.join();
        }
    }
}
