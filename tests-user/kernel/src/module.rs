// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Loading and unloading: the steps of `modload` and `modunload`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use clinet_krtld::{Image, ModuleFile, Resolve, Warning};

use crate::context::Context;
use crate::fault::Fault;
use crate::imports::modctl::modinfo;
use crate::kernel::Kernel;
use crate::leak::{self, Leaks};
use crate::load_error::{ModloadError, ModunloadError};
use crate::locks::lock;
use crate::machine::Machine;
use crate::memory;
use crate::record::{Body, Record, Symbol};
use crate::thunk::kernel_symbol;

const EINVAL: i32 = 22;
const EALREADY: i32 = 149;
/// The longest module name with its NUL.
const MODMAXNAMELEN: usize = 32;

/// What `modinfo` shows of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModinfoEntry {
    /// The description, at most 31 bytes.
    pub linkinfo: String,
    /// `ml_rev`, which is 1.
    pub rev: i32,
}

/// A module loaded from a file.
pub struct Module {
    machine: Arc<Machine>,
    record: Arc<Record>,
    info: ModinfoEntry,
    warnings: Vec<String>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.record.name)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Module {
    /// Such as `misc/clinet`.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// What `modinfo` shows.
    pub fn info(&self) -> &ModinfoEntry {
        &self.info
    }

    /// What krtld warned of, tunables included.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A symbol of the module, local ones included.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.record.symbol(name).cloned()
    }

    /// The address of a symbol.
    ///
    /// # Panics
    ///
    /// If the module has none of that name.
    pub fn address(&self, name: &str) -> u64 {
        self.record
            .symbol(name)
            .unwrap_or_else(|| panic!("{} has no symbol {name}", self.name()))
            .address
    }

    /// The memory of the module, or `None` once it is unloaded. It stays
    /// mapped for as long as the result lives.
    pub fn image(&self) -> Option<Arc<Image>> {
        self.record.image()
    }

    /// The value of an eight-byte variable.
    ///
    /// # Panics
    ///
    /// If the module has no such variable or is unloaded.
    pub fn read(&self, variable: &str) -> u64 {
        let (_image, address) = self.variable(variable);
        let word: &AtomicU64 = memory::atomic(address);
        word.load(Ordering::SeqCst)
    }

    /// Sets an eight-byte variable.
    ///
    /// # Panics
    ///
    /// If the module has no such variable or is unloaded.
    pub fn write(&self, variable: &str, value: u64) {
        let (_image, address) = self.variable(variable);
        let word: &AtomicU64 = memory::atomic(address);
        word.store(value, Ordering::SeqCst);
    }

    /// The address of a writable eight-byte variable, and what keeps it.
    fn variable(&self, name: &str) -> (Arc<Image>, u64) {
        let image = self
            .image()
            .unwrap_or_else(|| panic!("{} is unloaded", self.name()));
        let symbol = self
            .record
            .symbol(name)
            .filter(|symbol| symbol.size == 8 && self.record.data.contains(&symbol.address))
            .unwrap_or_else(|| panic!("{} has no 8-byte variable {name}", self.name()));
        (image, symbol.address)
    }

    /// Calls the C function at `address` on a kernel stack.
    ///
    /// # Errors
    ///
    /// The fault if the machine panicked, during this call or before.
    ///
    /// # Safety
    ///
    /// `address` must be a C function that takes at most these arguments, all
    /// of them integers or pointers that it may use.
    pub unsafe fn try_call(
        &self,
        context: &Context,
        address: u64,
        args: &[u64],
    ) -> Result<u64, Fault> {
        // SAFETY: the same guarantee.
        unsafe { self.machine.call(context, address, args) }
    }

    /// Like [`Module::try_call`].
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    ///
    /// # Safety
    ///
    /// As for [`Module::try_call`].
    pub unsafe fn call(&self, context: &Context, address: u64, args: &[u64]) -> u64 {
        // SAFETY: the same guarantee.
        unsafe { self.try_call(context, address, args) }.unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Runs `body` in direct mode, as [`Kernel::enter`] does.
    pub fn enter<R>(&self, context: &Context, body: impl FnOnce() -> R) -> R {
        crate::kernel::enter(&self.machine, context, body)
    }
}

/// Resolves names as krtld does: the dependencies in their order, then the
/// kernel.
struct Resolver<'a> {
    dependencies: &'a [Arc<Record>],
}

impl Resolve for Resolver<'_> {
    fn resolve(&mut self, name: &str) -> Option<u64> {
        self.dependencies
            .iter()
            .find_map(|record| record.symbol(name).filter(|symbol| symbol.global))
            .map(|symbol| symbol.address)
            .or_else(|| kernel_symbol(name))
    }

    fn is_primary(&mut self, name: &str) -> bool {
        kernel_symbol(name).is_some()
    }
}

