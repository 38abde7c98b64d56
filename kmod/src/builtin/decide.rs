// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a question comes to: the registry's verdict, the counters, the mode
//! and the policy of the full table.
//!
//! Any context; any lock of ip may be held.

use core::ffi::CStr;

use super::{BUILTIN, Builtin, tick};
use crate::flow::{Addr, Direction, Endpoint, FiveTuple, Protocol};
use crate::kernel::errno::Errno;
use crate::kernel::probe;
use crate::registry::{Ended, Full, Node, StackId, Verdict, Via};
use crate::settings::{self, Mode};
use crate::stats::{self, counters};

/// Who asks for what.
type Question<'a> = (StackId, &'a FiveTuple, Direction);

/// A running provider, unless it is switched off.
#[inline]
pub(super) fn active() -> Option<&'static Builtin> {
    let builtin = BUILTIN.get()?;
    (settings::mode() != Mode::Off).then_some(builtin)
}

/// Counts a question that nobody looks at, if it surely is one. That is all
/// that the flows of most machines cost.
#[inline]
pub fn ignores(local: &Endpoint, direction: Direction) -> bool {
    active().is_some_and(|builtin| builtin.ignores(local.protocol, &local.addr, direction))
}

/// This node wants the 5-tuple.
///
/// # Errors
///
/// `EADDRINUSE`: another node owns it. `EADDRNOTAVAIL`: there is no room, and a
/// full table refuses.
#[inline]
pub fn connect(
    stack: StackId,
    tuple: &FiveTuple,
    direction: Direction,
    via: Via,
) -> Result<(), Errno> {
    let Some(builtin) = active() else {
        return Ok(());
    };
    let question = (stack, tuple, direction);
    match tuple.protocol {
        Protocol::Tcp => builtin.connect_tcp(question, via),
        Protocol::Udp => builtin.connect_udp(question, via),
    }
}

impl Builtin {
    /// As [`ignores`].
    #[inline]
    fn ignores(&self, protocol: Protocol, local: &Addr, direction: Direction) -> bool {
        let ignored = self.registry.excludes(local);
        if ignored {
            stats::flow(protocol, direction).cf_not_shared.bump();
        }
        ignored
    }

    #[inline(never)]
    fn connect_tcp(&self, question: Question<'_>, via: Via) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        probe::ask(tuple.as_probe(), stack, direction == Direction::Outgoing);
        let verdict = self.registry.connect_tcp(stack, tuple, direction, via);
        self.answer(question, verdict)
    }

    #[inline(never)]
    fn connect_udp(&self, question: Question<'_>, via: Via) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        probe::ask(tuple.as_probe(), stack, direction == Direction::Outgoing);
        let verdict = self.registry.connect_udp(stack, tuple, via, tick());
        self.answer(question, verdict)
    }

    /// What comes of a verdict.
    #[inline(always)]
    fn answer(&self, question: Question<'_>, verdict: Verdict) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        match verdict {
            Verdict::Registered => {
                probe::register(tuple.as_probe(), stack);
                let outgoing = direction == Direction::Outgoing;
                probe::accept(tuple.as_probe(), stack, outgoing, c"registered");
                Ok(())
            }
            Verdict::OwnedBy(owner) => {
                refuse(question, owner, c"owned by another node", Errno::ADDRINUSE)
            }
            verdict => self.accept_or_refuse(question, verdict),
        }
    }

    /// What comes of the verdicts that are seldom. Not inline: the others should
    /// not need the stack for it.
    #[inline(never)]
    fn accept_or_refuse(&self, question: Question<'_>, verdict: Verdict) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        let flow = stats::flow(tuple.protocol, direction);
        let (counter, reason, is_full) = match verdict {
            Verdict::NotShared => (Some(&flow.cf_not_shared), c"not shared", false),
            Verdict::Unspecified => (Some(&flow.cf_no_address), c"no local address", false),
            Verdict::Full(Full::Udp) => (Some(&flow.cf_udp_full), c"UDP's share is full", true),
            Verdict::Full(Full::Addresses) => (
                Some(&flow.cf_addresses_full),
                c"too many local addresses",
                true,
            ),
            Verdict::Full(_) => (Some(&flow.cf_full), c"full", true),
            Verdict::Late => (Some(&flow.cf_late), c"no memory", true),
            // Counted by the registry.
            Verdict::Registered | Verdict::Repeated | Verdict::OwnedBy(_) => {
                (None, c"registered before", false)
            }
        };
        if let Some(counter) = counter {
            counter.bump();
        }
        if is_full && self.full_refuses {
            return refuse(question, 0, reason, Errno::ADDRNOTAVAIL);
        }
        if is_full {
            counters().cs_full_admitted.bump();
        }
        let outgoing = direction == Direction::Outgoing;
        probe::accept(tuple.as_probe(), stack, outgoing, reason);
        Ok(())
    }
}

/// The answer is no, if the mode lets it be: because of `owner`, if it is not 0,
/// and of `reason`.
#[inline(never)]
fn refuse(
    (stack, tuple, direction): Question<'_>,
    owner: Node,
    reason: &'static CStr,
    errno: Errno,
) -> Result<(), Errno> {
    let enforced = settings::mode() == Mode::Enforce;
    let outgoing = direction == Direction::Outgoing;
    probe::refuse(tuple.as_probe(), stack, outgoing, owner, reason, enforced);
    if !enforced {
        stats::flow(tuple.protocol, direction).cf_observed.bump();
        return Ok(());
    }
    if owner == 0 {
        counters().cs_full_refused.bump();
    }
    Err(errno)
}

/// One use of the 5-tuple ended. Not inline: there must be no jump table where the
/// caller reads a slot.
#[inline(never)]
pub fn disconnect(stack: StackId, tuple: &FiveTuple) -> Ended {
    let Some(builtin) = active() else {
        return Ended::Unknown;
    };
    let ended = builtin.registry.disconnect(stack, tuple);
    match ended {
        Ended::Removed => {
            probe::remove(tuple.as_probe(), stack, c"disconnect");
        }
        Ended::Kept | Ended::Doubtful => {}
        Ended::Unknown => counters().cs_unknown.bump(),
    }
    ended
}

/// A UDP endpoint was bound.
pub fn bind(stack: StackId, endpoint: &Endpoint) {
    let Some(builtin) = active() else {
        return;
    };
    if builtin.registry.bind(stack, endpoint, tick()) == Some(false) {
        counters().cs_binds_uncounted.bump();
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
