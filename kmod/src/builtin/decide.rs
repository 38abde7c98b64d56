// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a question comes to: the registry's verdict, the counters, the mode
//! and the policy of the full table.
//!
//! Any context; any lock of ip may be held.

use core::ffi::CStr;

use super::env::Kernel;
use super::{BUILTIN, Builtin, maintain, tick};
use crate::flow::{Addr, Direction, Endpoint, FiveTuple, Protocol};
use crate::kernel::errno::Errno;
use crate::kernel::probe;
use crate::registry::{Answer, Node, StackId, Unclear, Verdict};
use crate::settings::{self, Mode};
use crate::stats::{self, FlowCounters, counters};

/// Who asks for what.
type Question<'a> = (StackId, &'a FiveTuple, Direction);

/// A running provider, unless it is switched off.
#[inline]
pub(super) fn active() -> Option<&'static Builtin> {
    let builtin = BUILTIN.get()?;
    (settings::mode() != Mode::Off).then_some(builtin)
}

/// Counts a question that nobody looks at, if it surely is one. This is all
/// that most machines' flows cost: it comes before the 5-tuple is read.
#[inline]
pub fn ignores(local: &Endpoint, direction: Direction) -> bool {
    active().is_some_and(|builtin| builtin.ignores(local.protocol, &local.addr, direction))
}

/// This node wants the 5-tuple.
///
/// # Errors
///
/// `EADDRINUSE`: another node owns it. `EADDRNOTAVAIL`: the table is full and a
/// full table refuses.
#[inline]
pub fn connect(stack: StackId, tuple: &FiveTuple, direction: Direction) -> Result<(), Errno> {
    match (active(), tuple.protocol) {
        (None, _) => Ok(()),
        (Some(builtin), Protocol::Tcp) => builtin.connect(Protocol::Tcp, stack, tuple, direction),
        (Some(builtin), Protocol::Udp) => builtin.connect(Protocol::Udp, stack, tuple, direction),
    }
}

impl Builtin {
    /// As [`ignores`].
    #[inline]
    pub(super) fn ignores(&self, protocol: Protocol, local: &Addr, direction: Direction) -> bool {
        let ignored = self.registry.excludes(local);
        if ignored {
            stats::count_flow(protocol, direction, |flow| &flow.cf_not_shared);
        }
        ignored
    }

    /// As [`connect`], for a caller that knows the 5-tuple's protocol when it is
    /// compiled.
    #[inline(always)]
    pub(super) fn connect(
        &self,
        protocol: Protocol,
        stack: StackId,
        tuple: &FiveTuple,
        direction: Direction,
    ) -> Result<(), Errno> {
        let outgoing = direction == Direction::Outgoing;
        let question = (stack, tuple, direction);
        // Memory is on its way while the probe fires.
        let at = match self.registry.locate(protocol, stack, tuple) {
            Ok(at) => at,
            Err(verdict) => {
                probe::ask(tuple.as_probe(), stack, outgoing);
                return self.otherwise(question, Answer::of(verdict));
            }
        };
        probe::ask(tuple.as_probe(), stack, outgoing);
        if protocol == Protocol::Udp {
            let answer = self.registry.connect_udp(&at, tick());
            return self.otherwise(question, answer);
        }
        match self.registry.connect_tcp(at, outgoing) {
            Ok(Verdict::Registered) => {
                stats::count_flow(protocol, direction, |flow| &flow.cf_registered);
                probe::register(tuple.as_probe(), stack);
                probe::accept(tuple.as_probe(), stack, outgoing, c"registered");
                Ok(())
            }
            Ok(Verdict::OwnedBy(owner)) => owned(question, owner),
            Ok(verdict) => self.otherwise(question, Answer::of(verdict)),
            Err(unclear) => self.connect_long(question, unclear),
        }
    }

    #[inline(never)]
    fn connect_long(
        &self,
        question: Question<'_>,
        unclear: Unclear<'_, Kernel>,
    ) -> Result<(), Errno> {
        let outgoing = question.2 == Direction::Outgoing;
        let answer = self.registry.connect_tcp_long(unclear, outgoing);
        self.otherwise(question, answer)
    }

    /// What comes of an answer, whatever it is.
    #[inline(never)]
    fn otherwise(&self, question: Question<'_>, answer: Answer) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        if answer.wake {
            maintain::wake();
        }
        let flow = stats::flow(tuple.protocol, direction);
        let accepted = match answer.verdict {
            Verdict::OwnedBy(owner) => return owned(question, owner),
            Verdict::Registered => {
                flow.cf_registered.bump();
                probe::register(tuple.as_probe(), stack);
                Ok(c"registered")
            }
            verdict => self.accepts(verdict, flow),
        };
        match accepted {
            Ok(reason) => {
                let outgoing = direction == Direction::Outgoing;
                probe::accept(tuple.as_probe(), stack, outgoing, reason);
                Ok(())
            }
            Err(errno) => {
                let reason = match answer.verdict {
                    Verdict::Late => c"memory is late",
                    _ => c"full",
                };
                refuse(question, (0, reason), errno)
            }
        }
    }
}

/// Another node owns it.
#[inline(always)]
fn owned(question: Question<'_>, owner: Node) -> Result<(), Errno> {
    let (_, tuple, direction) = question;
    stats::count_flow(tuple.protocol, direction, |flow| &flow.cf_owned);
    refuse(
        question,
        (owner, c"owned by another node"),
        Errno::ADDRINUSE,
    )
}

/// The answer is no, if the mode lets it be: because of `owner`, if it is not 0,
/// and of `reason`. Not inline: an accepted question should not need the stack
/// for this.
#[inline(never)]
fn refuse(
    (stack, tuple, direction): Question<'_>,
    (owner, reason): (Node, &'static CStr),
    errno: Errno,
) -> Result<(), Errno> {
    let enforced = settings::mode() == Mode::Enforce;
    let outgoing = direction == Direction::Outgoing;
    probe::refuse(tuple.as_probe(), stack, outgoing, owner, reason, enforced);
    if !enforced {
        stats::flow(tuple.protocol, direction).cf_observed.bump();
        return Ok(());
    }
    Err(errno)
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
