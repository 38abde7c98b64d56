// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is true of the hooks at this moment, and what was counted. All of it is
//! static and may be read from any context.

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::kernel::sys;
use crate::stats::Counter;
use crate::{events, work};

c_enum! {
    /// Is ip asking?
    pub enum State {
        /// Nobody has tried.
        Never = sys::CLINET_NEVER_ATTACHED, c"never attached";
        /// It is, or it is about to: the hooks are being set.
        Attached = sys::CLINET_ATTACHED, c"attached";
        /// It was tried, and nothing of ip was touched.
        Refused = sys::CLINET_REFUSED, c"refused";
        /// A race was lost midway; the hooks that were set accept everything.
        Partial = sys::CLINET_PARTIAL, c"partially attached";
        /// The hooks accept everything.
        Detached = sys::CLINET_DETACHED, c"detached";
    }
}

/// Another one has the hook by which ip asks, as was seen last.
pub static TAKEN: AtomicBool = AtomicBool::new(false);

/// Is it another one whom ip asks?
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::Acquire)
}

/// May ip ask? If its hooks were never looked for or are not there, it may know the
/// contract.
pub fn may_ask() -> bool {
    match get() {
        State::Attached | State::Never | State::Refused => !is_taken(),
        State::Partial | State::Detached => false,
    }
}

static STATE: AtomicU32 = AtomicU32::new(State::Never as u32);
static REASON: AtomicPtr<c_char> = AtomicPtr::new(c"".as_ptr().cast_mut());
static HOOKS: AtomicU64 = AtomicU64::new(0);

/// The module's thread is to clear this node's entries, unless ip is asking again by
/// then: some may have been registered when the hooks had been replaced already.
pub static CLEARING: AtomicBool = AtomicBool::new(false);

/// The module's thread is to have audits run before long: an entry waits for them,
/// since what ended may have been an earlier connection of its 5-tuple.
pub static DOUBT: AtomicBool = AtomicBool::new(false);

/// The state.
pub fn get() -> State {
    State::from_number(STATE.load(Ordering::Acquire)).unwrap_or(State::Never)
}

/// Changes it, with the reason (empty: none) and how many hooks ask.
pub fn set(state: State, reason: &'static CStr, hooks: u64) {
    HOOKS.store(hooks, Ordering::Relaxed);
    REASON.store(reason.as_ptr().cast_mut(), Ordering::Relaxed);
    if STATE.swap(state as u32, Ordering::SeqCst) != state as u32 {
        events::happened(sys::CLINETCTL_EVENT_ATTACH, state as u64);
    }
}

/// Why it is as it is.
pub fn reason() -> &'static CStr {
    // SAFETY: only pointers to static C strings are ever stored.
    unsafe { CStr::from_ptr(REASON.load(Ordering::Acquire)) }
}

/// How many of ip's variables hold a function that asks.
pub fn hooks() -> u64 {
    HOOKS.load(Ordering::Relaxed)
}

/// Called by an adapter after it registered something. The thread may have
/// been on its way into the module when the hooks were replaced, and have
/// registered after the entries were cleared; then they are cleared again.
///
/// Either the registry's lock was taken here before the clearing took it, and
/// the entry is cleared; or after, and then the state, which was changed before
/// the clearing began, is seen here.
pub fn clear_if_detached() {
    if get() != State::Attached {
        CLEARING.store(true, Ordering::Release);
        work::TASK.wake();
    }
}

/// Calls of a stack that a foreign provider does not know, which were not passed on.
pub static OTHER_STACK: Counter = Counter::zero();
/// Calls that a foreign provider refused and that were accepted all the same.
pub static OBSERVED: Counter = Counter::zero();

/// Audits that saw every stack. What they did to entries is counted with the others
/// ([`crate::stats`]).
pub static AUDITS: Counter = Counter::zero();
/// Audits that did not see every stack; they removed nothing.
pub static AUDITS_INCOMPLETE: Counter = Counter::zero();
/// Connections of which ip told an audit nothing usable: they were changing.
pub static AUDIT_TORN: Counter = Counter::zero();
/// Missing entries that could not be remembered until the next audit.
pub static AUDIT_FORGOTTEN: Counter = Counter::zero();
