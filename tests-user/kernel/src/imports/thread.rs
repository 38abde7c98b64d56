// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `thread_create` and `thread_exit`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::imports;
use super::taskq::PRIORITIES;
use crate::context::{self, Context, here, must_be_able_to_sleep};
use crate::fault::fault;
use crate::locks;
use crate::sched;
use crate::stack::{self, Ending};
use crate::thunk::kernel_symbol;

const TS_RUN: i32 = 2;

imports! {
    fn thread_create(
        stack: u64,
        stack_size: u64,
        function: u64,
        argument: u64,
        length: u64,
        process: u64,
        state: i32,
        priority: i32,
    ) -> u64 {
        // Like a kthread_t pointer, but no address.
        static LAST: AtomicU64 = AtomicU64::new(0xffff_ff04_0000_0000);
        must_be_able_to_sleep("thread_create");
        let machine = here().machine;
        if stack != 0 || stack_size != 0 || length != 0 {
            fault!("thread_create: a stack or a copied argument is not emulated");
        }
        if Some(process) != kernel_symbol("p0") || state != TS_RUN {
            fault!("thread_create: only threads of p0 that run at once are emulated");
        }
        if !PRIORITIES.contains(&(priority as i16)) {
            fault!("thread_create: {} is no priority", priority as i16);
        }
        if machine.module_at(function).is_none() {
            fault!("thread_create: {function:#x} is no function of a module");
        }
        machine.sched.spawn(machine, function, move |machine| {
            // SAFETY: a thread's function takes one argument. A fault is
            // recorded in the machine.
            let _ = unsafe { context::run(machine, &Context::thread(), function, &[argument]) };
        });
        LAST.fetch_add(64, Ordering::Relaxed)
    }

    fn thread_exit() {
        let frame = here();
        if frame.direct || !sched::is_background() {
            fault!("thread_exit in a thread that thread_create did not make");
        }
        if locks::held_count() > 0 {
            let held = locks::describe_held(frame.machine, 0);
            fault!("thread_exit with {held} held");
        }
        // SAFETY: the current frame is a call on a kernel stack, and nothing
        // here needs to be dropped.
        unsafe { stack::abandon(Ending::Exited) }
    }
}
