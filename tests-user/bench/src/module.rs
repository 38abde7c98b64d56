// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released module, loaded and called straight through its addresses.

use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clinet_krtld::{Image, LoadError, ModuleFile, Symbol};

use crate::api::{self, Functions, Stat, tunable};
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::kernel::{Kernel, clock, ip, kmem, low::Low, random, taskq, thread};
use crate::keys::{Keys, TCP, Tuple, shared_addresses};
use crate::sender::Sender;

/// The kernel is one for the process.
static MACHINE: Mutex<()> = Mutex::new(());

/// How often a registration is tried again that came before its memory.
const TRIES: usize = 50;
/// Registrations between two looks at the counters.
const CHUNK: usize = 4096;

/// How a module is loaded.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// `clinet_max_tuples`.
    pub max_tuples: u32,
    /// `clinet_prealloc`.
    pub prealloc: bool,
    /// Attached to ip.
    pub attach: bool,
    /// With mutexes that note how long they are held.
    pub timed: bool,
    /// Further tunables. They win.
    pub set: Vec<(String, u64)>,
}

/// A loaded module. On drop its tasks end and its memory is freed.
pub struct Module {
    functions: Functions,
    image: ManuallyDrop<Image>,
    low: ManuallyDrop<Low>,
    /// The module keeps a pointer to it.
    _addresses: CString,
    _machine: MutexGuard<'static, ()>,
}

impl Module {
    /// Loads the module and calls its `_init`.
    ///
    /// # Errors
    /// The file is no module, imports something that is not here, has no
    /// tunable of a name in [`Load::set`], or does not want to start.
    pub fn load(file: &[u8], load: &Load) -> Result<Self> {
        let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        thread::attach();
        clock::start();
        random::reset();
        ip::reset();
        let mut kernel = Kernel::new(load.timed)?;
        let parsed = ModuleFile::parse(file).context("this is no kernel module")?;
        let image = parsed.load(&mut kernel).map_err(explained)?;
        let low = kernel.finish()?;
        let addresses = CString::new(shared_addresses()).unwrap_or_default();
        set_tunables(&image, load, &addresses)?;
        let mut module = Self {
            functions: Functions::of(&image),
            image: ManuallyDrop::new(image),
            low: ManuallyDrop::new(low),
            _addresses: addresses,
            _machine: machine,
        };
        let init = module.functions.init()?;
        // SAFETY: the entry of a module that is loaded and not started; this
        // thread is attached.
        let errno = unsafe { init() };
        if errno != 0 {
            return Err(anyhow!("_init of the module answered errno {errno}").into());
        }
        module.functions = Functions::of(&module.image);
        module.settle()?;
        Ok(module)
    }

