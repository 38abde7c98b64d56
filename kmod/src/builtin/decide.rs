// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a question comes to: what is granted, the registry's verdict, the
//! counters, the mode and the policies.
//!
//! Any context; any lock of ip may be held.

use core::ffi::CStr;

use super::{BUILTIN, Builtin, GLOBAL, tick};
use crate::events;
use crate::flow::{Addr, Direction, Endpoint, FiveTuple, Protocol};
use crate::grants::Standing;
use crate::grants::rules::{self, Case, Policies, Reason};
use crate::kernel::errno::Errno;
use crate::kernel::{probe, sys};
use crate::registry::{Ended, Full, Node, StackId, Verdict, Via};
use crate::settings::{self, Mode, policy};
use crate::stats::{self, counters};

/// Who asks for what.
type Question<'a> = (StackId, &'a FiveTuple, Direction);

/// Why the answer is no.
struct Refusal {
    /// Who owns the 5-tuple, or 0.
    owner: Node,
    /// `CLINET_OWNED` and so on.
    number: u32,
    /// The same for a probe.
    name: &'static CStr,
    errno: Errno,
}

impl Reason {
    /// Its number in C, its name for a probe, and what a caller gets.
    fn told(self) -> Refusal {
        let (number, name, errno) = match self {
            Self::Lapsed => (sys::CLINET_LAPSED, c"lapsed", Errno::ADDRNOTAVAIL),
            Self::NotGranted => (sys::CLINET_NOT_GRANTED, c"not-granted", Errno::ADDRINUSE),
            Self::Explicit => (sys::CLINET_EXPLICIT, c"explicit", Errno::ADDRINUSE),
            Self::OtherStack => (sys::CLINET_OTHER_STACK, c"other-stack", Errno::ADDRNOTAVAIL),
        };
        Refusal {
            owner: 0,
            number,
            name,
            errno,
        }
    }
}

