// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the agent has to know after a restart: which etcd it last heard of, and how far that was.
//!
//! An etcd that was restored from a copy has an older state, in which slices that others took since
//! then may have other owners. Its revision tells, if somebody remembers a higher one.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clinet_slices::directory::Header;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Text {
    cluster: u64,
    revision: u64,
}

/// The file with it.
pub struct StateFile {
    path: PathBuf,
    /// What is in it.
    kept: Option<Header>,
}

impl StateFile {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    ///
    /// It is there and cannot be read.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let kept = match fs::read_to_string(&path) {
            Ok(text) => {
                let text: Text = serde_json::from_str(&text).with_context(|| {
                    format!(
                        "{} cannot be read; remove it if the node has been off for longer than T",
                        path.display()
                    )
                })?;
                Some(Header {
                    cluster: text.cluster,
                    revision: text.revision,
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self { path, kept })
    }

    /// What was kept last.
    pub fn kept(&self) -> Option<Header> {
        self.kept
    }

    /// Keeps this, so that it is there after a power failure.
    ///
    /// # Errors
    ///
    /// The file cannot be written; the old one is still there.
    pub fn keep(&mut self, header: Header) -> anyhow::Result<()> {
        if self.kept == Some(header) {
            return Ok(());
        }
        let text = serde_json::to_string(&Text {
            cluster: header.cluster,
            revision: header.revision,
        })?;
        replace(&self.path, &text)?;
        self.kept = Some(header);
        Ok(())
    }
}

/// Puts a text in the place of a file, so that at any moment one of both is there.
///
/// # Errors
///
/// It cannot be written.
pub fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        // The new name is in the folder.
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    };
    write().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut state = StateFile::open(path.clone()).unwrap();
        assert_eq!(state.kept(), None);
        let header = Header {
            cluster: u64::MAX,
            revision: 7,
        };
        state.keep(header).unwrap();
        assert_eq!(StateFile::open(path.clone()).unwrap().kept(), Some(header));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "{").unwrap();
        assert!(StateFile::open(path).is_err());
    }
}
