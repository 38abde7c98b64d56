// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The socket by which programs reach the machine.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, bail};
use clinet_control::Errno;
use clinet_control::machine::MachineRequest;
use clinet_control::wire::{self, Reply, Request};
use clinet_kernel::{Cred, OpenFile};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;

use super::file;
use super::machine::Machine;
use super::programs::Program;

/// A socket that programs connect to. Its file goes away with it.
pub struct Server {
    path: PathBuf,
    listener: UnixListener,
}

impl Server {
    /// Listens at `path`, which only this user can connect to. What a node
    /// left there that is no more is replaced.
    pub fn listen(path: &Path) -> anyhow::Result<Self> {
        remove_stale(path)?;
        let name = path.display();
        let listener =
            UnixListener::bind(path).with_context(|| format!("cannot listen at {name}"))?;
        let server = Self {
            path: path.to_owned(),
            listener,
        };
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect {name}"))?;
        Ok(server)
    }

    /// Serves every program in a thread of its own, as long as the process
    /// lives.
    pub fn serve(&self, machine: &Arc<Machine>) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        let machine = machine.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let machine = machine.clone();
                thread::spawn(move || Connection::of(machine, &stream).serve(stream));
            }
        });
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been removed by hand.
        drop(fs::remove_file(&self.path));
    }
}

/// Removes a socket that nobody listens at.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let Ok(there) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !there.file_type().is_socket() {
        bail!("{name} is there and is no socket: name another path with --socket");
    }
    if UnixStream::connect(path).is_ok() {
        bail!("another node serves {name}: end it, or name another path with --socket");
    }
    fs::remove_file(path).with_context(|| format!("cannot replace {name}"))
}

/// One program and its open file of the device.
struct Connection {
    machine: Arc<Machine>,
    program: Program,
    /// Or why it could not be opened.
    file: Result<OpenFile, i32>,
}

impl Connection {
    /// The kernel says who connected: only this user and root can, and have
    /// all privileges on the machine.
    fn of(machine: Arc<Machine>, stream: &UnixStream) -> Self {
        let pid = socket_peercred(stream).map_or(0, |peer| peer.pid.as_raw_nonzero().get());
        let pid = u32::try_from(pid).unwrap_or(0);
        static LAST: AtomicU64 = AtomicU64::new(0);
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self {
            file: machine.open(Cred::root()),
            program: Program {
                name: name.trim_end().to_owned(),
                pid,
                number: 1 + LAST.fetch_add(1, Ordering::Relaxed),
            },
            machine,
        }
    }

    fn serve(self, mut stream: UnixStream) {
        let Ok(watched) = stream.try_clone() else {
            return;
        };
        // A program that ended in the middle of a frame is gone like others.
        drop(wire::serve(&mut stream, |request| {
            self.answer(request, &watched)
        }));
        self.machine.end(&self.program);
    }

    fn answer(&self, request: Request, stream: &UnixStream) -> Reply {
        if let Request::Machine(text) = &request {
            return self.answer_machine(text);
        }
        let file = match &self.file {
            Ok(file) => file,
            Err(errno) => return file::refusal(*errno),
        };
        self.machine.clock().catch_up();
        let is_gone = || has_hung_up(stream);
        match request {
            Request::Ioctl {
                command,
                address,
                argument,
                regions,
            } => file::ioctl(file, command, address, argument, regions),
            Request::Read {
                length,
                nonblocking,
            } => file::read(file, length, nonblocking, is_gone),
            Request::Poll { timeout } => file::poll(file, timeout, is_gone),
            Request::Machine(_) => file::refusal(Errno::ENOTTY.0),
        }
    }

    fn answer_machine(&self, text: &str) -> Reply {
        let Ok(request) = serde_json::from_str::<MachineRequest>(text) else {
            return file::refusal(Errno::EINVAL.0);
        };
        let answer = self.machine.ask(&self.program, &request);
        let told = answer.map(|answer| serde_json::to_vec(&answer).unwrap_or_default());
        match told {
            Ok(bytes) => Reply {
                bytes,
                ..Reply::default()
            },
            Err(errno) => file::refusal(errno.0),
        }
    }
}

/// Has the program closed its end?
fn has_hung_up(stream: &UnixStream) -> bool {
    let mut watched = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec::default();
    poll(&mut watched, Some(&now)).is_ok_and(|ready| ready > 0)
}
