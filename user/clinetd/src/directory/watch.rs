// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Watching all keys of a cluster: read once, then told of each change.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use clinet_slices::directory::{Entry, Header};
use clinet_slices::names::Key;
use etcd_client::{Error, EventType, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::mpsc;

use super::{CallError, Directory, read, values};

/// After a failure the next try waits so long, so that a member that refuses to be watched is not
/// read all the time.
const PAUSE: Duration = Duration::from_millis(200);
/// And up to so many milliseconds more for each key: all nodes of a cluster are interrupted together,
/// and each reads all keys. A thousand nodes with two thousand keys take ten seconds.
const EACH: u64 = 5;

/// A key that changed, at which revision, and what it has since; nothing: it was deleted.
pub type Change = (Key, u64, Option<Entry>);

/// News of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// All keys, as they were at one revision: what is not among them does not exist.
    All(Header, Vec<(Key, Entry)>),
    /// Changes of one or several revisions, up to the header's; perhaps none.
    Changes(Header, Vec<Change>),
    /// Nothing more is told, for this reason.
    Interrupted(String),
}

impl Directory {
    /// Reports what there is, and then all that changes, until that is interrupted or nobody listens
    /// any more.
    ///
    /// A watch never goes on where an earlier one ended: etcd may have been replaced by an older state
    /// of itself meanwhile, which only shows in the keys.
    pub async fn watch(self, news: mpsc::Sender<Watched>) {
        let mut keys = 0;
        let reason = match self.follow(&news, &mut keys).await {
            Ok(()) => "the member ended the watch".to_owned(),
            Err(error) => error.to_string(),
        };
        // The only random number that the standard library has. Where nothing was read the agent waits
        // for an answer, and does not renew.
        let turn = RandomState::new().hash_one(()) % (EACH * keys + 1);
        tokio::time::sleep(PAUSE + Duration::from_millis(turn)).await;
        let _ = news.send(Watched::Interrupted(reason)).await;
    }

    async fn follow(&self, news: &mpsc::Sender<Watched>, keys: &mut u64) -> Result<(), CallError> {
        let (mut stream, read, entries) = self.begin().await?;
        *keys = entries.len() as u64;
        let _ = news.send(Watched::All(read, entries)).await;
        while let Some(answer) = next(&mut stream).await? {
            if answer.canceled() {
                return Err(CallError::Unknown(cancelled(&answer)));
            }
            let header = values::header(answer.header())?;
            if header.cluster != read.cluster {
                return Err(CallError::Unknown("another etcd answers".into()));
            }
            let changes = self.changes(&answer, read.revision);
            if news.send(Watched::Changes(header, changes)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// A watch that has begun, and then all keys, so that nothing is missed, whichever member answers.
    ///
    /// One call with one time for both: nothing is renewed meanwhile.
    async fn begin(&self) -> Result<(WatchStream, Header, Vec<(Key, Entry)>), CallError> {
        let prefix = self.names.prefix();
        let (stream, answer) = self
            .link
            .call("watch", |client| async move {
                let mut watch = client.watch_client().max_decoding_message_size(usize::MAX);
                let options = WatchOptions::new().with_prefix();
                let mut stream = watch.watch(prefix.clone(), Some(options)).await?;
                let reason = match stream.message().await? {
                    Some(first) if !first.canceled() => None,
                    Some(first) => Some(cancelled(&first)),
                    None => Some("the member watches nothing".into()),
                };
                if let Some(reason) = reason {
                    // Perhaps it does not know the token any more, which it only says in words here:
                    // an error of this kind has the next call connect anew.
                    return Err(Error::WatchError(reason));
                }
                Ok((stream, read(&client, prefix).await?))
            })
            .await?;
        let (header, entries) = self.entries(&answer)?;
        Ok((stream, header, entries))
    }

    /// What changed after a revision.
    fn changes(&self, answer: &WatchResponse, after: u64) -> Vec<Change> {
        let changes = answer.events().iter().filter_map(|event| {
            let pair = event.kv()?;
            let key = self.names.key(pair.key_str().ok()?)?;
            let entry = match event.event_type() {
                EventType::Put => values::entry(&self.names, pair).map(|(_, entry)| entry),
                EventType::Delete => None,
            };
            Some((key, u64::try_from(pair.mod_revision()).unwrap_or(0), entry))
        });
        changes.filter(|(_, at, _)| *at > after).collect()
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
        (revision, _) => format!("the watch is behind: etcd has nothing before {revision}"),
    }
}
