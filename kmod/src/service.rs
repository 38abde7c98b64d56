// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module's task: once a second, and when there is work.

use crate::builtin;
use crate::kernel::errno::Errno;
use crate::kernel::task::Task;
use crate::kernel::time;

static TASK: Task = Task::new(work);

fn work() {
    builtin::maintain(time::seconds());
}

/// Starts the task. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
///
/// # Safety
///
/// Called once, by `_init`.
pub unsafe fn start() -> Result<(), Errno> {
    // SAFETY: passed on by the caller.
    unsafe { TASK.start(c"clinet") }?;
    builtin::set_waker(|| TASK.wake());
    Ok(())
}

/// Ends the task. Sleeps.
///
/// # Safety
///
/// Called once, after `start` succeeded, with nobody else in the module.
pub unsafe fn stop() {
    // SAFETY: passed on by the caller.
    unsafe { TASK.stop() };
}
