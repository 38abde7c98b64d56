// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Files of scenarios: one JSON object in each line, the first of which may
//! say of which kernel they are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::Errno;
use crate::release::Release;

/// One scenario: what was done and what was seen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    #[serde(rename = "scenario")]
    pub name: String,
    /// `inet`, `inet6`, `mapped` or `mixed`.
    pub family: String,
    pub(crate) events: Vec<Event>,
    /// The kernel that it is of: 2015, unless its file says otherwise.
    #[serde(skip)]
    pub release: Release,
    /// Its file.
    #[serde(skip)]
    pub file: PathBuf,
    /// Its line there, from 1.
    #[serde(skip)]
    pub line: usize,
}

/// A step or a call of a hook.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(crate) enum Event {
    Step(Box<Step>),
    Hook(Box<Expected>),
}

impl TryFrom<Map<String, Value>> for Event {
    type Error = serde_json::Error;

    fn try_from(fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
        if !fields.contains_key("step") {
            return serde_json::from_value(Value::Object(fields))
                .map(|hook| Self::Hook(Box::new(hook)));
        }
        let given = fields.keys().cloned().collect();
        let step = serde_json::from_value(Value::Object(fields))?;
        Ok(Self::Step(Box::new(Step { given, ..step })))
    }
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
    pub errno: Errno,
    pub sock: Option<String>,
    pub new: Option<String>,
    pub af: Option<u16>,
    #[serde(rename = "type")]
    pub kind: Option<u16>,
    pub protocol: Option<u16>,
    pub addr: Option<String>,
    pub port: Option<Port>,
    pub laddr: Option<String>,
    pub lport: Option<Port>,
    pub faddr: Option<String>,
    pub fport: Option<Port>,
    pub proto: Option<u8>,
    pub backlog: Option<i32>,
    pub control: Option<String>,
    pub option: Option<String>,
    pub value: Option<i64>,
    pub level: Option<i64>,
    pub optname: Option<i64>,
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
    pub hook: Option<String>,
    pub set: Option<Vec<String>>,
    pub interface: Option<String>,
    pub up: Option<bool>,
    pub conns: Option<Vec<Conn>>,
    #[serde(default)]
    pub background: bool,
    #[serde(default, deserialize_with = "given")]
    pub name: Option<Option<Shown>>,
    #[serde(default, deserialize_with = "given")]
    pub peer: Option<Option<Shown>>,
    /// The names of all that the file gives.
    #[serde(skip)]
    pub given: Vec<String>,
}

/// The arguments that each kind of step has. `ms_about` is typical only.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("socket", &["sock", "af", "type", "protocol"]),
    ("bind", &["sock", "addr", "port"]),
    ("bind_null", &["sock"]),
    ("listen", &["sock", "backlog"]),
    ("connect", &["sock", "addr", "port", "background"]),
    ("join", &["sock"]),
    ("disconnect", &["sock", "with"]),
    ("accept", &["sock", "new", "background"]),
    ("send", &["sock"]),
    ("sendto", &["sock", "addr", "port"]),
    ("sendmsg", &["sock", "addr", "port", "control"]),
    ("recv", &["sock", "background"]),
    ("shutdown", &["sock", "how"]),
    ("close", &["sock"]),
    (
        "setsockopt",
        &["sock", "level", "optname", "option", "value"],
    ),
    ("linger0", &["sock"]),
    ("nonblock", &["sock", "value"]),
    ("poll", &["sock", "events", "revents", "timeout_ms"]),
    ("so_error", &["sock", "so_error"]),
    (
        "policy",
        &[
            "dir",
            "addr",
            "port",
            "laddr",
            "lport",
            "faddr",
            "fport",
            "proto",
            "skip",
            "count",
            "value",
            "accept",
            "hook",
            "isclusterwide",
            "ipident",
        ],
    ),
    ("hooks", &["set"]),
    ("address", &["interface", "up"]),
    ("wait", &["ms"]),
    ("walk", &["conns"]),
    ("natural_time_wait", &[]),
    ("drain", &[]),
];

/// What every step may have.
const COMMON: &[&str] = &["step", "ret", "errno", "name", "peer", "ms_about"];

impl Step {
    /// Does the file give this argument?
    pub fn has(&self, argument: &str) -> bool {
        self.given.iter().any(|given| given == argument)
    }