impl Full {
    /// Its number in C.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Tuples => sys::CLINET_FULL,
            Self::Udp => sys::CLINET_FULL_UDP,
            Self::Addresses => sys::CLINET_FULL_ADDRESSES,
            Self::Nodes => sys::CLINET_FULL_NODES,
        }
    }
}

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
/// `EADDRINUSE`: another node owns it, or may own it since its local port is not
/// granted. `EADDRNOTAVAIL`: the deadline of the grants has passed, or there is no
/// room, and a full table refuses.
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
        if let Some(refusal) = self.objection(question) {
            return refuse(question, &refusal);
        }
        let verdict = self.registry.connect_tcp(stack, tuple, direction, via);
        self.answer(question, verdict)
    }

    #[inline(never)]
    fn connect_udp(&self, question: Question<'_>, via: Via) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        probe::ask(tuple.as_probe(), stack, direction == Direction::Outgoing);
        if let Some(refusal) = self.objection(question) {
            return refuse(question, &refusal);
        }
        let verdict = self.registry.connect_udp(stack, tuple, via, tick());
        self.answer(question, verdict)
    }

    /// Whether a local port is this node's, before the registry is asked.
    #[inline(always)]
    fn standing(&self, (stack, tuple, _): Question<'_>) -> Standing {
        match self
            .grants
            .standing(tuple.protocol, u16::from_be(tuple.local.port))
        {
            // Whatever is granted is so on the global stack.
            Standing::Granted if stack != GLOBAL => Standing::NotGranted,
            standing => standing,
        }
    }

    /// What speaks against a question before the registry is asked.
    #[inline(always)]
    fn objection(&self, question: Question<'_>) -> Option<Refusal> {
        match self.standing(question) {
            Standing::NoSpace | Standing::Granted => None,
            standing => self.object(question, standing),
        }
    }

    #[cold]
    #[inline(never)]
    fn object(&self, question: Question<'_>, standing: Standing) -> Option<Refusal> {
        let (_, tuple, direction) = question;
        let flow = stats::flow(tuple.protocol, direction);
        match self.case(question, standing) {
            Case::Registry => None,
            Case::Admitted(reason) => {
                match reason {
                    Reason::OtherStack => flow.cg_other_stack_admitted.bump(),
                    _ => flow.cg_explicit_admitted.bump(),
                }
                None
            }
            Case::Refused(reason) => {
                match reason {
                    Reason::Lapsed => flow.cg_lapsed.bump(),
                    Reason::NotGranted => flow.cg_not_granted.bump(),
                    Reason::Explicit => flow.cg_explicit.bump(),
                    Reason::OtherStack => flow.cg_other_stack.bump(),
                }
                Some(reason.told())
            }
        }
    }

    fn case(&self, (stack, tuple, direction): Question<'_>, standing: Standing) -> Case {
        // The registry says why nobody looks at it.
        if !self.registry.is_shared(&tuple.local.addr) {
            return Case::Registry;
        }
        let policies = Policies {
            incoming_refuses: policy::INCOMING.is_set(),
            explicit_admits: policy::EXPLICIT.is_set(),
            other_stack_admits: policy::OTHER_STACK.is_set(),
        };
        let flow = (tuple.protocol, direction);
        rules::decide(standing, stack == GLOBAL, flow, policies)
    }

    /// Does a full table refuse? With a port space it always does.
    pub(super) fn full_refuses(&self, protocol: Protocol) -> bool {
        policy::FULL.is_set() || self.grants.has_space(protocol)
    }

    /// What comes of a verdict.
    #[inline(always)]
    fn answer(&self, question: Question<'_>, verdict: Verdict) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        match verdict {
            Verdict::Registered => {
                probe::register(tuple.as_probe(), stack);
                let outgoing = direction == Direction::Outgoing;
                probe::accept(tuple.as_probe(), stack, outgoing, c"free");
                Ok(())
            }
            Verdict::OwnedBy(owner) => refuse(
                question,
                &Refusal {
                    owner,
                    number: sys::CLINET_OWNED,
                    name: c"owned",
                    errno: Errno::ADDRINUSE,
                },
            ),
            verdict => self.accept_or_refuse(question, verdict),
        }
    }

    /// What comes of the verdicts that are seldom. Not inline: the others should
    /// not need the stack for it.
    #[inline(never)]
    fn accept_or_refuse(&self, question: Question<'_>, verdict: Verdict) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        let flow = stats::flow(tuple.protocol, direction);
        let (counter, reason, full) = match verdict {
            Verdict::NotShared => (Some(&flow.cf_not_shared), c"not-shared", None),
            Verdict::Unspecified => (Some(&flow.cf_no_address), c"no-address", None),
            Verdict::Full(Full::Udp) => (
                Some(&flow.cf_udp_full),
                c"udp-full",
                Some(sys::CLINET_FULL_UDP),
            ),
            Verdict::Full(Full::Addresses) => (
                Some(&flow.cf_addresses_full),
                c"addresses-full",
                Some(sys::CLINET_FULL_ADDRESSES),
            ),
            Verdict::Full(_) => (Some(&flow.cf_full), c"full", Some(sys::CLINET_FULL)),
            Verdict::Late => (Some(&flow.cf_late), c"late", Some(sys::CLINET_LATE)),
            // Counted by the registry.
            Verdict::Registered | Verdict::Repeated | Verdict::OwnedBy(_) => (None, c"ours", None),
        };
        if let Some(counter) = counter {
            counter.bump();
        }
        if let Some(number) = full {
            if self.full_refuses(tuple.protocol) {
                return refuse_full(question, number, reason);
            }
            counters().cs_full_admitted.bump();
        }
        let outgoing = direction == Direction::Outgoing;
        probe::accept(tuple.as_probe(), stack, outgoing, reason);
        Ok(())
    }
}

