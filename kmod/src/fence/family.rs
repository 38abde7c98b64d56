// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The addresses of one family: taken away, brought back.

use super::taken::{Entry, Taken};
use crate::builtin;
use crate::flow::Addr;
use crate::kernel::errno::Errno;
use crate::kernel::kmem::KmemSlice;
use crate::kernel::ksocket::Ksocket;
use crate::kernel::lif::{self, Interface, Name};
use crate::kernel::text::Text;
use crate::kernel::{log, sys, time};

const UP: u64 = sys::IFF_UP as u64;
const NOLOCAL: u64 = sys::IFF_NOLOCAL as u64;

/// What is known of a family between calls.
pub struct Family {
    /// All senders had to look at their source since flags were last changed.
    rechecked: bool,
    /// What was added to lo0 and could not be removed.
    added: Option<Name>,
    /// Second of the last message about it.
    warned: Option<u32>,
}

/// Seconds between two messages at least.
const WARN_PERIOD: u32 = 10;

impl Family {
    /// Nothing was done in this family.
    pub const fn new() -> Self {
        Self {
            rechecked: false,
            added: None,
            warned: None,
        }
    }

    /// Takes the shared addresses away.
    pub fn take_down(&mut self, socket: &Ksocket<'_>, taken: &mut Taken) -> Result<(), Errno> {
        let interfaces = lif::list(socket)?;
        let mut result = Ok(());
        let mut any = false;
        for one in interfaces.iter() {
            if let Some(address) = shared(one) {
                any = true;
                result = result.and(self.take_one(socket, &one.name(), address, taken));
            }
        }
        if any && !self.rechecked {
            let rechecked = self
                .recheck_sources(socket, &interfaces)
                .inspect_err(|errno| {
                    let loopback = lif::LOOPBACK;
                    self.warn(&loopback, "may still be a source", Some(*errno));
                });
            self.rechecked = rechecked.is_ok();
            result = result.and(rechecked);
        }
        result
    }

    fn take_one(
        &mut self,
        socket: &Ksocket<'_>,
        name: &Name,
        address: [u8; 16],
        taken: &mut Taken,
    ) -> Result<(), Errno> {
        let Some(flags) = present(lif::flags(socket, name))? else {
            return Ok(());
        };
        if flags & (UP | NOLOCAL) == NOLOCAL {
            return Ok(());
        }
        let entry = Entry {
            name: *name,
            address,
            flags: flags & (UP | NOLOCAL),
        };
        if taken.remember(entry).is_err() {
            self.warn(name, "will not be brought back: there are too many", None);
        }
        self.rechecked = false;
        let set = lif::set_flags(socket, name, flags & !UP | NOLOCAL);
        present(set).map(|_| ()).inspect_err(|errno| {
            self.warn(name, "cannot be taken away", Some(*errno));
        })
    }

    /// Has all senders look at their source again.
    fn recheck_sources(
        &mut self,
        socket: &Ksocket<'_>,
        interfaces: &KmemSlice<Interface>,
    ) -> Result<(), Errno> {
        let name = match self.added.take() {
            Some(name) => name,
            None => match lif::add_loopback(socket) {
                Ok(name) => name,
                // lo0 may have all the addresses that it can have.
                Err(_) => return self.recheck_by_one(socket, interfaces),
            },
        };
        lif::remove(socket, &name).inspect_err(|errno| {
            if *errno != Errno::NXIO {
                self.added = Some(name);
            }
        })
    }

    /// The same by an interface that is away: it comes up for a moment, still as no
    /// source, and ip says that addresses have changed when it goes down. Those of
    /// lo0 first, since others tell the network.
    fn recheck_by_one(
        &mut self,
        socket: &Ksocket<'_>,
        interfaces: &KmemSlice<Interface>,
    ) -> Result<(), Errno> {
        let mut result = Err(Errno::NXIO);
        for on_loopback in [true, false] {
            for one in interfaces.iter().filter(|one| shared(one).is_some()) {
                let name = one.name();
                if result.is_err() && name.starts_with(b"lo0") == on_loopback {
                    result = toggle(socket, &name);
                }
            }
        }
        result
    }

    /// Brings back what was taken away: under its name or, if that is gone, what
    /// has the address now.
    pub fn bring_up(&mut self, socket: &Ksocket<'_>, taken: &mut Taken) -> Result<(), Errno> {
        let interfaces = lif::list(socket)?;
        let mut result = Ok(());
        for one in interfaces.iter() {
            let found = one.address();
            if let Some(entry) = found.and_then(|address| taken.find(&one.name(), &address)) {
                result = result.and(self.bring_one(socket, &one.name(), &entry, taken));
            }
        }
        for one in interfaces.iter() {
            let found = one.address();
            if let Some(entry) = found.and_then(|address| taken.with_address(&address))
                && !is_there(&interfaces, &entry)
            {
                result = result.and(self.bring_one(socket, &one.name(), &entry, taken));
            }
        }
        result
    }

    fn bring_one(
        &mut self,
        socket: &Ksocket<'_>,
        name: &Name,
        entry: &Entry,
        taken: &mut Taken,
    ) -> Result<(), Errno> {
        if let Some(flags) = present(lif::flags(socket, name))? {
            let wanted = flags & (entry.flags | !NOLOCAL) | entry.flags & UP;
            let set = lif::set_flags(socket, name, wanted);
            present(set).inspect_err(|errno| {
                self.warn(name, "cannot be brought back", Some(*errno));
            })?;
        }
        taken.forget(entry);
        Ok(())
    }

    /// Says what is wrong with an interface, unless something was said just now.
    #[inline(never)]
    fn warn(&mut self, name: &Name, what: &str, errno: Option<Errno>) {
        let now = time::seconds();
        let last = self.warned;
        if last.is_some_and(|last| now.wrapping_sub(last) < WARN_PERIOD) {
            return;
        }
        self.warned = Some(now);
        let length = name.iter().take_while(|byte| **byte != 0).count();
        let name = name.get(..length).unwrap_or(&[]);
        let mut text = Text::empty();
        text.string("clinet: the shared address of ")
            .string(core::str::from_utf8(name).unwrap_or("an interface"))
            .string(" ")
            .string(what);
        if let Some(errno) = errno {
            text.string(": error ")
                .number(errno.number().unsigned_abs() as usize);
        }
        log::warn(text.as_c_str());
    }
}

/// Has an interface that is away come up as no source, and go down.
fn toggle(socket: &Ksocket<'_>, name: &Name) -> Result<(), Errno> {
    let flags = lif::flags(socket, name)?;
    lif::set_flags(socket, name, flags | UP | NOLOCAL)?;
    lif::set_flags(socket, name, flags & !UP | NOLOCAL)
}

/// The address of an interface if it is shared.
pub fn shared(interface: &Interface) -> Option<[u8; 16]> {
    let is_shared = |address: &[u8; 16]| builtin::is_shared(&Addr::v6(*address));
    interface.address().filter(is_shared)
}

/// `None` if the interface is gone, which is no error.
fn present<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Is the interface that was taken away still one of these?
fn is_there(interfaces: &KmemSlice<Interface>, entry: &Entry) -> bool {
    let is_it = |one: &Interface| one.name() == entry.name && one.address() == Some(entry.address);
    interfaces.iter().any(is_it)
}
