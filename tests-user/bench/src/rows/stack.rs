// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How much stack ip's hooks take below their caller. The userspace kernel
//! (the crate clinet-kernel) fills a small stack with a pattern, looks how much
//! of it a call overwrote, and runs its own functions on another one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clinet_kernel::{Context, Kernel};

use crate::OTHER;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::kernel::ip;
use crate::keys::{INET6, Keys, TCP, Tuple, UDP, shared_addresses};
use crate::marks::Measured;

pub const ROWS: &[&str] = &["stack"];

/// So many of each protocol; fewer find room, some of them late.
const TUPLES: u32 = 20_000;
const MAX_TUPLES: u64 = 16_384;
/// After so many the module's thread comes to rest.
const CHUNK: u32 = 2048;
/// In one chunk of so many no memory can be had.
const WITHOUT_MEMORY: u32 = 4;

/// `AF_INET` of illumos.
const INET: u64 = 2;
/// The shared address of IPv4, and what `clinet_addrs` calls it.
static SHARED_V4: [u8; 4] = [192, 0, 2, 10];
const SHARED_V4_TEXT: &str = "192.0.2.10";

pub fn run(bench: &mut Bench) -> Result<()> {
    let machine = Machine::new(&bench.file)?;
    for protocol in [TCP, UDP] {
        machine.play(&Keys::shared(protocol, 8))?;
    }
    let deepest = machine.deepest.take();
    let most = deepest.values().copied().max().unwrap_or(0);
    let note: Vec<String> = deepest
        .iter()
        .map(|(path, bytes)| format!("{path} {bytes}"))
        .collect();
    let measured = Measured {
        note: note.join(", "),
        ..Measured::new(most as f64)
    };
    bench.measured("stack", measured);
    Ok(())
}

/// An attached module in the userspace kernel.
struct Machine {
    kernel: Kernel,
    install: u64,
    /// Bytes of stack by hook and protocol.
    deepest: RefCell<BTreeMap<String, usize>>,
}

/// ip has no connection.
extern "C" fn walk(_stack: i32, _callback: u64, _argument: u64) -> i32 {
    0
}

/// A connection's ends as a hook is told: the family, the local address and
/// port, the foreign ones.
struct Ends([u64; 5]);

impl Ends {
    fn v6(tuple: &Tuple) -> Self {
        Self([
            INET6.into(),
            tuple.laddr().expose_provenance() as u64,
            tuple.lport().into(),
            tuple.faddr().expose_provenance() as u64,
            tuple.fport().into(),
        ])
    }

    /// The same ports and the end of the same foreign address, in IPv4.
    fn v4(tuple: &Tuple) -> Self {
        let last_four = tuple.faddr().wrapping_add(12);
        Self([
            INET,
            SHARED_V4.as_ptr().expose_provenance() as u64,
            tuple.lport().into(),
            last_four.expose_provenance() as u64,
            tuple.fport().into(),
        ])
    }
}

impl Machine {
    fn new(file: &[u8]) -> Result<Self> {
        let kernel = Kernel::new();
        let variables = ip::VARIABLES.map(|name| (name, 0));
        let functions = [("cl_tcp_walk_list", walk as *const ())];
        // SAFETY: the function is static and takes any integers.
        unsafe { kernel.provide_with_functions("drv/ip", &variables, &functions) };
        let addresses = kernel.string(&format!("{},{SHARED_V4_TEXT}", shared_addresses()));
        let tunables = [
            ("clinet_max_tuples", MAX_TUPLES),
            ("clinet_addrs", addresses),
        ];
        let module = kernel
            .load("misc/clinet", file, &tunables)
            .map_err(|error| anyhow!("{error}"))
            .context("the module does not load in the userspace kernel")?;
        kernel.advance(Duration::from_secs(1));
        Ok(Self {
            install: module.address("clinet_install"),
            kernel,
            deepest: RefCell::default(),
        })
    }

    /// Ends begin, come again, belong to others, find no room and end.
    fn play(&self, keys: &Keys) -> Result<()> {
        let protocol = keys.protocol();
        for index in 0..TUPLES {
            if index.is_multiple_of(CHUNK) {
                self.kernel.settle();
                let fails = (index / CHUNK) % WITHOUT_MEMORY == 1;
                self.kernel.fail_allocations(fails);
            }
            let tuple = keys.get(index);
            let ends = match index % 2 {
                0 => Ends::v6(&tuple),
                _ => Ends::v4(&tuple),
            };
            if index % 16 == 3 {
                self.install(protocol, &ends)?;
            }
            if protocol == UDP && index % 4 == 0 {
                self.local("cl_inet_bind", protocol, &ends)?;
            }
            for is_outgoing in [1, 1, 0] {
                self.connect(protocol, is_outgoing, &ends)?;
            }
            if index % 8 == 5 {
                self.disconnect(protocol, &ends)?;
            }
        }
        self.kernel.fail_allocations(false);
        for index in (0..TUPLES).rev() {
            let tuple = keys.get(index);
            for ends in [Ends::v6(&tuple), Ends::v4(&tuple)] {
                match protocol {
                    UDP => self.local("cl_inet_unbind", protocol, &ends)?,
                    _ => self.disconnect(protocol, &ends)?,
                }
            }
        }
        Ok(())
    }

    fn connect(&self, protocol: u8, is_outgoing: u64, ends: &Ends) -> Result<()> {
        let args = [&[0, protocol.into(), is_outgoing], &ends.0[..], &[0]].concat();
        self.hook("cl_inet_connect2", protocol, &args)
    }

    fn disconnect(&self, protocol: u8, ends: &Ends) -> Result<()> {
        let args = [&[0, protocol.into()], &ends.0[..], &[0]].concat();
        self.hook("cl_inet_disconnect", protocol, &args)
    }

    /// A hook that is told the local end alone.
    fn local(&self, name: &str, protocol: u8, ends: &Ends) -> Result<()> {
        let args = [&[0, protocol.into()], &ends.0[..3], &[0]].concat();
        self.hook(name, protocol, &args)
    }

    /// Another node has it, if nobody else has.
    fn install(&self, protocol: u8, ends: &Ends) -> Result<()> {
        let args = [&[OTHER.into(), protocol.into()], &ends.0[..]].concat();
        self.call(&Context::thread(), self.install, &args)
    }

    /// Calls what a variable of ip holds, as ip does, and notes the depth.
    fn hook(&self, name: &str, protocol: u8, args: &[u64]) -> Result<()> {
        let variable = self.kernel.variable("drv/ip", name);
        let hook = variable.map_or(0, |hook| hook.load(std::sync::atomic::Ordering::SeqCst));
        if hook == 0 {
            return Err(anyhow!("the module did not set ip's {name}").into());
        }
        self.kernel.reset_stack_depth();
        self.call(&Context::no_sleep(), hook, args)?;
        let protocol = if protocol == TCP { "TCP" } else { "UDP" };
        let path = format!("{protocol} {}", name.trim_start_matches("cl_inet_"));
        let mut deepest = self.deepest.borrow_mut();
        let deepest = deepest.entry(path).or_default();
        *deepest = (*deepest).max(self.kernel.max_stack_depth());
        Ok(())
    }

    fn call(&self, context: &Context, function: u64, args: &[u64]) -> Result<()> {
        // SAFETY: a function of the module with the arguments that its header
        // or ip's says; what they point to lives during the call.
        unsafe { self.kernel.try_call(context, function, args) }
            .map(drop)
            .map_err(|fault| Error::Wrong(fault.to_string()))
    }
}
