// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Addresses that a program of the operator brings up and takes away.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clinet_control::Protocol;

use super::{Platform, UdpSocket};

/// A script that does not end is killed after so long, and is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A system whose addresses are a script's.
pub(super) struct Script {
    system: Box<dyn Platform>,
    program: PathBuf,
}

impl Script {
    pub(super) fn new(system: Box<dyn Platform>, program: PathBuf) -> Self {
        Self { system, program }
    }

    fn run(&self, direction: &str, address: IpAddr) -> anyhow::Result<()> {
        let name = self.program.display();
        let mut child = Command::new(&self.program)
            .arg(direction)
            .arg(address.to_string())
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| name.to_string())?;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("{name} {direction} {address}: {status}");
            }
            if Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                bail!("{name} {direction} {address}: killed after {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Platform for Script {
    fn set_range(&mut self, protocol: Protocol, ports: RangeInclusive<u16>) -> anyhow::Result<()> {
        self.system.set_range(protocol, ports)
    }

    fn up(&mut self, address: IpAddr) -> anyhow::Result<()> {
        self.run("up", address)
    }

    fn down(&mut self, address: IpAddr) -> anyhow::Result<()> {
        self.run("down", address)
    }

    fn udp_sockets(&mut self) -> anyhow::Result<Vec<UdpSocket>> {
        self.system.udp_sockets()
    }
}
