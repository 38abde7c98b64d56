// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The capture that is read: a file, or what another program writes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::signals;

/// How often a wait for input looks for a Ctrl-C, in nanoseconds.
const LOOK: i64 = 100_000_000;

/// How long the writing program, which gets a Ctrl-C as well, may be silent
/// before it counts as ended: ten looks.
const SILENCES: u32 = 10;

/// An opened capture. Reading ends early at a Ctrl-C.
pub struct Input {
    file: File,
    /// Its size in bytes, 0 if nobody knows.
    pub size: u64,
    /// Another program writes it.
    is_stream: bool,
}

impl Input {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("cannot read {}", path.display());
        let file = if path == Path::new("-") {
            let stdin = io::stdin().as_fd().try_clone_to_owned();
            File::from(stdin.with_context(context)?)
        } else {
            File::open(path).with_context(context)?
        };
        let metadata = file.metadata().with_context(context)?;
        anyhow::ensure!(!metadata.is_dir(), "{} is a folder", path.display());
        Ok(Self {
            file,
            size: metadata.len(),
            is_stream: !metadata.is_file(),
        })
    }

    /// Waits until there is something to read. False: after a Ctrl-C nothing
    /// more comes.
    fn wait(&self) -> io::Result<bool> {
        let look = Timespec {
            tv_sec: 0,
            tv_nsec: LOOK,
        };
        let mut silences = 0;
        while silences < SILENCES {
            let mut files = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut files, Some(&look)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
            silences += u32::from(signals::is_interrupted());
        }
        Ok(false)
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let goes_on = match self.is_stream {
            true => self.wait()?,
            false => !signals::is_interrupted(),
        };
        if goes_on {
            self.file.read(buffer)
        } else {
            Ok(0)
        }
    }
}