/// There is no room, and that refuses.
fn refuse_full(question: Question<'_>, number: u32, name: &'static CStr) -> Result<(), Errno> {
    let answer = refuse(
        question,
        &Refusal {
            owner: 0,
            number,
            name,
            errno: Errno::ADDRNOTAVAIL,
        },
    );
    match answer {
        Ok(()) => counters().cs_full_admitted.bump(),
        Err(_) => counters().cs_full_refused.bump(),
    }
    answer
}

/// The answer is no, if the mode lets it be.
#[inline(never)]
fn refuse((stack, tuple, direction): Question<'_>, refusal: &Refusal) -> Result<(), Errno> {
    let enforced = settings::mode() == Mode::Enforce;
    let outgoing = direction == Direction::Outgoing;
    let (seen, owner) = (tuple.as_probe(), refusal.owner);
    probe::refuse(seen, stack, outgoing, owner, refusal.name, enforced);
    let answer = if enforced { Err(refusal.errno) } else { Ok(()) };
    if !enforced {
        stats::flow(tuple.protocol, direction).cf_observed.bump();
    }
    if events::are_wanted(sys::CLINETCTL_EVENT_REFUSED) {
        events::refused((stack, tuple, direction), (owner, refusal.number), answer);
    }
    answer
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
pub fn bind(stack: StackId, endpoint: &Endpoint, via: Via) {
    let Some(builtin) = active() else {
        return;
    };
    if builtin.registry.bind(stack, endpoint, via, tick()) == Some(false) {
        counters().cs_binds_uncounted.bump();
    }
}

/// A UDP endpoint was unbound.
pub fn unbind(stack: StackId, endpoint: &Endpoint, via: Via) {
    if endpoint.addr.is_unspecified() {
        return;
    }
    let Some(builtin) = active() else {
        return;
    };
    if !builtin.registry.unbind(stack, endpoint, via) {
        counters().cs_unknown.bump();
    }
}

/// What a question would come to, in the mode enforce.
#[derive(Clone, Copy, Debug)]
pub struct Forecast {
    /// `CLINET_FREE` and so on.
    pub reason: u32,
    /// Who owns the 5-tuple, or 0.
    pub owner: Node,
    /// References to an entry of this node.
    pub references: u64,
    /// The errno that a caller would get.
    pub errno: Option<Errno>,
}

/// What a question would come to now. Changes and counts nothing.
///
/// # Errors
///
/// `ENXIO` without a provider.
pub fn query(stack: StackId, tuple: &FiveTuple, direction: Direction) -> Result<Forecast, Errno> {
    let builtin = BUILTIN.get().ok_or(Errno::NXIO)?;
    let question = (stack, tuple, direction);
    if let Case::Refused(reason) = builtin.case(question, builtin.standing(question)) {
        let told = reason.told();
        return Ok(Forecast {
            reason: told.number,
            owner: 0,
            references: 0,
            errno: Some(told.errno),
        });
    }
    let (verdict, references) = builtin.registry.query(stack, tuple);
    Ok(builtin.forecast(tuple.protocol, verdict, references))
}

impl Builtin {
    fn forecast(&self, protocol: Protocol, verdict: Verdict, references: u64) -> Forecast {
        let full = || self.full_refuses(protocol).then_some(Errno::ADDRNOTAVAIL);
        let (reason, owner, errno) = match verdict {
            Verdict::Registered => (sys::CLINET_FREE, 0, None),
            Verdict::Repeated => (sys::CLINET_OURS, self.registry.node(), None),
            Verdict::OwnedBy(owner) => (sys::CLINET_OWNED, owner, Some(Errno::ADDRINUSE)),
            Verdict::Full(of) => (of.number(), 0, full()),
            Verdict::Late => (sys::CLINET_LATE, 0, full()),
            Verdict::NotShared => (sys::CLINET_NOT_SHARED, 0, None),
            Verdict::Unspecified => (sys::CLINET_NO_ADDRESS, 0, None),
        };
        Forecast {
            reason,
            owner,
            references,
            errno,
        }
    }
}
