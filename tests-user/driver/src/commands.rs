// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All commands of the device, with what each takes and needs.

use clinet_control::abi::{self, command};

use crate::Command;

/// What a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// `PRIV_NET_OBSERVABILITY`.
    Observe,
    /// `PRIV_SYS_IP_CONFIG` in the global zone.
    Change,
    /// The control role as well.
    Role,
}

/// A command.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Its number.
    pub number: Command,
    /// The size of its structure.
    pub size: usize,
    /// What it needs.
    pub needs: Needs,
    /// Does it write to the structure?
    pub answers: bool,
}

const fn about<T>(number: Command, needs: Needs, answers: bool) -> About {
    About {
        number,
        size: size_of::<T>(),
        needs,
        answers,
    }
}

use Needs::{Change, Nothing, Observe, Role};

/// Every command.
pub const COMMANDS: [About; 28] = [
    about::<abi::clinetctl_version_t>(command::GET_VERSION, Nothing, true),
    about::<abi::clinetctl_state_t>(command::GET_STATE, Nothing, true),
    about::<abi::clinetctl_stats_t>(command::GET_STATS, Nothing, true),
    about::<abi::clinetctl_clock_t>(command::GET_CLOCK, Nothing, true),
    about::<abi::clinetctl_list_t>(command::LIST, Observe, true),
    about::<abi::clinetctl_query_t>(command::QUERY, Observe, true),
    about::<abi::clinetctl_grants_t>(command::GET_GRANTS, Observe, true),
    about::<abi::clinetctl_text_t>(command::GET_ADDRS, Observe, true),
    about::<abi::clinetctl_events_t>(command::EVENTS, Observe, false),
    about::<abi::clinetctl_property_t>(command::SET, Change, false),
    about::<abi::clinetctl_text_t>(command::SET_ADDRS, Change, false),
    about::<abi::clinetctl_action_t>(command::ATTACH, Change, false),
    about::<abi::clinetctl_action_t>(command::DETACH, Change, false),
    about::<abi::clinetctl_action_t>(command::AUDIT, Change, false),
    about::<abi::clinetctl_action_t>(command::SWEEP, Change, false),
    about::<abi::clinetctl_tuples_t>(command::INSTALL, Change, true),
    about::<abi::clinetctl_tuples_t>(command::WITHDRAW, Change, true),
    about::<abi::clinetctl_owner_t>(command::PURGE, Change, false),
    about::<abi::clinetctl_owner_t>(command::RESYNC_BEGIN, Change, false),
    about::<abi::clinetctl_owner_t>(command::RESYNC_END, Change, false),
    about::<abi::clinetctl_delete_t>(command::DELETE, Change, false),
    about::<abi::clinetctl_flush_t>(command::FLUSH, Change, true),
    about::<abi::clinetctl_action_t>(command::CONTROL, Change, false),
    about::<abi::clinetctl_action_t>(command::RELEASE, Role, false),
    about::<abi::clinetctl_grants_t>(command::SET_GRANTS, Role, true),
    about::<abi::clinetctl_deadline_t>(command::SET_DEADLINE, Role, true),
    about::<abi::clinetctl_unfence_t>(command::FENCE, Role, false),
    about::<abi::clinetctl_unfence_t>(command::UNFENCE, Role, false),
];