    /// What of it the model does not know, if anything.
    pub fn unknown(&self) -> Option<String> {
        let Some((_, known)) = ARGUMENTS.iter().find(|(kind, _)| *kind == self.step) else {
            return Some(format!("the step {} is not known", self.step));
        };
        let is_known = |name: &&str| known.contains(name) || COMMON.contains(name);
        let argument = self.given.iter().find(|name| !is_known(&name.as_str()))?;
        let step = &self.step;
        Some(format!("the argument {argument} of {step} is not known"))
    }
}

/// One conn of a walk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Conn {
    pub version: u16,
    pub ipversion: u16,
    pub state: i32,
    pub laddr_v6: String,
    pub lport: Port,
    pub faddr_v6: String,
    pub fport: Port,
}

/// A call of a hook.
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
    unordered: bool,
    same_thread: Option<bool>,
    /// Typical only, as what follows.
    #[serde(rename = "cause")]
    _cause: Option<String>,
    #[serde(rename = "when")]
    _when: Option<String>,
    #[serde(rename = "thread")]
    _thread: Option<String>,
    #[serde(rename = "site")]
    _site: Option<String>,
    #[serde(rename = "stack_trace")]
    _stack_trace: Option<Vec<String>>,
    /// What the model does not know.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Expected {
    /// May it come at any later place? The end of TIME_WAIT may in 2015.
    pub fn is_unordered(&self) -> bool {
        self.unordered
    }

    /// Did another thread make it? Then its place among the calls of the one
    /// that took the steps is not promised.
    pub fn is_of_another_thread(&self) -> bool {
        self.same_thread == Some(false)
    }
}

/// A value that may be null is not an absent one.
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// The first line of a file.
#[derive(Deserialize)]
struct Header {
    kernel: Value,
    scenario: Option<serde::de::IgnoredAny>,
}

impl Header {
    /// The release that is named, as a number or in a text such as
    /// `illumos-joyent 2021-07`.
    fn release(&self) -> Option<Release> {
        let text = match &self.kernel {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut words = text.split(|c: char| !c.is_ascii_digit());
        words.find_map(|word| word.parse().ok())
    }
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
    /// The first line names a kernel that the model does not know.
    #[error("{path}, line {line}: no kernel that is known: 2015 and 2021 are")]
    Kernel {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
    /// There is nothing to play.
    #[error("{0} holds no scenario: name a .jsonl file or a folder with some")]
    Empty(PathBuf),
}

/// Reads the scenarios of a file, or of all `.jsonl` files in a folder and
/// those in it.
///
/// # Errors
///
/// See [`TraceError`].
pub fn read(path: &Path) -> Result<Vec<Scenario>, TraceError> {
    let mut scenarios = Vec::new();
    if path.is_dir() {
        read_folder(path, &mut scenarios)?;
    } else {
        read_file(path, &mut scenarios)?;
    }
    if scenarios.is_empty() {
        return Err(TraceError::Empty(path.to_owned()));
    }
    Ok(scenarios)
}

fn read_folder(folder: &Path, scenarios: &mut Vec<Scenario>) -> Result<(), TraceError> {
    let failed = |cause| TraceError::Read {
        path: folder.to_owned(),
        cause,
    };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_folder(&path, scenarios)?;
        } else if path.extension().is_some_and(|end| end == "jsonl") {
            read_file(&path, scenarios)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, scenarios: &mut Vec<Scenario>) -> Result<(), TraceError> {
    let text = std::fs::read_to_string(path).map_err(|cause| TraceError::Read {
        path: path.to_owned(),
        cause,
    })?;
    let mut release = Release::default();
    let lines = text.lines().enumerate();
    for (index, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let line = index + 1;
        let path = path.to_owned();
        if let Ok(header) = serde_json::from_str::<Header>(text)
            && header.scenario.is_none()
        {
            let named = header.release();
            release = named.ok_or(TraceError::Kernel { path, line })?;
            continue;
        }
        match serde_json::from_str(text) {
            Ok(scenario) => scenarios.push(Scenario {
                release,
                file: path,
                line,
                ..scenario
            }),
            Err(cause) => return Err(TraceError::Line { path, line, cause }),
        }
    }
    Ok(())
}
