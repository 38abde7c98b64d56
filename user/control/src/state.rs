// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module says about itself.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::abi;
use crate::control::text;
use crate::grants;
use crate::{Attached, FenceAction, FenceState, Full, Incoming, Mode, Policy, Provider};

/// What is granted of one protocol's ports, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpaceState {
    /// The port space.
    #[serde(serialize_with = "range")]
    pub space: Option<RangeInclusive<u16>>,
    /// How many ports are granted, those outside the space included.
    pub granted: u32,
}

/// The module's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// The bond with ip.
    pub attach: Attached,
    /// Why it is not attached; or empty.
    pub reason: String,
    /// What it does with questions.
    pub mode: Mode,
    /// This node's number.
    pub node: u32,
    /// Who answers.
    pub provider: Provider,
    /// How many of ip's variables are set.
    pub hooks: u64,
    /// Completed audits.
    pub audits: u64,
    /// 5-tuples that are registered, of UDP included.
    pub tuples: u64,
    /// How many can be.
    pub capacity: u64,
    /// Those of UDP.
    pub udp_tuples: u64,
    /// Local endpoints of UDP.
    pub endpoints: u64,
    /// Local addresses with an entry.
    pub addresses: u64,
    /// Other nodes that own something.
    pub nodes: u64,
    /// Bytes of kernel memory.
    pub memory: u64,
    /// When the table is full.
    pub full: Full,
    /// Incoming TCP outside the port space.
    pub incoming: Incoming,
    /// Outgoing and UDP outside the port space.
    pub explicit: Policy,
    /// Other IP stacks.
    pub other_stack: Policy,
    /// What the fence does.
    pub fence_action: FenceAction,
    /// How long it may take.
    pub fence_seconds: u32,
    /// Where the fence is.
    pub fence: FenceState,
    /// Nothing granted is registered.
    pub lapsed: bool,
    /// The module's clock, in nanoseconds.
    pub now: u64,
    /// On that clock; None: the grants are static. 0 as long as nothing was
    /// granted.
    pub deadline: Option<u64>,
    /// Of the grants.
    pub epoch: u64,
    /// Of the grants.
    pub sequence: u64,
    /// Of TCP's ports.
    pub tcp: SpaceState,
    /// Of UDP's ports.
    pub udp: SpaceState,
}

/// First and last as numbers.
fn range<S: Serializer>(
    range: &Option<RangeInclusive<u16>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Range {
        first: u16,
        last: u16,
    }
    let range = range.as_ref().map(|range| Range {
        first: *range.start(),
        last: *range.end(),
    });
    range.serialize(serializer)
}

impl From<&abi::clinetctl_state_t> for State {
    fn from(raw: &abi::clinetctl_state_t) -> Self {
        let [tcp, udp] = [0, 1].map(|i| SpaceState {
            space: grants::space(raw.cst_first[i], raw.cst_last[i]),
            granted: raw.cst_granted[i],
        });
        Self {
            attach: raw.cst_attach.into(),
            reason: text(&raw.cst_reason),
            mode: raw.cst_mode.into(),
            node: raw.cst_node,
            provider: raw.cst_provider.into(),
            hooks: raw.cst_hooks,
            audits: raw.cst_audits,
            tuples: raw.cst_tuples,
            capacity: raw.cst_capacity,
            udp_tuples: raw.cst_udp_tuples,
            endpoints: raw.cst_endpoints,
            addresses: raw.cst_addresses,
            nodes: raw.cst_nodes,
            memory: raw.cst_memory,
            full: raw.cst_full.into(),
            incoming: raw.cst_incoming.into(),
            explicit: raw.cst_explicit.into(),
            other_stack: raw.cst_other_stack.into(),
            fence_action: raw.cst_fence_action.into(),
            fence_seconds: raw.cst_fence_seconds,
            fence: raw.cst_fence.into(),
            lapsed: raw.cst_lapsed != 0,
            now: raw.cst_now,
            deadline: grants::from_raw(raw.cst_deadline),
            epoch: raw.cst_epoch,
            sequence: raw.cst_sequence,
            tcp,
            udp,
        }
    }
}

impl State {
    /// How long until the deadline; None: there is none. Zero: it has passed.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| Duration::from_nanos(deadline.saturating_sub(self.now)))
    }
}
