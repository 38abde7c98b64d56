// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released module, loaded and called straight through its addresses.

use std::ffi::CString;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, anyhow, bail};
use clinet_krtld::{Image, ModuleFile};

use crate::api::{self, Functions, STATS, Stat, tunable};
use crate::error::{Error, Result};
use crate::kernel::{Kernel, clock, kmem, low::Low, random, taskq, thread};
use crate::keys::{INET6, Keys, Tuple, shared_addresses};

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
        let mut kernel = Kernel::new(load.timed)?;
        let parsed = ModuleFile::parse(file).context("this is no kernel module")?;
        let image = match parsed.load(&mut kernel) {
            Ok(image) => image,
            Err(_) if !kernel.unknown.is_empty() => {
                let names = kernel.unknown.join(", ");
                return Err(anyhow!(
                    "the module imports what the bench's kernel lacks: {names}; \
                     add it to tests-user/bench/src/kernel"
                )
                .into());
            }
            Err(error) => return Err(anyhow!(error).context("the module does not load").into()),
        };
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

    /// Puts other functions in the place of the module's: for tests that
    /// want wrong answers.
    ///
    /// # Safety
    /// They keep the promises that the module's make in their header.
    pub unsafe fn functions_mut(&mut self) -> &mut Functions {
        &mut self.functions
    }

    /// Makes this thread a kernel thread and calls the module from it.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        thread::attach();
        Caller {
            functions: &self.functions,
            not_send: PhantomData,
        }
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
        let (connect, disconnect) = (caller.connect2()?, caller.disconnect()?);
        let register = |chunk: &[u32]| {
            let before = caller.stat(Stat::Registered)?;
            for &index in chunk {
                connect(&keys.get(index));
            }
            missing(&caller, before, chunk.len())
        };
        let mut late = 0;
        for chunk in indices.chunks(CHUNK) {
            let mut missing = register(chunk)?;
            for _ in 0..TRIES {
                if missing == 0 {
                    break;
                }
                late += missing;
                self.settle()?;
                for &index in chunk {
                    disconnect(&keys.get(index));
                }
                missing = register(chunk)?;
            }
            if missing > 0 {
                let all = chunk.len();
                return Err(Error::Wrong(format!("{missing} of {all} tuples are not registered")));
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
        Error::Wrong(format!("{count} questions, {registered} counted as registered"))
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
        (tunable::ATTACH, 0),
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

/// The module as one kernel thread calls it. Not `Send`.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    functions: &'a Functions,
    not_send: PhantomData<*mut ()>,
}

impl Caller<'_> {
    /// `cl_inet_connect2`, outgoing: the call, looked up once.
    ///
    /// # Errors
    /// No such function, as everywhere here.
    pub fn connect2(&self) -> Result<impl Fn(&Tuple) -> i32> {
        let connect2 = self.functions.connect2()?;
        Ok(move |tuple: &Tuple| {
            // SAFETY: 16 readable bytes each, which live during the call;
            // this thread is attached, as it made the Caller.
            unsafe {
                connect2(
                    tuple.protocol(),
                    1,
                    INET6,
                    tuple.laddr(),
                    tuple.lport(),
                    tuple.faddr(),
                    tuple.fport(),
                )
            }
        })
    }

    /// `cl_inet_disconnect`, looked up once.
    ///
    /// # Errors
    /// No such function.
    pub fn disconnect(&self) -> Result<impl Fn(&Tuple) + use<>> {
        Ok(of_tuple(self.functions.disconnect()?))
    }

    /// `clinet_prefetch`, looked up once.
    ///
    /// # Errors
    /// No such function.
    pub fn prefetch(&self) -> Result<impl Fn(&Tuple) + use<>> {
        Ok(of_tuple(self.functions.prefetch()?))
    }

    /// `clinet_query` without the longer answer, looked up once.
    ///
    /// # Errors
    /// No such function.
    pub fn query(&self) -> Result<impl Fn(&Tuple) -> i32> {
        let query = self.functions.query()?;
        Ok(move |tuple: &Tuple| {
            // SAFETY: as in `connect2`; the answer may be NULL.
            unsafe {
                query(
                    tuple.protocol(),
                    INET6,
                    tuple.laddr(),
                    tuple.lport(),
                    tuple.faddr(),
                    tuple.fport(),
                    ptr::null_mut(),
                )
            }
        })
    }

    /// `clinet_install`.
    ///
    /// # Errors
    /// No such function.
    pub fn install(&self, owner: u32, tuple: &Tuple) -> Result<i32> {
        let install = self.functions.install()?;
        // SAFETY: as in `connect2`.
        Ok(unsafe {
            install(
                owner,
                tuple.protocol(),
                INET6,
                tuple.laddr(),
                tuple.lport(),
                tuple.faddr(),
                tuple.fport(),
            )
        })
    }

    /// `cl_inet_bind` of the tuple's local endpoint.
    ///
    /// # Errors
    /// No such function.
    pub fn bind(&self, tuple: &Tuple) -> Result<()> {
        let bind = self.functions.bind()?;
        // SAFETY: as in `connect2`.
        unsafe { bind(tuple.protocol(), INET6, tuple.laddr(), tuple.lport()) };
        Ok(())
    }

    /// `cl_inet_unbind` of the tuple's local endpoint.
    ///
    /// # Errors
    /// No such function.
    pub fn unbind(&self, tuple: &Tuple) -> Result<()> {
        let unbind = self.functions.unbind()?;
        // SAFETY: as in `connect2`.
        unsafe { unbind(tuple.protocol(), INET6, tuple.laddr(), tuple.lport()) };
        Ok(())
    }

    /// `clinet_purge`.
    ///
    /// # Errors
    /// No such function.
    pub fn purge(&self, owner: u32) -> Result<i32> {
        let purge = self.functions.purge()?;
        // SAFETY: a number; this thread is attached.
        Ok(unsafe { purge(owner) })
    }

    /// `clinet_sweep`.
    ///
    /// # Errors
    /// No such function.
    pub fn sweep(&self) -> Result<()> {
        let sweep = self.functions.sweep()?;
        // SAFETY: no arguments; this thread is attached and may sleep.
        unsafe { sweep() };
        Ok(())
    }

    /// `clinet_memory`.
    ///
    /// # Errors
    /// No such function.
    pub fn memory(&self) -> Result<u64> {
        let memory = self.functions.memory()?;
        // SAFETY: no arguments; this thread is attached.
        Ok(unsafe { memory() })
    }

    /// One counter of `clinet_stats`.
    ///
    /// # Errors
    /// No such function, or it fails.
    pub fn stat(&self, stat: Stat) -> Result<u64> {
        let stats = self.functions.stats()?;
        let mut values = [0_u64; STATS];
        // SAFETY: writes at most as many bytes as it is told.
        let errno = unsafe { stats(values.as_mut_ptr(), size_of_val(&values)) };
        if errno != 0 {
            return Err(anyhow!("clinet_stats answered errno {errno}").into());
        }
        Ok(values[stat as usize])
    }
}

/// Calls `function`, which is of a module whose Caller this thread made.
fn of_tuple(function: api::OfTuple) -> impl Fn(&Tuple) {
    move |tuple: &Tuple| {
        // SAFETY: as in `Caller::connect2`.
        unsafe {
            function(
                tuple.protocol(),
                INET6,
                tuple.laddr(),
                tuple.lport(),
                tuple.faddr(),
                tuple.fport(),
            );
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
    match parsed.load(&mut kernel) {
        Ok(image) => Ok(image.symbols().map(|symbol| symbol.name.clone()).collect()),
        Err(_) if !kernel.unknown.is_empty() => bail!(
            "the module imports what the bench's kernel lacks: {}; \
             add it to tests-user/bench/src/kernel",
            kernel.unknown.join(", ")
        ),
        Err(error) => Err(anyhow!(error).context("the module does not load")),
    }
}
