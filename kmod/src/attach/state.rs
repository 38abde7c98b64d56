// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is true of the hooks at this moment, and what was counted. All of it is
//! static and may be read from any context.

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};

use crate::kernel::sys;
use crate::stats::Counter;
use crate::{events, work};

/// Is ip asking?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nobody has tried.
    Never = sys::CLINET_NEVER_ATTACHED as u8,
    /// It is, or it is about to: the hooks are being set.
    Attached = sys::CLINET_ATTACHED as u8,
    /// It was tried, and nothing of ip was touched.
    Refused = sys::CLINET_REFUSED as u8,
    /// A race was lost midway; the hooks that were set accept everything.
    Partial = sys::CLINET_PARTIAL as u8,
    /// The hooks accept everything.
    Detached = sys::CLINET_DETACHED as u8,
}

impl State {
    const ALL: [Self; 5] = [
        Self::Never,
        Self::Attached,
        Self::Refused,
        Self::Partial,
        Self::Detached,
    ];

    /// Its name in the kstat.
    pub fn name(self) -> &'static CStr {
        match self {
            Self::Never => c"never attached",
            Self::Attached => c"attached",
            Self::Refused => c"refused",
            Self::Partial => c"partially attached",
            Self::Detached => c"detached",
        }
    }
}

/// Another one has the hook by which ip asks.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Is it another one whom ip asks, as was seen last?
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::Acquire)
}

/// Remembers that.
pub fn set_taken(is_taken: bool) {
    TAKEN.store(is_taken, Ordering::Release);
}

/// May ip ask? If its hooks were never looked for or are not there, it may know the
/// contract.
pub fn may_ask() -> bool {
    match get() {
        State::Attached | State::Never | State::Refused => !is_taken(),
        State::Partial | State::Detached => false,
    }
}

static STATE: AtomicU8 = AtomicU8::new(State::Never as u8);
static REASON: AtomicPtr<c_char> = AtomicPtr::new(c"".as_ptr().cast_mut());
static HOOKS: AtomicU64 = AtomicU64::new(0);

/// Entries may have been registered when the hooks had been replaced already.
static CLEARING: AtomicBool = AtomicBool::new(false);

/// The state.
pub fn get() -> State {
    let number = STATE.load(Ordering::Acquire);
    let found = State::ALL.into_iter().find(|state| *state as u8 == number);
    found.unwrap_or(State::Never)
}

/// Changes it, with the reason (empty: none) and how many hooks ask.
pub fn set(state: State, reason: &'static CStr, hooks: u64) {
    HOOKS.store(hooks, Ordering::Relaxed);
    REASON.store(reason.as_ptr().cast_mut(), Ordering::Relaxed);
    if STATE.swap(state as u8, Ordering::SeqCst) != state as u8 {
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
        want_clearing();
        work::TASK.wake();
    }
}

/// The module's thread is to clear this node's entries, unless ip is asking
/// again by then.
pub fn want_clearing() {
    CLEARING.store(true, Ordering::Release);
}

/// Is it to be done now?
pub fn take_clearing() -> bool {
    CLEARING.swap(false, Ordering::AcqRel)
}

/// An entry waits for audits, since what ended may have been an earlier connection
/// of its 5-tuple.
static DOUBT: AtomicBool = AtomicBool::new(false);

/// The module's thread is to have audits settle it, before long.
pub fn note_doubt() {
    DOUBT.store(true, Ordering::Release);
}

/// Is it to be done now?
pub fn take_doubt() -> bool {
    DOUBT.swap(false, Ordering::AcqRel)
}

/// Calls that were not passed on as they came.
pub struct Passed {
    /// Of a stack that a foreign provider does not know.
    pub other_stack: Counter,
    /// Refused by a foreign provider and accepted all the same.
    pub observed: Counter,
}

/// Since the module was loaded.
pub static PASSED: Passed = Passed {
    other_stack: Counter::zero(),
    observed: Counter::zero(),
};

/// What audits did; what they did to entries is counted with the others
/// ([`crate::stats`]).
pub struct Audits {
    /// Audits that saw every stack.
    pub completed: Counter,
    /// Connections of which ip told nothing usable: they were changing.
    pub torn: Counter,
    /// Audits that did not see every stack; they removed nothing.
    pub incomplete: Counter,
    /// Missing entries that could not be remembered until the next audit.
    pub forgotten: Counter,
}

/// Since the module was loaded.
pub static AUDITS: Audits = Audits {
    completed: Counter::zero(),
    torn: Counter::zero(),
    incomplete: Counter::zero(),
    forgotten: Counter::zero(),
};
