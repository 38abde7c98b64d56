// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a program does with a TCP socket.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{
    Conn, Tcb, TcpState, ask, end, forget_connection, send, send_fin, send_reset, send_syn,
};
use crate::address::canonical;
use crate::error::Errno;
use crate::lock;
use crate::node::{CONTEXTS, Node};
use crate::wire::Segment;

/// A TCP socket. It is closed when it is dropped.
pub struct TcpSocket {
    node: Node,
    conn: Arc<Conn>,
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpSocket")
            .field("node", &self.node.name())
            .field("state", &self.state())
            .field("local", &self.local())
            .field("foreign", &self.foreign())
            .finish()
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}

impl Node {
    /// A TCP socket that is neither bound nor connected.
    pub fn tcp_socket(&self) -> TcpSocket {
        TcpSocket {
            conn: Conn::new(self.state.serial()),
            node: self.clone(),
        }
    }

    /// A socket that listens on `local`.
    ///
    /// # Errors
    ///
    /// Those of [`TcpSocket::bind`] and [`TcpSocket::listen`].
    pub fn tcp_listen(&self, local: SocketAddr) -> Result<TcpSocket, Errno> {
        let socket = self.tcp_socket();
        socket.bind(local)?;
        socket.listen(128)?;
        Ok(socket)
    }

    /// A socket that is connected to `peer`, from `local` if it is given.
    ///
    /// # Errors
    ///
    /// Those of [`TcpSocket::bind`] and [`TcpSocket::connect`].
    pub fn tcp_connect(
        &self,
        local: Option<SocketAddr>,
        peer: SocketAddr,
    ) -> Result<TcpSocket, Errno> {
        let socket = self.tcp_socket();
        if let Some(local) = local {
            socket.bind(local)?;
        }
        socket.connect(peer)?;
        Ok(socket)
    }
}

impl TcpSocket {
    /// The node it is on.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Its state.
    pub fn state(&self) -> TcpState {
        lock(&self.conn.squeue).state
    }

    /// Where it is bound to, or the source that was chosen.
    pub fn local(&self) -> Option<SocketAddr> {
        lock(&self.conn.squeue).local
    }

    /// What it is connected to.
    pub fn foreign(&self) -> Option<SocketAddr> {
        lock(&self.conn.squeue).foreign
    }

    /// What ended the connection, once.
    pub fn take_error(&self) -> Option<Errno> {
        lock(&self.conn.squeue).error.take()
    }

