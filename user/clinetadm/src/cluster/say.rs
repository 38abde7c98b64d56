// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is said to all agents: `found`, `reserve`, `drain`, `fenced`, `recover`.

use std::io::{self, BufRead, IsTerminal, Write};

use clinet_slices::names::{Key, Name, Protocol};
use clinetd::operator::Operator;

use super::parts;
use crate::Outcome;
use crate::words::Unusable;

/// Founds a cluster in an etcd that has none of its keys, by `ports` and `times`
/// of the file. Once, before the first node.
#[derive(clap::Args)]
#[command(after_help = "\
For an etcd that has lost its keys, or was restored from a copy, it is the wrong
command: see clinetadm cluster recover.

Examples:
  clinetadm cluster found
  clinetadm cluster --config ./clinetd.toml found")]
pub struct Found {}

/// Keeps a port outside the port space for a node.
#[derive(clap::Args)]
#[command(after_help = "\
The node gets it when nobody has it: at once after `clinetadm cluster fenced`,
else when the node that has it leaves, or is dead and its time is over.

Examples:
  clinetadm cluster reserve tcp 443 a
  clinetadm cluster reserve --remove tcp 443")]
pub struct Reserve {
    /// tcp or udp
    #[arg(value_parser = str::parse::<Protocol>)]
    protocol: Protocol,
    /// The port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// For this node
    #[arg(required_unless_present = "remove", conflicts_with = "remove", value_parser = str::parse::<Name>)]
    node: Option<Name>,
    /// For nobody any more
    #[arg(long)]
    remove: bool,
}

/// Has a node give up all that it has: its shared addresses are taken away, live
/// connections with them.
#[derive(clap::Args)]
#[command(after_help = "\
The node takes nothing until --undo. It does not wait for connections to end:
steer new ones elsewhere first.

Examples:
  clinetadm cluster drain a
  clinetadm cluster drain --undo a")]
pub struct Drain {
    /// The node
    #[arg(value_parser = str::parse::<Name>)]
    node: Name,
    /// Let it take slices again
    #[arg(long)]
    undo: bool,
}

/// Says that a node's machine is off, or cut off for good: what it had is free at
/// once.
#[derive(clap::Args)]
#[command(after_help = "\
Without it others wait until nothing of the node can be on its way (Q). If the
machine is not off, two nodes may send from one port: only say what you know. On
a terminal it asks before; elsewhere it needs --yes.

Examples:
  clinetadm cluster fenced a
  ipmitool ... chassis power off && clinetadm cluster fenced --yes a")]
pub struct Fenced {
    /// The node
    #[arg(value_parser = str::parse::<Name>)]
    node: Name,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Begins anew after etcd was restored from a copy, or lost its keys.
#[derive(clap::Args)]
#[command(after_help = "\
Agents stop where they see an older state than they have seen. After this they go
on: what each has is fenced and given up, and nothing is taken before all that may
still be on its way has ended (Q). On a terminal it asks before; elsewhere it
needs --yes. An agent that has seen nothing newer than the copy does not stop: keep
agents from etcd until this is done, or restore it as another etcd (etcdctl snapshot
restore with an --initial-cluster-token of its own).

Examples:
  clinetadm cluster recover
  clinetadm cluster recover --yes")]
pub struct Recover {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn found(operator: &Operator) -> anyhow::Result<Outcome> {
    operator.found().await?;
    writeln!(io::stdout(), "founded; nodes may come")?;
    Ok(Outcome::Done)
}

pub async fn reserve(arguments: &Reserve, operator: &Operator) -> anyhow::Result<Outcome> {
    let (protocol, port) = (arguments.protocol, arguments.port);
    match &arguments.node {
        Some(node) => {
            operator.reserve(protocol, port, node).await?;
            let (_, view) = operator.view().await?;
            let parts = parts(&view);
            let part = parts.iter().find(|part| {
                part.reserved && (part.protocol, part.ports.first) == (protocol, port)
            });
            let owner = part.and_then(|part| part.owner()).map(|owner| &owner.node);
            let until = owner.filter(|owner| *owner != node).map(|owner| {
                format!(", when node {owner} has left it, or clinetadm cluster fenced {owner}")
            });
            writeln!(
                io::stdout(),
                "{protocol} port {port} is kept for node {node}{}",
                until.unwrap_or_default()
            )?;
        }
        None => {
            operator.unreserve(protocol, port).await?;
            writeln!(
                io::stdout(),
                "{protocol} port {port} is not reserved any more"
            )?;
        }
    }
    Ok(Outcome::Done)
}

pub async fn drain(arguments: &Drain, operator: &Operator) -> anyhow::Result<Outcome> {
    let node = &arguments.node;
    operator.drain(node, !arguments.undo).await?;
    let (_, view) = operator.view().await?;
    let has = |part: &super::Part<'_>| part.owner().is_some_and(|owner| owner.node == *node);
    let what = if arguments.undo {
        "may take slices again"
    } else if view.node(node).is_some() || parts(&view).iter().any(has) {
        "gives up what it has: clinetadm cluster status"
    } else {
        "is not there and has nothing; should it come, it takes nothing until drain --undo"
    };
    writeln!(io::stdout(), "node {node} {what}")?;
    Ok(Outcome::Done)
}

pub async fn fenced(arguments: &Fenced, operator: &Operator) -> anyhow::Result<Outcome> {
    let node = &arguments.node;
    let (_, view) = operator.view().await?;
    let lives = match view.node(node) {
        Some(_) => "Its agent was there a moment ago. ",
        None => "",
    };
    let question =
        format!("{lives}Is the machine of node {node} off, or cut off from the network?");
    if !arguments.yes && !confirmed(&question)? {
        writeln!(io::stdout(), "nothing was changed")?;
        return Ok(Outcome::FoundWrong);
    }
    let freed = operator.fenced(node).await?;
    if freed.is_empty() {
        writeln!(
            io::stdout(),
            "node {node} had nothing; clinetadm cluster status shows the nodes"
        )?;
    }
    for key in freed {
        let what = match key {
            Key::Slice(protocol, first) => format!("{protocol} slice from {first} on"),
            Key::Reserve(protocol, port) => format!("reserved {protocol} port {port}"),
            _ => continue,
        };
        writeln!(io::stdout(), "free: {what}")?;
    }
    Ok(Outcome::Done)
}

pub async fn recover(arguments: &Recover, operator: &Operator) -> anyhow::Result<Outcome> {
    let question = "Was etcd restored from a copy, or has it lost its keys?";
    if !arguments.yes && !confirmed(question)? {
        writeln!(io::stdout(), "nothing was changed")?;
        return Ok(Outcome::FoundWrong);
    }
    let incarnation = operator.recover().await?;
    writeln!(
        io::stdout(),
        "incarnation {incarnation} begins: clinetadm cluster status"
    )?;
    Ok(Outcome::Done)
}

fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        let reason = "there is nobody to ask: with --yes it is done without";
        return Err(Unusable(reason.into()).into());
    }
    write!(io::stdout(), "{question} [yes/no] ")?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
