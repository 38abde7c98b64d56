// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm grants`.

use std::fmt::Write;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use clinet_control::{Grants, GrantsState, Protocol, Space};

use super::show_grants;
use crate::{Outcome, Way, words};

/// Grants local ports to this node by hand, without an agent.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  clinetadm help grants set               what a file says
  clinetadm grants set FILE
  clinetadm show-grants --file            what is granted, as such a file")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Set(Set),
}

/// Grants exactly what a file says, in place of what is granted now.
#[derive(clap::Args)]
#[command(after_help = "\
The file has lines of these forms; what follows a # is left out. Without a
protocol a line is for TCP and UDP.

  space [tcp|udp] FIRST-LAST     ports that are divided among the nodes
  grant [tcp|udp] FIRST-LAST     those of them that are this node's
  reserve [tcp|udp] PORT         a port outside the space that is this node's
  deadline SECONDS               until then, from now on; without: for ever

All nodes have the same space, and no port is granted to two of them: nobody
checks that. After the deadline nothing more is registered, and the shared
addresses are taken away. A later file moves it.

Example: a file for the first of two nodes
  space 32768-65535
  grant 32768-49151
  reserve tcp 22

  clinetadm grants set FILE && clinetadm show-grants")]
struct Set {
    /// The file; -: standard input
    file: PathBuf,
}

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let Command::Set(set) = &arguments.command;
    let text = read(&set.file)?;
    let wanted = parse(&text).with_context(|| set.file.display().to_string())?;
    let control = way.open()?;
    control.take_control()?;
    let now = control.grants()?;
    let after = |time: Duration| now.now.saturating_add(time.as_nanos() as u64);
    control.set_grants(&Grants {
        // No lease of a directory: an agent that had granted before notices.
        epoch: 0,
        sequence: now.grants.sequence.saturating_add(1),
        deadline: wanted.deadline.map(after),
        tcp: wanted.tcp,
        udp: wanted.udp,
    })?;
    Ok(Outcome::Done)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let result = if path == "-" {
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    result.with_context(|| format!("cannot read {}", path.display()))
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    tcp: Space,
    udp: Space,
    deadline: Option<Duration>,
}

fn parse(text: &str) -> anyhow::Result<Wanted> {
    let mut wanted = Wanted::default();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        if !words.is_empty() {
            add(&mut wanted, &words).with_context(|| format!("line {number}"))?;
        }
    }
    for (protocol, space) in [(Protocol::Tcp, &wanted.tcp), (Protocol::Udp, &wanted.udp)] {
        if space.ports.is_none() && !space.granted.is_empty() {
            bail!("{protocol} ports are granted, but there is no line \"space {protocol} ...\"");
        }
    }
    Ok(wanted)
}

fn add(wanted: &mut Wanted, words: &[&str]) -> anyhow::Result<()> {
    let (protocols, rest) = match words {
        [_, "tcp", rest @ ..] => (&[Protocol::Tcp][..], rest),
        [_, "udp", rest @ ..] => (&[Protocol::Udp][..], rest),
        [_, rest @ ..] => (&Protocol::ALL[..], rest),
        [] => return Ok(()),
    };
    let [value] = rest else {
        bail!("it has to be WORD [tcp|udp] VALUE: clinetadm help grants set");
    };
    if words[0] == "deadline" {
        let seconds = value
            .parse()
            .with_context(|| format!("{value:?} is no number of seconds"))?;
        if seconds == 0 {
            bail!("0 seconds are over at once: clinetadm fence takes the shared addresses away");
        }
        wanted.deadline = Some(Duration::from_secs(seconds));
        return Ok(());
    }
    let ports = words::ports(value)?;
    for protocol in protocols {
        let space = match protocol {
            Protocol::Tcp => &mut wanted.tcp,
            Protocol::Udp => &mut wanted.udp,
        };
        put(space, words[0], &ports).with_context(|| protocol.to_string())?;
    }
    Ok(())
}

/// The space has to come first, so that what is outside of it can be told.
fn put(space: &mut Space, word: &str, ports: &RangeInclusive<u16>) -> anyhow::Result<()> {
    let inside = |port: u16| space.ports.as_ref().is_some_and(|all| all.contains(&port));
    match word {
        "space" if space.ports.is_some() => bail!("there is one port space for a protocol"),
        "space" if *ports.start() == 0 => bail!("0 is no port that can be granted"),
        "space" => space.ports = Some(ports.clone()),
        "grant" if !inside(*ports.start()) || !inside(*ports.end()) => bail!(
            "{}-{} is not within the port space; a port outside of it is reserved",
            ports.start(),
            ports.end()
        ),
        "reserve" if ports.clone().any(inside) => bail!(
            "{} is within the port space, and granted or not",
            ports.start()
        ),
        "grant" | "reserve" => space.granted.extend([ports.clone()]),
        _ => bail!("{word:?} is none of space, grant, reserve, deadline"),
    }
    Ok(())
}

