// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an operator says to all agents: words of `clinet-slices`, written into the directory.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Error, bail};
use clinet_slices::directory::{Header, Transaction, View};
use clinet_slices::names::{Key, Name, Names, Protocol};
use clinet_slices::operator::{self, Refused};
use clinet_slices::records::Conf;

use crate::config::Config;
use crate::directory::{Committed, Directory, Link};

/// A word rests on what was read before; where that has changed meanwhile, it is thought over so
/// often.
const TRIES: u32 = 10;

/// One who speaks to all agents.
pub struct Operator {
    directory: Directory,
    /// What the file would found a cluster with.
    conf: Conf,
}

impl Operator {
    /// By the way to the directory that a configuration describes.
    ///
    /// # Errors
    ///
    /// A file with a password or a certificate cannot be read.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let names = Names {
            cluster: config.cluster.clone(),
            pool: config.pool.clone(),
        };
        Ok(Self {
            directory: Directory::new(Link::new(&config.etcd, None)?, names),
            conf: config.conf(),
        })
    }

    /// What the directory has. Another member is asked where one does not answer.
    ///
    /// # Errors
    ///
    /// None of them answers: a [`CallError`](crate::directory::CallError) of the last one.
    pub async fn view(&self) -> anyhow::Result<(Header, View)> {
        let mut members = self.directory.link().members();
        loop {
            match self.directory.read().await {
                Ok((header, entries)) => {
                    return Ok((header, View::read(header.revision, entries, 0)));
                }
                Err(error) if members <= 1 => return Err(Error::new(error).context("etcd")),
                Err(_) => members -= 1,
            }
        }
    }

    /// Founds the cluster by what the file says of ports and times.
    ///
    /// # Errors
    ///
    /// There is one, or nodes could not share by this.
    pub async fn found(&self) -> anyhow::Result<()> {
        let conf = self.conf;
        self.say(|view, header| operator::found(view, header, conf))
            .await
    }

    /// Begins a new incarnation, after the directory was restored from a copy or lost everything.
    ///
    /// # Errors
    ///
    /// The clock of this machine is far behind.
    pub async fn recover(&self) -> anyhow::Result<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let conf = self.conf;
        self.say(|view, header| operator::recover(view, header, now, Some(conf)))
            .await?;
        Ok(now)
    }

    /// Has a node give up all that it has; false: lets it take slices again.
    ///
    /// # Errors
    ///
    /// There is no cluster, or etcd does not answer.
    pub async fn drain(&self, node: &Name, drain: bool) -> anyhow::Result<()> {
        self.say(|view, _| {
            view.conf().ok_or(Refused::NoConf)?;
            Ok(match drain {
                true => operator::drain(node),
                false => operator::undrain(node),
            })
        })
        .await
    }

    /// The word that a node's machine is off: what it had is free. Answers what that was.
    ///
    /// # Errors
    ///
    /// There is no cluster, or etcd does not answer.
    pub async fn fenced(&self, node: &Name) -> anyhow::Result<Vec<Key>> {
        let mut freed = Vec::new();
        for _ in 0..TRIES {
            let (_, view) = self.view().await?;
            let held = view
                .records()
                .filter(|(_, record, ..)| record.owner().is_some_and(|owner| owner.node == *node));
            freed.extend(held.map(|(key, ..)| key.clone()));
            let transactions = operator::fenced(&view, node)?;
            if self.all(&transactions).await? {
                freed.sort();
                freed.dedup();
                return Ok(freed);
            }
        }
        bail!("the directory changes all the time: is the agent of node {node} still running?");
    }

    /// Keeps a port outside the port space for a node.
    ///
    /// # Errors
    ///
    /// The port is in the port space, or etcd does not answer.
    pub async fn reserve(&self, protocol: Protocol, port: u16, node: &Name) -> anyhow::Result<()> {
        self.say(|view, _| operator::reserve(view, protocol, port, node))
            .await
    }

    /// Gives a reserved port up.
    ///
    /// # Errors
    ///
    /// A node has it, or it is not reserved, or etcd does not answer.
    pub async fn unreserve(&self, protocol: Protocol, port: u16) -> anyhow::Result<()> {
        self.say(|view, _| operator::unreserve(view, protocol, port))
            .await
    }

    async fn say(
        &self,
        word: impl Fn(&View, Header) -> Result<Transaction, Refused>,
    ) -> anyhow::Result<()> {
        for _ in 0..TRIES {
            let (header, view) = self.view().await?;
            if self.all(&[word(&view, header)?]).await? {
                return Ok(());
            }
        }
        bail!("the directory changes all the time: try again");
    }

    /// False: one of them was not done, since something has changed.
    async fn all(&self, transactions: &[Transaction]) -> anyhow::Result<bool> {
        for transaction in transactions {
            match self.directory.commit(transaction).await {
                Ok(Committed::Done(_)) => {}
                Ok(Committed::Failed(..)) => return Ok(false),
                Err(error) => {
                    bail!("etcd: {error}; it may have been done: clinetadm cluster status")
                }
            }
        }
        Ok(true)
    }
}
