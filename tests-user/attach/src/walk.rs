// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `cl_tcp_walk_list` of a machine: what it tells of each connection, and which
//! connections there are.

use std::sync::{Arc, Mutex, PoisonError};

use clinet_kernel::{Context, Kernel, guard};
use clinet_module_tests::{EINVAL, INET, Tuple, ptr};

/// Its name.
pub(crate) const WALK: &str = "cl_tcp_walk_list";

/// `cl_tcp_info_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Of the structure: 1.
    pub version: u16,
    /// 4 or 6.
    pub ip_version: u16,
    /// `TCPS_*`.
    pub state: i32,
    /// Local port as the kernel has it.
    pub lport: u16,
    /// Foreign port as the kernel has it.
    pub fport: u16,
    /// Local address, IPv4 as `::ffff:a.b.c.d`.
    pub laddr: [u8; 16],
    /// Foreign address.
    pub faddr: [u8; 16],
}

/// `TCPS_*`.
pub mod state {
    /// A connect() that waits for its answer.
    pub const SYN_SENT: i32 = -2;
    /// A SYN that was answered.
    pub const SYN_RCVD: i32 = -1;
    /// In use.
    pub const ESTABLISHED: i32 = 0;
    /// Over.
    pub const TIME_WAIT: i32 = 6;
}

impl TcpInfo {
    /// The connection with this 5-tuple.
    #[must_use]
    pub fn of(tuple: &Tuple, state: i32) -> Self {
        let v6_form = |addr: [u8; 16]| {
            if tuple.family != INET {
                return addr;
            }
            let mut bytes = [0; 16];
            bytes[10..12].fill(0xff);
            bytes[12..].copy_from_slice(&addr[..4]);
            bytes
        };
        Self {
            version: 1,
            ip_version: if tuple.family == INET { 4 } else { 6 },
            state,
            lport: tuple.lport,
            fport: tuple.fport,
            laddr: v6_form(tuple.laddr),
            faddr: v6_form(tuple.faddr),
        }
    }
}

/// What a walk through a stack finds; `None`: there is no such stack.
pub(crate) type Connections = Box<dyn FnMut(i32) -> Option<Vec<TcpInfo>> + Send>;

/// What the function of one machine finds by number.
struct State {
    kernel: Arc<Kernel>,
    connections: Mutex<Connections>,
}

const MACHINES: usize = 64;
static WALKS: [Mutex<Option<Arc<State>>>; MACHINES] = [const { Mutex::new(None) }; MACHINES];

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn walk<const MACHINE: usize>(stack: i32, callback: u64, argument: u64) -> i32 {
    guard(|| {
        // The machine is being switched off.
        let Some(walk) = lock(&WALKS[MACHINE]).clone() else {
            return EINVAL;
        };
        let Some(found) = (lock(&walk.connections))(stack) else {
            return EINVAL;
        };
        for info in found {
            let args = [ptr(&info), argument];
            // SAFETY: the module's callback, which takes these two.
            let result = unsafe { walk.kernel.call(&Context::thread(), callback, &args) };
            if result as i32 != 0 {
                return 1;
            }
        }
        0
    })
}

fn walk_functions() -> [*const (); MACHINES] {
    macro_rules! all {
        ($($n:literal)*) => { [$(
            walk::<$n> as *const (), walk::<{ $n + 1 }> as *const (),
            walk::<{ $n + 2 }> as *const (), walk::<{ $n + 3 }> as *const ()
        ),*] };
    }
    all!(0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60)
}

/// The walk of one machine, until this is dropped.
pub(crate) struct Walk {
    state: Arc<State>,
    number: usize,
}

impl Walk {
    /// One that finds no connection.
    pub fn new(kernel: Arc<Kernel>) -> Self {
        let state = Arc::new(State {
            kernel,
            connections: Mutex::new(Box::new(|_| Some(Vec::new()))),
        });
        let number = (0..MACHINES)
            .find(|number| {
                let mut place = lock(&WALKS[*number]);
                let free = place.is_none();
                if free {
                    *place = Some(state.clone());
                }
                free
            })
            .expect("as many machines as there are walks");
        Self { state, number }
    }

    /// The function that a module calls.
    pub fn function(&self) -> *const () {
        walk_functions()[self.number]
    }

    /// What it finds from now on.
    pub fn finds(&self, connections: Connections) {
        *lock(&self.state.connections) = connections;
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        *lock(&WALKS[self.number]) = None;
    }
}
