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
use clinet_slices::agent::Kept;

/// The file with it.
pub struct StateFile {
    path: PathBuf,
    kept: Kept,
}

impl StateFile {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    ///
    /// It is there and cannot be read.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let kept = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} cannot be read; if etcd was not restored since, remove it",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self { path, kept })
    }

    /// What was kept last.
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// Keeps this, so that it is there after a power failure.
    ///
    /// # Errors
    ///
    /// The file cannot be written; the old one is still there.
    pub fn keep(&mut self, kept: Kept) -> anyhow::Result<()> {
        if self.kept != kept {
            replace(&self.path, &serde_json::to_string(&kept)?)?;
            self.kept = kept;
        }
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
        assert_eq!(state.kept(), Kept::default());
        let kept = Kept {
            incarnation: 1,
            cluster: u64::MAX,
            revision: 7,
            stopped: false,
        };
        state.keep(kept).unwrap();
        assert_eq!(StateFile::open(path.clone()).unwrap().kept(), kept);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "{").unwrap();
        assert!(StateFile::open(path).is_err());
    }
}
