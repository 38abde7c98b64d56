// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The ip behind kernel sockets and layered opens, and what a test does to them.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::imports::ldi::Layered;
use crate::imports::opened::Opened;
use crate::locks::lock;

/// The ip of a machine, as `ksocket_ioctl` and `ldi_ioctl` reach it. Errors are
/// numbers of illumos. It is called by the thread of the module, and may call
/// modules itself.
pub trait IpControl: Send + Sync {
    /// Is there the transport of datagram sockets?
    fn has_udp(&self) -> bool {
        true
    }

    /// The logical interfaces of IPv4 or of IPv6: names and addresses.
    fn interfaces(&self, v6: bool) -> Vec<(String, IpAddr)>;

    /// `SIOCGLIFFLAGS`
    ///
    /// # Errors
    ///
    /// ENXIO: there is none of that name. So for the others.
    fn flags(&self, v6: bool, name: &str) -> Result<u64, i32>;

    /// `SIOCSLIFFLAGS`
    ///
    /// # Errors
    ///
    /// As for [`IpControl::flags`].
    fn set_flags(&self, v6: bool, name: &str, flags: u64) -> Result<(), i32>;

    /// `SIOCLIFADDIF` without an address; returns the name.
    ///
    /// # Errors
    ///
    /// As for [`IpControl::flags`].
    fn add(&self, v6: bool, link: &str) -> Result<String, i32>;

    /// `SIOCLIFREMOVEIF`
    ///
    /// # Errors
    ///
    /// As for [`IpControl::flags`].
    fn remove(&self, v6: bool, name: &str) -> Result<(), i32>;

    /// `TCP_IOC_ABORT_CONN` for all connections with this local address, as
    /// tcp keeps it, whose states are these.
    ///
    /// # Errors
    ///
    /// ENOENT: there is none.
    fn abort(&self, local: IpAddr, states: RangeInclusive<i32>) -> Result<(), i32>;
}

/// The network side of a machine.
pub(crate) struct Network {
    ip: RwLock<Option<Arc<dyn IpControl>>>,
    /// How long each ioctl takes.
    pub delay: Mutex<Duration>,
    /// Kernel sockets: is it one of IPv6?
    pub sockets: Opened<bool>,
    /// `ldi_ident_from_mod`
    pub idents: Opened<()>,
    /// `ldi_open_by_dev`
    pub layered: Opened<Layered>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            ip: RwLock::default(),
            delay: Mutex::default(),
            sockets: Opened::new(0xffff_ff14_0000_0000),
            idents: Opened::new(0xffff_ff15_0000_0000),
            layered: Opened::new(0xffff_ff16_0000_0000),
        }
    }
}

impl Network {
    pub fn set_ip(&self, ip: Arc<dyn IpControl>) {
        *self.ip.write().unwrap_or_else(PoisonError::into_inner) = Some(ip);
    }

    pub fn ip(&self) -> Option<Arc<dyn IpControl>> {
        let ip = self.ip.read().unwrap_or_else(PoisonError::into_inner);
        ip.clone()
    }

    pub fn delay(&self) -> Duration {
        *lock(&self.delay)
    }
}
