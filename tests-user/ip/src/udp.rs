// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP: endpoints that remember their most recent destination.
//!
//! An endpoint's mutex is its `conn_lock`: it is held to compare and to store
//! the destination, and dropped for the question.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::address::{FiveTuple, canonical, wildcard_like};
use crate::error::Errno;
use crate::lock;
use crate::node::{CONTEXTS, Node, NodeState};
use crate::option::SocketOption;
use crate::types::{ClinetUdp, ClinetUdpAsk};
use crate::wire::{Body, Packet};

/// A UDP endpoint.
pub(crate) struct Endpoint {
    conn_lock: Mutex<Udp>,
}

/// What the endpoint's lock protects.
#[derive(Default)]
struct Udp {
    /// The most recent destination; it never moves.
    cu: ClinetUdp,
    /// Where it is bound to, with the port that was chosen.
    bound: Option<SocketAddr>,
    /// Source and peer, in canonical form.
    connected: Option<(SocketAddr, SocketAddr)>,
    shares_port: bool,
    closed: bool,
    received: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// Is an endpoint connected so?
pub(crate) fn is_connected(node: &NodeState, tuple: &FiveTuple) -> bool {
    let ends = Some((tuple.local, tuple.foreign));
    let candidates = node.tables().udp.candidates(tuple.local);
    candidates
        .iter()
        .any(|endpoint| lock(&endpoint.conn_lock).connected == ends)
}

/// Is an endpoint bound there?
pub(crate) fn is_bound(node: &NodeState, local: SocketAddr) -> bool {
    !node.tables().udp.candidates(local).is_empty()
}

/// A datagram arrives.
pub(crate) fn input(node: &Node, packet: Packet) {
    let Body::Udp(data) = packet.body else {
        return;
    };
    let ends = Some((canonical(packet.to), canonical(packet.from)));
    let candidates = node.state.tables().udp.candidates(packet.to);
    let connected = |endpoint: &&Arc<Endpoint>| lock(&endpoint.conn_lock).connected == ends;
    let unconnected = |endpoint: &&Arc<Endpoint>| lock(&endpoint.conn_lock).connected.is_none();
    let receiver = candidates
        .iter()
        .find(connected)
        .or_else(|| candidates.iter().find(unconnected));
    if let Some(endpoint) = receiver {
        let mut udp = lock(&endpoint.conn_lock);
        udp.received.push_back((packet.from, data));
    }
}

/// A UDP socket. It is closed when it is dropped.
pub struct UdpSocket {
    node: Node,
    endpoint: Arc<Endpoint>,
    /// Read by calls that drop the endpoint's lock on the way, written by
    /// close: a file is closed when the last call that uses it is over.
    users: RwLock<()>,
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket")
            .field("node", &self.node.name())
            .field("local", &self.local())
            .field("foreign", &self.foreign())
            .finish()
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}

impl Node {
    /// A UDP socket that is neither bound nor connected.
    pub fn udp_socket(&self) -> UdpSocket {
        UdpSocket {
            node: self.clone(),
            endpoint: Arc::new(Endpoint {
                conn_lock: Mutex::default(),
            }),
            users: RwLock::default(),
        }
    }

    /// A socket that is bound to `local`.
    ///
    /// # Errors
    ///
    /// Those of [`UdpSocket::bind`].
    pub fn udp_bind(&self, local: SocketAddr) -> Result<UdpSocket, Errno> {
        let socket = self.udp_socket();
        socket.bind(local)?;
        Ok(socket)
    }
}

impl UdpSocket {
    /// The node it is on.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Where it is bound to; the chosen source while it is connected.
    pub fn local(&self) -> Option<SocketAddr> {
        let udp = self.lock();
        udp.connected.map(|(source, _)| source).or(udp.bound)
    }

    /// What it is connected to.
    pub fn foreign(&self) -> Option<SocketAddr> {
        self.lock().connected.map(|(_, peer)| peer)
    }

    /// The two fields of its most recent destination.
    pub fn last_destination(&self) -> ClinetUdp {
        self.lock().cu
    }

    fn lock(&self) -> MutexGuard<'_, Udp> {
        lock(&self.endpoint.conn_lock)
    }

