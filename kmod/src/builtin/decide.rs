// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How a question is answered, by what is granted, the registry's verdict, the mode and
//! the policies, and how that is counted.
//!
//! Any context; any lock of ip may be held.

use super::outcome::Outcome;
use super::{BUILTIN, Builtin, GLOBAL, tick};
use crate::events;
use crate::flow::{Direction, Endpoint, FiveTuple, Protocol};
use crate::grants::Standing;
use crate::grants::rules::{self, Case, Policies, Reason};
use crate::kernel::errno::Errno;
use crate::kernel::{probe, sys};
use crate::registry::{Ended, Full, StackId, Verdict, Via};
use crate::settings::{self, Mode, policy};
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
    let ignored = active().is_some_and(|builtin| builtin.registry.excludes(&local.addr));
    if ignored {
        stats::flow(local.protocol, direction).cf_not_shared.bump();
    }
    ignored
}

/// This node wants the 5-tuple, which [`ignores`] did not.
///
/// # Errors
///
/// `EADDRINUSE`: another node owns it, or may own it since its local port is not
/// granted. `EADDRNOTAVAIL`: the deadline of the grants has passed, or there is no
/// room, and a full table refuses.
#[inline(always)]
pub fn connect(
    stack: StackId,
    tuple: &FiveTuple,
    direction: Direction,
    via: Via,
) -> Result<(), Errno> {
    let Some(builtin) = active() else {
        return Ok(());
    };
    if tuple.protocol == Protocol::Udp {
        return builtin.connect_udp((stack, tuple, direction), via);
    }
    match builtin.try_tcp(stack, tuple, direction, via) {
        (answer, Next::Nothing) => answer,
        (answer, Next::Growth) => {
            builtin.registry.grow_with(stack, tuple);
            answer
        }
        (_, Next::Again) => builtin.connect_tcp((stack, tuple, direction), via),
    }
}

/// What is left to be done after [`Builtin::try_tcp`], whose stack is free by then.
enum Next {
    Nothing,
    /// The shard of the 5-tuple grows.
    Growth,
    /// There is no answer yet: [`Builtin::connect_tcp`].
    Again,
}

impl Builtin {
    /// TCP, in the usual case.
    #[inline(never)]
    fn try_tcp(
        &self,
        stack: StackId,
        tuple: &FiveTuple,
        direction: Direction,
        via: Via,
    ) -> (Result<(), Errno>, Next) {
        probe::ask(tuple.as_probe(), stack, direction == Direction::Outgoing);
        let generation = self.grants.generation();
        if !self.is_open(Protocol::Tcp, stack, tuple, generation)
            && let Some(refused) = self.objection((stack, tuple, direction))
        {
            return (refused, Next::Nothing);
        }
        let (verdict, grows) = self.registry.try_connect_tcp(stack, tuple, direction, via);
        if verdict == Verdict::Late {
            return (Ok(()), Next::Again);
        }
        let next = if grows { Next::Growth } else { Next::Nothing };
        if self.grants.generation() != generation {
            let answer = self.answer_overtaken((stack, tuple, direction), verdict);
            return (answer, next);
        }
        (self.answer((stack, tuple, direction), verdict), next)
    }

    /// After [`Builtin::try_tcp`], which found nothing that speaks against the question:
    /// whether that is still so is looked at once it is registered.
    #[cold]
    #[inline(never)]
    fn connect_tcp(&self, question: Question<'_>, via: Via) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        let verdict = self.registry.connect_tcp(stack, tuple, direction, via);
        self.answer_overtaken(question, verdict)
    }

    #[inline(never)]
    fn connect_udp(&self, question: Question<'_>, via: Via) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        probe::ask(tuple.as_probe(), stack, direction == Direction::Outgoing);
        let generation = self.grants.generation();
        if !self.is_open(Protocol::Udp, stack, tuple, generation)
            && let Some(refused) = self.objection(question)
        {
            return refused;
        }
        let verdict = self.registry.connect_udp(stack, tuple, via, tick());
        if self.grants.generation() != generation {
            return self.answer_overtaken(question, verdict);
        }
        self.answer(question, verdict)
    }