    /// The functions, to be called through a [`Caller`].
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Makes this thread a kernel thread and calls the module from it.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        Caller::new(&self.functions)
    }

    /// A stack that is linked to the module.
    ///
    /// # Errors
    /// The module lacks what it calls.
    pub fn sender(&self) -> Result<Sender<'_>> {
        Sender::new(&self.image)
    }

    /// Waits until the module's tasks have nothing to do.
    ///
    /// # Errors
    /// They do not come to rest.
    pub fn settle(&self) -> Result<()> {
        if taskq::settle() {
            return Ok(());
        }
        Err(anyhow!("the module's tasks do not come to rest").into())
    }

    /// Waits until the module's thread has looked at its clock, as it does
    /// every second, and at what there is to do.
    ///
    /// # Errors
    /// It does not come to rest.
    pub fn second(&self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(1200));
        self.settle()
    }

    /// The variable that an address is in, or the address.
    #[must_use]
    pub fn place(&self, address: usize) -> String {
        let address = address as u64;
        let is_in =
            |symbol: &&Symbol| (symbol.address..symbol.address + symbol.size).contains(&address);
        match self.image.symbols().find(is_in) {
            Some(symbol) => format!("{}+{:#x}", symbol.name, address - symbol.address),
            None => format!("{address:#x}"),
        }
    }

    /// Bytes that the module has: all of its kmem, and its variables.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let data = self.image.data();
        kmem::bytes() + data.end.saturating_sub(data.start)
    }

    /// Registers `keys.get(i)` for each `i`, waiting for memory when it comes
    /// late. How often it did.
    ///
    /// # Errors
    /// A tuple is not registered.
    pub fn fill(&self, keys: &Keys, indices: &[u32]) -> Result<u64> {
        let caller = self.caller();
        self.fill_by(keys, indices, caller.connect2()?, caller.disconnect()?)
    }

    /// The same through ip's hooks.
    ///
    /// # Errors
    /// A tuple is not registered, or the module is not attached.
    pub fn fill_through_ip(&self, keys: &Keys, indices: &[u32]) -> Result<u64> {
        let caller = self.caller();
        self.fill_by(
            keys,
            indices,
            caller.ip_connect2()?,
            caller.ip_disconnect()?,
        )
    }

    fn fill_by(
        &self,
        keys: &Keys,
        indices: &[u32],
        connect: impl Fn(&Tuple) -> i32,
        disconnect: impl Fn(&Tuple),
    ) -> Result<u64> {
        let caller = self.caller();
        let mut late = 0;
        for chunk in indices.chunks(CHUNK) {
            let mut before = caller.stat(Stat::Registered)?;
            let register = |before| {
                for &index in chunk {
                    connect(&keys.get(index));
                }
                missing(&caller, before, chunk.len())
            };
            let mut missing = register(before)?;
            for _ in 0..TRIES {
                if missing == 0 {
                    break;
                }
                late += missing;
                self.settle()?;
                if keys.protocol() == TCP {
                    // A second reference would survive a disconnect.
                    for &index in chunk {
                        disconnect(&keys.get(index));
                    }
                    before = caller.stat(Stat::Registered)?;
                }
                missing = register(before)?;
            }
            if missing > 0 {
                let all = chunk.len();
                return Err(Error::Wrong(format!(
                    "{missing} of {all} tuples are not registered"
                )));
            }
        }
        self.settle()?;
        Ok(late)
    }

    /// Installs `keys.get(i)` for each `i` as the tuple of `owner`.
    ///
    /// # Errors
    /// It is refused.
    pub fn install(&self, keys: &Keys, owner: u32, indices: &[u32]) -> Result<()> {
        let caller = self.caller();
        for &index in indices {
            let tuple = keys.get(index);
            let mut answer = caller.install(owner, &tuple)?;
            for _ in 0..TRIES {
                if answer != api::ENOSPC {
                    break;
                }
                self.settle()?;
                answer = caller.install(owner, &tuple)?;
            }
            if answer != 0 {
                return Err(Error::Wrong(format!(
                    "clinet_install of a free tuple answered {answer}"
                )));
            }
        }
        self.settle()
    }
}

/// How many of `count` registrations the counter does not show.
fn missing(caller: &Caller<'_>, before: u64, count: usize) -> Result<u64> {
    let registered = caller.stat(Stat::Registered)?.saturating_sub(before);
    (count as u64).checked_sub(registered).ok_or_else(|| {
        Error::Wrong(format!(
            "{count} questions, {registered} counted as registered"
        ))
    })
}

/// Sets what the module has of the tunables, and all of `load.set`.
fn set_tunables(image: &Image, load: &Load, addresses: &CString) -> Result<()> {
    let own = [
        (tunable::MAX_TUPLES, u64::from(load.max_tuples)),
        (tunable::PREALLOC, u64::from(load.prealloc)),
        (tunable::NODE_ID, u64::from(crate::NODE)),
        (
            tunable::ADDRS,
            addresses.as_ptr().expose_provenance() as u64,
        ),
        (tunable::ATTACH, u64::from(load.attach)),
    ];
    for (name, value) in own {
        if image.symbol(name).is_some() {
            image.set_tunable(name, value).context(name)?;
        }
    }
    for (name, value) in &load.set {
        let result = image.set_tunable(name, *value);
        result.with_context(|| format!("--set {name}={value}"))?;
    }
    Ok(())
}

impl Drop for Module {
    fn drop(&mut self) {
        if !taskq::end() {
            // A task still runs in it: it stays, and so does its memory.
            eprintln!("clinet-bench: a task of the module does not end; its memory stays");
            return;
        }
        // SAFETY: no task is alive, a Caller borrows self, so nobody runs in
        // the module or uses its memory; both are dropped here and only here.
        unsafe {
            kmem::free_all();
            ManuallyDrop::drop(&mut self.image);
            ManuallyDrop::drop(&mut self.low);
        }
    }
}

/// Which of the names a module file has, as functions or variables.
///
/// # Errors
/// It is no module.
pub fn check_file(file: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut kernel = Kernel::new(false)?;
    let parsed = ModuleFile::parse(file).context("this is no kernel module")?;
    let image = parsed.load(&mut kernel).map_err(explained)?;
    Ok(image.symbols().map(|symbol| symbol.name.clone()).collect())
}

/// Why a module does not load, and what is to be done about it.
fn explained(error: LoadError) -> anyhow::Error {
    match error {
        LoadError::UndefinedSymbols(names) => anyhow!(
            "the module imports what the bench's kernel lacks: {}; add it to \
             tests-user/bench/src/kernel",
            names.join(", ")
        ),
        error => anyhow!(error).context("the module does not load"),
    }
}