impl Kernel {
    /// Loads a module as `modload` does: its dependencies must be loaded, its
    /// imports are resolved, `_info` is called, `tunables` are applied as
    /// `set module:name = value` does, and `_init` is called.
    ///
    /// # Errors
    ///
    /// See [`ModloadError`]; nothing of the module stays.
    pub fn load(
        &self,
        name: &str,
        file: &[u8],
        tunables: &[(&str, u64)],
    ) -> Result<Module, ModloadError> {
        let machine = &self.machine;
        machine.check_running()?;
        if machine.module(name).is_some() {
            return Err(ModloadError::Loaded(name.to_owned()));
        }
        if name.rsplit('/').next().unwrap_or(name).len() >= MODMAXNAMELEN {
            return Err(ModloadError::NameTooLong(name.to_owned()));
        }
        let file = ModuleFile::parse(file)?;
        let dependencies = find_dependencies(machine, name, file.dependencies()?)?;
        let image = file.load(&mut Resolver {
            dependencies: &dependencies,
        })?;
        let warnings = image.warnings().iter().map(Warning::to_string).collect();
        let record = Arc::new(record_of(name, &image, dependencies));
        machine.add(record.clone());
        let mut module = Module {
            machine: machine.clone(),
            record,
            info: ModinfoEntry {
                linkinfo: String::new(),
                rev: 0,
            },
            warnings,
        };
        let started = module.start(image, tunables);
        if started.is_err() {
            module.forget();
        }
        started.map(|()| module)
    }

    /// Unloads a module as `modunload` does.
    ///
    /// # Errors
    ///
    /// See [`ModunloadError`]. After [`ModunloadError::Leaks`] the module is
    /// gone all the same.
    pub fn unload(&self, module: &Module) -> Result<(), ModunloadError> {
        module.unload()
    }
}

impl Module {
    /// What [`Kernel::unload`] does.
    pub(crate) fn unload(&self) -> Result<(), ModunloadError> {
        let record = &self.record;
        let name = || record.name.clone();
        if record.image().is_none() {
            return Err(ModunloadError::NotLoaded(name()));
        }
        if record.references.load(Ordering::Acquire) > 0 {
            return Err(ModunloadError::Referenced(name()));
        }
        let Some(fini) = record.symbol("_fini") else {
            return Err(ModunloadError::NoFini(name()));
        };
        // SAFETY: _fini takes no arguments.
        let result = unsafe { self.try_call(&Context::thread(), fini.address, &[]) }?;
        match result as i32 {
            0 => {}
            errno => {
                return Err(ModunloadError::Refused {
                    module: name(),
                    errno: if errno == EALREADY { EINVAL } else { errno },
                });
            }
        }
        let leaks = self.forget();
        if leaks.0.is_empty() {
            Ok(())
        } else {
            Err(ModunloadError::Leaks {
                module: name(),
                leaks,
            })
        }
    }

    /// The steps after relocation.
    fn start(&mut self, image: Image, tunables: &[(&str, u64)]) -> Result<(), ModloadError> {
        self.info = self.ask_info()?;
        for &(variable, value) in tunables {
            if let Some(warning) = image.set_tunable(variable, value)? {
                self.warnings.push(warning.to_string());
            }
        }
        if let Body::File(slot) = &self.record.body {
            *lock(slot) = Some(Arc::new(image));
        }
        let init = self.entry("_init")?;
        // SAFETY: _init takes no arguments.
        let errno = unsafe { self.try_call(&Context::thread(), init, &[]) }? as i32;
        if errno != 0 {
            return Err(ModloadError::Init {
                module: self.name().to_owned(),
                errno,
                leaks: self.forget(),
            });
        }
        Ok(())
    }

    fn entry(&self, function: &'static str) -> Result<u64, ModloadError> {
        self.record
            .symbol(function)
            .map(|symbol| symbol.address)
            .ok_or_else(|| ModloadError::MissingEntry {
                module: self.name().to_owned(),
                function,
            })
    }

    fn ask_info(&self) -> Result<ModinfoEntry, ModloadError> {
        let buffer = [0u64; modinfo::SIZE / 8];
        let address = buffer.as_ptr() as u64;
        let function = self.entry("_info")?;
        // SAFETY: _info takes a struct modinfo.
        let result = unsafe { self.try_call(&Context::thread(), function, &[address]) }?;
        if result as i32 != 1 {
            return Err(ModloadError::Info(self.name().to_owned()));
        }
        Ok(ModinfoEntry {
            linkinfo: memory::string(address + modinfo::MI_MSINFO),
            rev: memory::read(address + modinfo::MI_REV),
        })
    }

    /// Takes the module and what it left out of the machine. Harmless when
    /// repeated.
    fn forget(&self) -> Leaks {
        let leaks = leak::collect(&self.machine, &self.record);
        self.machine.remove(&self.record);
        self.record.release();
        leaks
    }
}

fn find_dependencies(
    machine: &Machine,
    name: &str,
    names: Vec<String>,
) -> Result<Vec<Arc<Record>>, ModloadError> {
    names
        .into_iter()
        .map(|dependency| {
            machine
                .module(&dependency)
                .ok_or_else(|| ModloadError::MissingDependency {
                    module: name.to_owned(),
                    dependency,
                })
        })
        .collect()
}

fn record_of(name: &str, image: &Image, dependencies: Vec<Arc<Record>>) -> Record {
    let symbols = image
        .symbols()
        .map(|symbol| Symbol {
            name: symbol.name.clone(),
            address: symbol.address,
            size: symbol.size,
            global: symbol.global,
        })
        .collect();
    Record::new(
        name,
        (image.text(), image.data()),
        symbols,
        dependencies,
        Body::File(Mutex::new(None)),
    )
}
