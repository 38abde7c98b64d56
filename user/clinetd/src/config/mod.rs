// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The configuration: one TOML file, clinetd.toml(5).
//!
//! `clinetadm cluster` reads the same file for the way to the directory.

mod check;
mod ports;
mod system;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clinet_slices::Timing;
use clinet_slices::names::Name;
use clinet_slices::records::{Conf, FIRST_INCARNATION, FORMAT};
use serde::Deserialize;

pub use ports::PortRange;
pub use system::check_system;

/// The whole file. Every key of clinetd.toml(5) is a member here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The name that the keys of this cluster have in the directory.
    pub cluster: Name,
    /// The pool, a set of nodes that share addresses.
    pub pool: Name,
    /// This node's name.
    pub node: Name,
    /// The control device, or the socket of `lab node`.
    #[serde(default = "default_device")]
    pub device: PathBuf,
    /// Where the agent keeps what it has to know after a restart.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// Where metrics are served; an address of the loopback interface.
    #[serde(default = "default_metrics")]
    pub metrics: SocketAddr,
    /// The least urgent messages that are logged.
    #[serde(default)]
    pub log: Level,
    /// The way to the directory.
    pub etcd: Etcd,
    /// What is shared out.
    #[serde(default)]
    pub ports: Ports,
    /// For how long a grant holds, and what is waited for.
    #[serde(default)]
    pub times: Times,
    /// What happens to the shared addresses.
    pub addresses: Addresses,
    /// What tells this machine and this boot from others.
    #[serde(default)]
    pub machine: Machine,
}

/// Urgency of messages.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What needs somebody.
    Error,
    /// What may soon need somebody.
    Warn,
    /// One line for each decision.
    #[default]
    Info,
    /// Each transaction besides.
    Debug,
    /// Everything.
    Trace,
}

/// How to reach etcd.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Etcd {
    /// Members, as `http://HOST:PORT` or `https://HOST:PORT`. They are tried in turn.
    pub endpoints: Vec<String>,
    /// After so many seconds a call has failed, and the next member is tried.
    #[serde(default = "default_timeout")]
    pub timeout: f64,
    /// A user of etcd.
    pub user: Option<String>,
    /// A file with the user's password in its first line.
    pub password_file: Option<PathBuf>,
    /// Certificates of authorities that the members' certificates come from, PEM.
    pub ca_file: Option<PathBuf>,
    /// This node's certificate, PEM.
    pub certificate_file: Option<PathBuf>,
    /// The key of that certificate, PEM.
    pub key_file: Option<PathBuf>,
}

/// The ports that are shared out, and how many a node wants.
///
/// The space and the size of a slice are what `clinetadm cluster found` writes into the directory,
/// once; from then on what the directory has counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ports {
    /// The port space of TCP, as "32768-65535".
    pub tcp: PortRange,
    /// The port space of UDP.
    pub udp: PortRange,
    /// Ports in a slice, a power of two.
    pub slice: u16,
    /// Slices of each protocol that this node takes when it starts.
    pub slices: u32,
}

impl Default for Ports {
    fn default() -> Self {
        let space = PortRange {
            first: 32768,
            last: 65535,
        };
        Self {
            tcp: space,
            udp: space,
            slice: 2048,
            slices: 1,
        }
    }
}

/// T, F, L and the rate error of clinet-cluster(7), in seconds; as [`Ports`] for the directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Times {
    /// T: a grant holds for so long after the request that renewed it.
    pub grant: f64,
    /// F: so long may it take the module to take the addresses away.
    pub fence: f64,
    /// L: so long may a packet live in the network.
    pub packet: f64,
    /// e: by so much may a clock run fast or slow, as a fraction.
    pub rate_error: f64,
    /// The lease of the node's key, by which others see that the node is there.
    pub lease: f64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            grant: 300.0,
            fence: 5.0,
            packet: 60.0,
            rate_error: 0.001,
            lease: 15.0,
        }
    }
}

