// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: the connecting side.

use std::net::Ipv6Addr;

use super::tli::{TBADADDR, TOUTSTATE, tli_to_errno};
use crate::address::{IpVersion, UNSET, is_any, is_mapped, is_multicast, loopback_for_any};
use crate::conn::{ConnId, TcpState, Timer, Tuple};
use crate::error::Errno;
use crate::stack::Squeue;
use crate::tcp::{Packet, Segment};

/// Milliseconds until the first SYN is sent again; each wait doubles.
const FIRST_RETRANSMISSION: u64 = 1125;
/// No wait is longer.
const LONGEST_WAIT: u64 = 60_000;

impl Squeue<'_> {
    /// `connect`: `Ok` once the SYN is sent.
    pub fn tcp_connect(&mut self, id: ConnId, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        self.on_squeue(id, |squeue| match squeue.tcp_do_connect(id, to, port) {
            Ok(()) => {
                if let Some(sonode) = &mut squeue.conn(id).sonode {
                    sonode.resolved = false;
                }
                Ok(())
            }
            Err(code) => Err(squeue.connect_errno(id, code)),
        })
    }

    /// What sockfs makes of a failure: a positive number is an errno, a
    /// negative one a TLI code. Of those that say "wait", nothing comes.
    fn connect_errno(&mut self, id: ConnId, code: i32) -> Errno {
        if code > 0 {
            return Errno(code);
        }
        if code == -TOUTSTATE {
            return match self.conn(id).state {
                TcpState::SynSent => Errno::EALREADY,
                TcpState::Established => Errno::EISCONN,
                TcpState::Listen => Errno::EOPNOTSUPP,
                _ => Errno::EINVAL,
            };
        }
        tli_to_errno(-code).unwrap_or(Errno::EINPROGRESS)
    }

    fn tcp_do_connect(&mut self, id: ConnId, to: Ipv6Addr, port: u16) -> Result<(), i32> {
        let conn = self.conn(id);
        if port == 0 {
            return Err(-TBADADDR);
        }
        let version = IpVersion::of_address(to);
        if version == IpVersion::V4 && conn.v6only {
            return Err(Errno::EADDRNOTAVAIL.0);
        }
        // From here on the conn is one of IPv4, whatever comes of the connect.
        if version == IpVersion::V4 {
            conn.version = version;
        }
        match conn.state {
            TcpState::Listen => return Err(Errno::EOPNOTSUPP.0),
            TcpState::Idle | TcpState::Bound if !conn.dead => {}
            _ => return Err(-TOUTSTATE),
        }
        if !is_any(conn.bound) && is_mapped(conn.bound) != is_mapped(to) {
            return Err(Errno::EADDRNOTAVAIL.0);
        }
        let before = conn.state;
        let result = self.tcp_connect_conn(id, loopback_for_any(to), port);
        if result.is_err() {
            // The local end, the header template and the place in the hash
            // stay: the next connect of this socket meets them.
            let conn = self.conn(id);
            conn.faddr = UNSET;
            conn.fport = 0;
            conn.state = before;
        }
        result
    }

    fn tcp_connect_conn(&mut self, id: ConnId, to: Ipv6Addr, port: u16) -> Result<(), i32> {
        let conn = self.conn(id);
        conn.faddr = to;
        conn.fport = port;
        if conn.state == TcpState::Idle {
            let lport = self.port_to((to, port)).map_err(|errno| errno.0)?;
            let now = self.next_place();
            let conn = self.conn(id);
            conn.bound_at = now;
            conn.lport = lport;
            conn.state = TcpState::Bound;
        }
        self.set_destination(id).map_err(|errno| errno.0)?;
        let conn = self.conn(id);
        if (conn.laddr, conn.lport) == (conn.faddr, conn.fport) {
            return Err(-TBADADDR);
        }
        conn.state = TcpState::SynSent;
        self.insert_connected(id).map_err(|errno| errno.0)?;
        match self.ask(id, true) {
            0 => {}
            refusal => return Err(refusal),
        }
        self.send_syn(id, 1);
        Ok(())
    }

    /// Chooses the route and the source; builds the header template if there
    /// is none.
    pub(super) fn set_destination(&mut self, id: ConnId) -> Result<(), Errno> {
        let stack = self.stack;
        let conn = self.conn(id);
        let source = match stack.source_for(conn.faddr) {
            Ok(source) if !is_multicast(conn.faddr) => source,
            _ => {
                if is_any(conn.saddr) {
                    conn.saddr = loopback_for_any(conn.version.any());
                }
                return Err(Errno::ENETUNREACH);
            }
        };
        if is_any(conn.saddr) {
            conn.saddr = source;
        }
        if is_any(conn.laddr) {
            conn.laddr = conn.saddr;
        }
        conn.template.get_or_insert((conn.lport, conn.fport));
        Ok(())
    }

    /// Inserts into the connected hash. The check for another conn comes
    /// first, so one that a failed connect left there may meet itself.
    pub(super) fn insert_connected(&mut self, id: ConnId) -> Result<(), Errno> {
        let tuple = self.conn(id).tuple();
        let is_there = |other: &Tuple| *other == tuple;
        let taken = self.state.conns.iter().any(|(&other, conn)| {
            let hashed = conn.connected_hash.as_ref();
            hashed.is_some_and(is_there) && (other == id || conn.tuple() == tuple)
        });
        if taken {
            return Err(Errno::EADDRINUSE);
        }
        self.hash_remove(id);
        self.conn(id).connected_hash = Some(tuple);
        Ok(())
    }

    /// Sends the SYN with the ports of the header template.
    fn send_syn(&mut self, id: ConnId, sent: u32) {
        let wait = wait_after(sent);
        self.set_timer(id, wait, Timer::Syn { sent });
        let conn = self.conn(id);
        let (lport, fport) = conn.template.unwrap_or((conn.lport, conn.fport));
        let syn = Packet {
            from: (conn.saddr, lport),
            to: (conn.faddr, fport),
            segment: Segment::Syn,
        };
        self.transmit(id, syn);
    }

    pub fn syn_timer(&mut self, id: ConnId, sent: u32) {
        self.on_squeue(id, |squeue| {
            // The first wait does not count.
            let waited: u64 = (2..=sent).map(wait_after).sum();
            let threshold = squeue.conn(id).abort_threshold;
            if threshold == 0 || waited < threshold {
                squeue.send_syn(id, sent + 1);
            } else {
                squeue.clean_death(id, Some(Errno::ETIMEDOUT));
            }
        });
    }
}

/// Milliseconds until the next SYN after so many.
fn wait_after(sent: u32) -> u64 {
    let doubled = FIRST_RETRANSMISSION.checked_shl(sent - 1);
    doubled.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
}
