// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The connection to etcd: one member at a time, the next one after a failure.
//!
//! A call has a deadline that includes connecting. What comes after it is lost on purpose: a
//! transaction may have been executed or not, and the protocol has to live with that anyway.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use etcd_client::{Client, ConnectOptions, Error};

use crate::config::Etcd;

/// gRPC's number for what etcd answers to a member that has no leader, or is slow.
const UNAVAILABLE: i32 = 14;
const DEADLINE_EXCEEDED: i32 = 4;
const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;
const INTERNAL: i32 = 13;
/// A token that the member does not know.
const UNAUTHENTICATED: i32 = 16;

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError {
    /// The member answered that it will not: nothing was done.
    Refused(String),
    /// No answer, or none that says whether something was done.
    Unknown(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) | Self::Unknown(reason) => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for CallError {}

/// Who wants to know how long calls took.
pub trait Observer: Send + Sync {
    /// A call of this kind ended.
    fn call(&self, kind: &'static str, took: Duration, answered: bool);
}

/// The way to etcd.
pub struct Link {
    endpoints: Vec<String>,
    options: ConnectOptions,
    timeout: Duration,
    observer: Option<Box<dyn Observer>>,
    current: Mutex<Current>,
}

/// The member that is used, and the connection to it if there is one.
#[derive(Default)]
struct Current {
    /// Counts the members that were given up.
    turn: usize,
    client: Option<Client>,
}

impl Link {
    /// A way that is not yet gone: nothing is connected before the first call.
    ///
    /// # Errors
    ///
    /// A file with a password or a certificate cannot be read.
    pub fn new(etcd: &Etcd, observer: Option<Box<dyn Observer>>) -> anyhow::Result<Self> {
        Ok(Self {
            endpoints: etcd.endpoints.clone(),
            options: options(etcd)?,
            timeout: etcd.timeout(),
            observer,
            current: Mutex::default(),
        })
    }

    /// What a call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many members there are to ask.
    pub fn members(&self) -> usize {
        self.endpoints.len()
    }

    /// The member that the next call goes to.
    pub fn endpoint(&self) -> &str {
        self.endpoint_of(self.current().turn)
    }

    fn endpoint_of(&self, turn: usize) -> &str {
        // The configuration has at least one, and % is of a length that is not 0 then.
        let at = turn.checked_rem(self.endpoints.len()).unwrap_or(0);
        self.endpoints.get(at).map_or("", String::as_str)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Nothing is done under the lock that could leave half a state behind.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, and the turn that it belongs to.
    async fn client(&self) -> Result<(Client, usize), Error> {
        let turn = {
            let current = self.current();
            if let Some(client) = &current.client {
                return Ok((client.clone(), current.turn));
            }
            current.turn
        };
        let endpoint = self.endpoint_of(turn).to_owned();
        let client = Client::connect([endpoint], Some(self.options.clone())).await?;
        let mut current = self.current();
        if current.turn == turn {
            current.client = Some(client.clone());
        }
        Ok((client, turn))
    }

    /// Gives up a member, unless somebody else did so meanwhile.
    fn next(&self, turn: usize) {
        let mut current = self.current();
        if current.turn == turn {
            current.turn = current.turn.wrapping_add(1);
            current.client = None;
        }
    }

    /// Connects again to the same member, for a new token.
    fn again(&self, turn: usize) {
        let mut current = self.current();
        if current.turn == turn {
            current.client = None;
        }
    }

    /// Makes a call. After a failure that another member may not have, the next call goes to the
    /// next member.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn call<T, F>(
        &self,
        kind: &'static str,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let turn = self.current().turn;
        let began = Instant::now();
        let ended = tokio::time::timeout(self.timeout, async {
            let (client, _) = self.client().await?;
            call(client).await
        })
        .await;
        let answer = match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(turn, &error)),
            Err(_) => {
                self.next(turn);
                Err(CallError::Unknown(format!(
                    "no answer from {} within {:?}",
                    self.endpoint_of(turn),
                    self.timeout
                )))
            }
        };
        if let Some(observer) = &self.observer {
            observer.call(kind, began.elapsed(), answer.is_ok());
        }
        answer
    }

    /// Who is to blame for an error: the member, or the question.
    fn failed(&self, turn: usize, error: &Error) -> CallError {
        let reason = format!("{}: {}", self.endpoint_of(turn), text(error));
        let Error::GRpcStatus(status) = error else {
            self.next(turn);
            return CallError::Unknown(reason);
        };
        match i32::from(status.code()) {
            UNAVAILABLE | DEADLINE_EXCEEDED | CANCELLED | UNKNOWN | INTERNAL => {
                self.next(turn);
                CallError::Unknown(reason)
            }
            UNAUTHENTICATED => {
                self.again(turn);
                CallError::Refused(reason)
            }
            _ => CallError::Refused(reason),
        }
    }
}

/// What etcd said, without the wrapping.
fn text(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    }
}

fn options(etcd: &Etcd) -> anyhow::Result<ConnectOptions> {
    let timeout = etcd.timeout();
    let mut options = ConnectOptions::new()
        .with_connect_timeout(timeout)
        .with_require_leader(true)
        // A watch waits for ever otherwise, for a member that is gone. etcd wants five seconds
        // between two of these at least.
        .with_keep_alive(Duration::from_secs(10), timeout)
        .with_keep_alive_while_idle(true);
    if let (Some(user), Some(file)) = (&etcd.user, &etcd.password_file) {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        options = options.with_user(user.as_str(), text.lines().next().unwrap_or_default());
    }
    secured(options, etcd)
}

#[cfg(feature = "tls")]
fn secured(options: ConnectOptions, etcd: &Etcd) -> anyhow::Result<ConnectOptions> {
    use etcd_client::{Certificate, Identity, TlsOptions};

    if !etcd.endpoints.iter().any(|end| end.starts_with("https://")) {
        return Ok(options);
    }
    let read =
        |file: &std::path::Path| std::fs::read(file).with_context(|| file.display().to_string());
    let mut tls = TlsOptions::new();
    if let Some(file) = &etcd.ca_file {
        tls = tls.ca_certificate(Certificate::from_pem(read(file)?));
    }
    if let (Some(certificate), Some(key)) = (&etcd.certificate_file, &etcd.key_file) {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(options.with_tls(tls))
}

#[cfg(not(feature = "tls"))]
fn secured(options: ConnectOptions, _: &Etcd) -> anyhow::Result<ConnectOptions> {
    Ok(options)
}
