// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Options of sockets.

use super::{Kind, Socket};
use crate::address::{AF_INET, AF_INET6, IpVersion};
use crate::conn::{Conn, ConnId, TcpState};
use crate::error::Errno;
use crate::option::{Argument, SocketOption};
use crate::release::Release;
use std::net::Ipv4Addr;

/// The index of lo0.
const LOOPBACK_INDEX: i64 = 1;

impl Socket {
    /// `setsockopt` with a value of the size that the option has; what wants a
    /// structure gets an `int`.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn set_option(&self, option: SocketOption, value: i64) -> Result<(), Errno> {
        self.set(option, value, |version| {
            self.check_option(option, value, version)
        })
    }

    /// `setsockopt` with a structure that fits the option.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn set_structure(&self, option: SocketOption) -> Result<(), Errno> {
        self.set(option, 1, |version| self.check_kind(option, version))
    }

    fn set(
        &self,
        option: SocketOption,
        value: i64,
        check: impl FnOnce(IpVersion) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.enter(*id)?;
                let release = self.stack.release;
                set_tcp_option(squeue.conn(*id), *id, release, option, value, check)
            }
            Kind::Udp(udp) => udp.set_option(&self.stack, option, value, check),
            Kind::Raw(raw) => raw.set_option(|| check(IpVersion::of_family(self.family))),
        }
    }

    /// Does the protocol have the option, for this address family and the packets
    /// that it sends?
    fn check_kind(&self, option: SocketOption, version: IpVersion) -> Result<(), Errno> {
        let is_tcp = matches!(self.kind, Kind::Tcp(_));
        if !option.is_of(is_tcp, self.stack.release) {
            return Err(Errno::ENOPROTOOPT);
        }
        let sends_ipv4 = version == IpVersion::V4;
        let takes_ipv4 = self.family == AF_INET
            || sends_ipv4
                && option.is_ipv4_for_ipv6()
                && self.stack.release.takes_ipv4_options_for_ipv6();
        let takes_ipv6 = self.family == AF_INET6 && !(is_tcp && sends_ipv4);
        let wrong_family = option.is_ipv4() && !takes_ipv4 || option.is_ipv6() && !takes_ipv6;
        if wrong_family {
            return Err(Errno::EINVAL);
        }
        if option == SocketOption::UDP_NAT_T_ENDPOINT && self.family == AF_INET6 {
            return Err(Errno::EAFNOSUPPORT);
        }
        Ok(())
    }

    /// What the protocol says of an option before it takes it.
    fn check_option(
        &self,
        option: SocketOption,
        value: i64,
        version: IpVersion,
    ) -> Result<(), Errno> {
        self.check_kind(option, version)?;
        let is_loopback = |value: i64| matches!(value, 0 | LOOPBACK_INDEX);
        match option.argument() {
            Argument::Int(_, _) if value == 0 && option == SocketOption::IPV6_UNICAST_HOPS => {
                Err(Errno::EINVAL)
            }
            Argument::Int(least, most) if (least..=most).contains(&value) => Ok(()),
            Argument::Int(_, _) | Argument::Structure => Err(Errno::EINVAL),
            Argument::Byte | Argument::Tcp => Ok(()),
            Argument::Length if value as u32 > self.longest_buffer() => Err(Errno::ENOBUFS),
            Argument::Length => Ok(()),
            Argument::Preferences if are_preferences(value as u32) => Ok(()),
            Argument::Preferences => Err(Errno::EINVAL),
            Argument::Name => Err(Errno::ENOENT),
            Argument::ZeroCopy => Err(Errno::EOPNOTSUPP),
            Argument::Interface if is_loopback(value) => Ok(()),
            Argument::Interface if option == SocketOption::IPV6_MULTICAST_IF => Err(Errno::EINVAL),
            Argument::Interface => Err(Errno::ENXIO),
            Argument::Address => {
                let address = Ipv4Addr::from((value as u32).to_le_bytes());
                let is_known =
                    address.is_unspecified() || self.stack.may_bind(address.to_ipv6_mapped());
                is_known.then_some(()).ok_or(Errno::EHOSTUNREACH)
            }
        }
    }

    /// `max_buf` of the protocol.
    fn longest_buffer(&self) -> u32 {
        match self.kind {
            Kind::Tcp(_) => 1 << 20,
            Kind::Udp(_) => 2 << 20,
            Kind::Raw(_) => 256 << 10,
        }
    }

    /// SO_LINGER with a time of 0: close resets the connection.
    pub fn set_linger0(&self) {
        if let Kind::Tcp(id) = self.kind
            && let Ok(mut squeue) = self.enter(id)
            && let Some(sonode) = &mut squeue.conn(id).sonode
        {
            sonode.linger0 = true;
        }
    }

    /// Whether a TCP socket's connect waits.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        let Kind::Tcp(id) = self.kind else {
            return;
        };
        if let Ok(mut squeue) = self.enter(id)
            && let Some(sonode) = &mut squeue.conn(id).sonode
        {
            sonode.nonblocking = nonblocking;
        }
    }
}

/// IPV6_PREFER_SRC_*: home or care-of, public or temporary, made by
/// cryptography or not; not both of a pair.
fn are_preferences(bits: u32) -> bool {
    let pairs = [0x03, 0x0c, 0x30];
    bits & !0x3f == 0 && pairs.iter().all(|pair| bits & pair != *pair)
}

fn set_tcp_option(
    conn: &mut Conn,
    id: ConnId,
    release: Release,
    option: SocketOption,
    value: i64,
    check: impl FnOnce(IpVersion) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let Some(sonode) = &mut conn.sonode else {
        return Err(Errno::EBADF);
    };
    if sonode.cannot_send {
        return Err(Errno::EINVAL);
    }
    check(conn.version)?;
    conn.limits.set(option, value as i32, release)?;
    match option {
        SocketOption::TCP_RECVDSTADDR if conn.state > TcpState::Listen => {
            return Err(Errno::EOPNOTSUPP);
        }
        SocketOption::SO_REUSEPORT => conn.set_reuseport(id, value != 0),
        SocketOption::SO_REUSEADDR => sonode.reuseaddr = value != 0,
        SocketOption::SO_EXCLBIND | SocketOption::TCP_EXCLBIND => conn.exclbind = value != 0,
        SocketOption::IPV6_V6ONLY => conn.v6only = value != 0,
        SocketOption::TCP_CONN_ABORT_THRESHOLD => {
            conn.abort_threshold = u64::try_from(value).unwrap_or(0);
        }
        _ => {}
    }
    Ok(())
}
