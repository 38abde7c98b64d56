// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Running the tool.

// Every test file uses its own part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

/// No command of the tests takes a tenth of that.
const LONGEST: Duration = Duration::from_secs(600);

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The released module.
pub fn module() -> PathBuf {
    root().join("build/kernel/misc/amd64/clinet")
}

/// How the tool ended and what it said.
pub struct Run {
    /// The exit status; -1 if a signal ended it.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs the tool.
pub fn run(arguments: &[&str]) -> Run {
    let mut command = Command::cargo_bin("lab").expect("the tool is built");
    let output = command.args(arguments).timeout(LONGEST).output();
    let output = output.expect("the tool runs");
    Run {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What it printed as JSON.
pub fn json(run: &Run) -> Value {
    serde_json::from_str(&run.out).expect("JSON")
}
