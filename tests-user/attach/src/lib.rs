// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A machine with a stock ip whose hooks the released module sets, and the
//! calls that ip makes through them.
//!
//! ip here is what the module sees of it: twelve variables and a walk. Calls
//! go as ip's do: the variable is tested, loaded again, and called.

mod hooks;
mod step;
mod walk;

pub use hooks::connect_arguments;
pub use walk::{TcpInfo, state};

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use clinet_kernel::{Context, Kernel, KstatValue, ModloadError, Module};
use clinet_module_tests::{Control, Node, Tuple, module_file, ptr};
use walk::{WALK, Walk};

/// The variables of ip that are about clustering.
pub const VARIABLES: [&str; 12] = [
    "cl_inet_listen",
    "cl_inet_unlisten",
    "cl_inet_connect2",
    "cl_inet_disconnect",
    "cl_inet_bind",
    "cl_inet_unbind",
    "cl_inet_isclusterwide",
    "cl_inet_ipident",
    "cl_inet_getspi",
    "cl_inet_checkspi",
    "cl_inet_deletespi",
    "cl_inet_idlesa",
];

/// Those that the module sets with the built-in provider.
pub const SET: [&str; 4] = [
    "cl_inet_disconnect",
    "cl_inet_unbind",
    "cl_inet_bind",
    "cl_inet_connect2",
];

/// A machine with a stock ip, on which the module is or will be loaded.
pub struct Machine {
    /// The machine.
    pub kernel: Arc<Kernel>,
    module: OnceLock<Module>,
    walk: Walk,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A machine whose ip has all variables, NULL, and no connections.
    #[must_use]
    pub fn new() -> Self {
        Self::without(&[])
    }

    /// The same without some of ip's symbols.
    ///
    /// # Panics
    ///
    /// If too many machines are on.
    #[must_use]
    pub fn without(absent: &[&str]) -> Self {
        let kernel = Arc::new(Kernel::new());
        let walk = Walk::new(kernel.clone());
        let there = |name: &&str| !absent.contains(name);
        let variables: Vec<(&str, u64)> = VARIABLES
            .into_iter()
            .filter(there)
            .map(|name| (name, 0))
            .collect();
        let functions = [(WALK, walk.function())];
        let functions = if there(&WALK) { &functions[..] } else { &[] };
        // SAFETY: the function is static, takes three integers, and calls what
        // the module passes.
        unsafe { kernel.provide_with_functions("drv/ip", &variables, functions) };
        Self {
            kernel,
            module: OnceLock::new(),
            walk,
        }
    }

    /// The same with the module loaded and, unless the tunables say otherwise,
    /// attached; the first audits have run.
    #[must_use]
    pub fn attached(tunables: &[(&str, u64)]) -> Self {
        let machine = Self::new();
        machine.load(tunables);
        machine.seconds(3);
        machine
    }

    /// Loads the module, with a small table unless the tunables say otherwise.
    ///
    /// # Panics
    ///
    /// If it does not load, or is loaded.
    pub fn load(&self, tunables: &[(&str, u64)]) {
        let tunables = [&[("clinet_max_tuples", 4096)], tunables].concat();
        let module = self.try_load(&tunables).expect("the module loads");
        assert!(self.module.set(module).is_ok(), "it is loaded already");
    }

    /// Loads a module of the same file, of which the machine does not know.
    ///
    /// # Errors
    ///
    /// It does not load.
    pub fn try_load(&self, tunables: &[(&str, u64)]) -> Result<Module, ModloadError> {
        self.kernel.load("misc/clinet", &module_file(), tunables)
    }

    /// The module.
    ///
    /// # Panics
    ///
    /// If it is not loaded.
    #[must_use]
    pub fn module(&self) -> &Module {
        self.module.get().expect("the module is loaded")
    }

    /// What walks find from now on, by stack.
    pub fn walk(&self, connections: impl FnMut(i32) -> Option<Vec<TcpInfo>> + Send + 'static) {
        self.walk.finds(Box::new(connections));
    }

    /// Walks find these on the global stack.
    pub fn connections(&self, found: &[TcpInfo]) {
        let found = found.to_vec();
        self.walk(move |stack| {
            Some(if stack == 0 {
                found.clone()
            } else {
                Vec::new()
            })
        });
    }

    /// Lets seconds pass, one by one, until the module's thread is at rest.
    pub fn seconds(&self, seconds: u64) {
        for _ in 0..seconds {
            self.kernel.advance(std::time::Duration::from_secs(1));
        }
        self.kernel.settle();
    }