    /// Binds it. Port 0 is any; an address may be `0.0.0.0` or `::`.
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL` if the node does not have the address, `EADDRINUSE` if
    /// the port is taken, `EINVAL` if the socket is bound or connected.
    pub fn bind(&self, local: SocketAddr) -> Result<(), Errno> {
        self.node.state.check_local(local.ip())?;
        let mut tcb = lock(&self.conn.squeue);
        if tcb.closed {
            return Err(Errno::EBADF);
        }
        if tcb.state != TcpState::Idle || tcb.local.is_some() {
            return Err(Errno::EINVAL);
        }
        let mut tables = self.node.state.tables();
        tcb.local = Some(tables.tcp.bind(local, false, &self.conn)?);
        tcb.bound = true;
        Ok(())
    }

    /// Listens, with room for `backlog` connections that nobody accepted. A
    /// listener may be told again.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the socket is not bound or is connected.
    pub fn listen(&self, backlog: usize) -> Result<(), Errno> {
        let mut tcb = lock(&self.conn.squeue);
        let local = tcb.local.ok_or(Errno::EINVAL)?;
        match tcb.state {
            TcpState::Idle => {}
            TcpState::Listen => self.tell_unlisten(local),
            _ => return Err(Errno::EINVAL),
        }
        tcb.backlog = backlog.max(1);
        if let Some(clinet) = &self.node.state.clinet {
            clinet.tcp_listen(&CONTEXTS.squeue, local);
        }
        tcb.state = TcpState::Listen;
        self.conn.listening.store(true, Ordering::Release);
        Ok(())
    }

    /// The packet classifier takes a listener out of the bind hash.
    fn tell_unlisten(&self, local: SocketAddr) {
        let _bucket = self.node.state.connf_lock(local.port());
        if let Some(clinet) = &self.node.state.clinet {
            clinet.tcp_unlisten(&CONTEXTS.connf_lock, local);
        }
    }

    /// Connects, and waits for it; the clock moves if nothing else happens.
    ///
    /// # Errors
    ///
    /// Those of [`TcpSocket::start_connect`], `ECONNREFUSED` if nobody listens
    /// and `ETIMEDOUT` if nobody answers.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Errno> {
        self.start_connect(peer)?;
        self.finish_connect()
    }

    /// Sends the SYN and does not wait for the answer. [`TcpSocket::state`]
    /// or [`TcpSocket::finish_connect`] tell what came of it.
    ///
    /// # Errors
    ///
    /// The refusal itself, after which the socket has to be closed: another
    /// connect is `EADDRINUSE` without a question. `EADDRINUSE` as well if the
    /// node has a connection with these ends; `EADDRNOTAVAIL` for port 0,
    /// `EALREADY` and `EISCONN`, `EINVAL` for a listener.
    pub fn start_connect(&self, peer: SocketAddr) -> Result<(), Errno> {
        let result = self.begin_connect(peer);
        self.node.network.pump();
        result
    }

    fn begin_connect(&self, peer: SocketAddr) -> Result<(), Errno> {
        let (node, conn) = (&self.node, &self.conn);
        let mut tcb = lock(&conn.squeue);
        match tcb.state {
            TcpState::Idle if tcb.refused => return Err(Errno::EADDRINUSE),
            TcpState::Idle => {}
            TcpState::Listen => return Err(Errno::EINVAL),
            TcpState::SynSent | TcpState::SynReceived => return Err(Errno::EALREADY),
            _ if tcb.closed => return Err(Errno::EBADF),
            _ => return Err(Errno::EISCONN),
        }
        let peer = canonical(peer);
        if peer.port() == 0 {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let local = self.choose_source(&mut tcb, peer)?;
        {
            let mut tables = node.state.tables();
            if tables.connected.contains_key(&(local, peer)) {
                return Err(Errno::EADDRINUSE);
            }
            tables.connected.insert((local, peer), conn.clone());
        }
        tcb.local = Some(local);
        tcb.foreign = Some(peer);
        tcb.state = TcpState::SynSent;
        tcb.syns = 0;
        tcb.error = None;
        if let Err(refusal) = ask(node, &CONTEXTS.squeue, &mut tcb, true, (local, peer)) {
            forget_connection(node, conn, &mut tcb);
            tcb.state = TcpState::Idle;
            tcb.refused = true;
            return Err(refusal);
        }
        send_syn(node, conn, &mut tcb);
        Ok(())
    }

    /// The source address and port, chosen unless the socket is bound.
    fn choose_source(&self, tcb: &mut Tcb, peer: SocketAddr) -> Result<SocketAddr, Errno> {
        let state = &self.node.state;
        let source = state.source_for(peer.ip());
        if let Some(local) = tcb.local.map(canonical) {
            return Ok(if local.ip().is_unspecified() {
                SocketAddr::new(source, local.port())
            } else {
                local
            });
        }
        let wanted = SocketAddr::new(source, 0);
        let local = state.tables().tcp.bind(wanted, false, &self.conn)?;
        tcb.local = Some(local);
        Ok(local)
    }

    /// Waits for what came of [`TcpSocket::start_connect`].
    ///
    /// # Errors
    ///
    /// As for [`TcpSocket::connect`].
    pub fn finish_connect(&self) -> Result<(), Errno> {
        let pending = |state| matches!(state, TcpState::SynSent | TcpState::SynReceived);
        self.node.network.run_until(|| !pending(self.state()));
        let mut tcb = lock(&self.conn.squeue);
        match tcb.state {
            TcpState::Idle | TcpState::Closed => Err(tcb.error.take().unwrap_or(Errno::ENOTCONN)),
            state if pending(state) => Err(Errno::EINPROGRESS),
            _ => Ok(()),
        }
    }

    /// Takes a connection from a listener.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is none, `EINVAL` if the socket does not listen.
    pub fn accept(&self) -> Result<TcpSocket, Errno> {
        self.node.network.pump();
        if !self.conn.listening.load(Ordering::Acquire) {
            return Err(Errno::EINVAL);
        }
        let conn = {
            let mut eagers = lock(&self.conn.eagers);
            let ready = |conn: &Arc<Conn>| conn.ready.load(Ordering::Acquire);
            let index = eagers.iter().position(ready).ok_or(Errno::EAGAIN)?;
            eagers.remove(index)
        };
        lock(&conn.squeue).listener = Weak::new();
        Ok(TcpSocket {
            node: self.node.clone(),
            conn,
        })
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// What ended the connection; `ENOTCONN` or `EPIPE` if there is none.
    pub fn send(&self, data: &[u8]) -> Result<(), Errno> {
        {
            let mut tcb = lock(&self.conn.squeue);
            if let Some(error) = tcb.error.take() {
                return Err(error);
            }
            match tcb.state {
                TcpState::Established | TcpState::CloseWait => {}
                _ if tcb.closed => return Err(Errno::EBADF),
                _ => return Err(Errno::ENOTCONN),
            }
            let segment = Segment {
                ack: true,
                data: data.to_vec(),
                ..Segment::default()
            };
            send(&self.node, &tcb, &self.conn, segment);
        }
        self.node.network.pump();
        Ok(())
    }

    /// All bytes that have arrived. None at all: the peer has closed.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there are none yet, else what ended the connection.
    pub fn recv(&self) -> Result<Vec<u8>, Errno> {
        self.node.network.pump();
        let mut tcb = lock(&self.conn.squeue);
        if !tcb.received.is_empty() {
            return Ok(tcb.received.drain(..).collect());
        }
        if let Some(error) = tcb.error.take() {
            return Err(error);
        }
        match tcb.state {
            TcpState::Established => Err(Errno::EAGAIN),
            TcpState::CloseWait => Ok(Vec::new()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// Closes it: a connection is ended in good order, those that a listener
    /// has not given away are reset.
    pub fn close(&self) {
        let eagers = self.shut(false);
        self.reset_eagers(eagers);
        self.node.network.pump();
    }

    /// Closes it and ends a connection by RST.
    pub fn abort(&self) {
        let eagers = self.shut(true);
        self.reset_eagers(eagers);
        self.node.network.pump();
    }

    /// Returns what a listener leaves.
    fn shut(&self, reset: bool) -> Vec<Arc<Conn>> {
        let (node, conn) = (&self.node, &self.conn);
        let mut tcb = lock(&conn.squeue);
        if std::mem::replace(&mut tcb.closed, true) {
            return Vec::new();
        }
        match tcb.state {
            TcpState::Established | TcpState::CloseWait if !reset => {
                send_fin(node, &tcb, conn);
                tcb.state = if tcb.state == TcpState::Established {
                    TcpState::FinWait1
                } else {
                    TcpState::LastAck
                };
                return Vec::new();
            }
            TcpState::Listen => {
                conn.listening.store(false, Ordering::Release);
                if let Some(local) = tcb.local {
                    self.tell_unlisten(local);
                }
            }
            TcpState::Idle | TcpState::SynSent => {}
            _ => send_reset(node, &tcb, conn),
        }
        end(node, &CONTEXTS.squeue, conn, &mut tcb, None);
        std::mem::take(&mut *lock(&conn.eagers))
    }

    fn reset_eagers(&self, eagers: Vec<Arc<Conn>>) {
        for eager in eagers {
            let mut tcb = lock(&eager.squeue);
            if tcb.is_alive() {
                tcb.closed = true;
                send_reset(&self.node, &tcb, &eager);
                end(&self.node, &CONTEXTS.squeue, &eager, &mut tcb, None);
            }
        }
    }
}
