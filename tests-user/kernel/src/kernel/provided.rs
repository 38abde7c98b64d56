// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a test gives a machine: modules that are no files, an ip, strings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Kernel;
use crate::imports::{Import, ksocket};
use crate::locks::lock;
#[cfg(doc)]
use crate::module::Module;
use crate::network::IpControl;
use crate::record::{Body, Record, Symbol};
use crate::thunk::{LowMemory, Thunks};

impl Kernel {
    /// Adds a module that is no file, such as `drv/ip`: eight-byte variables
    /// with their first values, which modules may name or find by
    /// `ddi_modsym`, and tests read and write by [`Kernel::variable`].
    ///
    /// # Panics
    ///
    /// If a module of that name is there.
    pub fn provide(&self, name: &str, variables: &[(&str, u64)]) {
        // SAFETY: there are no functions to answer for.
        unsafe { self.provide_with_functions(name, variables, &[]) }
    }

    /// Like [`Kernel::provide`], with functions of the host too. They run on
    /// the host's stack as imports do.
    ///
    /// # Panics
    ///
    /// If a module of that name is there.
    ///
    /// # Safety
    ///
    /// Each address must be that of an `extern "C"` function that stays as
    /// long as the machine, takes at most nine integer arguments and can be
    /// called with whatever the modules pass.
    pub unsafe fn provide_with_functions(
        &self,
        name: &str,
        variables: &[(&str, u64)],
        functions: &[(&'static str, *const ())],
    ) {
        // As many as a call into a module takes; unused ones do no harm.
        let arguments = 9;
        let functions = functions.iter();
        let imports = functions.map(|&(name, target)| Import::new(name, target, arguments));
        self.provide_imports(name, variables, imports.collect());
    }

    fn provide_imports(&self, name: &str, variables: &[(&str, u64)], functions: Vec<Import>) {
        assert!(
            self.machine.module(name).is_none(),
            "{name} is loaded already"
        );
        let names: Vec<&'static str> = functions.iter().map(|import| import.name).collect();
        let memory = LowMemory::new(variables.len() * 8);
        let thunks = Thunks::new(functions);
        let mut symbols = Vec::new();
        for (index, (name, value)) in variables.iter().enumerate() {
            let address = memory.address() + index as u64 * 8;
            variable_at(address).store(*value, Ordering::Relaxed);
            symbols.push(Symbol {
                name: (*name).to_owned(),
                address,
                size: 8,
                global: true,
            });
        }
        for (index, name) in names.into_iter().enumerate() {
            symbols.push(Symbol {
                name: name.to_owned(),
                address: thunks.address(index),
                size: 0,
                global: true,
            });
        }
        let data = memory.address()..memory.address() + variables.len() as u64 * 8;
        self.machine.add(Arc::new(Record::new(
            name,
            (0..0, data),
            symbols,
            Vec::new(),
            Body::Provided {
                variables: memory,
                functions: thunks,
            },
        )));
    }

    /// Adds `misc/ksocket`, and lets this ip answer kernel sockets and layered
    /// opens of tcp.
    ///
    /// # Panics
    ///
    /// If the machine has one.
    pub fn set_ip(&self, ip: Arc<dyn IpControl>) {
        self.provide_imports("misc/ksocket", &[], ksocket::table());
        self.machine.network.set_ip(ip);
    }

    /// An eight-byte variable of a provided module. [`Module::read`] and
    /// [`Module::write`] are for those of a loaded one.
    pub fn variable(&self, module: &str, name: &str) -> Option<&AtomicU64> {
        let record = self.machine.module(module)?;
        // A file's memory goes away with an unload, a provided module's stays.
        if !matches!(record.body, Body::Provided { .. }) {
            return None;
        }
        let symbol = record.symbol(name).filter(|symbol| symbol.size == 8)?;
        Some(variable_at(symbol.address))
    }

    /// The address of a symbol of any loaded or provided module, for tests that
    /// store it where a module would.
    pub fn symbol(&self, module: &str, name: &str) -> Option<u64> {
        let record = self.machine.module(module)?;
        record.symbol(name).map(|symbol| symbol.address)
    }

    /// Keeps `text` for as long as the machine and returns its address, for
    /// tunables of type `char *`.
    pub fn string(&self, text: &str) -> u64 {
        let memory = LowMemory::new(text.len() + 1);
        let address = memory.address();
        crate::memory::write_bytes(address, text.as_bytes());
        lock(&self.machine.strings).push(memory);
        address
    }
}

fn variable_at<'a>(address: u64) -> &'a AtomicU64 {
    // SAFETY: callers pass the address of an aligned word in the memory of a
    // provided module, which stays until its kernel, which they borrow, goes.
    unsafe { &*(address as *const AtomicU64) }
}
