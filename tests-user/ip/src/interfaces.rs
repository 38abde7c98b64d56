// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an administrator does with a machine: its addresses as ifconfig has
//! them, its ranges of ports as ipadm, and who is bound as pfiles shows it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

#[cfg(doc)]
use crate::address::{IPPROTO_TCP, IPPROTO_UDP};
use crate::address::{IpVersion, kept};
use crate::error::Errno;
use crate::ip::Ip;
use crate::lock;
use crate::stack::{IFF_UP, Interface};

/// All of them panic if there is no such stack.
impl Ip {
    /// The logical interfaces of a stack.
    pub fn interfaces(&self, stack: i32) -> Vec<Interface> {
        self.must_have(stack).interfaces.all()
    }

    /// `ifconfig NAME up` or `down`, for IPv4 and for IPv6; says whether there is
    /// an interface of that name.
    pub fn set_interface(&self, stack: i32, name: &str, up: bool) -> bool {
        let versions = [IpVersion::V4, IpVersion::V6];
        let set = versions.map(|version| self.set_up(stack, version, name, up));
        set.contains(&true)
    }

    /// The same for all interfaces that have an address.
    pub fn set_address(&self, stack: i32, address: IpAddr, up: bool) -> bool {
        let version = IpVersion::of_address(kept(address));
        let with = self.must_have(stack).interfaces.with_address(address);
        for one in &with {
            self.set_up(stack, version, &one.name, up);
        }
        !with.is_empty()
    }

    fn set_up(&self, stack: i32, version: IpVersion, name: &str, up: bool) -> bool {
        let interfaces = &self.must_have(stack).interfaces;
        let Ok(flags) = interfaces.flags(version, name) else {
            return false;
        };
        let flags = if up { flags | IFF_UP } else { flags & !IFF_UP };
        interfaces.set_flags(version, name, flags).is_ok()
    }

    /// `ipadm set-prop`, `ip_addrs_per_if`: how many addresses a link may have in each
    /// family, 256 at boot.
    pub fn set_addresses_per_link(&self, stack: i32, most: usize) {
        self.must_have(stack).interfaces.set_per_link(most);
    }

    /// `ifconfig LINK addif ADDRESS up`: a new logical interface, whose name is
    /// returned.
    ///
    /// # Errors
    ///
    /// ENXIO: there is no such link. ERANGE: it has all the addresses that it may have.
    pub fn add_address(&self, stack: i32, link: &str, address: IpAddr) -> Result<String, Errno> {
        let interfaces = &self.must_have(stack).interfaces;
        let address = address.to_canonical();
        let name = interfaces.add(link, address)?;
        let version = IpVersion::of_address(kept(address));
        let flags = interfaces.flags(version, &name)?;
        interfaces.set_flags(version, &name, flags | IFF_UP)?;
        Ok(name)
    }

    /// `ifconfig NAME removeif`, for the family of `like`.
    ///
    /// # Errors
    ///
    /// ENXIO: there is none; EBUSY: it is a link.
    pub fn remove_interface(&self, stack: i32, like: IpAddr, name: &str) -> Result<(), Errno> {
        let version = IpVersion::of_address(kept(like));
        self.must_have(stack).interfaces.remove(version, name)
    }

    /// `SIOCSLIFFLAGS` of an interface of the family of `like`.
    ///
    /// # Errors
    ///
    /// ENXIO: there is none.
    pub fn set_interface_flags(
        &self,
        stack: i32,
        like: IpAddr,
        name: &str,
        flags: u64,
    ) -> Result<(), Errno> {
        let version = IpVersion::of_address(kept(like));
        self.must_have(stack)
            .interfaces
            .set_flags(version, name, flags)
    }

    /// Runs this the next time an interface goes down, after the generation of
    /// sources has changed and before its flags do: what a sender does there
    /// would take a race.
    pub fn in_gap(&self, stack: i32, gap: impl FnOnce() + Send + 'static) {
        self.must_have(stack).interfaces.in_gap(Box::new(gap));
    }

    /// `TCP_IOC_ABORT_CONN`: the connections with this local address whose states
    /// have these numbers end, at this end and without a RST, once the squeue's
    /// worker comes to it. An IPv4 address is compared with the last four bytes
    /// of any; as `::ffff:a.b.c.d` it is compared as a whole.
    ///
    /// # Errors
    ///
    /// ENOENT: there is none.
    pub fn abort_connections(
        &self,
        stack: i32,
        local: IpAddr,
        states: RangeInclusive<i32>,
    ) -> Result<(), Errno> {
        self.must_have(stack).enter().abort(local, &states)
    }

    /// `smallest_anon_port` and `largest_anon_port` of [`IPPROTO_TCP`] or
    /// [`IPPROTO_UDP`]: the ports for whoever names none.
    pub fn anon_ports(&self, stack: i32, protocol: u8) -> RangeInclusive<u16> {
        self.must_have(stack).anon_ports(protocol).range()
    }

    /// `ipadm set-prop -t -p smallest_anon_port=PORT`
    ///
    /// # Errors
    ///
    /// ERANGE: below 1024, or above the largest.
    pub fn set_smallest_anon_port(&self, stack: i32, protocol: u8, port: u16) -> Result<(), Errno> {
        self.must_have(stack)
            .anon_ports(protocol)
            .set_smallest(port)
    }

    /// `ipadm set-prop -t -p largest_anon_port=PORT`
    ///
    /// # Errors
    ///
    /// ERANGE: below the smallest.
    pub fn set_largest_anon_port(&self, stack: i32, protocol: u8, port: u16) -> Result<(), Errno> {
        self.must_have(stack).anon_ports(protocol).set_largest(port)
    }

    /// The local ends of all UDP sockets that are bound, in their order; the
    /// address is the wildcard where none was named.
    pub fn udp_ends(&self, stack: i32) -> Vec<SocketAddr> {
        let stack = self.must_have(stack);
        let bound = lock(&stack.udp);
        let end = |conn: &crate::udp::Endpoint| {
            SocketAddr::new(conn.version.as_passed(conn.laddr), conn.lport)
        };
        let mut ends: Vec<_> = bound.iter().map(|udp| end(&lock(&udp.0))).collect();
        ends.sort_unstable();
        ends
    }
}
