// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The TCP/IP of a simulated machine, over the socket of its `lab node`.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clinet_control::Protocol;
use clinet_control::machine::{MachineReply, MachineRequest};
use clinet_control::socket::SocketDevice;

use super::{Platform, UdpSocket};

/// A simulated machine.
pub(super) struct Lab {
    socket: PathBuf,
    /// None until it is needed, and again after it broke: the machine may have been started anew.
    machine: Option<SocketDevice>,
}

impl Lab {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            machine: None,
        }
    }

    fn ask(&mut self, request: &MachineRequest) -> anyhow::Result<MachineReply> {
        let machine = match self.machine.take() {
            Some(machine) => machine,
            None => SocketDevice::connect(&self.socket)
                .with_context(|| self.socket.display().to_string())?,
        };
        let answer = machine
            .machine(request)
            .with_context(|| self.socket.display().to_string())?;
        self.machine = Some(machine);
        answer.with_context(|| format!("{request:?}"))
    }
}

impl Platform for Lab {
    fn set_range(&mut self, protocol: Protocol, ports: RangeInclusive<u16>) -> anyhow::Result<()> {
        let (first, last) = ports.into_inner();
        let request = MachineRequest::SetEphemeralRange {
            protocol,
            first,
            last,
        };
        self.ask(&request).map(drop)
    }

    fn up(&mut self, address: IpAddr) -> anyhow::Result<()> {
        self.ask(&MachineRequest::AddressUp { address }).map(drop)
    }

    fn down(&mut self, address: IpAddr) -> anyhow::Result<()> {
        self.ask(&MachineRequest::AddressDown { address }).map(drop)
    }

    fn udp_sockets(&mut self) -> anyhow::Result<Vec<UdpSocket>> {
        let answer = self.ask(&MachineRequest::UdpSockets)?;
        let MachineReply::UdpSockets { sockets } = answer else {
            bail!("the machine answers {answer:?} when asked for its UDP sockets");
        };
        let sockets = sockets.into_iter().map(|socket| UdpSocket {
            port: socket.local.port(),
            program: format!("{} (process {})", socket.program, socket.pid),
        });
        Ok(sockets.collect())
    }
}
