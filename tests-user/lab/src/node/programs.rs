// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The sockets of the machine's programs, and what programs ask its TCP/IP for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clinet_control::Protocol;
use clinet_control::machine::UdpSocket;
use clinet_ip::{AF_INET, AF_INET6, Errno, Ip, Socket};

use super::peers::Peers;

/// The stack that all programs are in.
const STACK: i32 = 0;

/// A program of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Tells one from another of the same process.
    pub number: u64,
}

/// A socket and the other end of its connection.
struct Open {
    protocol: Protocol,
    program: Program,
    socket: Socket,
    /// What the host accepted.
    accepted: Option<Socket>,
}

impl Open {
    fn close(&self) {
        self.socket.close();
        if let Some(accepted) = &self.accepted {
            accepted.close();
        }
    }
}

#[derive(Default)]
struct Table {
    last: u64,
    open: HashMap<u64, Open>,
}

/// All sockets that programs have open.
#[derive(Default)]
pub struct Programs {
    table: Mutex<Table>,
    /// One connect at a time, so that what a host accepts is the other end.
    connecting: Mutex<()>,
}

impl Programs {
    /// Opens a socket and connects it. A connection that is not up at once
    /// never will be: nothing on this network takes time.
    pub fn connect(
        &self,
        ip: &Ip,
        peers: &Peers,
        program: &Program,
        (protocol, local, foreign): (Protocol, Option<SocketAddr>, SocketAddr),
    ) -> Result<(u64, SocketAddr), Errno> {
        let family = match foreign {
            SocketAddr::V4(_) => AF_INET,
            SocketAddr::V6(_) => AF_INET6,
        };
        let (socket, listener) = match protocol {
            Protocol::Tcp => (ip.tcp(STACK, family), Some(peers.listener(foreign)?)),
            Protocol::Udp => (ip.udp(STACK, family), None),
        };
        let _connecting = self
            .connecting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connected = connect(&socket, local, foreign);
        if let Err(errno) = connected {
            // A socket whose connect was refused must be closed.
            socket.close();
            return Err(errno);
        }
        let (address, port) = socket.name();
        let open = Open {
            protocol,
            program: program.clone(),
            accepted: listener.and_then(|listener| listener.accept().ok()),
            socket,
        };
        let mut table = self.table();
        table.last += 1;
        let id = table.last;
        table.open.insert(id, open);
        Ok((id, SocketAddr::new(address, port)))
    }

    /// Sends something from a socket of `program`.
    pub fn send(&self, program: &Program, id: u64) -> Result<(), Errno> {
        let table = self.table();
        let open = table.open.get(&id).filter(|open| open.program == *program);
        open.ok_or(Errno::EBADF)?.socket.send(1).map(drop)
    }

    /// Closes a socket of `program`.
    pub fn close(&self, program: &Program, id: u64) -> Result<(), Errno> {
        let mut table = self.table();
        let is_own = |open: &Open| open.program == *program;
        if !table.open.get(&id).is_some_and(is_own) {
            return Err(Errno::EBADF);
        }
        if let Some(open) = table.open.remove(&id) {
            open.close();
        }
        Ok(())
    }

    /// The program ends: its sockets are closed.
    pub fn end(&self, program: &Program) {
        let mut table = self.table();
        table.open.retain(|_, open| {
            let stays = open.program != *program;
            if !stays {
                open.close();
            }
            stays
        });
    }

    /// The UDP sockets.
    pub fn udp_sockets(&self) -> Vec<UdpSocket> {
        let table = self.table();
        let is_udp = |open: &&Open| open.protocol == Protocol::Udp;
        let shown = |open: &Open| UdpSocket {
            local: open.socket.name().into(),
            foreign: open.socket.peer().map(SocketAddr::from),
            program: open.program.name.clone(),
            pid: open.program.pid,
        };
        table.open.values().filter(is_udp).map(shown).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Binds if wanted, and connects.
fn connect(socket: &Socket, local: Option<SocketAddr>, foreign: SocketAddr) -> Result<(), Errno> {
    socket.set_nonblocking(true);
    if let Some(local) = local {
        socket.bind(Some(local.ip()), local.port())?;
    }
    match socket.connect(foreign.ip(), foreign.port()) {
        Err(Errno::EINPROGRESS) => Err(Errno::ETIMEDOUT),
        other => other,
    }
}