    fn user(&self) -> RwLockReadGuard<'_, ()> {
        self.users.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_open(&self) -> Result<MutexGuard<'_, Udp>, Errno> {
        let udp = self.lock();
        if udp.closed {
            Err(Errno::EBADF)
        } else {
            Ok(udp)
        }
    }

    /// Binds it. Port 0 is any; an address may be `0.0.0.0` or `::`.
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL` if the node does not have the address, `EADDRINUSE` if
    /// the port is taken, `EINVAL` if the socket is bound.
    pub fn bind(&self, local: SocketAddr) -> Result<(), Errno> {
        self.node.state.check_local(local.ip())?;
        self.bind_locked(&mut *self.lock_open()?, local)
    }

    fn bind_locked(&self, udp: &mut Udp, local: SocketAddr) -> Result<(), Errno> {
        if udp.bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let share = udp.shares_port;
        let mut tables = self.node.state.tables();
        let local = tables.udp.bind(local, share, &self.endpoint)?;
        drop(tables);
        udp.bound = Some(local);
        if let Some(clinet) = &self.node.state.clinet {
            clinet.udp_bind(&CONTEXTS.conn_lock, &mut udp.cu, local);
            self.node.with_others(|others| {
                let directory = &self.node.network.directory;
                directory.udp_bound(self.node.id(), local, others);
            });
        }
        Ok(())
    }

    /// The first send or connect binds, to the wildcard of its family.
    fn bind_if_needed(&self, udp: &mut Udp, like: IpAddr) -> Result<SocketAddr, Errno> {
        if udp.bound.is_none() {
            self.bind_locked(udp, SocketAddr::new(wildcard_like(like), 0))?;
        }
        udp.bound.ok_or(Errno::EINVAL)
    }

    /// `bind(NULL)`: it is neither bound nor connected any more. The module is
    /// told of the source that was chosen if the socket was connected.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not bound.
    pub fn unbind(&self) -> Result<(), Errno> {
        let mut udp = self.lock_open()?;
        if udp.bound.is_none() {
            return Err(Errno::EINVAL);
        }
        self.unbind_locked(&mut udp);
        Ok(())
    }

    fn unbind_locked(&self, udp: &mut Udp) {
        let Some(bound) = udp.bound.take() else {
            return;
        };
        let local = udp.connected.take().map_or(bound, |(source, _)| source);
        if let Some(clinet) = &self.node.state.clinet {
            clinet.udp_unbind(&CONTEXTS.conn_lock, &mut udp.cu, local);
            self.node.with_others(|others| {
                let directory = &self.node.network.directory;
                directory.udp_unbound(self.node.id(), local, others);
            });
        }
        let mut tables = self.node.state.tables();
        tables.udp.release(bound.port(), &self.endpoint);
    }

    /// Connects: asked about always, also to the same peer again.
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL` if it is refused, after which an earlier connection is
    /// gone too, or for port 0; `EHOSTUNREACH` if there is no route.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Errno> {
        let _user = self.user();
        let mut udp = self.lock_open()?;
        let binds = udp.bound.is_none();
        let bound = self.bind_if_needed(&mut udp, peer.ip())?;
        let result = if peer.port() == 0 {
            drop(udp);
            Err(Errno::EADDRNOTAVAIL)
        } else {
            self.connect_bound(udp, bound, canonical(peer))
        };
        if result.is_err() && binds {
            let mut udp = self.lock();
            if udp.connected.is_none() {
                self.unbind_locked(&mut udp);
            }
        }
        result
    }

    fn connect_bound(
        &self,
        mut udp: MutexGuard<'_, Udp>,
        bound: SocketAddr,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        let state = &self.node.state;
        udp.connected = None;
        let Some(clinet) = &state.clinet else {
            let source = self.source(bound, peer)?;
            udp.connected = Some((source, peer));
            return Ok(());
        };
        let ask = clinet.udp_connect_begin(&CONTEXTS.conn_lock, &mut udp.cu, peer)?;
        let source = self.source(bound, peer)?;
        let ends = Some((source, peer));
        udp.connected = ends;
        drop(udp);
        let answer = {
            let _bucket = state.uf_lock(bound.port());
            clinet.udp_connect_ask(&CONTEXTS.uf_lock, &ask, source)
        };
        let mut udp = self.lock();
        if answer.is_ok() {
            clinet.udp_connect_end(&CONTEXTS.conn_lock, &mut udp.cu, &ask);
            self.tell_accepted(source, peer);
        } else if udp.connected == ends {
            udp.connected = None;
        }
        answer
    }

    fn tell_accepted(&self, source: SocketAddr, peer: SocketAddr) {
        let tuple = FiveTuple::udp(source, peer);
        self.node.with_others(|others| {
            let directory = &self.node.network.directory;
            directory.udp_accepted(self.node.id(), &tuple, others);
        });
    }

    /// The source of datagrams to `peer`.
    fn source(&self, bound: SocketAddr, peer: SocketAddr) -> Result<SocketAddr, Errno> {
        if !self.node.network.wire.is_reachable(peer.ip()) {
            return Err(Errno::EHOSTUNREACH);
        }
        let bound = canonical(bound);
        Ok(if bound.ip().is_unspecified() {
            SocketAddr::new(self.node.state.source_for(peer.ip()), bound.port())
        } else {
            bound
        })
    }

    /// `connect(NULL)`: it is no longer connected.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if it is not.
    pub fn disconnect(&self) -> Result<(), Errno> {
        let mut udp = self.lock_open()?;
        udp.connected.take().ok_or(Errno::ENOTCONN)?;
        self.reset(&mut udp);
        Ok(())
    }

    fn reset(&self, udp: &mut Udp) {
        if let Some(clinet) = &self.node.state.clinet {
            clinet.udp_reset(&CONTEXTS.conn_lock, &mut udp.cu);
        }
    }

    /// Sends to the peer of a connected socket; nobody is asked.
    ///
    /// # Errors
    ///
    /// `EDESTADDRREQ` if it is not connected, `EHOSTUNREACH` if there is no
    /// route.
    pub fn send(&self, data: &[u8]) -> Result<(), Errno> {
        let ends = self.lock_open()?.connected;
        let (source, peer) = ends.ok_or(Errno::EDESTADDRREQ)?;
        self.transmit(source, peer, data)
    }

    /// Sends to `to`, which is asked about if it is not the most recent
    /// destination.
    ///
    /// # Errors
    ///
    /// `EISCONN` on a connected socket, `EHOSTUNREACH` if it is refused or if
    /// there is no route.
    pub fn sendto(&self, to: SocketAddr, data: &[u8]) -> Result<(), Errno> {
        let _user = self.user();
        let mut udp = self.lock_open()?;
        if udp.connected.is_some() {
            return Err(Errno::EISCONN);
        }
        let bound = self.bind_if_needed(&mut udp, to.ip())?;
        let udp = self.ask_to_send(udp, bound, to)?;
        drop(udp);
        let sent = self
            .source(bound, canonical(to))
            .and_then(|source| self.transmit(source, canonical(to), data));
        if sent.is_err() {
            self.reset(&mut self.lock());
        }
        sent
    }

    /// Sends with control data or without: asked about as [`Self::sendto`].
    ///
    /// # Errors
    ///
    /// As for [`Self::sendto`].
    pub fn sendmsg(&self, to: SocketAddr, data: &[u8], _control: &[u8]) -> Result<(), Errno> {
        self.sendto(to, data)
    }

    /// The question of a send, with the lock dropped for it.
    fn ask_to_send<'a>(
        &'a self,
        udp: MutexGuard<'a, Udp>,
        bound: SocketAddr,
        to: SocketAddr,
    ) -> Result<MutexGuard<'a, Udp>, Errno> {
        let Some(clinet) = &self.node.state.clinet else {
            return Ok(udp);
        };
        let begun = clinet.udp_send_begin(&CONTEXTS.conn_lock, &udp.cu, to)?;
        let Some(ask): Option<ClinetUdpAsk> = begun else {
            return Ok(udp);
        };
        drop(udp);
        clinet.udp_send_ask(&CONTEXTS.send, &ask, bound)?;
        let mut udp = self.lock();
        clinet.udp_send_end(&CONTEXTS.conn_lock, &mut udp.cu, &ask);
        self.tell_accepted(bound, to);
        Ok(udp)
    }

    fn transmit(&self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Result<(), Errno> {
        let network = &self.node.network;
        if !network.wire.is_reachable(to.ip()) {
            return Err(Errno::EHOSTUNREACH);
        }
        let body = Body::Udp(data.to_vec());
        network.send(&self.node.state, Packet { from, to, body });
        network.pump();
        Ok(())
    }

    /// Sets an option. Values are not negative.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a negative value; then nothing is forgotten either.
    pub fn setsockopt(&self, option: SocketOption, value: i32) -> Result<(), Errno> {
        let mut udp = self.lock_open()?;
        if value < 0 {
            return Err(Errno::EINVAL);
        }
        if option == SocketOption::SO_REUSEADDR {
            udp.shares_port = value != 0;
        }
        if option.resets() {
            self.reset(&mut udp);
        }
        Ok(())
    }

    /// The oldest datagram that has arrived, and who sent it.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is none.
    pub fn recvfrom(&self) -> Result<(SocketAddr, Vec<u8>), Errno> {
        self.node.network.pump();
        let mut udp = self.lock_open()?;
        udp.received.pop_front().ok_or(Errno::EAGAIN)
    }

    /// Closes it. As in stock illumos, the module is told unless the socket is
    /// connected: what a connected socket registered stays.
    pub fn close(&self) {
        let _last = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let mut udp = self.lock();
        if std::mem::replace(&mut udp.closed, true) {
            return;
        }
        if udp.connected.is_none() {
            return self.unbind_locked(&mut udp);
        }
        if let Some(bound) = udp.bound.take() {
            let mut tables = self.node.state.tables();
            tables.udp.release(bound.port(), &self.endpoint);
        }
        udp.connected = None;
    }
}
