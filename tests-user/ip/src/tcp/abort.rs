// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: connections that an administrator ends.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::conn::{Conn, ConnId, TcpState};
use crate::error::Errno;
use crate::stack::Squeue;

/// Is it the local address? An IPv4 address is compared without a look at the
/// family.
fn has_local(conn: &Conn, local: IpAddr) -> bool {
    match local {
        IpAddr::V4(local) => conn.laddr.octets()[12..] == local.octets(),
        IpAddr::V6(local) => conn.laddr == local,
    }
}

impl Squeue<'_> {
    /// `TCP_IOC_ABORT_CONN`: the squeue's worker ends the connections later.
    pub fn abort(&mut self, local: IpAddr, states: &RangeInclusive<i32>) -> Result<(), Errno> {
        self.settle();
        let is_meant = |conn: &Conn| {
            conn.connected_hash.is_some()
                && states.contains(&(conn.state as i32))
                && has_local(conn, local)
        };
        let conns = self.state.conns.iter();
        let meant = conns.filter(|(_, conn)| is_meant(conn));
        let ids: Vec<ConnId> = meant.map(|(&id, _)| id).collect();
        if ids.is_empty() {
            return Err(Errno::ENOENT);
        }
        self.state.aborted.extend(ids);
        Ok(())
    }

    /// Ends this end; the peer is not told.
    pub(super) fn abort_one(&mut self, id: ConnId) {
        let Some(conn) = self.state.conns.get(&id) else {
            return;
        };
        let error = match conn.state {
            TcpState::Idle | TcpState::Bound | TcpState::Listen => return,
            TcpState::SynSent | TcpState::SynRcvd => Some(Errno::ECONNREFUSED),
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait => Some(Errno::ECONNRESET),
            TcpState::Closing | TcpState::LastAck | TcpState::TimeWait => None,
        };
        self.on_squeue(id, |squeue| squeue.clean_death(id, error));
    }
}
