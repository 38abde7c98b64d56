// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What may be decided otherwise while the module runs. Read in any context.

#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering};

use super::{Number, Settings};
use crate::kernel::sys;

/// A choice by its number.
pub struct Policy(AtomicU32);

impl Policy {
    const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The number now.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Is it anything but 0?
    #[inline]
    pub fn is_set(&self) -> bool {
        self.get() != 0
    }

    /// Changes it to a number that is in range.
    pub fn set(&self, number: u32) {
        self.0.store(number, Ordering::Relaxed);
    }
}

/// A full table refuses.
pub static FULL: Policy = Policy::new();
/// An incoming connection to an explicit port is refused.
pub static INCOMING: Policy = Policy::new();
/// Other explicit ports are admitted.
pub static EXPLICIT: Policy = Policy::new();
/// Shared addresses of other stacks are admitted.
pub static OTHER_STACK: Policy = Policy::new();
/// What happens at the deadline: [`DOWN`], [`PANIC`] or [`NONE`].
pub static FENCE_ACTION: Policy = Policy::new();
/// Seconds that a fence may take.
pub static FENCE_SECONDS: Policy = Policy::new();

/// The shared addresses are taken away.
pub const DOWN: u32 = 0;
/// The machine panics.
pub const PANIC: u32 = 1;
/// Nothing but that nothing is registered.
pub const NONE: u32 = 2;

/// Takes over what was set at load.
pub fn init(settings: &Settings) {
    FULL.set(settings.full_refuses.into());
    INCOMING.set(settings.incoming);
    EXPLICIT.set(settings.explicit);
    OTHER_STACK.set(settings.other_stack);
    FENCE_ACTION.set(settings.fence_action);
    FENCE_SECONDS.set(settings.fence_seconds);
}

/// The policy that a property of the control device changes, and what it may be.
/// `None`: there is no such property.
fn of_property(property: u32) -> Option<(&'static Policy, &'static Number)> {
    match property {
        sys::CLINETCTL_FULL => Some((&FULL, &super::FULL_REFUSE)),
        sys::CLINETCTL_INCOMING => Some((&INCOMING, &super::INCOMING)),
        sys::CLINETCTL_EXPLICIT => Some((&EXPLICIT, &super::EXPLICIT)),
        sys::CLINETCTL_OTHER_STACK => Some((&OTHER_STACK, &super::OTHER_STACK)),
        sys::CLINETCTL_FENCE_ACTION => Some((&FENCE_ACTION, &super::FENCE)),
        sys::CLINETCTL_FENCE_SECONDS => Some((&FENCE_SECONDS, &super::FENCE_SECONDS)),
        _ => None,
    }
}

/// Changes a property. False: there is no such property, or it cannot be this.
pub fn set_property(property: u32, value: u64) -> bool {
    let Some((policy, valid)) = of_property(property) else {
        return false;
    };
    match u32::try_from(value) {
        Ok(number) if valid.allows(number) => {
            policy.set(number);
            true
        }
        _ => false,
    }
}
