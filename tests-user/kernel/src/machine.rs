// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The state of one simulated machine, which all its parts share.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use crate::context::{self, Context, Returned};
use crate::devices::Devices;
use crate::fault::{Fault, Raised};
use crate::imports::clock::Clock;
use crate::imports::kmem::Accounts;
use crate::imports::kstat::Kstats;
use crate::imports::log::Log;
use crate::imports::modctl::{Handles, Linkages};
use crate::imports::netstack::Netstacks;
use crate::imports::poll::Polls;
use crate::imports::random::Random;
use crate::imports::taskq::TaskQueues;
use crate::locks::{Locks, lock};
use crate::network::Network;
use crate::record::{Inside, Record};
use crate::sched::Sched;
use crate::thunk::LowMemory;

/// The state of a machine; imports reach it through the current frame.
pub(crate) struct Machine {
    this: Weak<Machine>,
    pub modules: RwLock<Vec<Arc<Record>>>,
    pub memory: Accounts,
    pub locks: Locks,
    pub log: Log,
    pub kstats: Kstats,
    pub random: Random,
    pub clock: Clock,
    pub sched: Sched,
    pub task_queues: TaskQueues,
    pub handles: Handles,
    pub linkages: Linkages,
    pub netstacks: Netstacks,
    pub devices: Devices,
    pub polls: Polls,
    pub network: Network,
    fault: OnceLock<Fault>,
    pub deepest: AtomicUsize,
    /// What the machine keeps for its tests.
    pub strings: Mutex<Vec<LowMemory>>,
    /// The import whose next call fails.
    pub failing: Mutex<Option<&'static str>>,
}

impl Machine {
    pub fn boot() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            modules: RwLock::default(),
            memory: Accounts::default(),
            locks: Locks::default(),
            log: Log::default(),
            kstats: Kstats::default(),
            random: Random::default(),
            clock: Clock::default(),
            sched: Sched::default(),
            task_queues: TaskQueues::default(),
            handles: Handles::default(),
            linkages: Linkages::default(),
            netstacks: Netstacks::default(),
            devices: Devices::default(),
            polls: Polls::default(),
            network: Network::default(),
            fault: OnceLock::new(),
            deepest: AtomicUsize::new(0),
            strings: Mutex::default(),
            failing: Mutex::default(),
        })
    }

    /// Is this call the one that was to fail?
    pub fn fails(&self, function: &str) -> bool {
        lock(&self.failing)
            .take_if(|name| *name == function)
            .is_some()
    }

    /// The machine for a thread that may outlive the current call.
    pub fn shared(&self) -> Arc<Self> {
        self.this
            .upgrade()
            .expect("a machine is only reached through what shares it")
    }

    /// Halts the machine; the first fault counts.
    pub fn halt(&self, fault: &Fault) {
        let _ = self.fault.set(fault.clone());
    }

    /// The fault that halted the machine, if one did.
    pub fn check_running(&self) -> Result<(), Fault> {
        match self.fault.get() {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    pub fn note_depth(&self, depth: usize) {
        if depth > self.deepest.load(Ordering::Relaxed) {
            self.deepest.fetch_max(depth, Ordering::Relaxed);
        }
    }

    fn find(&self, wanted: impl Fn(&Record) -> bool) -> Option<Arc<Record>> {
        self.modules
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find(|record| wanted(record))
            .cloned()
    }

    /// The module called `name`, such as `misc/clinet`.
    pub fn module(&self, name: &str) -> Option<Arc<Record>> {
        self.find(|record| record.name == name)
    }

    /// The module whose text `address` is in.
    pub fn module_at(&self, address: u64) -> Option<Arc<Record>> {
        self.find(|record| record.text.contains(&address))
    }

    /// The module whose text or data `address` is in.
    pub fn image_at(&self, address: u64) -> Option<Arc<Record>> {
        self.find(|record| record.contains(address))
    }

    /// Counts a call of `address`, which must be in a module.
    pub fn enter_module(&self, address: u64) -> Result<Inside, Fault> {
        match self.module_at(address) {
            Some(record) => Ok(Inside::new(record)),
            None => Err(Fault {
                message: format!("call of {address:#x}, which is in no loaded module"),
                context: String::new(),
                trace: Vec::new(),
            }),
        }
    }

    /// `module`function+offset` for an address in the text of a module.
    pub fn symbolize(&self, address: u64) -> Option<String> {
        self.module_at(address)?.symbolize(address)
    }

    /// The same, or the address itself.
    pub fn place(&self, address: u64) -> String {
        self.symbolize(address)
            .unwrap_or_else(|| format!("{address:#x}"))
    }

    /// The variable of a module that `address` is in.
    pub fn variable_at(&self, address: u64) -> Option<String> {
        let record = self.find(|record| record.data.contains(&address))?;
        let (symbol, offset) = record.nearest(address)?;
        let name = format!("{}`{}", record.base_name(), symbol.name);
        Some(match offset {
            0 => name,
            _ => format!("{name}+{offset:#x}"),
        })
    }

    pub fn add(&self, record: Arc<Record>) {
        self.modules
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record);
    }

    pub fn remove(&self, record: &Arc<Record>) {
        self.modules
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|other| !Arc::ptr_eq(other, record));
    }

    /// Runs `body` as a part of the kernel, which may use what imports use;
    /// a fault in it is returned.
    pub fn as_kernel<R>(&self, context: &Context, body: impl FnOnce() -> R) -> Result<R, Fault> {
        panic::catch_unwind(AssertUnwindSafe(|| context::enter(self, context, body))).map_err(
            |payload| match payload.downcast::<Raised>() {
                Ok(raised) => raised.0,
                Err(other) => panic::resume_unwind(other),
            },
        )
    }

    /// Calls a function of a module.
    ///
    /// # Safety
    ///
    /// `address` must be a C function that takes at most these arguments, all
    /// of them integers or pointers that it may use.
    pub unsafe fn call(&self, context: &Context, address: u64, args: &[u64]) -> Result<u64, Fault> {
        // SAFETY: the same guarantee.
        match unsafe { context::run(self, context, address, args) }? {
            Returned::Value(value) => Ok(value),
            Returned::Exit => {
                let fault = Fault {
                    message: "thread_exit in a thread that thread_create did not make".to_owned(),
                    context: context.to_string(),
                    trace: vec![self.place(address)],
                };
                self.halt(&fault);
                Err(fault)
            }
        }
    }
}
