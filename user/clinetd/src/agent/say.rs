// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Decisions in words, one line each.

use clinet_slices::Agent;
use clinet_slices::agent::{Fence, Note, Step};
use clinet_slices::names::Key;
use tracing::{error, info, warn};

/// Where an agent may be.
pub(super) const STATES: &[&str] = &[
    "starting", "waiting", "serving", "fenced", "leaving", "stopped",
];

/// Where this one is.
pub(super) fn state(agent: &Agent, fence: Fence) -> &'static str {
    let open = matches!(fence, Fence::Open | Fence::Never);
    match agent {
        agent if agent.trouble().is_some() => "stopped",
        agent if agent.giving_up() => "leaving",
        _ if !open => "fenced",
        agent if agent.member().is_none() => "starting",
        agent if agent.held().is_empty() => "waiting",
        _ => "serving",
    }
}

/// Logs a decision.
pub(super) fn say(note: &Note) {
    match note {
        Note::Trouble(trouble) => error!("does nothing: {trouble}"),
        Note::Fine(incarnation) => info!("goes by incarnation {incarnation} of the directory"),
        Note::Done(step, keys) => info!("{}{}", done(*step), list(keys)),
        Note::Refused(step, keys) => {
            info!(
                "not {}{}: the directory has changed",
                done(*step),
                list(keys)
            );
        }
        Note::NameTaken => warn!(
            "another machine, or another boot of this one, has this node's name: waits for its end"
        ),
        Note::Lost(key) => error!("has lost {}", name(key)),
        Note::GivingUp => warn!("gives up all that it has"),
        Note::GaveUp => info!("has given up all that it had"),
    }
}

fn done(step: Step) -> &'static str {
    match step {
        Step::Join => "joined",
        Step::Take => "took",
        Step::TakeOver => "took over",
        Step::Renew => "renewed",
        Step::Retake => "retook",
        Step::Quarantine => "put into quarantine",
        Step::Leave => "gave back",
    }
}

fn list(keys: &[Key]) -> String {
    let names: Vec<String> = keys.iter().map(name).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" {}", names.join(", ")),
    }
}

fn name(key: &Key) -> String {
    match key {
        Key::Conf => "the configuration".into(),
        Key::Node(node) => format!("node {node}"),
        Key::Drain(node) => format!("the drain of node {node}"),
        Key::Slice(protocol, first) => format!("the {protocol} slice from {first} on"),
        Key::Reserve(protocol, port) => format!("the reserved {protocol} port {port}"),
        Key::Addr(address) => format!("address {address}"),
    }
}
