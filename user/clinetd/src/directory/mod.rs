// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The directory: etcd, in the values of `clinet-slices`.

mod link;
mod values;
mod watch;

use std::sync::Arc;

use clinet_slices::directory::{Entry, Header, Transaction};
use clinet_slices::names::{Key, Names};
use clinet_slices::records::LeaseId;
use etcd_client::{Client, Error, GetOptions, GetResponse};

pub use link::{CallError, Link, Observer};
pub use watch::{Change, Watched};

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// All comparisons held, and all was done.
    Done(Header),
    /// One did not, and nothing was done. What all compared keys have: nothing where there is none.
    Failed(Header, Vec<(Key, Option<Entry>)>),
}

/// One cluster's keys in etcd.
#[derive(Clone)]
pub struct Directory {
    link: Arc<Link>,
    names: Names,
}

impl Directory {
    /// The keys of these names, over this way to etcd.
    pub fn new(link: Link, names: Names) -> Self {
        Self {
            link: Arc::new(link),
            names,
        }
    }

    /// The way to etcd.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Names of keys.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Reads all keys in one go, linearizably.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn read(&self) -> Result<(Header, Vec<(Key, Entry)>), CallError> {
        let prefix = self.names.prefix();
        let answer = self
            .link
            .call("read", |client| async move { read(&client, prefix).await })
            .await?;
        self.entries(&answer)
    }

    fn entries(&self, answer: &GetResponse) -> Result<(Header, Vec<(Key, Entry)>), CallError> {
        let header = values::header(answer.header())?;
        let entries = answer.kvs().iter();
        let entries = entries.filter_map(|pair| values::entry(&self.names, pair));
        Ok((header, entries.collect()))
    }

    /// Executes a transaction.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn commit(&self, transaction: &Transaction) -> Result<Committed, CallError> {
        let request = values::transaction(&self.names, transaction);
        let kind = match transaction.operations.is_empty() {
            true => "renew",
            false => "write",
        };
        let answer = self
            .link
            .call(kind, |client| async move {
                client.kv_client().txn(request).await
            })
            .await?;
        let header = values::header(answer.header())?;
        if answer.succeeded() {
            return Ok(Committed::Done(header));
        }
        let found = values::found(&self.names, transaction, &answer);
        Ok(Committed::Failed(header, found))
    }

    /// A new lease that ends when it is not kept for so many seconds.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn grant_lease(&self, seconds: i64) -> Result<(Header, LeaseId), CallError> {
        let answer = self
            .link
            .call("lease", |client| async move {
                client.lease_client().grant(seconds, None).await
            })
            .await?;
        Ok((values::header(answer.header())?, answer.id()))
    }

    /// Keeps a lease; false if there is no such lease any more.
    ///
    /// A stream is opened for one question: on one that stays open, an answer may be an old one's,
    /// and nothing would tell when the member at its other end is gone.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn keep_lease(&self, lease: LeaseId) -> Result<bool, CallError> {
        self.link
            .call("keep", |client| async move {
                match client.lease_client().keep_alive(lease).await {
                    Ok(_) => Ok(true),
                    Err(Error::LeaseKeepAliveError(_)) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await
    }
}

async fn read(client: &Client, prefix: String) -> Result<GetResponse, Error> {
    let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
    kv.get(prefix, Some(GetOptions::new().with_prefix())).await
}
