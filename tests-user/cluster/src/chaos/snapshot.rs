// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A directory that is one of before, until the operator says so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clinet_slices::names::Key;
use clinet_slices::records::{Conf, Value};
use tempfile::TempDir;

use crate::clock::now;
use crate::directory;
use crate::member::Member;
use crate::oracle::Restored;
use crate::proxy::{Proxy, Weather};
use crate::run::Run;

/// The data of all members at one time.
pub struct Saved(TempDir);

/// Copies the data, for which etcd is off for a moment.
pub fn save(run: &mut Run) -> anyhow::Result<Saved> {
    let folder = tempfile::tempdir_in(run.cluster.folder())?;
    let etcd = &mut run.cluster.etcd;
    etcd.kill_all();
    etcd.save(folder.path())?;
    etcd.start_all()?;
    Ok(Saved(folder))
}

impl Saved {
    /// Puts the copy in the place of the data; and the operator says so, by a new
    /// incarnation, before agents reach it: one that has seen nothing newer than the copy
    /// would go by it, and take what others took since.
    pub fn restore(self, run: &mut Run) -> anyhow::Result<()> {
        let from = now();
        let etcd = &mut run.cluster.etcd;
        etcd.kill_all();
        etcd.restore(self.0.path())?;
        let proxies = || run.cluster.members.iter().flat_map(Member::proxies);
        let weathers: Vec<Weather> = proxies().map(Proxy::weather).collect();
        proxies().for_each(|proxy| proxy.set(Weather::Cut));
        run.cluster.etcd.start_all()?;
        recover(run)?;
        let proxies = run.cluster.members.iter().flat_map(Member::proxies);
        proxies
            .zip(weathers)
            .for_each(|(proxy, weather)| proxy.set(weather));
        // Until then what nodes had before may still be in use.
        let settings = &run.cluster.settings;
        let rest = settings.quarantine() + Duration::from_secs(1);
        run.note_restored(Restored {
            from,
            until: now() + u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX),
        });
        Ok(())
    }
}

/// What `clinetadm cluster recover` does.
fn recover(run: &Run) -> anyhow::Result<()> {
    let cluster = &run.cluster;
    let names = cluster.settings.names()?;
    let endpoints = cluster.etcd.endpoints();
    let first = endpoints.first().map(String::as_str).unwrap_or_default();
    let read = directory::read(first, &names)?;
    let conf = read.entries.iter().find_map(|entry| match &entry.value {
        Value::Conf(conf) if entry.key == Key::Conf => Some(*conf),
        _ => None,
    });
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    if let Some(conf) = conf {
        let conf = Conf {
            incarnation: seconds.max(conf.incarnation + 1),
            ..conf
        };
        let path = names.path(&Key::Conf);
        directory::put(&cluster.etcd, &path, &Value::Conf(conf).text())?;
    }
    Ok(())
}
