// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A cluster at work: its programs connect, and everything that is seen is kept for
//! the oracle.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use clinet_control::FenceState;
use clinet_slices::names::Name;

use crate::clock::now;
use crate::cluster::Cluster;
use crate::history::{Change, History};
use crate::member::Member;
use crate::observer::{self, Seen};
use crate::oracle::{Boot, Evidence, Node, Restored, Word, packets};
use crate::traffic::Traffic;
use crate::watching::Watching;

/// How often somebody looks whether all have what they want.
const LOOK: Duration = Duration::from_millis(100);

/// A cluster with programs and observers.
pub struct Run {
    /// The cluster.
    pub cluster: Cluster,
    /// The programs, one for each node that was there when they were started.
    pub traffic: Vec<Traffic>,
    observers: Vec<Watching<Seen>>,
    history: History,
    fenced: Vec<Word>,
    restored: Vec<Restored>,
}

impl Run {
    /// Starts all nodes of a cluster that has been founded, and who observes.
    pub fn start(mut cluster: Cluster) -> anyhow::Result<Self> {
        let history = History::watch(cluster.etcd.endpoints(), cluster.settings.names()?);
        for member in 0..cluster.members.len() {
            cluster.start_member(member)?;
        }
        let sockets = || cluster.members.iter().map(Member::socket);
        Ok(Self {
            traffic: Vec::new(),
            observers: sockets().map(observer::watch).collect(),
            history,
            cluster,
            fenced: Vec::new(),
            restored: Vec::new(),
        })
    }

    /// Starts a program on each node that connects all the time.
    pub fn start_traffic(&mut self) {
        let sockets = self.cluster.members.iter().map(Member::socket);
        self.traffic = sockets.map(Traffic::start).collect();
    }

    /// Starts one more node; answers its number.
    pub fn add_member(&mut self) -> anyhow::Result<usize> {
        let member = self.cluster.add_member()?;
        self.cluster.start_member(member)?;
        let socket = self.cluster.members[member].socket();
        self.observers.push(observer::watch(socket));
        Ok(member)
    }

    /// What a node's module said last, unless that is a while ago.
    pub fn last_seen(&self, member: usize) -> Option<Seen> {
        const OLD: u64 = 2_000_000_000;
        let seen = self.observers[member].last()?;
        (now().saturating_sub(seen.after) < OLD).then_some(seen)
    }

    /// Is something granted to a node, and are its addresses up?
    pub fn serves(&self, member: usize) -> bool {
        self.last_seen(member).is_some_and(|seen| {
            seen.granted > 0
                && seen.fence == FenceState::Unfenced
                && seen.left.is_some_and(|left| left > 0)
        })
    }

    /// Waits until all nodes serve, or as many as there are slices.
    ///
    /// # Errors
    ///
    /// Which do not, when the patience ends.
    pub fn wait_for_service(&self, patience: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        let all = 0..self.cluster.members.len();
        loop {
            let without: Vec<&str> = all
                .clone()
                .filter(|&member| !self.serves(member))
                .map(|member| self.cluster.members[member].name())
                .collect();
            let slices = self.cluster.settings.slices();
            if without.len() <= self.cluster.members.len().saturating_sub(slices) {
                return Ok(());
            }
            if Instant::now() > end {
                let patience = patience.as_secs();
                bail!(
                    "I8: after {patience} s without a fault, {} have no slice",
                    without.join(", ")
                );
            }
            thread::sleep(LOOK);
        }
    }

    /// Notes that a node was said to be off.
    pub fn note_fenced(&mut self, member: usize) {
        self.fenced.push(Word {
            node: member,
            at: now(),
        });
    }

    /// Notes when the directory was one of earlier.
    pub fn note_restored(&mut self, restored: Restored) {
        self.restored.push(restored);
    }

    /// What the directory said so far.
    pub fn changes(&self) -> Vec<Change> {
        self.history.changes()
    }

    /// What was seen so far.
    pub fn evidence(&self) -> anyhow::Result<Evidence> {
        let shared = &self.cluster.settings.addresses;
        // Before the changes, which are at least those until then.
        let read_until = self.history.read_until();
        // What is told was seen before the packets are read, or not long after.
        let members = self.cluster.members.iter().zip(&self.observers);
        let nodes = members.map(|(member, observer)| node(member, observer.seen(), shared));
        Ok(Evidence {
            settings: self.cluster.settings.clone(),
            changes: self.history.changes(),
            read_until,
            fenced: self.fenced.clone(),
            restored: self.restored.clone(),
            nodes: nodes.collect::<anyhow::Result<_>>()?,
        })
    }
}

fn node(member: &Member, seen: Vec<Seen>, shared: &[IpAddr]) -> anyhow::Result<Node> {
    let boot = |(index, &(at, id))| {
        let file = member.sent(index);
        let packets = if file.exists() {
            packets(&file, shared)?
        } else {
            Vec::new()
        };
        anyhow::Ok(Boot { at, id, packets })
    };
    let boots = member.boots().iter().enumerate().map(boot);
    Ok(Node {
        name: Name::new(member.name())?,
        machine: member.machine_id(),
        boots: boots.collect::<anyhow::Result<_>>()?,
        seen,
    })
}
