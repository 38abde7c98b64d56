// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Playing a scenario with the module attached.

use std::sync::{Arc, OnceLock};

use clinet_kernel::Kernel;

use crate::attached::Attached;
use crate::attached_node::{AttachedNode, Entry};
use crate::beside::Beside;
use crate::error::{Errno, SetupError};
use crate::recorder::HookRecorder;
use crate::trace::play::play_on;
use crate::trace::{Difference, Scenario};

/// What the module does with its decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decisions {
    /// It counts them.
    Observed = 1,
    /// It refuses.
    Enforced = 2,
}

/// What came of a scenario that was played with the module attached.
#[derive(Debug)]
pub struct PlayedAttached {
    /// What differs from the recording.
    pub differences: Vec<Difference>,
    /// What the module should have answered otherwise, and what is wrong with
    /// its counters.
    pub wrong: Vec<String>,
    /// TCP entries that were left after the last step.
    pub left: Vec<Entry>,
    /// Those of them that audits did not remove either.
    pub left_after_audits: Vec<Entry>,
}

/// Plays a scenario on a new machine whose ip is the model, with the module
/// `file` attached behind the recording hooks. What the scenario refuses,
/// another node owns while the module is asked.
///
/// # Errors
///
/// If the module does not load.
///
/// # Panics
///
/// If the machine panics.
pub fn play_attached(
    scenario: &Scenario,
    file: &[u8],
    decisions: Decisions,
) -> Result<PlayedAttached, SetupError> {
    let recorder = Arc::new(HookRecorder::new());
    let beside = OnceLock::new();
    let attached =
        Attached::with_provider(Arc::new(Kernel::new()), scenario.release, |variables| {
            let made = Arc::new(Beside::new(variables, recorder.clone()));
            beside.get_or_init(|| made).clone()
        });
    let beside = beside.get().expect("it was made just now");
    let node = AttachedNode::on(attached, file, &[("clinet_mode", decisions as u64)])?;
    // The audits that come with an attach.
    node.seconds(3);
    let refusal = match decisions {
        Decisions::Observed => 0,
        Decisions::Enforced => Errno::EADDRINUSE.0,
    };
    beside.add(node.clinet().clone(), refusal);
    let differences = play_on(scenario, node.ip(), recorder);
    let mut wrong = beside.take_wrong();
    wrong.extend(wrong_counters(&node, &beside.questions(), decisions));
    // By then audits have looked after ends that are in doubt.
    node.seconds(12);
    let left = node.tcp_entries();
    for _ in 0..2 {
        node.audit();
    }
    wrong.extend(wrong_counters(&node, &beside.questions(), decisions));
    wrong.extend(
        node.attached()
            .kernel()
            .fault()
            .map(|fault| fault.to_string()),
    );
    Ok(PlayedAttached {
        differences,
        wrong,
        left,
        left_after_audits: node.tcp_entries(),
    })
}

/// Each question has been counted by its answer, and what came has gone or is
/// there.
fn wrong_counters(
    node: &AttachedNode,
    &(questions, refusals): &(u64, u64),
    decisions: Decisions,
) -> Option<String> {
    let stats = node.clinet().stats();
    let flows = [&stats.tcp_out, &stats.tcp_in, &stats.udp];
    let observed = match decisions {
        Decisions::Observed => refusals,
        Decisions::Enforced => 0,
    };
    let came = stats.registered + stats.audit_added;
    let went = stats.removed + stats.aged + stats.dropped + stats.audit_removed + stats.cleared;
    let right = flows.iter().map(|flow| flow.asked).sum::<u64>() == questions
        && flows.iter().map(|flow| flow.owned).sum::<u64>() == refusals
        && flows.iter().map(|flow| flow.observed).sum::<u64>() == observed
        // Another node's entries came and went without being counted.
        && came == went + stats.tuples;
    (!right).then(|| {
        format!(
            "{questions} questions, {refusals} refusals, and the counters do not add up: {stats:?}"
        )
    })
}
