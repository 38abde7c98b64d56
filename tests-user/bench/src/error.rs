// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What can go wrong with a row.

/// Why a row has no number.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The module lacks a function or a tunable.
    #[error("no such function: {0}")]
    NoFunction(&'static str),
    /// The module answered something that is not true.
    #[error("wrong answer: {0}")]
    Wrong(String),
    /// The machine or the file does not allow the measurement.
    #[error("{0:#}")]
    Unusable(#[from] anyhow::Error),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Unusable(error.into())
    }
}

/// The result of a measurement.
pub type Result<T> = std::result::Result<T, Error>;