/// What is granted, as `grants set` reads it: after the deadline nothing, and what was granted is in
/// comments.
pub fn file(state: &GrantsState) -> String {
    let left = state.grants.deadline.map(|at| at.saturating_sub(state.now));
    let left = left.map(|left| Duration::from_nanos(left).as_secs());
    let passed = state.lapsed || left == Some(0);
    let mut text = String::new();
    let mut line = |what: &str, protocol, ports: &RangeInclusive<u16>| {
        let comment = if passed && what != "space" { "# " } else { "" };
        let (first, last) = (ports.start(), ports.end());
        // A String takes everything.
        let _ = writeln!(text, "{comment}{what} {protocol} {first}-{last}");
    };
    for protocol in Protocol::ALL {
        let space = state.grants.space(protocol);
        if let Some(ports) = &space.ports {
            line("space", protocol, ports);
        }
        for (what, ports) in show_grants::parts(space) {
            let word = if what == "granted" {
                "grant"
            } else {
                "reserve"
            };
            line(word, protocol, &ports);
        }
    }
    // As long as nothing was granted the device's deadline is 0.
    match left.filter(|_| !text.is_empty()) {
        _ if passed && text.contains('#') => text += "# The deadline has passed.\n",
        Some(seconds) if !passed => text += &format!("deadline {seconds}\n"),
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinet_control::{FenceState, PortSet};

    const FILE: &str = "\
space tcp 32768-65535
reserve tcp 22-22
grant tcp 32768-36863
space udp 40000-65535
grant udp 65535-65535
deadline 300
";

    #[test]
    fn what_is_written_is_what_is_read() {
        let wanted = parse(FILE).expect("it is good");
        assert_eq!(
            wanted.tcp.granted,
            PortSet::from_iter([22..=22, 32768..=36863])
        );
        assert_eq!(wanted.deadline, Some(Duration::from_secs(300)));
        let state = GrantsState {
            grants: Grants {
                epoch: 0,
                sequence: 1,
                deadline: Some(301_500_000_000),
                tcp: wanted.tcp,
                udp: wanted.udp,
            },
            now: 1_500_000_000,
            lapsed: false,
            fence: FenceState::Unfenced,
        };
        assert_eq!(file(&state), FILE);
        let passed = GrantsState {
            now: 301_000_000_000,
            ..state.clone()
        };
        let lapsed = GrantsState {
            lapsed: true,
            ..state
        };
        for state in [passed, lapsed] {
            let text = file(&state);
            assert!(text.contains("\n# grant tcp 32768-36863\n"), "{text}");
            let wanted = parse(&text).expect("it is good");
            assert_eq!(wanted.tcp.ports, Some(32768..=65535));
            assert!(wanted.tcp.granted.is_empty() && wanted.deadline.is_none());
        }
    }

    #[test]
    fn without_grants_there_is_nothing_to_write() {
        let state = GrantsState {
            grants: Grants {
                epoch: 0,
                sequence: 0,
                deadline: Some(0),
                tcp: Space::default(),
                udp: Space::default(),
            },
            now: 1_500_000_000,
            lapsed: false,
            fence: FenceState::Unfenced,
        };
        assert_eq!(file(&state), "");
    }

    #[test]
    fn without_a_protocol_a_line_is_for_both() {
        let wanted = parse("space 32768-65535 # all\n\ngrant 32768-49151\n").expect("good");
        assert_eq!(wanted.tcp, wanted.udp);
        assert_eq!(wanted.tcp.granted.len(), 16384);
        assert_eq!(parse("").expect("nothing is granted"), Wanted::default());
    }

    #[test]
    fn what_cannot_be_granted_is_named_with_its_line() {
        for (text, reason) in [
            ("space 1-2\nspace tcp 3-4", "one port space"),
            ("space 32768-65535\ngrant 100-200", "not within"),
            ("space 32768-65535\nreserve 40000", "within the port space"),
            ("reserve tcp 22", "no line"),
            ("space 0-100", "0 is no port"),
            ("take 1-2", "none of space"),
            ("space sctp 1-2", "WORD [tcp|udp] VALUE"),
            ("deadline soon", "number of seconds"),
            ("deadline 0", "clinetadm fence"),
        ] {
            let error = format!("{:#}", parse(text).expect_err(text));
            assert!(error.contains(reason) && error.contains("line"), "{error}");
        }
    }
}
