// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A device in memory behind a real socket, for tests of programs that use
//! [`Control`](clinet_control::Control). It has the interface, its checks and its
//! errors, but decides simply: what it answers to questions is no proof of what
//! a module would. Tests arrange its [`Module`] and look at it.

mod commands;
mod module;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use zerocopy::IntoBytes;

use clinet_control::Errno;
use clinet_control::abi::clinetctl_event_t;
use clinet_control::wire::{self, Reply, Request};
use commands::{Call, OpenFile};
pub use module::Module;

/// The module, and who waits for its events.
#[derive(Default)]
struct Shared {
    module: Mutex<Module>,
    changed: Condvar,
    ended: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Module> {
        // A test that failed while it looked does not matter to the others.
        self.module.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A device that programs can open at its path, until it is dropped.
pub struct Node {
    path: PathBuf,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Node {
    /// Listens on a socket in this folder.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let path = folder.join("clinet.sock");
        let listener = UnixListener::bind(&path)?;
        let shared = Arc::new(Shared::default());
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for (number, stream) in (1..).zip(listener.incoming()) {
                    if shared.ended.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Ok(stream) = stream {
                        let shared = Arc::clone(&shared);
                        thread::spawn(move || serve(&shared, number, stream));
                    }
                }
            })
        };
        Ok(Self {
            path,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// What to open.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Arranges the module, or looks at it. Who waits for events looks again.
    pub fn module<T>(&self, with: impl FnOnce(&mut Module) -> T) -> T {
        let result = with(&mut self.shared.lock());
        self.shared.changed.notify_all();
        result
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // Wakes the acceptor. Nobody can if the socket's folder is gone.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
    }
}

/// One open file, until the other end closes it.
fn serve(shared: &Shared, number: u64, mut stream: UnixStream) {
    let mut file = OpenFile::new(number, shared.lock().events.len());
    // A connection that breaks is closed as well.
    let _ = wire::serve(&mut stream, |request| answer(shared, &mut file, request));
    shared.lock().closed(number);
}

fn answer(shared: &Shared, file: &mut OpenFile, request: Request) -> Reply {
    match request {
        Request::Ioctl {
            command,
            address: _,
            argument,
            regions,
        } => {
            let mut call = Call { argument, regions };
            let result = call.run(file, &mut shared.lock(), command);
            shared.changed.notify_all();
            Reply {
                errno: result.err().map_or(0, |errno| errno.0),
                result: 0,
                bytes: call.written(),
            }
        }
        Request::Read { length, .. } => match read(file, &shared.lock(), length as usize) {
            Ok(bytes) => Reply {
                bytes,
                ..Default::default()
            },
            Err(errno) => Reply {
                errno: errno.0,
                ..Default::default()
            },
        },
        Request::Poll { timeout } => Reply {
            result: poll(shared, file, timeout).into(),
            ..Default::default()
        },
        Request::Machine(text) => machine(&mut shared.lock(), &text),
    }
}

/// What the machine around the module answers.
fn machine(module: &mut Module, text: &str) -> Reply {
    let request = serde_json::from_str(text).map_err(|_| Errno::EINVAL);
    let answer = request.and_then(|request| (module.machine)(request));
    let bytes = answer.and_then(|reply| serde_json::to_vec(&reply).map_err(|_| Errno::EINVAL));
    match bytes {
        Ok(bytes) => Reply {
            bytes,
            ..Default::default()
        },
        Err(errno) => Reply {
            errno: errno.0,
            ..Default::default()
        },
    }
}

/// Whole events that the file wants; never waits.
fn read(file: &mut OpenFile, module: &Module, length: usize) -> Result<Vec<u8>, Errno> {
    let room = length / size_of::<clinetctl_event_t>();
    if room == 0 {
        return Err(Errno::EINVAL);
    }
    let mut bytes = Vec::new();
    for event in module.events.iter().skip(file.cursor).take(room) {
        file.cursor += 1;
        if file.wants(event) {
            bytes.extend(event.as_bytes());
        }
    }
    match bytes.len() {
        0 => Err(Errno::EAGAIN),
        _ => Ok(bytes),
    }
}

fn poll(shared: &Shared, file: &OpenFile, timeout: Option<Duration>) -> bool {
    let end = timeout.map(|time| Instant::now() + time);
    let mut module = shared.lock();
    loop {
        let mut unread = module.events.iter().skip(file.cursor);
        if unread.any(|event| file.wants(event)) {
            return true;
        }
        // Not for ever, so that a node that has ended is noticed.
        let left = end.map_or(Duration::from_secs(1), |end| {
            end.saturating_duration_since(Instant::now())
        });
        if left.is_zero() || shared.ended.load(Ordering::Relaxed) {
            return false;
        }
        let waited = shared.changed.wait_timeout(module, left);
        module = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}
