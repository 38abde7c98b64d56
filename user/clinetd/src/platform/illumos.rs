// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! illumos, by ipadm(8) and netstat(8).

use std::net::IpAddr;
use std::ops::RangeInclusive;

use anyhow::Context;
use clinet_control::Protocol;

use super::{Platform, UdpSocket};

/// Runs programs.
pub(super) trait Run: Send {
    /// What the program printed.
    ///
    /// # Errors
    ///
    /// It cannot be run, or ends with another status than 0.
    fn run(&mut self, program: &str, arguments: &[&str]) -> anyhow::Result<String>;
}

/// The programs of the system.
#[cfg(target_os = "illumos")]
pub(super) struct Programs;

#[cfg(target_os = "illumos")]
impl Run for Programs {
    fn run(&mut self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = std::process::Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(std::process::Stdio::null())
            .output()
            .with_context(|| program.to_owned())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            anyhow::bail!("{program} {}: {}", arguments.join(" "), said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

const IPADM: &str = "/usr/sbin/ipadm";
const NETSTAT: &str = "/usr/bin/netstat";

/// The machine that this runs on.
pub(super) struct Illumos<R> {
    programs: R,
    /// The interface that has the shared addresses.
    interface: String,
}

impl<R: Run> Illumos<R> {
    pub(super) fn new(programs: R, interface: String) -> Self {
        Self {
            programs,
            interface,
        }
    }

    fn property(&mut self, protocol: &str, name: &str) -> anyhow::Result<u16> {
        let arguments = ["show-prop", "-c", "-o", "current", "-p", name, protocol];
        let text = self.programs.run(IPADM, &arguments)?;
        let value = text.trim();
        value
            .parse()
            .with_context(|| format!("ipadm says that {name} of {protocol} is {value:?}"))
    }

    fn set_property(&mut self, protocol: &str, name: &str, value: u16) -> anyhow::Result<()> {
        let setting = format!("{name}={value}");
        let arguments = ["set-prop", "-t", "-p", &setting, protocol];
        self.programs.run(IPADM, &arguments).map(drop)
    }

    fn objects(&mut self) -> anyhow::Result<Vec<Object>> {
        let arguments = ["show-addr", "-p", "-o", "addrobj,state,addr"];
        let text = self.programs.run(IPADM, &arguments)?;
        Ok(text.lines().filter_map(object).collect())
    }

    /// Those on the interface that have this address.
    fn ours<'a>(
        &self,
        objects: &'a [Object],
        address: IpAddr,
    ) -> impl Iterator<Item = &'a Object> + use<'a, R> {
        let interface = format!("{}/", self.interface);
        objects
            .iter()
            .filter(move |o| o.name.starts_with(&interface) && o.address == Some(address))
    }
}

/// An address object of ipadm(8).
struct Object {
    name: String,
    up: bool,
    address: Option<IpAddr>,
}

fn object(line: &str) -> Option<Object> {
    let fields = fields(line);
    let [name, state, address] = fields.as_slice() else {
        return None;
    };
    let bare = address.split(['/', '%']).next().unwrap_or_default();
    Some(Object {
        name: name.clone(),
        up: state == "ok",
        address: bare.parse().ok(),
    })
}

/// A line of parsable output: fields between colons, in which a backslash takes away the meaning
/// of what follows.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => fields.push(String::new()),
            '\\' => push(&mut fields, characters.next()),
            other => push(&mut fields, Some(other)),
        }
    }
    fields
}

fn push(fields: &mut [String], character: Option<char>) {
    if let Some(field) = fields.last_mut() {
        field.extend(character);
    }
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

impl<R: Run> Platform for Illumos<R> {
    fn set_range(&mut self, protocol: Protocol, ports: RangeInclusive<u16>) -> anyhow::Result<()> {
        let (smallest, largest) = ("smallest_anon_port", "largest_anon_port");
        let protocol = word(protocol);
        let present = (
            self.property(protocol, smallest)?,
            self.property(protocol, largest)?,
        );
        let (first, last) = ports.into_inner();
        if present == (first, last) {
            return Ok(());
        }
        // At no time may the smallest be above the largest: that is refused.
        if first > present.1 {
            self.set_property(protocol, largest, last)?;
            self.set_property(protocol, smallest, first)
        } else {
            self.set_property(protocol, smallest, first)?;
            self.set_property(protocol, largest, last)
        }
    }

    fn up(&mut self, address: IpAddr) -> anyhow::Result<()> {
        let objects = self.objects()?;
        if let Some(object) = self.ours(&objects, address).next() {
            if object.up {
                return Ok(());
            }
            let arguments = ["up-addr", "-t", &object.name];
            return self.programs.run(IPADM, &arguments).map(drop);
        }
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let local = format!("local={address}/{prefix}");
        let name = (1_u32..)
            .map(|number| format!("{}/clinet{number}", self.interface))
            .find(|name| objects.iter().all(|object| object.name != *name))
            .context("no name is free for an address object")?;
        let arguments = ["create-addr", "-t", "-T", "static", "-a", &local, &name];
        self.programs.run(IPADM, &arguments).map(drop)
    }

    fn down(&mut self, address: IpAddr) -> anyhow::Result<()> {
        let objects = self.objects()?;
        for object in self.ours(&objects, address).filter(|object| object.up) {
            let arguments = ["down-addr", "-t", &object.name];
            self.programs.run(IPADM, &arguments)?;
        }
        Ok(())
    }

    fn udp_sockets(&mut self) -> anyhow::Result<Vec<UdpSocket>> {
        // -u came in 2016; before it, nobody tells the programs.
        let text = self
            .programs
            .run(NETSTAT, &["-anu", "-P", "udp"])
            .or_else(|_| self.programs.run(NETSTAT, &["-an", "-P", "udp"]))?;
        Ok(text.lines().filter_map(udp_socket).collect())
    }
}

/// The socket in a line of netstat, if it has one: `*.123  root  412 ntpd  Idle`.
fn udp_socket(line: &str) -> Option<UdpSocket> {
    let mut words = line.split_whitespace();
    let (_, port) = words.next()?.rsplit_once('.')?;
    let port = port.parse().ok()?;
    let rest: Vec<&str> = words.collect();
    let number = |at: usize| {
        let word: &&str = rest.get(at)?;
        word.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(*word)
    };
    // A user without a name is a number as well, before that of the process.
    let first = (0..rest.len()).find(|at| number(*at).is_some());
    let process = first.map(|at| at + usize::from(number(at + 1).is_some()));
    let program = process.and_then(|at| {
        let name = rest.get(at + 1)?;
        Some(format!("{name} (process {})", number(at)?))
    });
    Some(UdpSocket {
        port,
        program: program.unwrap_or_else(|| "a program that netstat does not name".into()),
    })
}

#[cfg(test)]
mod tests;
