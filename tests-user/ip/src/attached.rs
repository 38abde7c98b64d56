// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The model under a simulated kernel: a module finds it as `drv/ip`.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};

use clinet_kernel::{Context, IpControl, Kernel, guard};

use crate::address::{IpVersion, octets};
use crate::error::Errno;
use crate::hooks::{Held, Hook, HookCall, Provider};
use crate::ip::Ip;
use crate::lock;
use crate::release::Release;
use crate::stack::Stack;

/// How many machines of one process may have the model at a time.
const MACHINES: usize = 32;

/// The machine for each [`walk`] function, which gets no other hint of it.
static ATTACHED: [Mutex<Weak<Shared>>; MACHINES] = [const { Mutex::new(Weak::new()) }; MACHINES];

thread_local! {
    /// Is this thread inside a hook?
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// A `cl_tcp_walk_list` as modules call it.
type WalkFunction = extern "C" fn(i32, u64, u64) -> i32;

extern "C" fn walk<const MACHINE: usize>(stack: i32, callback: u64, argument: u64) -> i32 {
    guard(|| {
        assert!(
            !IN_HOOK.get(),
            "cl_tcp_walk_list called by a hook, which must touch no conn: walk in a task"
        );
        let Some(shared) = lock(&ATTACHED[MACHINE]).upgrade() else {
            panic!("cl_tcp_walk_list called after its ip was dropped");
        };
        shared.walk(stack, callback, argument)
    })
}

/// One function for each machine.
fn walk_functions() -> [WalkFunction; MACHINES] {
    macro_rules! all {
        ($($machine:literal)*) => { [$(walk::<$machine>),*] };
    }
    all!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
}

/// The kernel and the addresses of the variables in it.
pub(crate) struct Machine {
    kernel: Arc<Kernel>,
    variables: [u64; 12],
}

impl Machine {
    fn context(call: &HookCall) -> Context {
        let context = if call.interrupt {
            Context::interrupt()
        } else {
            Context::no_sleep()
        };
        match call.held {
            Held::Nothing | Held::Squeue => context,
            Held::ConnfLock => context.holding("connf_lock"),
            Held::UfLock => context.holding("uf_lock"),
        }
    }
}

impl Provider for Machine {
    fn variable(&self, hook: Hook) -> &AtomicU64 {
        // SAFETY: the address is that of an aligned word in the memory of a
        // provided module, which stays as long as the kernel that we hold.
        unsafe { &*(self.variables[hook as usize] as *const AtomicU64) }
    }

    fn call(&self, function: u64, call: &HookCall) -> i32 {
        let local = octets(call.laddr);
        let foreign = call.faddr.map(octets);
        let args = arguments(call, &local, foreign.as_ref());
        let before = IN_HOOK.replace(true);
        // SAFETY: the function comes from a hook variable, so it takes these
        // arguments; the pointers are to memory that lives during the call.
        let result = unsafe { self.kernel.try_call(&Self::context(call), function, &args) };
        IN_HOOK.set(before);
        result.unwrap_or_else(|fault| panic!("{fault}")) as i32
    }

    fn taking(&self, name: &'static str) {
        self.kernel.taking(name);
    }
}

/// The bytes of an address, where a hook reads them.
type Octets = [u8; 16];

fn pointer(octets: &Octets) -> u64 {
    octets.as_ptr() as u64
}

/// An IPv4 address that is passed in the place of a pointer to it.
fn cast(&[a, b, c, d, ..]: &Octets) -> u64 {
    u32::from_le_bytes([a, b, c, d]).into()
}

/// The arguments in the order of C; the last one, `args`, is NULL.
fn arguments(call: &HookCall, local: &Octets, foreign: Option<&Octets>) -> Vec<u64> {
    let port = |port: Option<u16>| u64::from(port.unwrap_or(0).to_be());
    let stack = u64::from(call.stack as u32);
    let (protocol, family) = (u64::from(call.protocol), u64::from(call.family()));
    let laddr = pointer(local);
    let faddr = foreign.map_or(0, pointer);
    let (lport, fport) = (port(call.lport), port(call.fport));
    match call.hook {
        Hook::Connect2 => {
            let outgoing = u64::from(call.outgoing.unwrap_or(false));
            vec![
                stack, protocol, outgoing, family, laddr, lport, faddr, fport, 0,
            ]
        }
        Hook::Disconnect => vec![stack, protocol, family, laddr, lport, faddr, fport, 0],
        Hook::IsClusterwide => vec![stack, protocol, family, cast(local), 0],
        Hook::Ipident => {
            let faddr = foreign.map_or(0, cast);
            vec![stack, protocol, family, cast(local), faddr, 0]
        }
        _ => vec![stack, protocol, family, laddr, lport, 0],
    }
}

/// What a walk needs.
struct Shared {
    ip: Ip,
    kernel: Arc<Kernel>,
}

impl Shared {
    fn walk(&self, stack: i32, callback: u64, argument: u64) -> i32 {
        self.ip.walk(stack, |info| {
            let info: *mut _ = info;
            // SAFETY: the callback was given as one, so it takes these two
            // arguments; `info` lives during the call.
            let result = unsafe {
                self.kernel
                    .try_call(&Context::thread(), callback, &[info as u64, argument])
            };
            result.unwrap_or_else(|fault| panic!("{fault}")) as i32
        })
    }
}

/// The global stack of an ip, as kernel sockets and layered opens reach it.
struct Control(Weak<Shared>);

impl Control {
    fn stack(&self) -> Result<Arc<Stack>, i32> {
        let shared = self.0.upgrade();
        let stack = shared.and_then(|shared| shared.ip.stack(0));
        stack.ok_or(Errno::ENXIO.0)
    }
}

fn version(v6: bool) -> IpVersion {
    if v6 { IpVersion::V6 } else { IpVersion::V4 }
}

impl IpControl for Control {
    fn interfaces(&self, v6: bool) -> Vec<(String, IpAddr)> {
        let all = self.stack().map(|stack| stack.interfaces.all());
        let all = all.unwrap_or_default().into_iter();
        let family = all.filter(|one| one.address.is_ipv6() == v6);
        family.map(|one| (one.name, one.address)).collect()
    }

    fn flags(&self, v6: bool, name: &str) -> Result<u64, i32> {
        let flags = self.stack()?.interfaces.flags(version(v6), name);
        flags.map_err(|errno| errno.0)
    }

    fn set_flags(&self, v6: bool, name: &str, flags: u64) -> Result<(), i32> {
        let stack = self.stack()?;
        let set = stack.interfaces.set_flags(version(v6), name, flags);
        set.map_err(|errno| errno.0)
    }

    fn add(&self, v6: bool, link: &str) -> Result<String, i32> {
        let none = if v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let added = self.stack()?.interfaces.add(link, none);
        added.map_err(|errno| errno.0)
    }

    fn remove(&self, v6: bool, name: &str) -> Result<(), i32> {
        let removed = self.stack()?.interfaces.remove(version(v6), name);
        removed.map_err(|errno| errno.0)
    }

    fn abort(&self, local: IpAddr, states: RangeInclusive<i32>) -> Result<(), i32> {
        let aborted = self.stack()?.enter().abort(local, &states);
        aborted.map_err(|errno| errno.0)
    }
}

/// ip as `drv/ip` of a simulated kernel: a module finds the twelve variables,
/// all NULL, and `cl_tcp_walk_list`.
pub struct Attached {
    shared: Arc<Shared>,
    machine: usize,
}

impl Attached {
    /// Provides `drv/ip` and `misc/ksocket` to a kernel and returns the ip behind it.
    ///
    /// # Panics
    ///
    /// If the kernel has a `drv/ip`, or too many machines of this process have
    /// one.
    pub fn new(kernel: Arc<Kernel>) -> Self {
        Self::with_provider(kernel, Release::default(), |variables| variables)
    }

    /// The same with somebody between ip and the variables: `provider` makes
    /// it from what calls through these.
    ///
    /// # Panics
    ///
    /// As [`Attached::new`].
    pub(crate) fn with_provider<P: Provider + 'static>(
        kernel: Arc<Kernel>,
        release: Release,
        provider: impl FnOnce(Arc<Machine>) -> Arc<P>,
    ) -> Self {
        Self::with_ip(kernel, |machine| Ip::of_release(provider(machine), release))
    }

    /// The same with the ip that is made of what calls through the variables.
    ///
    /// # Panics
    ///
    /// As [`Attached::new`].
    pub(crate) fn with_ip(kernel: Arc<Kernel>, make_ip: impl FnOnce(Arc<Machine>) -> Ip) -> Self {
        let mut slots = ATTACHED
            .iter()
            .enumerate()
            .map(|(index, slot)| (index, lock(slot)));
        let (machine, mut slot) = slots
            .find(|(_, slot)| slot.strong_count() == 0)
            .expect("too many machines with an ip: drop some");
        let variables = Hook::ALL.map(|hook| (hook.variable(), 0));
        let function = walk_functions()[machine] as *const ();
        // SAFETY: the function takes three integer arguments, stays as long
        // as the process, and checks what it is called with.
        unsafe {
            kernel.provide_with_functions("drv/ip", &variables, &[("cl_tcp_walk_list", function)]);
        }
        let variables = Hook::ALL.map(|hook| {
            let variable = kernel.variable("drv/ip", hook.variable());
            variable.expect("it was provided just now") as *const AtomicU64 as u64
        });
        let ip = make_ip(Arc::new(Machine {
            kernel: kernel.clone(),
            variables,
        }));
        let shared = Arc::new(Shared { ip, kernel });
        let control = Control(Arc::downgrade(&shared));
        shared.kernel.set_ip(Arc::new(control));
        *slot = Arc::downgrade(&shared);
        drop(slot);
        Self { shared, machine }
    }

    /// The ip.
    pub fn ip(&self) -> &Ip {
        &self.shared.ip
    }

    /// The kernel.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.shared.kernel
    }

    /// Adds a stack to ip and to the kernel.
    ///
    /// # Panics
    ///
    /// If there is one of that id.
    pub fn add_stack(&self, id: i32) {
        self.shared.kernel.add_netstack(id);
        self.shared.ip.add_stack(id);
    }

    /// Removes a stack from both.
    ///
    /// # Panics
    ///
    /// If there is none of that id.
    pub fn remove_stack(&self, id: i32) {
        self.shared.kernel.remove_netstack(id);
        self.shared.ip.remove_stack(id);
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        *lock(&ATTACHED[self.machine]) = Weak::new();
    }
}
