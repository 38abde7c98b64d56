// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: all ways to end.

use crate::address::is_loopback;
use crate::conn::{ConnId, TcpState, Timer};
use crate::error::Errno;
use crate::stack::Squeue;
use crate::tcp::Segment;

/// Milliseconds until a FIN that was not acknowledged is sent again.
const FIN_RETRANSMISSION: u64 = 1000;
/// The time until the next run of the collector, which ends TIME_WAIT of
/// loopback addresses whatever the tunable says.
const COLLECTOR: u64 = 5000;

impl Squeue<'_> {
    /// The end of a conn that no program has: tells, and removes it.
    pub fn close_conn(&mut self, id: ConnId) {
        self.tell_disconnect(id);
        self.hash_remove(id);
        self.state.conns.remove(&id);
    }

    /// The end of a connection by its peer or by a timer.
    pub fn clean_death(&mut self, id: ConnId, error: Option<Errno>) {
        let conn = self.conn(id);
        if conn.sonode.is_none() {
            self.close_conn(id);
            return;
        }
        self.tell_disconnect(id);
        self.hash_remove(id);
        let abort_threshold = self.stack.times.connect_abort;
        let conn = self.conn(id);
        if conn.listener.is_some() {
            // Not accepted yet: it stays with its addresses until whoever
            // takes it from the queue closes it, and tells once more.
            conn.state = TcpState::Bound;
            conn.dead = true;
            conn.timer = None;
        } else {
            conn.reinit(abort_threshold);
        }
        // sockfs hears of no end in good order.
        if let Some(error) = error
            && let Some(sonode) = &mut conn.sonode
        {
            sonode.on_disconnected(error);
        }
    }

    /// `close`, or the end of a connection in a closed listener's queue.
    pub fn tcp_close(&mut self, id: ConnId) {
        let queue = match &mut self.conn(id).sonode {
            Some(sonode) => std::mem::take(&mut sonode.queue),
            None => return,
        };
        for eager in queue {
            self.kill_queued(eager);
        }
        self.on_squeue(id, |squeue| squeue.close_output(id));
    }

    /// Ends a connection that nobody accepted: its peer is told by a reset.
    fn kill_queued(&mut self, eager: ConnId) {
        let conn = self.conn(eager);
        conn.listener = None;
        conn.sonode = None;
        let is_dead = conn.dead;
        self.on_squeue(eager, |squeue| {
            if !is_dead {
                squeue.send(eager, Segment::Rst);
            }
            squeue.close_conn(eager);
        });
    }

    fn close_output(&mut self, id: ConnId) {
        self.kill_half_open(id);
        let conn = self.conn(id);
        let aborts = conn.sonode.take().is_some_and(|so| so.linger0);
        match conn.state {
            state if state < TcpState::SynRcvd => self.close_conn(id),
            _ if aborts => {
                self.send(id, Segment::Rst);
                self.close_conn(id);
            }
            TcpState::TimeWait => self.append_time_wait(id),
            _ => self.end_sending(id),
        }
    }

    /// Ends the connections of a listener whose handshake is not over.
    fn kill_half_open(&mut self, listener: ConnId) {
        let conns = self.state.conns.iter();
        let eagers: Vec<ConnId> = conns
            .filter(|(_, conn)| conn.listener == Some(listener) && conn.sonode.is_none())
            .map(|(&id, _)| id)
            .collect();
        for eager in eagers {
            self.on_squeue(eager, |squeue| {
                squeue.send(eager, Segment::Rst);
                squeue.close_conn(eager);
            });
        }
    }

    /// Sends a FIN if none was sent.
    pub fn end_sending(&mut self, id: ConnId) {
        let conn = self.conn(id);
        conn.state = match conn.state {
            TcpState::SynRcvd | TcpState::Established => TcpState::FinWait1,
            TcpState::CloseWait => TcpState::LastAck,
            _ => return,
        };
        self.send_fin(id);
    }

    /// Sends the FIN, after all data.
    pub fn send_fin(&mut self, id: ConnId) {
        self.set_timer(id, FIN_RETRANSMISSION, Timer::Fin);
        self.on_squeue(id, |squeue| {
            if squeue.send_unsent(id) {
                squeue.send(id, Segment::Fin);
            }
        });
    }

    pub fn begin_time_wait(&mut self, id: ConnId) {
        let conn = self.conn(id);
        conn.state = TcpState::TimeWait;
        conn.exclbind = false;
        if conn.sonode.is_some() {
            self.set_timer(id, self.stack.times.time_wait, Timer::TimeWait);
        } else {
            self.append_time_wait(id);
        }
    }

    /// What no program has waits on a list of ip's; a kernel of 2021 ends it
    /// instead if it is over loopback.
    fn append_time_wait(&mut self, id: ConnId) {
        let is_within = self.stack.is_local(self.conn(id).faddr);
        if is_within && self.stack.release.loopback_skips_time_wait() {
            self.close_conn(id);
            return;
        }
        let after = if is_loopback(self.conn(id).laddr) {
            COLLECTOR
        } else {
            self.stack.times.time_wait
        };
        self.set_timer(id, after, Timer::TimeWait);
    }
}
