// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A TCP proxy between an agent and a member of etcd, which delays, cuts and
//! half-opens.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// What becomes of what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// It passes.
    #[default]
    Fine,
    /// What the agent says passes, and what it is answered comes after a while.
    Slow(Duration),
    /// Connections end, and none comes about.
    Cut,
    /// Connections stay and come about, but nothing passes.
    HalfOpen,
    /// What the agent says passes, and what it is answered does not.
    Deaf,
}

/// No weather is looked at less often.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that pass at once.
const PIECE: usize = 16 << 10;

#[derive(Default)]
struct Shared {
    weather: Mutex<Weather>,
    /// Counts the times that connections were cut.
    cuts: AtomicU64,
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy, as long as the process lives.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on a port of loopback and passes on to `target`.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        thread::spawn(move || {
            for agent in listener.incoming().flatten() {
                if accepting.weather() == Weather::Cut {
                    continue;
                }
                // Without a member there is nobody to talk to.
                drop(connect(agent, target, &accepting));
            }
        });
        Ok(Self { port, shared })
    }

    /// What happens to what passes.
    pub fn weather(&self) -> Weather {
        self.shared.weather()
    }

    /// Where agents reach it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        let mut current = self
            .shared
            .weather
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = weather;
        if weather == Weather::Cut {
            self.shared.cuts.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Passes on in both directions, each in a thread.
fn connect(agent: TcpStream, target: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    let member = TcpStream::connect_timeout(&target, Duration::from_secs(1))?;
    let cuts = shared.cuts.load(Ordering::SeqCst);
    let pairs = [
        (agent.try_clone()?, member.try_clone()?, false),
        (member, agent, true),
    ];
    for (from, to, is_answer) in pairs {
        from.set_read_timeout(Some(LOOK))?;
        from.set_nodelay(true)?;
        let pipe = Pipe {
            shared: shared.clone(),
            cuts,
            is_answer,
        };
        thread::spawn(move || {
            // The end of one end is the end of the other.
            drop(pipe.pass(&from, &to));
            drop(from.shutdown(Shutdown::Both));
            drop(to.shutdown(Shutdown::Both));
        });
    }
    Ok(())
}

/// One direction of a connection.
struct Pipe {
    shared: Arc<Shared>,
    /// The cuts before it came about.
    cuts: u64,
    is_answer: bool,
}

/// What came, and when it may pass.
type Piece = (Instant, Vec<u8>);

impl Pipe {
    /// Reads in this thread and writes in another one, so that a delay is that of
    /// each piece and not of those before it.
    fn pass(&self, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel::<Piece>();
        thread::scope(|scope| {
            scope.spawn(move || {
                // Its end is noticed by the reading side.
                drop(self.write(&receiver, to));
                drop(to.shutdown(Shutdown::Both));
            });
            self.read(from, &sender)
        })
    }

    fn read(&self, mut from: &TcpStream, pieces: &mpsc::Sender<Piece>) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        while !self.is_cut() {
            match from.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => {
                    let due = Instant::now() + self.delay();
                    if pieces.send((due, piece[..length].to_vec())).is_err() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&self, pieces: &mpsc::Receiver<Piece>, mut to: &TcpStream) -> io::Result<()> {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            while self.is_held() && !self.is_cut() {
                thread::sleep(LOOK);
            }
            if self.is_cut() {
                break;
            }
            to.write_all(&piece)?;
        }
        Ok(())
    }

    fn delay(&self) -> Duration {
        match self.shared.weather() {
            Weather::Slow(by) if self.is_answer => by,
            _ => Duration::ZERO,
        }
    }

    /// Nothing passes, but the connection stays.
    fn is_held(&self) -> bool {
        match self.shared.weather() {
            Weather::HalfOpen => true,
            Weather::Deaf => self.is_answer,
            _ => false,
        }
    }

    fn is_cut(&self) -> bool {
        self.shared.cuts.load(Ordering::SeqCst) != self.cuts
    }
}
