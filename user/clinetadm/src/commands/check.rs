// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm check`.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use clinet_control::{Answer, Control, Error, Protocol, Reason, State, Tuple};
use serde_json::json;

use crate::words::TupleArguments;
use crate::{Outcome, Way, output};

/// Tells whether a connection would be refused, why, and what to do about it.
#[derive(clap::Args)]
#[command(after_help = "\
Nothing is changed or counted. The answer is that of the mode enforce.
Exit status 1: it would be refused.

Examples:
  clinetadm check tcp 192.0.2.10:33000 198.51.100.7:443
  clinetadm check --incoming tcp '[2001:db8::10]:80' '[2001:db8::1]:40000'
  clinetadm check --json udp 192.0.2.10:5000 198.51.100.7:53")]
pub struct Arguments {
    #[command(flatten)]
    tuple: TupleArguments,
    /// As an incoming TCP connection, not as one from this node
    #[arg(long)]
    incoming: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let tuple = arguments.tuple.tuple()?;
    if arguments.incoming && tuple.protocol == Protocol::Udp {
        bail!("--incoming is for TCP: nobody is asked about UDP that arrives");
    }
    let control = way.open()?;
    let answer = control.query(tuple, arguments.incoming)?;
    let why = explain(&control, tuple, &answer)?;
    if arguments.json {
        output::json(&json!({
            "refused": answer.error.is_some(),
            "answer": answer,
            "explanation": why,
        }))?;
    } else {
        let word = if answer.error.is_some() {
            "refused"
        } else {
            "accepted"
        };
        writeln!(io::stdout(), "{word} ({}): {why}", answer.reason)?;
    }
    Ok(match answer.error {
        None => Outcome::Done,
        Some(_) => Outcome::FoundWrong,
    })
}

/// One sentence, and for refusals what to do.
fn explain(control: &Control, tuple: Tuple, answer: &Answer) -> Result<String, Error> {
    let state = control.state()?;
    let port = tuple.local.port();
    let address = tuple.local.ip();
    let protocol = tuple.protocol;
    let text = match answer.reason {
        Reason::Free => "nobody has this 5-tuple, so it would be registered.".into(),
        Reason::Ours => format!(
            "this node has it already ({} times), so one more reference would be counted.",
            answer.references
        ),
        Reason::Owned => format!(
            "node {} has this 5-tuple. Connect from another local port, or look at it there; \
             if that node has left the cluster: clinetadm purge {}.",
            answer.owner, answer.owner
        ),
        Reason::Lapsed => lapsed(&state),
        Reason::NotGranted => format!(
            "{protocol} port {port} belongs to the port space, and to another node or to none. \
             Use a port that `clinetadm show-grants` names, or let the system choose one."
        ),
        Reason::Explicit => format!(
            "{protocol} port {port} is outside the port space and not reserved for this node. \
             Reserve it (clinetadm grants set FILE, or in the cluster), or say \
             `clinetadm set explicit=admit` if no other node uses it."
        ),
        Reason::OtherStack => "only the global IP stack may use shared addresses while there is a \
             port space. Use an address of the zone's own, or say `clinetadm set other-stack=admit`."
            .into(),
        Reason::NotShared => format!(
            "{address} is not a shared address, so clinet does not look at it. The shared ones \
             are in `clinetadm show addresses`."
        ),
        Reason::NoAddress => "there is no local address yet, so nothing is registered.".into(),
        Reason::Full => room(
            answer,
            &format!("the table is full ({} entries)", state.capacity),
            "More fit with a greater clinet_max_tuples in /etc/system; `clinetadm sweep` drops \
             what is too old.",
        ),
        Reason::UdpFull => room(
            answer,
            "UDP has used up its share of the table",
            "Its share is clinet_udp_share in /etc/system; `clinetadm sweep` drops what is too old.",
        ),
        Reason::Late => room(
            answer,
            "the kernel has no memory for it at the moment",
            "Try again in a second.",
        ),
        Reason::AddressesFull => room(
            answer,
            "too many local addresses have entries",
            "Share fewer: clinetadm set addresses=...",
        ),
        Reason::NodesFull | Reason::Unknown(_) => {
            "this program does not know that reason: use the one that came with the module.".into()
        }
    };
    Ok(text)
}

fn lapsed(state: &State) -> String {
    let since = state
        .deadline
        .map_or(0, |end| state.now.saturating_sub(end));
    format!(
        "the port is granted to this node, but the deadline passed {} ago. Is clinetd running \
         and the directory reachable? With static grants: clinetadm grants set FILE.",
        humantime::format_duration(Duration::from_secs(since / 1_000_000_000))
    )
}

/// Without room it depends on the policy what the answer is.
fn room(answer: &Answer, why: &str, what_to_do: &str) -> String {
    if answer.error.is_some() {
        format!("{why}. {what_to_do}")
    } else {
        format!("{why}, so it would be let through unregistered. {what_to_do}")
    }
}
