// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Programs of a machine that connect to one server, over and over.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use clinet_control::machine::{MachineReply, MachineRequest};
use clinet_control::socket::SocketDevice;
use clinet_control::{Errno, Protocol};

/// The server that all nodes connect to.
pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 443);

/// Between two things that a program does.
const PAUSE: Duration = Duration::from_millis(10);
/// After its machine went away.
const AWAY: Duration = Duration::from_millis(200);
/// Connections that are open at once.
const MOST_OPEN: usize = 40;

/// How connects ended.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// Connected.
    pub connected: u64,
    /// Refused, by errno.
    pub refused: BTreeMap<i32, u64>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Held by whoever wants it to pause, and by the program while it asks.
    turn: Mutex<()>,
    connected: AtomicU64,
    refused: Mutex<BTreeMap<i32, u64>>,
}

/// A program that connects as long as this lives, through all boots of its
/// machine.
pub struct Traffic {
    shared: Arc<Shared>,
}

impl Traffic {
    /// Starts it on the machine behind a socket.
    pub fn start(socket: PathBuf) -> Self {
        let shared = Arc::new(Shared::default());
        let program = shared.clone();
        thread::spawn(move || {
            while !program.stop.load(Ordering::Relaxed) {
                if let Ok(machine) = SocketDevice::connect(&socket) {
                    // It ends with the machine.
                    drop(run(&machine, &program));
                }
                thread::sleep(AWAY);
            }
        });
        Self { shared }
    }

    /// Lets it do nothing as long as the guard lives.
    pub fn pause(&self) -> MutexGuard<'_, ()> {
        self.shared
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How its connects ended so far.
    pub fn outcomes(&self) -> Outcomes {
        let refused = self.shared.refused.lock();
        Outcomes {
            connected: self.shared.connected.load(Ordering::Relaxed),
            refused: refused.unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Connects, sends on what is open, and closes the oldest.
fn run(machine: &SocketDevice, shared: &Shared) -> std::io::Result<()> {
    let mut open = std::collections::VecDeque::new();
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Tcp];
    for protocol in protocols.into_iter().cycle() {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let turn = shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = connect(machine, protocol, None)?;
        // A program that cannot go on gives up what it has.
        let is_refused = connected.is_err();
        match connected {
            Ok((socket, _)) => {
                open.push_back(socket);
                shared.connected.fetch_add(1, Ordering::Relaxed);
            }
            Err(Errno(errno)) => {
                let mut refused = shared
                    .refused
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *refused.entry(errno).or_default() += 1;
            }
        }
        let some = fastrand::usize(..=open.len());
        for &socket in open.iter().skip(some).take(4) {
            // What the fence stopped cannot send.
            let _ = machine.machine(&MachineRequest::Send { socket })?;
        }
        if (is_refused || open.len() > MOST_OPEN)
            && let Some(socket) = open.pop_front()
        {
            let _ = machine.machine(&MachineRequest::Close { socket })?;
        }
        drop(turn);
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Connects a socket to the server; answers its number and its own end.
pub fn connect(
    machine: &SocketDevice,
    protocol: Protocol,
    local: Option<SocketAddr>,
) -> std::io::Result<Result<(u64, SocketAddr), Errno>> {
    let foreign = SERVER;
    let answer = machine.machine(&MachineRequest::Connect {
        protocol,
        local,
        foreign,
    })?;
    Ok(match answer {
        Ok(MachineReply::Connected { socket, local }) => Ok((socket, local)),
        Ok(_) => Err(Errno::EIO),
        Err(errno) => Err(errno),
    })
}
