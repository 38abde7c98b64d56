// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm cluster status`.

use std::collections::BTreeMap;
use std::io::Write;

use clinet_slices::directory::View;
use clinet_slices::names::{Key, NodeId, Protocol};
use clinet_slices::records::Value;
use clinetd::operator::Operator;
use serde_json::json;

use super::{conf, parts};
use crate::Outcome;
use crate::output::{self, Field, Format, Rows};

/// Shows the nodes, what each has, and what is wrong.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status 1: something waits for an end (a node is dead and has something, or
is being drained), or no slice is free, or etcd is not the one of the cluster.

Examples:
  clinetadm cluster status
  clinetadm cluster status -p -o node,state
  clinetadm cluster status --json")]
pub struct Arguments {
    #[command(flatten)]
    format: Format,
}

#[derive(Default)]
struct Node {
    name: String,
    alive: bool,
    drained: bool,
    version: String,
    machine: String,
    tcp: u32,
    udp: u32,
    reserved: u32,
    quarantine: u32,
}

impl Node {
    fn state(&self) -> &'static str {
        let has = self.tcp + self.udp + self.reserved + self.quarantine > 0;
        match (self.alive, self.drained) {
            (true, true) if has => "draining",
            (_, true) => "drained",
            (true, false) => "alive",
            (false, false) => "dead",
        }
    }
}

const FIELDS: &[Field<Node>] = &[
    Field::text("node", |node, out| out.write_all(node.name.as_bytes())),
    Field::text("state", |node, out| out.write_all(node.state().as_bytes())),
    Field::number("tcp", |node, out| write!(out, "{}", node.tcp)),
    Field::number("udp", |node, out| write!(out, "{}", node.udp)),
    Field::number("reserved", |node, out| write!(out, "{}", node.reserved)),
    Field::number("quarantine", |node, out| write!(out, "{}", node.quarantine)),
    Field::text("version", |node, out| {
        out.write_all(node.version.as_bytes())
    }),
    Field::text("machine", |node, out| {
        out.write_all(node.machine.as_bytes())
    }),
];

pub async fn run(arguments: &Arguments, operator: &Operator) -> anyhow::Result<Outcome> {
    let (header, view) = operator.view().await?;
    let conf = conf(&view)?;
    let nodes = nodes(&view);
    let free = Protocol::ALL.map(|protocol| {
        let taken = parts(&view)
            .iter()
            .filter(|part| part.protocol == protocol && !part.reserved && part.owner().is_some())
            .count();
        conf.slices(protocol)
            .saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    });
    let mut wrong = Vec::new();
    if header.cluster != conf.cluster {
        wrong.push(format!(
            "this is etcd cluster {:x}, and the configuration was written for {:x}: if it was \
             restored, clinetadm cluster recover",
            header.cluster, conf.cluster
        ));
    }
    for node in nodes.values() {
        let name = &node.name;
        match node.state() {
            "dead" => wrong.push(format!(
                "node {name} is dead, and what it has waits for its time: if its machine is off, \
                 clinetadm cluster fenced {name}"
            )),
            "draining" => wrong.push(format!("node {name} is giving up what it has")),
            _ => {}
        }
    }
    for (protocol, free) in Protocol::ALL.into_iter().zip(free) {
        if conf.slices(protocol) > 0 && free == 0 {
            wrong.push(format!(
                "no {protocol} slice is free for a node that comes or grows"
            ));
        }
    }
    if arguments.format.json {
        let list: Vec<_> = nodes
            .values()
            .map(|node| {
                json!({
                    "node": node.name, "state": node.state(), "tcp": node.tcp, "udp": node.udp,
                    "reserved": node.reserved, "quarantine": node.quarantine,
                    "version": node.version, "machine": node.machine,
                })
            })
            .collect();
        output::json(&json!({
            "revision": header.revision, "etcd": format!("{:x}", header.cluster), "conf": conf,
            "free": { "tcp": free[0], "udp": free[1] }, "nodes": list, "wrong": wrong,
        }))?;
    } else {
        let usual = [
            "node",
            "state",
            "tcp",
            "udp",
            "reserved",
            "quarantine",
            "version",
        ];
        let mut rows = Rows::new(&arguments.format, FIELDS, &usual)?;
        for node in nodes.values() {
            rows.add(node)?;
        }
        rows.end()?;
        for line in &wrong {
            eprintln!("{line}");
        }
    }
    Ok(match wrong.is_empty() {
        true => Outcome::Done,
        false => Outcome::FoundWrong,
    })
}

/// Nodes that live, have something, or are drained.
fn nodes(view: &View) -> BTreeMap<NodeId, Node> {
    let mut nodes: BTreeMap<NodeId, Node> = BTreeMap::new();
    for (key, entry, _) in view.entries() {
        match (key, &entry.value) {
            (Key::Node(name), value) => {
                let node = nodes.entry(name.clone()).or_default();
                node.alive = true;
                if let Value::Node(known) = value {
                    node.version = known.version.to_string();
                    node.machine = known.machine.to_string();
                }
            }
            (Key::Drain(name), _) => nodes.entry(name.clone()).or_default().drained = true,
            _ => {}
        }
    }
    for part in parts(view) {
        let Some(owner) = part.owner() else {
            continue;
        };
        let node = nodes.entry(owner.node.clone()).or_default();
        // A boot that has ended left this behind: it is nobody's that lives.
        let counter = match (part.state(), part.reserved, part.protocol) {
            ("own", true, _) => &mut node.reserved,
            ("own", false, Protocol::Tcp) => &mut node.tcp,
            ("own", false, Protocol::Udp) => &mut node.udp,
            _ => &mut node.quarantine,
        };
        *counter += 1;
    }
    for (name, node) in &mut nodes {
        node.name = name.to_string();
    }
    nodes
}