impl Times {
    /// As the protocol has them.
    pub fn timing(&self) -> Timing {
        Timing {
            lifetime: nanoseconds(self.grant),
            fence: nanoseconds(self.fence),
            linger: nanoseconds(self.packet),
            rate_ppm: (self.rate_error * 1e6).ceil() as u32,
            ..Timing::default()
        }
    }
}

/// Checked before: neither negative nor too large.
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

/// What happens to the shared addresses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Addresses {
    /// The addresses that this node shares with others, as `clinet_addrs` of the module.
    pub shared: Vec<std::net::IpAddr>,
    /// Who brings them up before service and takes them away afterwards.
    #[serde(default)]
    pub by: By,
    /// The program of `by = "script"`: it is called with "up" or "down" and an address.
    pub script: Option<PathBuf>,
    /// The interface that has the addresses: lo0, or a vni.
    #[serde(default = "default_interface")]
    pub interface: String,
    /// How replies find the node.
    pub topology: Topology,
}

/// Who brings the addresses up.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The agent.
    #[default]
    Agent,
    /// A program of the operator.
    Script,
}

/// How replies find the node that has the port.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// A router steers by destination port.
    Router,
    /// A node forwards what comes for the others.
    ForwardingNode,
    /// The nodes have the address on one link: refused, since duplicate address detection takes it
    /// away.
    SharedLink,
}

/// Files with what tells this machine and this boot from others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Machine {
    /// The machine's id in the first line; else the system is asked.
    pub id_file: Option<PathBuf>,
    /// Something that each boot has anew in the first line; else the system is asked.
    pub boot_file: Option<PathBuf>,
}

fn default_device() -> PathBuf {
    "/dev/clinet".into()
}

fn default_state() -> PathBuf {
    "/var/clinet/clinetd.state".into()
}

fn default_metrics() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9464))
}

fn default_timeout() -> f64 {
    2.0
}

fn default_interface() -> String {
    "lo0".into()
}

impl Etcd {
    /// What a call may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }
}

/// Something in the file that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Line of the file, from 1; 0 where none is to blame.
    pub line: usize,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => formatter.write_str(&self.reason),
            line => write!(formatter, "line {line}: {}", self.reason),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum Unusable {
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// It was read and has problems.
    Problems(PathBuf, Vec<Problem>),
}

impl fmt::Display for Unusable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Problems(path, problems) => {
                let mut lines = problems.iter();
                if let Some(problem) = lines.next() {
                    write!(formatter, "{}: {problem}", path.display())?;
                }
                lines.try_for_each(|problem| write!(formatter, "\n{}: {problem}", path.display()))
            }
        }
    }
}

impl std::error::Error for Unusable {}

impl Config {
    /// What this file founds a cluster with.
    pub fn conf(&self) -> Conf {
        let range = |ports: PortRange| clinet_slices::names::Range {
            first: ports.first,
            last: ports.last,
        };
        Conf {
            format: FORMAT,
            incarnation: FIRST_INCARNATION,
            cluster: 0,
            tcp: Some(range(self.ports.tcp)),
            udp: Some(range(self.ports.udp)),
            slice: self.ports.slice,
            timing: self.times.timing(),
        }
    }

    /// The configuration in a file, if there is nothing wrong with it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or something in it cannot be used.
    pub fn load(path: &Path) -> Result<Self, Unusable> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Unusable::Unreadable(path.into(), error))?;
        Self::parse(&text).map_err(|problems| Unusable::Problems(path.into(), problems))
    }

    /// The configuration in a text.
    ///
    /// # Errors
    ///
    /// All that is wrong with it. What is no TOML, or has an unknown key, is the only problem then.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let config: Self = toml::from_str(text).map_err(|error| {
            vec![Problem {
                line: error.span().map_or(0, |span| check::line(text, span.start)),
                reason: error.message().trim_end().replace('\n', "; "),
            }]
        })?;
        let problems = check::problems(&config, text);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests;
