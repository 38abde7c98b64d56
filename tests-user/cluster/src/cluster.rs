// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The whole cluster: etcd and its nodes in a folder that goes away with it.

use std::path::Path;

use anyhow::bail;
use serde_json::json;
use tempfile::TempDir;

use crate::directory;
use crate::etcd::Etcd;
use crate::member::{Member, Programs};
use crate::process;
use crate::settings::Settings;
use clinet_slices::names::Key;
use clinet_slices::records::Value;

/// An etcd and some nodes.
pub struct Cluster {
    /// What the nodes share.
    pub settings: Settings,
    /// The directory.
    pub etcd: Etcd,
    /// The nodes.
    pub members: Vec<Member>,
    programs: Programs,
    // Last, so that it goes after what has files in it.
    folder: TempDir,
}

impl Cluster {
    /// Starts an etcd of three members, and makes nodes that are off.
    pub fn start(programs: &Programs, settings: Settings, nodes: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("clinet-").tempdir()?;
        process::add_folder(folder.path());
        let etcd = Etcd::start(folder.path(), 3)?;
        let mut cluster = Self {
            settings,
            etcd,
            members: Vec::new(),
            programs: programs.clone(),
            folder,
        };
        for _ in 0..nodes {
            cluster.add_member()?;
        }
        Ok(cluster)
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its files, with everything that its programs said, stay when it goes.
    pub fn keep_files(&mut self) {
        self.folder.disable_cleanup(true);
        process::forget_folder(self.folder.path());
    }

    /// Makes one more node that is off, and returns its number.
    pub fn add_member(&mut self) -> anyhow::Result<usize> {
        let number = self.members.len();
        let name = format!("node-{}", number + 1);
        self.members.push(Member::new(
            &name,
            self.folder.path(),
            &self.programs,
            &self.etcd,
            &self.settings,
        )?);
        Ok(number)
    }

    /// Writes the configuration of the cluster into the directory.
    ///
    /// # Errors
    ///
    /// There is one already.
    pub fn found(&self) -> anyhow::Result<()> {
        let names = self.settings.names()?;
        let status = self.etcd.ask("maintenance/status", &json!({}))?;
        let cluster = directory::number(&status["header"]["cluster_id"]);
        let path = names.path(&Key::Conf);
        let conf = Value::Conf(self.settings.conf(cluster)).text();
        if !directory::put_new(&self.etcd, &path, &conf)? {
            bail!("the cluster has a configuration already");
        }
        Ok(())
    }

    /// Boots a node and starts its agent.
    pub fn start_member(&mut self, member: usize) -> anyhow::Result<()> {
        let settings = self.settings.clone();
        let member = &mut self.members[member];
        member.boot(&settings)?;
        member.start_agent()
    }
}
