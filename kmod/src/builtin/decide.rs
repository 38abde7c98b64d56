// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a question comes to: the registry's verdict, the counters, the mode
//! and the policy of the full table.
//!
//! Any context; any lock of ip may be held.

use core::ffi::CStr;
use core::sync::atomic::Ordering;

use super::{BUILTIN, Builtin, MODE, MODE_ENFORCE, MODE_OFF, maintain, tick};
use crate::flow::{Direction, Endpoint, FiveTuple, Protocol};
use crate::kernel::errno::Errno;
use crate::kernel::probe;
use crate::registry::{StackId, Verdict};
use crate::stats::{self, FlowCounters, counters};

/// A running provider, unless it is switched off.
#[inline]
fn active() -> Option<&'static Builtin> {
    let builtin = BUILTIN.get()?;
    (MODE.load(Ordering::Relaxed) != MODE_OFF).then_some(builtin)
}

/// Counts a question that nobody looks at, if it surely is one. This is all
/// that most machines' flows cost: it comes before the 5-tuple is read.
#[inline]
pub fn ignores(local: &Endpoint, direction: Direction) -> bool {
    let ignored = active().is_some_and(|builtin| builtin.registry.excludes(&local.addr));
    if ignored {
        stats::count_flow(local.protocol, direction, |flow| &flow.cf_not_shared);
    }
    ignored
}

/// This node wants the 5-tuple.
///
/// # Errors
///
/// `EADDRINUSE`: another node owns it. `EADDRNOTAVAIL`: the table is full and a
/// full table refuses.
#[inline(always)]
pub fn connect(stack: StackId, tuple: &FiveTuple, direction: Direction) -> Result<(), Errno> {
    connect_as(tuple.protocol, stack, tuple, direction)
}

/// As [`connect`], for a caller that knows the 5-tuple's protocol when it is
/// compiled.
///
/// # Errors
///
/// As for [`connect`].
#[inline(always)]
pub fn connect_as(
    protocol: Protocol,
    stack: StackId,
    tuple: &FiveTuple,
    direction: Direction,
) -> Result<(), Errno> {
    let Some(builtin) = active() else {
        return Ok(());
    };
    let outgoing = direction == Direction::Outgoing;
    probe::ask(tuple.as_probe(), stack, outgoing);
    let registry = &builtin.registry;
    let answer = registry.connect_as(protocol, stack, tuple, outgoing, tick());
    if answer.wake {
        maintain::wake();
    }
    let errno = match answer.verdict {
        Verdict::Registered => {
            stats::count_flow(protocol, direction, |flow| &flow.cf_registered);
            probe::register(tuple.as_probe(), stack);
            probe::accept(tuple.as_probe(), stack, outgoing, c"registered");
            return Ok(());
        }
        Verdict::OwnedBy(_) => {
            stats::count_flow(protocol, direction, |flow| &flow.cf_owned);
            Errno::ADDRINUSE
        }
        verdict => match builtin.accepts(verdict, stats::flow(protocol, direction)) {
            Ok(reason) => {
                probe::accept(tuple.as_probe(), stack, outgoing, reason);
                return Ok(());
            }
            Err(errno) => errno,
        },
    };
    refuse(stack, tuple, direction, answer.verdict, errno)
}

/// The answer is no, if the mode lets it be. Not inline: an accepted question
/// should not need the stack for this.
#[inline(never)]
fn refuse(
    stack: StackId,
    tuple: &FiveTuple,
    direction: Direction,
    verdict: Verdict,
    errno: Errno,
) -> Result<(), Errno> {
    let enforced = MODE.load(Ordering::Relaxed) == MODE_ENFORCE;
    let owner = match verdict {
        Verdict::OwnedBy(owner) => owner,
        _ => 0,
    };
    let outgoing = direction == Direction::Outgoing;
    let tuple_seen = tuple.as_probe();
    probe::refuse(
        tuple_seen,
        stack,
        outgoing,
        owner,
        reason(verdict),
        enforced,
    );
    if !enforced {
        stats::flow(tuple.protocol, direction).cf_observed.bump();
        return Ok(());
    }
    Err(errno)
}

/// What a refusal rests on, for probes.
fn reason(verdict: Verdict) -> &'static CStr {
    match verdict {
        Verdict::OwnedBy(_) => c"owned by another node",
        Verdict::Late => c"memory is late",
        _ => c"full",
    }
}

impl Builtin {
    /// Counts the verdicts that are seldom; why it accepts. Apart, for there
    /// must be no jump table where a slot is read.
    #[inline(never)]
    fn accepts(&self, verdict: Verdict, flow: &FlowCounters) -> Result<&'static CStr, Errno> {
        match verdict {
            Verdict::Registered | Verdict::Repeated => {
                flow.cf_repeated.bump();
                return Ok(c"registered before");
            }
            Verdict::NotShared => {
                flow.cf_not_shared.bump();
                return Ok(c"not shared");
            }
            Verdict::Unspecified => {
                flow.cf_no_address.bump();
                return Ok(c"no local address");
            }
            Verdict::Late => flow.cf_late.bump(),
            Verdict::Full | Verdict::OwnedBy(_) => flow.cf_full.bump(),
        }
        self.full().map_or(Ok(c"full"), Err)
    }

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
#[inline(always)]
pub fn disconnect(stack: StackId, tuple: &FiveTuple) {
    let Some(builtin) = active() else {
        return;
    };
    match builtin.registry.disconnect(stack, tuple) {
        Some(true) => {
            stats::count(|counters| &counters.cs_removed);
            probe::remove(tuple.as_probe(), stack, c"disconnect");
        }
        Some(false) => {}
        None => stats::count(|counters| &counters.cs_unknown),
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
