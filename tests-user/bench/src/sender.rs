// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A stack in C that sends datagrams, loaded beside the module and linked to
//! it: it calls the module's function by name, as udp would.

use anyhow::{Context, anyhow};
use clinet_krtld::{Image, ModuleFile, Resolve};

use crate::api::{Ask, LastDestination};
use crate::error::Result;
use crate::keys::Tuple;

const FILE: &[u8] = include_bytes!(env!("CLINET_SENDER"));

type Send = unsafe extern "C" fn(*const LastDestination, *mut Ask, *const u8, u16, u64) -> i32;

/// The stack.
pub struct Sender<'a> {
    send: Send,
    /// Where `send` is.
    _image: Image,
    /// What it was linked to.
    _module: &'a Image,
}

/// Symbols of the module.
struct Symbols<'a>(&'a Image);

impl Resolve for Symbols<'_> {
    fn resolve(&mut self, name: &str) -> Option<u64> {
        self.0.symbol(name).map(|symbol| symbol.address)
    }

    fn is_primary(&mut self, _name: &str) -> bool {
        false
    }
}

impl<'a> Sender<'a> {
    /// Links the stack to a module.
    ///
    /// # Errors
    /// The module lacks what it calls.
    pub(crate) fn new(module: &'a Image) -> Result<Self> {
        let file = ModuleFile::parse(FILE).context("the sender is no kernel module")?;
        let image = file
            .load(&mut Symbols(module))
            .context("the sender does not load")?;
        let symbol = image
            .symbol("bench_send")
            .ok_or_else(|| anyhow!("the sender has no bench_send"))?;
        let pointer = std::ptr::with_exposed_provenance::<()>(symbol.address as usize);
        // SAFETY: c/sender.c defines a function of this signature under this
        // name, and a function pointer is a pointer that is not NULL.
        let send = unsafe { std::mem::transmute::<*const (), Send>(pointer) };
        Ok(Self {
            send,
            _image: image,
            _module: module,
        })
    }

    /// Sends so many datagrams to the foreign end of `tuple`, which is the most
    /// recent destination of an endpoint: 0 if none of them has to ask.
    #[must_use]
    pub fn send(&self, tuple: &Tuple, datagrams: usize) -> i32 {
        // SAFETY: a tuple's foreign address has 16 readable bytes.
        let address = unsafe { tuple.faddr().cast::<[u8; 16]>().read() };
        let port = tuple.fport();
        let last = LastDestination { address, port };
        let mut ask: Ask = [0; 16];
        // SAFETY: all pointers are to local variables of the sizes that the
        // header asks for; nobody else knows the endpoint. What is called needs
        // no kernel thread.
        unsafe {
            (self.send)(
                &raw const last,
                &raw mut ask,
                tuple.faddr(),
                port,
                datagrams as u64,
            )
        }
    }
}
