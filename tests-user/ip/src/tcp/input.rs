// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: packets that arrive.

use std::net::Ipv6Addr;

use crate::address::IpVersion;
use crate::conn::{Conn, ConnId, Sonode, TcpState};
use crate::error::Errno;
use crate::network::Body;
use crate::stack::{Provoked, Squeue};
use crate::tcp::{Packet, Segment};

impl Squeue<'_> {
    /// Works on a conn; packets for it wait until this is over.
    pub fn on_squeue<R>(&mut self, id: ConnId, work: impl FnOnce(&mut Self) -> R) -> R {
        self.state.on_squeue.push(id);
        let result = work(self);
        self.state.on_squeue.pop();
        result
    }

    /// Does what waits for the squeue's worker: aborts, and packets.
    pub fn settle(&mut self) {
        for id in std::mem::take(&mut self.state.aborted) {
            self.abort_one(id);
        }
        while let Some(packet) = self.state.waiting.pop_front() {
            self.deliver(packet);
        }
    }

    /// Takes a packet to its conn: at once, unless a thread is working on it.
    pub fn deliver(&mut self, packet: Packet) {
        if !self.stack.is_local(packet.to.0) {
            let body = Body::Tcp(packet.segment);
            self.stack.send_out(packet.from, packet.to, body);
            return;
        }
        match self.classify(&packet) {
            Some(id) if self.state.on_squeue.contains(&id) => self.state.waiting.push_back(packet),
            Some(id) => {
                let before = self.interrupt;
                self.interrupt = self.state.interrupts;
                self.on_squeue(id, |squeue| squeue.input(id, packet));
                self.interrupt = before;
            }
            None => self.reset(packet),
        }
    }

    /// The conn of a packet: a connection, else a listener.
    fn classify(&self, packet: &Packet) -> Option<ConnId> {
        let connection = self.find_connection(packet.from, packet.to);
        connection.or_else(|| self.find_listener(packet.to))
    }

    pub fn find_connection(&self, from: (Ipv6Addr, u16), to: (Ipv6Addr, u16)) -> Option<ConnId> {
        let is_connection = |conn: &Conn| {
            conn.connected_hash.is_some()
                && conn.state > TcpState::Listen
                && (conn.laddr, conn.lport) == to
                && (conn.faddr, conn.fport) == from
        };
        let mut conns = self.state.conns.iter();
        let found = conns.find(|(_, conn)| is_connection(conn));
        found.map(|(&id, _)| id)
    }

    pub fn find_listener(&self, to: (Ipv6Addr, u16)) -> Option<ConnId> {
        let version = IpVersion::of_address(to.0);
        let candidates = [to.0, version.any(), IpVersion::V6.any()];
        candidates.iter().find_map(|&laddr| {
            let is_listener = |conn: &Conn| {
                conn.state == TcpState::Listen
                    && conn.lport == to.1
                    && conn.laddr == laddr
                    && !(conn.v6only && version == IpVersion::V4)
            };
            // Of those that share a port, the last one that began to listen.
            let listeners = self
                .state
                .conns
                .iter()
                .filter(|(_, conn)| is_listener(conn));
            let listener = listeners.max_by_key(|(_, conn)| conn.listens_since);
            listener.map(|(&id, _)| id)
        })
    }

    /// Answers a packet that nobody expects.
    fn reset(&mut self, packet: Packet) {
        if packet.segment == Segment::Rst {
            return;
        }
        if self.stack.is_local(packet.from.0) {
            self.answer(packet, Segment::Rst);
        } else {
            self.stack.send_out(packet.to, packet.from, Body::TcpAnswer);
        }
    }

    fn answer(&mut self, packet: Packet, segment: Segment) {
        self.deliver(Packet {
            from: packet.to,
            to: packet.from,
            segment,
        });
    }

    fn input(&mut self, id: ConnId, packet: Packet) {
        match (self.conn(id).state, packet.segment) {
            (TcpState::Listen, Segment::Syn) => self.input_listener(id, packet),
            (TcpState::Listen, _) => self.reset(packet),
            (TcpState::TimeWait, Segment::Syn) => {
                // A new connection in the place of the old one.
                self.close_conn(id);
                self.deliver(packet);
            }
            (TcpState::TimeWait, Segment::Fin) => self.answer(packet, Segment::FinAck),
            (TcpState::TimeWait, _) => {}
            (TcpState::SynSent, Segment::Rst) => self.clean_death(id, Some(Errno::ECONNREFUSED)),
            (TcpState::SynSent, Segment::Syn) => {
                self.conn(id).state = TcpState::SynRcvd;
                self.conn(id).timer = None;
                self.answer(packet, Segment::SynAck);
            }
            (TcpState::SynSent, Segment::SynAck) => {
                self.establish(id);
                self.answer(packet, Segment::Ack);
            }
            (TcpState::SynSent, _) => self.reset(packet),
            (TcpState::SynRcvd, Segment::Rst) => self.clean_death(id, Some(Errno::ECONNREFUSED)),
            (TcpState::SynRcvd, Segment::Syn) => self.answer(packet, Segment::SynAck),
            (TcpState::SynRcvd, Segment::Ack) => self.establish(id),
            (_, Segment::Rst) => self.clean_death(id, Some(Errno::ECONNRESET)),
            (_, Segment::Data(length)) => self.input_data(id, packet, length),
            (_, Segment::Fin) => self.input_fin(id, packet),
            (_, Segment::FinAck) => self.input_fin_ack(id),
            // The peer knows nothing of this connection any more, and says so.
            (_, Segment::Syn) => self.answer(packet, Segment::Ack),
            (_, Segment::SynAck | Segment::Ack) => {}
        }
    }

    /// A SYN for a listener.
    fn input_listener(&mut self, id: ConnId, packet: Packet) {
        let listener = self.conn(id);
        let queued = listener.sonode.as_ref().map_or(0, |so| so.queue.len());
        if queued >= listener.backlog {
            return;
        }
        let family = listener.family;
        let provoked = self.state.provoked.take();
        let eager = self.add_eager(id, family, &packet);
        if self.ask(eager, false) != 0 {
            self.state.conns.remove(&eager);
            return;
        }
        if provoked == Some(Provoked::NoDestination) || self.set_destination(eager).is_err() {
            self.state.conns.remove(&eager);
            return;
        }
        if provoked == Some(Provoked::Duplicate) {
            self.duplicate(id, family, &packet);
        }
        if self.insert_connected(eager).is_err() {
            // A copy of this SYN came first.
            self.close_conn(eager);
            return;
        }
        self.answer(packet, Segment::SynAck);
    }

    /// A copy of a SYN whose first eager is not hashed yet: it is asked about
    /// too, and killed when it finds the first one in the hash.
    fn duplicate(&mut self, listener: ConnId, family: u16, packet: &Packet) {
        let copy = self.add_eager(listener, family, packet);
        if self.ask(copy, false) == 0 {
            self.close_conn(copy);
        } else {
            self.state.conns.remove(&copy);
        }
    }

    fn add_eager(&mut self, listener: ConnId, family: u16, packet: &Packet) -> ConnId {
        let limits = self.conn(listener).limits;
        let mut eager = Conn::new(family, self.stack.times.connect_abort);
        eager.limits = limits;
        eager.bound_at = self.next_place();
        eager.version = IpVersion::of_address(packet.to.0);
        eager.state = TcpState::SynRcvd;
        eager.laddr = packet.to.0;
        eager.saddr = packet.to.0;
        eager.lport = packet.to.1;
        eager.faddr = packet.from.0;
        eager.fport = packet.from.1;
        eager.listener = Some(listener);
        eager.sonode = None;
        self.add(eager)
    }

    /// The handshake is over: tells sockfs.
    fn establish(&mut self, id: ConnId) {
        let conn = self.conn(id);
        conn.state = TcpState::Established;
        conn.timer = None;
        let Some(listener) = conn.listener else {
            if let Some(sonode) = &mut conn.sonode {
                sonode.on_connected();
            }
            return;
        };
        let mut sonode = Sonode::default();
        sonode.on_connected();
        conn.sonode = Some(sonode);
        if let Some(conn) = self.state.conns.get_mut(&listener)
            && let Some(sonode) = &mut conn.sonode
        {
            sonode.queue.push_back(id);
        }
    }

    fn input_data(&mut self, id: ConnId, packet: Packet, length: usize) {
        match &mut self.conn(id).sonode {
            Some(sonode) if !sonode.cannot_receive => sonode.received += length,
            Some(_) => {}
            // Nobody will read it.
            None => {
                self.reset(packet);
                self.close_conn(id);
            }
        }
    }

    fn input_fin(&mut self, id: ConnId, packet: Packet) {
        let conn = self.conn(id);
        if let Some(sonode) = &mut conn.sonode {
            sonode.cannot_receive = true;
        }
        match conn.state {
            TcpState::SynRcvd | TcpState::Established => conn.state = TcpState::CloseWait,
            TcpState::FinWait1 => conn.state = TcpState::Closing,
            TcpState::FinWait2 => self.begin_time_wait(id),
            _ => {}
        }
        self.answer(packet, Segment::FinAck);
    }

    fn input_fin_ack(&mut self, id: ConnId) {
        let conn = self.conn(id);
        conn.timer = None;
        match conn.state {
            TcpState::FinWait1 => conn.state = TcpState::FinWait2,
            TcpState::Closing => self.begin_time_wait(id),
            TcpState::LastAck => self.clean_death(id, None),
            _ => {}
        }
    }
}
