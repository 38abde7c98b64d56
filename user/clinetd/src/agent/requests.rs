// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is asked of the directory.

use std::time::Duration;

use clinet_slices::Event;
use clinet_slices::directory::Transaction;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{News, PAUSE, Runner, Task};
use crate::directory::{Committed, Directory, Watched};
use crate::metrics::{Metrics, Outcome};

/// More changes wait in etcd.
const MOST_CHANGES: usize = 64;

impl Runner {
    /// Reads all keys and follows their changes, from now on.
    pub(super) fn read(&mut self, id: u64) {
        let (changes, queue) = mpsc::channel(MOST_CHANGES);
        let directory = self.directory.clone();
        let (news, metrics) = (self.news.clone(), self.metrics.clone());
        let task = tokio::spawn(async move {
            tokio::join!(directory.watch(changes), follow(id, queue, news, metrics));
        });
        self.watch = Some(Task(task.abort_handle()));
    }

    /// Has a transaction done.
    pub(super) fn commit(&mut self, id: u64, transaction: Transaction) {
        let directory = self.directory.clone();
        let (news, metrics) = (self.news.clone(), self.metrics.clone());
        tokio::spawn(async move {
            let ended = directory.commit(&transaction).await;
            if transaction.operations.is_empty() {
                let result = match ended {
                    Ok(Committed::Done(_)) => "kept",
                    _ => "failed",
                };
                metrics.renewals.get_or_create(&Outcome { result }).inc();
            }
            let event = match ended {
                Ok(Committed::Done(header)) => Event::Reply(id, header, true, Vec::new()),
                Ok(Committed::Failed(header, found)) => Event::Reply(id, header, false, found),
                Err(error) => {
                    warn!("etcd: {error}");
                    Event::Failed(id)
                }
            };
            // Nobody listens any more when the agent ends.
            let _ = news.send(News::Event(event));
        });
    }

    /// Gets a lease and keeps it alive until it is lost.
    pub(super) fn ask_for_lease(&mut self) {
        let directory = self.directory.clone();
        let news = self.news.clone();
        // Checked before: from 2 to 86400.
        let seconds = self.config.times.lease.round() as u32;
        let task = tokio::spawn(keep_alive(directory, seconds, news));
        self.lease = Some(Task(task.abort_handle()));
    }
}

/// Hands on what a watch reports. The first report answers the request of this id: all keys, or that
/// they could not be read.
async fn follow(
    id: u64,
    mut queue: mpsc::Receiver<Watched>,
    news: mpsc::UnboundedSender<News>,
    metrics: Metrics,
) {
    let mut answered = false;
    while let Some(watched) = queue.recv().await {
        let event = match watched {
            Watched::All(header, entries) => {
                answered = true;
                Event::Snapshot(id, header, entries)
            }
            Watched::Changes(header, changes) => Event::Changes(header, changes),
            Watched::Interrupted(reason) => {
                warn!("etcd: {reason}");
                metrics.watch_restarts.inc();
                match answered {
                    true => Event::Interrupted,
                    false => Event::Failed(id),
                }
            }
        };
        if news.send(News::Event(event)).is_err() {
            return;
        }
    }
}

/// A third of a lease's time between two questions, so that two of them may fail.
async fn keep_alive(directory: Directory, seconds: u32, news: mpsc::UnboundedSender<News>) {
    let third = Duration::from_secs(seconds.into()) / 3;
    let lease = loop {
        match directory.grant_lease(i64::from(seconds)).await {
            Ok((_, lease)) => break lease,
            Err(error) => warn!("etcd gives no lease: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    debug!("has lease {lease:x}");
    if news.send(News::Event(Event::Lease(lease))).is_err() {
        return;
    }
    let mut wait = third;
    loop {
        tokio::time::sleep(wait).await;
        wait = match directory.keep_lease(lease).await {
            Ok(true) => third,
            Ok(false) => break,
            Err(error) => {
                warn!("etcd: lease {lease:x}: {error}");
                PAUSE
            }
        };
    }
    warn!("lease {lease:x} is lost");
    let _ = news.send(News::Event(Event::LeaseLost(lease)));
}
