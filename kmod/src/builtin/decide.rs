// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a question comes to: the registry's verdict, the counters, the mode
//! and the policy of the full table.
//!
//! Any context; any lock of ip may be held.

use core::sync::atomic::Ordering;

use super::{BUILTIN, Builtin, MODE, MODE_ENFORCE, MODE_OFF, maintain, tick};
use crate::flow::{Direction, Endpoint, FiveTuple};
use crate::kernel::errno::Errno;
use crate::registry::{StackId, Verdict};
use crate::stats::{self, counters};

/// A running provider, unless it is switched off.
#[inline]
fn active() -> Option<&'static Builtin> {
    let builtin = BUILTIN.get()?;
    (MODE.load(Ordering::Relaxed) != MODE_OFF).then_some(builtin)
}

/// This node wants the 5-tuple.
///
/// # Errors
///
/// `EADDRINUSE`: another node owns it. `EADDRNOTAVAIL`: the table is full and a
/// full table refuses.
#[inline]
pub fn connect(stack: StackId, tuple: &FiveTuple, direction: Direction) -> Result<(), Errno> {
    let Some(builtin) = active() else {
        return Ok(());
    };
    let outgoing = direction == Direction::Outgoing;
    let answer = builtin.registry.connect(stack, tuple, outgoing, tick());
    let flow = stats::flow(tuple.protocol, direction);
    let refusal = match answer.verdict {
        Verdict::NotShared => {
            flow.cf_not_shared.bump();
            return Ok(());
        }
        Verdict::Registered => {
            flow.cf_registered.bump();
            None
        }
        Verdict::Repeated => {
            flow.cf_repeated.bump();
            None
        }
        Verdict::Unspecified => {
            flow.cf_no_address.bump();
            None
        }
        Verdict::OwnedBy(_) => {
            flow.cf_owned.bump();
            Some(Errno::ADDRINUSE)
        }
        Verdict::Full => {
            flow.cf_full.bump();
            builtin.full()
        }
        Verdict::Late => {
            flow.cf_late.bump();
            builtin.full()
        }
    };
    if answer.wake {
        maintain::wake();
    }
    match refusal {
        Some(errno) if MODE.load(Ordering::Relaxed) == MODE_ENFORCE => {
            flow.cf_refused.bump();
            Err(errno)
        }
        _ => Ok(()),
    }
}

impl Builtin {
    /// What the policy makes of a full table.
    fn full(&self) -> Option<Errno> {
        if self.full_refuses {
            counters().cs_full_refused.bump();
            Some(Errno::ADDRNOTAVAIL)
        } else {
            counters().cs_full_admitted.bump();
            None
        }
    }
}

/// One use of the 5-tuple ended.
#[inline]
pub fn disconnect(stack: StackId, tuple: &FiveTuple) {
    let Some(builtin) = active() else {
        return;
    };
    match builtin.registry.disconnect(stack, tuple) {
        Some(true) => counters().cs_removed.bump(),
        Some(false) => {}
        None => counters().cs_unknown.bump(),
    }
}

/// A UDP endpoint was bound.
pub fn bind(stack: StackId, endpoint: &Endpoint) {
    let Some(builtin) = active() else {
        return;
    };
    if builtin.registry.bind(stack, endpoint, tick()) == Some(false) {
        counters().cs_binds_uncounted.bump();
    }
    if builtin.registry.wants() {
        maintain::wake();
    }
}

/// A UDP endpoint was unbound.
pub fn unbind(stack: StackId, endpoint: &Endpoint) {
    if endpoint.addr.is_unspecified() {
        return;
    }
    let Some(builtin) = active() else {
        return;
    };
    if !builtin.registry.unbind(stack, endpoint) {
        counters().cs_unknown.bump();
    }
}

/// A call about this 5-tuple will come soon.
#[inline]
pub fn prefetch(stack: StackId, tuple: &FiveTuple) {
    if let Some(builtin) = active() {
        builtin.registry.prefetch(stack, tuple);
    }
}
