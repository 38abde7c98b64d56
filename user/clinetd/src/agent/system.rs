// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is done to the system: ranges of ephemeral ports, and addresses.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::anyhow;
use clinet_control::Protocol;
use clinet_slices::names::{Protocol as Of, Range};
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::config::{By, Config};
use crate::platform::{Platform, UdpSocket};
use crate::worker::Worker;

use super::PATIENCE;

/// The system's programs, and a script that may take half a minute for each address.
const LONG: Duration = Duration::from_secs(300);

type Owned = Box<dyn Platform>;

/// Does things to the system in their order, each until it succeeds.
pub(super) struct System {
    worker: Worker<Owned>,
    jobs: mpsc::UnboundedSender<Job>,
    /// Somebody else takes the addresses away; else the module does, with its fence.
    script: bool,
}

/// Who can tell which UDP sockets there are.
pub(super) struct Sockets(Worker<Owned>);

#[derive(Clone, Debug)]
enum Job {
    Range(Protocol, Range),
    Addresses(Vec<IpAddr>, bool),
}

impl Job {
    /// Makes the other, earlier one pointless.
    fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Range(of, _), Self::Range(other, _)) => of == other,
            (Self::Addresses(..), Self::Addresses(..)) => true,
            _ => false,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Range(protocol, range) => format!("ephemeral {protocol} ports from {range}"),
            Self::Addresses(_, true) => "the shared addresses up".into(),
            Self::Addresses(_, false) => "the shared addresses down".into(),
        }
    }

    fn run(&self, platform: &mut dyn Platform) -> anyhow::Result<()> {
        match self {
            Self::Range(protocol, range) => platform.set_range(*protocol, range.first..=range.last),
            Self::Addresses(addresses, true) => addresses.iter().try_for_each(|a| platform.up(*a)),
            Self::Addresses(addresses, false) => {
                addresses.iter().try_for_each(|a| platform.down(*a))
            }
        }
    }
}

impl System {
    pub(super) fn start(platform: Owned, config: &Config) -> anyhow::Result<Self> {
        let worker = Worker::start("system", platform)?;
        let (jobs, queue) = mpsc::unbounded_channel();
        tokio::spawn(work(worker.clone(), queue, config.addresses.shared.clone()));
        Ok(Self {
            worker,
            jobs,
            script: config.addresses.by == By::Script,
        })
    }

    pub(super) fn set_range(&self, protocol: Of, range: Range) {
        let protocol = match protocol {
            Of::Tcp => Protocol::Tcp,
            Of::Udp => Protocol::Udp,
        };
        self.add(Job::Range(protocol, range));
    }

    /// Addresses that the agent brought up are taken away by the module, which does it so that
    /// nothing leaves any more; only a script is told.
    pub(super) fn set_addresses(&self, up: bool) {
        if up || self.script {
            self.add(Job::Addresses(Vec::new(), up));
        }
    }

    fn add(&self, job: Job) {
        // The other end is there as long as this one.
        let _ = self.jobs.send(job);
    }

    pub(super) fn sockets(&self) -> Sockets {
        Sockets(self.worker.clone())
    }
}

impl Sockets {
    /// All UDP sockets that have a port.
    pub(super) async fn bound(&self) -> anyhow::Result<Vec<UdpSocket>> {
        let asked = self.0.run(LONG, |platform| platform.udp_sockets());
        asked.await.unwrap_or_else(|late| Err(anyhow!(late)))
    }
}

async fn work(
    worker: Worker<Owned>,
    mut queue: mpsc::UnboundedReceiver<Job>,
    addresses: Vec<IpAddr>,
) {
    let mut waiting: VecDeque<Job> = VecDeque::new();
    loop {
        let job = match waiting.pop_front() {
            Some(job) => job,
            None => match queue.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        let job = match job {
            Job::Addresses(_, up) => Job::Addresses(addresses.clone(), up),
            job => job,
        };
        let mut told = String::new();
        loop {
            waiting.extend(std::iter::from_fn(|| queue.try_recv().ok()));
            if waiting.iter().any(|later| later.replaces(&job)) {
                break;
            }
            let doing = job.clone();
            let done = worker.run(LONG, move |platform| doing.run(platform.as_mut()));
            let reason = match done.await {
                Ok(Ok(())) => {
                    info!("the system has {}", job.describe());
                    break;
                }
                Ok(Err(error)) => format!("{error:#}"),
                Err(late) => late.to_string(),
            };
            if reason != told {
                error!("the system has not {}: {reason}", job.describe());
                told = reason;
            }
            tokio::time::sleep(PATIENCE).await;
        }
    }
}
