// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files of scenarios: one JSON object in each line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// One scenario: what was done and what was seen.
#[derive(Clone, Debug, Deserialize)]
pub struct Scenario {
    /// Its name.
    #[serde(rename = "scenario")]
    pub name: String,
    /// `inet`, `inet6`, `mapped` or `mixed`.
    pub family: String,
    pub(crate) events: Vec<Event>,
}

/// A step or a call of a hook.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Event {
    Step(Box<Step>),
    Hook(Expected),
}

/// A port: a number, or the name of an ephemeral one such as `c.port2`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Port {
    Number(u16),
    Name(String),
}

/// An address and a port as they are shown.
pub(crate) type Shown = (String, Port);

/// A step with its arguments and results; each kind uses some of them.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Step {
    pub step: String,
    pub ret: i64,
    pub errno: i32,
    pub sock: Option<String>,
    pub new: Option<String>,
    pub af: Option<u16>,
    #[serde(rename = "type")]
    pub kind: Option<u16>,
    pub protocol: Option<u16>,
    pub addr: Option<String>,
    pub port: Option<Port>,
    pub backlog: Option<i32>,
    pub control: Option<String>,
    pub option: Option<String>,
    pub value: Option<i64>,
    pub level: Option<i64>,
    /// `option` says it by name.
    #[serde(rename = "optname")]
    _optname: Option<i64>,
    pub with: Option<String>,
    pub how: Option<u32>,
    pub events: Option<u32>,
    pub revents: Option<u32>,
    pub timeout_ms: Option<u64>,
    pub ms: Option<u64>,
    pub so_error: Option<i32>,
    pub dir: Option<String>,
    pub skip: Option<u64>,
    pub count: Option<i64>,
    pub accept: Option<String>,
    pub set: Option<Vec<String>>,
    pub interface: Option<String>,
    pub up: Option<bool>,
    pub conns: Option<Vec<Conn>>,
    pub background: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    pub name: Option<Option<Shown>>,
    #[serde(default, deserialize_with = "given")]
    pub peer: Option<Option<Shown>>,
    /// Typical only.
    #[serde(rename = "ms_about")]
    _ms_about: Option<f64>,
    /// What the model does not know.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// One conn of a walk.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Conn {
    pub version: u16,
    pub ipversion: u16,
    pub state: i32,
    pub laddr_v6: String,
    pub lport: Port,
    pub faddr_v6: String,
    pub fport: Port,
}

/// A call of a hook. Which thread made it, where and when is not promised.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Expected {
    pub hook: String,
    pub stack: i32,
    pub proto: u8,
    pub outgoing: Option<bool>,
    pub af: u16,
    pub laddr: Option<String>,
    pub lport: Option<Port>,
    pub faddr: Option<String>,
    pub fport: Option<Port>,
    pub args_null: Option<bool>,
    pub answer: Option<i32>,
    pub interrupt: Option<bool>,
    #[serde(default)]
    pub unordered: bool,
}

/// A value that may be null is not an absent one.
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Why a file of scenarios cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A line is no scenario.
    #[error("{path}, line {line}: no scenario: {cause}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// Why.
        cause: serde_json::Error,
    },
    /// There is nothing to play.
    #[error("{0} holds no scenario: name a .jsonl file or a folder with some")]
    Empty(PathBuf),
}

/// Reads the scenarios of a file, or of all `.jsonl` files in a folder.
///
/// # Errors
///
/// See [`TraceError`].
pub fn read(path: &Path) -> Result<Vec<Scenario>, TraceError> {
    let failed = |cause| TraceError::Read {
        path: path.to_owned(),
        cause,
    };
    let mut scenarios = Vec::new();
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(failed)?;
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry.map_err(failed)?.path());
        }
        files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
        files.sort();
        for file in files {
            scenarios.extend(read_file(&file)?);
        }
    } else {
        scenarios = read_file(path)?;
    }
    if scenarios.is_empty() {
        return Err(TraceError::Empty(path.to_owned()));
    }
    Ok(scenarios)
}

fn read_file(path: &Path) -> Result<Vec<Scenario>, TraceError> {
    let text = std::fs::read_to_string(path).map_err(|cause| TraceError::Read {
        path: path.to_owned(),
        cause,
    })?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|cause| TraceError::Line {
                path: path.to_owned(),
                line: index + 1,
                cause,
            })
        })
        .collect()
}
