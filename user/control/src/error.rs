// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What can go wrong on the way to the device and back.

use std::io;
use std::path::PathBuf;

use crate::Errno;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device could not be opened.
    #[error("cannot open {path}: {why}")]
    Open {
        /// The device, or the socket of `lab node`.
        path: PathBuf,
        /// What the system said. It is in the message, and no source besides.
        why: io::Error,
    },
    /// There is a driver, but it speaks other versions of the interface.
    #[error(
        "the device speaks versions {driver_previous} to {driver} of the interface, \
         this program {ours_previous} to {ours}: install programs and driver of one release"
    )]
    Version {
        /// The newest version of this program.
        ours: u32,
        /// The oldest.
        ours_previous: u32,
        /// The newest version of the driver.
        driver: u32,
        /// The oldest.
        driver_previous: u32,
    },
    /// The device refused a command.
    #[error("{command}: {errno}")]
    Refused {
        /// What was to be done, in words.
        command: &'static str,
        /// The error number.
        errno: Errno,
    },
    /// Of several tuples, those before this one were done and it was not.
    #[error("{errno}")]
    Stopped {
        /// How many were done.
        done: usize,
        /// Why the next one was not.
        errno: Errno,
    },
    /// The device answered what no driver would.
    #[error("the device's answer makes no sense: {0}")]
    Nonsense(&'static str),
}

impl Error {
    /// The number by which the device refused, if that is what happened.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } | Self::Stopped { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}
