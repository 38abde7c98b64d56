// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: segments that a connection sends, and sends again.

use super::{Packet, Segment};
use crate::conn::{ConnId, Timer};
use crate::stack::Squeue;

/// Milliseconds until data that did not arrive is sent again, at first.
const DATA_RETRANSMISSION: u64 = 400;
/// No wait is longer.
const LONGEST_WAIT: u64 = 60_000;

impl Squeue<'_> {
    /// Sends a segment on a connection; says whether it got away.
    pub fn send(&mut self, id: ConnId, segment: Segment) -> bool {
        let conn = self.conn(id);
        let packet = Packet {
            from: (conn.laddr, conn.lport),
            to: (conn.faddr, conn.fport),
            segment,
        };
        self.transmit(id, packet)
    }

    /// Hands a packet of a conn to IP, which drops it without a word if its
    /// source is not good any more.
    pub fn transmit(&mut self, id: ConnId, packet: Packet) -> bool {
        let stack = self.stack;
        let seen = &mut self.conn(id).source_seen;
        if !stack.interfaces.verify(packet.from.0, seen) {
            return false;
        }
        let arrives = stack.is_on_network() || stack.is_local(packet.to.0);
        self.deliver(packet);
        arrives
    }

    /// Sends data after what was sent before it.
    pub fn send_data(&mut self, id: ConnId, length: usize) {
        self.conn(id).unsent.push(length);
        if !self.send_unsent(id) && self.conn(id).timer.is_none() {
            let wait = DATA_RETRANSMISSION;
            self.set_timer(id, wait, Timer::Data { wait });
        }
    }

    /// Sends what did not arrive yet; says whether nothing is left.
    pub fn send_unsent(&mut self, id: ConnId) -> bool {
        while let Some(&length) = self.conn(id).unsent.first() {
            if !self.send(id, Segment::Data(length)) {
                return false;
            }
            // A reset of the peer waits until the squeue is left.
            self.conn(id).unsent.remove(0);
        }
        true
    }

    pub fn data_timer(&mut self, id: ConnId, wait: u64) {
        self.on_squeue(id, |squeue| {
            if !squeue.send_unsent(id) {
                let wait = (wait * 2).min(LONGEST_WAIT);
                squeue.set_timer(id, wait, Timer::Data { wait });
            }
        });
    }
}
