// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Watching all keys of a cluster: read once, then told of each change.

use std::time::Duration;

use clinet_slices::directory::{Entry, Header};
use clinet_slices::names::Key;
use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::mpsc;

use super::{CallError, Directory, values};

/// After a failure the next try waits so long, so that a member that refuses at once is not asked
/// all the time.
const PAUSE: Duration = Duration::from_millis(200);

/// A key that changed, at which revision, and what it has since; nothing: it was deleted.
pub type Change = (Key, u64, Option<Entry>);

/// News of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// All keys, as they were at one revision: what is not among them does not exist.
    All(Header, Vec<(Key, Entry)>),
    /// Changes of one or several revisions, up to the header's; perhaps none.
    Changes(Header, Vec<Change>),
    /// Nothing is known of what happens from here on until the next of these.
    Interrupted(String),
}

impl Directory {
    /// Reports what there is, and then all that changes, until nobody listens any more.
    ///
    /// An interrupted watch goes on where it was. Where etcd no longer has the changes since then, or
    /// is another one or an older one, all keys are read again.
    pub async fn watch(self, news: mpsc::Sender<Watched>) {
        let mut last: Option<Header> = None;
        loop {
            let ended = self.watch_once(&mut last, &news).await;
            if news.is_closed() {
                return;
            }
            let reason = match ended {
                Ok(()) => "the member ended it".to_owned(),
                Err(error) => error.to_string(),
            };
            if news.send(Watched::Interrupted(reason)).await.is_err() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Until the watch breaks; `last` is what was reported up to then, or nothing if all is to be
    /// read again.
    async fn watch_once(
        &self,
        last: &mut Option<Header>,
        news: &mpsc::Sender<Watched>,
    ) -> Result<(), CallError> {
        let from = match *last {
            Some(known) if self.goes_on_from(known).await? => known,
            _ => {
                *last = None;
                let (header, entries) = self.read().await?;
                let _ = news.send(Watched::All(header, entries)).await;
                header
            }
        };
        *last = Some(from);
        let mut stream = self.open(from.revision).await?;
        while let Some(answer) = next(&mut stream).await? {
            if answer.compact_revision() != 0 {
                *last = None;
            }
            if answer.canceled() {
                return Err(CallError::Unknown(cancelled(&answer)));
            }
            let header = values::header(answer.header())?;
            if last.is_some_and(|known| known.cluster != header.cluster) {
                *last = None;
                return Err(CallError::Unknown("another etcd answers".into()));
            }
            let changes = self.changes(&answer);
            *last = last.map(|known| Header {
                cluster: known.cluster,
                revision: reported(&answer, &changes, header).max(known.revision),
            });
            if news.send(Watched::Changes(header, changes)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the etcd that answers now is the one that was watched, and not an older state of it.
    async fn goes_on_from(&self, known: Header) -> Result<bool, CallError> {
        let present = self.header().await?;
        Ok(present.cluster == known.cluster && present.revision >= known.revision)
    }

    /// What etcd says of itself, asked in the cheapest way that is linearizable.
    async fn header(&self) -> Result<Header, CallError> {
        let path = self.names.path(&Key::Conf);
        let answer = self
            .link
            .call("read", |client| async move {
                client.kv_client().get(path, None).await
            })
            .await?;
        values::header(answer.header())
    }

    async fn open(&self, after: u64) -> Result<WatchStream, CallError> {
        let prefix = self.names.prefix();
        let start = i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1);
        self.link
            .call("watch", |client| async move {
                // Without notes of progress a quiet cluster's watch would fall behind what etcd keeps.
                let options = WatchOptions::new()
                    .with_prefix()
                    .with_start_revision(start)
                    .with_progress_notify();
                client
                    .watch_client()
                    .max_decoding_message_size(usize::MAX)
                    .watch(prefix, Some(options))
                    .await
            })
            .await
    }

    fn changes(&self, answer: &WatchResponse) -> Vec<Change> {
        let changes = answer.events().iter().filter_map(|event| {
            let pair = event.kv()?;
            let key = self.names.key(pair.key_str().ok()?)?;
            let entry = match event.event_type() {
                EventType::Put => values::entry(&self.names, pair).map(|(_, entry)| entry),
                EventType::Delete => None,
            };
            Some((key, u64::try_from(pair.mod_revision()).unwrap_or(0), entry))
        });
        changes.collect()
    }
}

/// The revision up to which nothing is left to be reported. Where there are changes it is theirs: a
/// watch that catches up gets them in parts, and all of them have the newest header.
fn reported(answer: &WatchResponse, changes: &[Change], header: Header) -> u64 {
    match changes.iter().map(|(_, revision, _)| *revision).max() {
        Some(revision) => revision,
        None if answer.created() || !answer.events().is_empty() => 0,
        None => header.revision,
    }
}

/// A watch waits for ever; a member that is gone is noticed by the connection's own questions.
async fn next(stream: &mut WatchStream) -> Result<Option<WatchResponse>, CallError> {
    stream
        .message()
        .await
        .map_err(|error| CallError::Unknown(format!("watch: {error}")))
}

fn cancelled(answer: &WatchResponse) -> String {
    match (answer.compact_revision(), answer.cancel_reason()) {
        (0, "") => "the watch was cancelled".into(),
        (0, reason) => format!("the watch was cancelled: {reason}"),
        (revision, _) => format!("etcd has no changes before revision {revision} any more"),
    }
}