    /// A variable of ip.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn variable(&self, name: &str) -> &AtomicU64 {
        self.kernel.variable("drv/ip", name).expect("it is there")
    }

    /// What a variable of ip holds.
    #[must_use]
    pub fn hook(&self, name: &str) -> u64 {
        self.variable(name).load(Ordering::SeqCst)
    }

    /// What all of ip's variables hold.
    #[must_use]
    pub fn hooks(&self) -> [u64; 12] {
        VARIABLES.map(|name| self.hook(name))
    }

    /// Calls a C function of the module in a thread that may sleep.
    #[must_use]
    pub fn call(&self, function: &str, args: &[u64]) -> i32 {
        let address = self.module().address(function);
        // SAFETY: a C function of the module; the tests pass what its header
        // says.
        unsafe { self.kernel.call(&Context::thread(), address, args) as i32 }
    }

    /// Calls a C function without arguments as [`Machine::call`] does, one
    /// instruction after the other, and `look` after each; it may do what a
    /// signal handler may.
    #[must_use]
    pub fn step(&self, function: &str, look: &(dyn Fn() + Sync)) -> i32 {
        let address = self.module().address(function) as usize;
        let function = std::ptr::with_exposed_provenance::<()>(address);
        // SAFETY: a C function of the module without arguments.
        let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(function) };
        // On the host's stack: a kernel stack would be looked through, too.
        self.kernel.enter(&Context::thread(), || {
            step::each_instruction(look, || function())
        })
    }

    /// `clinet_ask`, as a stack of another module calls it: outgoing.
    #[must_use]
    pub fn ask(&self, tuple: &Tuple) -> i32 {
        let [_, args @ .., _] = connect_arguments(0, true, tuple);
        self.call("clinet_ask", &args)
    }

    /// `clinet_bind` or `clinet_unbind`, as a stack of another module calls it.
    pub fn tell(&self, function: &str, tuple: &Tuple) {
        let args = [
            tuple.protocol.into(),
            tuple.family.into(),
            ptr(&tuple.laddr),
            tuple.lport.into(),
        ];
        let _nothing = self.call(function, &args);
    }

    /// `clinet_install` or `clinet_withdraw`.
    #[must_use]
    pub fn other_node(&self, function: &str, owner: u32, tuple: &Tuple) -> i32 {
        self.call(
            function,
            &[
                owner.into(),
                tuple.protocol.into(),
                tuple.family.into(),
                ptr(&tuple.laddr),
                tuple.lport.into(),
                ptr(&tuple.faddr),
                tuple.fport.into(),
            ],
        )
    }

    /// Is the 5-tuple registered for this node? Asks as another node would,
    /// and leaves nothing behind.
    #[must_use]
    pub fn has(&self, tuple: &Tuple) -> bool {
        match self.other_node("clinet_install", 77, tuple) {
            0 => {
                assert_eq!(self.other_node("clinet_withdraw", 77, tuple), 0);
                false
            }
            125 => true,
            // Not an address that is shared.
            126 => false,
            other => panic!("clinet_install: {other}"),
        }
    }

    /// A number of a kstat.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn number(&self, kstat: &str, name: &str) -> u64 {
        match self.value(kstat, name) {
            KstatValue::Uint64(number) => number,
            other => panic!("clinet:0:{kstat}:{name} is {other:?}"),
        }
    }

    /// A string of the kstat `attach`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn string(&self, name: &str) -> String {
        match self.value("attach", name) {
            KstatValue::String(Some(string)) => string,
            other => panic!("clinet:0:attach:{name} is {other:?}"),
        }
    }

    fn value(&self, kstat: &str, name: &str) -> KstatValue {
        let values = self.kernel.kstat("clinet", 0, kstat).expect("the kstat");
        let found = values.into_iter().find(|(other, _)| other == name);
        found
            .unwrap_or_else(|| panic!("clinet:0:{kstat} has no {name}"))
            .1
    }

    /// A four-byte tunable, to be read and written as `mdb -kw` does.
    ///
    /// # Panics
    ///
    /// If there is none of that name and size.
    #[must_use]
    pub fn tunable(&self, name: &str) -> &AtomicU32 {
        let symbol = self.module().symbol(name).expect("a variable");
        assert_eq!(symbol.size, 4, "{name}");
        let pointer = std::ptr::with_exposed_provenance::<AtomicU32>(symbol.address as usize);
        // SAFETY: four aligned bytes of the module's data, which stay mapped
        // while the module is borrowed.
        unsafe { &*pointer }
    }

    /// Writes a tunable.
    pub fn write(&self, tunable: &str, value: u32) {
        self.tunable(tunable).store(value, Ordering::SeqCst);
    }

    /// The warnings of the module so far.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let log = self.kernel.log();
        log.into_iter().map(|message| message.text).collect()
    }

    /// Unloads the module.
    ///
    /// # Errors
    ///
    /// Why it stays.
    pub fn unload(&self) -> Result<(), String> {
        self.kernel
            .unload(self.module())
            .map_err(|error| error.to_string())
    }
}

impl Control for Machine {
    fn control(&self, function: &str, args: &[u64]) -> i32 {
        self.call(function, args)
    }
}

impl Node for Machine {
    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn ask(&self, outgoing: bool, tuple: &Tuple) -> i32 {
        match outgoing {
            true => self.connect(0, tuple),
            false => self.connect_in(0, tuple),
        }
    }

    fn install(&self, tuple: &Tuple) -> i32 {
        self.other_node("clinet_install", 7, tuple)
    }
}
