// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the agent needs of TCP/IP beside the module: the range that ephemeral ports come from, the
//! shared addresses, and who has UDP sockets.
//!
//! All of it may wait for other programs, so it is called in a thread of its own.

#[cfg(any(target_os = "illumos", test))]
mod illumos;
mod lab;
mod script;

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use clinet_control::Protocol;

use crate::config::{By, Config};

/// The system around the module.
pub trait Platform: Send {
    /// Makes these the ports that ephemeral ones come from, until the next boot.
    ///
    /// # Errors
    ///
    /// The system refused, or its programs are not there.
    fn set_range(&mut self, protocol: Protocol, ports: RangeInclusive<u16>) -> anyhow::Result<()>;

    /// Brings a shared address up; nothing happens if it is.
    ///
    /// # Errors
    ///
    /// As above.
    fn up(&mut self, address: IpAddr) -> anyhow::Result<()>;

    /// Takes a shared address away; nothing happens if it is not there.
    ///
    /// # Errors
    ///
    /// As above.
    fn down(&mut self, address: IpAddr) -> anyhow::Result<()>;

    /// The UDP sockets that have a local port.
    ///
    /// # Errors
    ///
    /// As above.
    fn udp_sockets(&mut self) -> anyhow::Result<Vec<UdpSocket>>;
}

/// A UDP socket that is bound to a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UdpSocket {
    /// Its local port.
    pub port: u16,
    /// The program that has it, with its process id where the system tells.
    pub program: String,
}

impl fmt::Display for UdpSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (UDP port {})", self.program, self.port)
    }
}

/// The system that belongs to the device of this configuration: a simulated machine's where the
/// device is the socket of `lab node`, else the one that this runs on.
///
/// # Errors
///
/// There is no such machine, or this system has no clinet.
pub fn open(config: &Config) -> anyhow::Result<Box<dyn Platform>> {
    let system = system(config)?;
    Ok(match (config.addresses.by, &config.addresses.script) {
        (By::Script, Some(program)) => Box::new(script::Script::new(system, program.clone())),
        _ => system,
    })
}

#[cfg(target_os = "illumos")]
fn system(config: &Config) -> anyhow::Result<Box<dyn Platform>> {
    use std::os::unix::fs::FileTypeExt;

    let device = std::fs::metadata(&config.device);
    if device.is_ok_and(|device| device.file_type().is_socket()) {
        return Ok(Box::new(lab::Lab::new(config.device.clone())));
    }
    let interface = config.addresses.interface.clone();
    Ok(Box::new(illumos::Illumos::new(
        illumos::Programs,
        interface,
    )))
}

#[cfg(not(target_os = "illumos"))]
fn system(config: &Config) -> anyhow::Result<Box<dyn Platform>> {
    Ok(Box::new(lab::Lab::new(config.device.clone())))
}