    /// The grants changed, or their deadline came, while this thread registered: what
    /// is not granted any more is taken back. It is counted as registered all the same,
    /// and as removed.
    #[cold]
    #[inline(never)]
    fn answer_overtaken(&self, question: Question<'_>, verdict: Verdict) -> Result<(), Errno> {
        let Case::Refused(reason) = self.case(question, self.standing(question)) else {
            return self.answer(question, verdict);
        };
        let (stack, tuple, _) = question;
        if matches!(verdict, Verdict::Registered | Verdict::Repeated) {
            self.registry.disconnect(stack, tuple);
        }
        refuse(question, &counted(question, reason))
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

    /// Does nothing speak against a question before the registry is asked, as long as
    /// the grants are of this generation? Quick, and false for some of them.
    #[inline(always)]
    fn is_open(
        &self,
        protocol: Protocol,
        stack: StackId,
        tuple: &FiveTuple,
        generation: u64,
    ) -> bool {
        let port = u16::from_be(tuple.local.port);
        !self.grants.has_space(protocol)
            || (stack == GLOBAL && self.grants.is_open(generation, protocol, port))
    }

    /// The answer to a question that something speaks against before the registry is
    /// asked.
    #[cold]
    #[inline(never)]
    fn objection(&self, question: Question<'_>) -> Option<Result<(), Errno>> {
        let (_, tuple, direction) = question;
        let flow = stats::flow(tuple.protocol, direction);
        match self.case(question, self.standing(question)) {
            Case::Registry => None,
            Case::Admitted(reason) => {
                match reason {
                    Reason::OtherStack => flow.cg_other_stack_admitted.bump(),
                    _ => flow.cg_explicit_admitted.bump(),
                }
                None
            }
            Case::Refused(reason) => Some(refuse(question, &counted(question, reason))),
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
            Verdict::OwnedBy(_) => refuse(question, &self.outcome(tuple.protocol, verdict)),
            verdict => self.accept_or_refuse(question, verdict),
        }
    }

    /// What comes of the other verdicts. Not inline: the usual ones should not need the
    /// stack for it.
    #[inline(never)]
    fn accept_or_refuse(&self, question: Question<'_>, verdict: Verdict) -> Result<(), Errno> {
        let (stack, tuple, direction) = question;
        let flow = stats::flow(tuple.protocol, direction);
        match verdict {
            Verdict::NotShared => flow.cf_not_shared.bump(),
            Verdict::Unspecified => flow.cf_no_address.bump(),
            Verdict::Full(Full::Udp) => flow.cf_udp_full.bump(),
            Verdict::Full(Full::Addresses) => flow.cf_addresses_full.bump(),
            Verdict::Full(_) => flow.cf_full.bump(),
            Verdict::Late => flow.cf_late.bump(),
            // Counted by the registry.
            Verdict::Registered | Verdict::Repeated | Verdict::OwnedBy(_) => {}
        }
        let outcome = self.outcome(tuple.protocol, verdict);
        let answer = match outcome.errno {
            Some(_) => refuse(question, &outcome),
            None => {
                let outgoing = direction == Direction::Outgoing;
                probe::accept(tuple.as_probe(), stack, outgoing, outcome.name);
                Ok(())
            }
        };
        if matches!(verdict, Verdict::Full(_) | Verdict::Late) {
            match answer {
                Ok(()) => counters().cs_full_admitted.bump(),
                Err(_) => counters().cs_full_refused.bump(),
            }
        }
        answer
    }
}

/// What a reason comes to, which is counted.
fn counted((_, tuple, direction): Question<'_>, reason: Reason) -> Outcome {
    let flow = stats::flow(tuple.protocol, direction);
    match reason {
        Reason::Lapsed => flow.cg_lapsed.bump(),
        Reason::NotGranted => flow.cg_not_granted.bump(),
        Reason::Explicit => flow.cg_explicit.bump(),
        Reason::OtherStack => flow.cg_other_stack.bump(),
    }
    reason.outcome()
}

/// The answer is no, if the mode lets it be. Inline: through the stack, what a refusal
/// is took a tenth of its instructions.
#[inline(always)]
fn refuse((stack, tuple, direction): Question<'_>, outcome: &Outcome) -> Result<(), Errno> {
    let enforced = settings::mode() == Mode::Enforce;
    let outgoing = direction == Direction::Outgoing;
    let (seen, owner) = (tuple.as_probe(), outcome.owner);
    probe::refuse(seen, stack, outgoing, owner, outcome.name, enforced);
    if !enforced {
        stats::flow(tuple.protocol, direction).cf_observed.bump();
    }
    let answer = outcome.errno.filter(|_| enforced).map_or(Ok(()), Err);
    if events::are_wanted(sys::CLINETCTL_EVENT_REFUSED) {
        events::refused((stack, tuple, direction), (owner, outcome.reason), answer);
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

/// What a question would come to now in the mode enforce, and the references to an
/// entry of this node. Changes and counts nothing.
///
/// # Errors
///
/// `ENXIO` without a provider.
pub fn query(
    stack: StackId,
    tuple: &FiveTuple,
    direction: Direction,
) -> Result<(Outcome, u64), Errno> {
    let builtin = BUILTIN.get().ok_or(Errno::NXIO)?;
    let question = (stack, tuple, direction);
    let generation = builtin.grants.generation();
    if !builtin.is_open(tuple.protocol, stack, tuple, generation)
        && let Case::Refused(reason) = builtin.case(question, builtin.standing(question))
    {
        return Ok((reason.outcome(), 0));
    }
    let (verdict, references) = builtin.registry.query(stack, tuple);
    Ok((builtin.outcome(tuple.protocol, verdict), references))
}
