// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released module file, loaded and called for its tests.
//!
//! A [`Loaded`] is one machine with the module in it. Calls go by the name
//! of the C function and take raw numbers and pointers, because the tests
//! have to say what no typed wrapper would let them say.

mod control;
mod flows;
mod memory;
mod recorder;
mod socket;
mod stats;
mod tuple;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clinet_kernel::{Context, Kernel, ModloadError, Module};

pub use clinet_control::abi;
pub use control::{Control, Grants, device_tuple};
pub use flows::{FLOWS, Family, Flow, Node, every_row_holds};
pub use memory::LastBytes;
pub use recorder::{Call, Recorder, What};
pub use socket::{LPORT, RESETS, Socket, asked, sockets};
pub use stats::STATS;
pub use tuple::{In6, PEER4, PEER6, SHARED4, SHARED6, TcpState, Tuple, UdpAsk, UdpState};

use memory::PAGE;

/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// `IPPROTO_SCTP`.
pub const SCTP: u8 = 132;
/// `AF_INET` of illumos.
pub const INET: u16 = 2;
/// `AF_INET6` of illumos.
pub const INET6: u16 = 26;
/// `ENXIO` of illumos.
pub const ENXIO: i32 = 6;
/// `EINVAL` of illumos.
pub const EINVAL: i32 = 22;
/// `EBUSY` of illumos.
pub const EBUSY: i32 = 16;
/// `ENOENT` of illumos.
pub const ENOENT: i32 = 2;
/// `EAGAIN` of illumos.
pub const EAGAIN: i32 = 11;
/// `ENOTACTIVE` of illumos.
pub const ENOTACTIVE: i32 = 73;
/// `ESTALE` of illumos.
pub const ESTALE: i32 = 151;
/// `ENOTSUP` of illumos.
pub const ENOTSUP: i32 = 48;
/// `EAFNOSUPPORT` of illumos.
pub const EAFNOSUPPORT: i32 = 124;
/// `EADDRINUSE` of illumos.
pub const EADDRINUSE: i32 = 125;
/// `EADDRNOTAVAIL` of illumos.
pub const EADDRNOTAVAIL: i32 = 126;
/// `EHOSTUNREACH` of illumos.
pub const EHOSTUNREACH: i32 = 148;
/// `EINPROGRESS` of illumos.
pub const EINPROGRESS: i32 = 150;
/// `CLINET_UDP_ASK` of `include/clinet.h`.
pub const ASK: i32 = -1;

/// The slots of the contract.
pub const SLOTS: [&str; 6] = [
    "cl_inet_bind",
    "cl_inet_connect2",
    "cl_inet_disconnect",
    "cl_inet_listen",
    "cl_inet_unbind",
    "cl_inet_unlisten",
];

/// A file that `make` built.
///
/// # Panics
///
/// If it is not there.
#[must_use]
pub fn built(path: &str) -> Vec<u8> {
    let path = root().join("build").join(path);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run make test first", path.display()))
}

/// The top folder of the project.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The released module.
#[must_use]
pub fn module_file() -> Vec<u8> {
    match std::env::var_os("CLINET_MODULE") {
        Some(path) => std::fs::read(&path).expect("CLINET_MODULE names a module file"),
        None => built("kernel/misc/amd64/clinet"),
    }
}

/// One machine with the module loaded.
pub struct Loaded {
    /// The machine.
    pub kernel: Kernel,
    /// `misc/clinet`.
    pub module: Module,
    /// The context of calls that do not name one: inside a squeue.
    pub context: Context,
}

/// Arguments are integers and pointers.
pub type Args<'a> = &'a [u64];

/// A pointer to bytes, as an argument.
#[must_use]
pub fn ptr<T: ?Sized>(value: &T) -> u64 {
    (&raw const *value).cast::<u8>().expose_provenance() as u64
}

/// A pointer to a value that the callee writes, as an argument.
pub fn ptr_mut<T: ?Sized>(value: &mut T) -> u64 {
    (&raw mut *value).cast::<u8>().expose_provenance() as u64
}

impl Loaded {
    /// Loads the module with these tunables, on a machine whose ip it does
    /// not look for.
    ///
    /// # Panics
    ///
    /// If it does not load.
    #[must_use]
    pub fn new(tunables: &[(&str, u64)]) -> Self {
        let kernel = Kernel::new();
        let tunables = [&[("clinet_attach", 0)], tunables].concat();
        let module = kernel
            .load("misc/clinet", &module_file(), &tunables)
            .expect("the module loads");
        Self {
            kernel,
            module,
            context: Context::no_sleep(),
        }
    }

    /// With the built-in provider.
    #[must_use]
    pub fn with_builtin() -> Self {
        Self::new(&[])
    }

    /// With a recording provider for version 1.1.
    ///
    /// # Panics
    ///
    /// If it does not associate itself.
    #[must_use]
    pub fn with_recorder() -> (Self, Recorder) {
        let loaded = Self::new(&[("clinet_provider", 0)]);
        let recorder = loaded
            .load_recorder("provider_11")
            .expect("the provider associates itself");
        (loaded, recorder)
    }

    /// Loads a foreign module of the tests.
    ///
    /// # Errors
    ///
    /// Why it did not load.
    pub fn load_foreign(&self, name: &str) -> Result<Module, ModloadError> {
        let file = built(&format!("foreign/{name}"));
        self.kernel.load(&format!("misc/{name}"), &file, &[])
    }

    /// Loads a foreign module that records its calls.
    ///
    /// # Errors
    ///
    /// Why it did not load.
    pub fn load_recorder(&self, name: &str) -> Result<Recorder, ModloadError> {
        let module = self.load_foreign(name)?;
        Ok(Recorder { module })
    }

    /// Calls a C function of the module. Only for functions that do with
    /// these arguments what their header says.
    #[must_use]
    pub fn call(&self, name: &str, args: Args<'_>) -> i32 {
        self.call_in(&self.context, name, args)
    }

    /// The same in another context.
    #[must_use]
    pub fn call_in(&self, context: &Context, name: &str, args: Args<'_>) -> i32 {
        let address = self.module.address(name);
        // SAFETY: a C function of the module; the tests pass NULL or pointers
        // to memory that is as large as its header says.
        unsafe { self.module.call(context, address, args) as i32 }
    }

    /// Calls a C function that has no result.
    pub fn tell(&self, name: &str, args: Args<'_>) {
        let _ = self.call(name, args);
    }

    /// A slot of the contract.
    #[must_use]
    pub fn slot(&self, name: &str) -> &AtomicU64 {
        variable(&self.module, name)
    }

    /// Changes a constant of the module.
    pub fn overwrite(&self, name: &str, value: u64) {
        self.overwrite_at(name, 0, value);
    }

    /// Changes a word of a constant of the module.
    ///
    /// # Panics
    ///
    /// If the page cannot be made writable.
    pub fn overwrite_at(&self, name: &str, offset: u64, value: u64) {
        let address = (self.module.address(name) + offset) as usize;
        let page = std::ptr::with_exposed_provenance_mut::<libc::c_void>(address & !(PAGE - 1));
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        // SAFETY: a page of the module, which no call is using.
        assert_eq!(unsafe { libc::mprotect(page, PAGE, all) }, 0);
        // SAFETY: an aligned word of the module's memory, writable now.
        unsafe { std::ptr::with_exposed_provenance_mut::<u64>(address).write_volatile(value) };
    }

    /// Are all slots NULL?
    #[must_use]
    pub fn slots_are_null(&self) -> bool {
        SLOTS.iter().all(|name| read(self.slot(name)) == 0)
    }

    /// A counter of `clinet_stats_t`, by its name without `cs_`; of flows as
    /// `flow_udp_full`. Waits for the module's own thread to come to rest.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn stat(&self, name: &str) -> u64 {
        self.kernel.settle();
        let mut values = [0_u64; STATS.len()];
        let size = size_of_val(&values) as u64;
        assert_eq!(self.call("clinet_stats", &[ptr_mut(&mut values), size]), 0);
        let index = STATS.iter().position(|stat| *stat == name);
        values[index.unwrap_or_else(|| panic!("no counter {name}"))]
    }

    /// `clinet_ask`.
    #[must_use]
    pub fn connect2(&self, outgoing: bool, tuple: &Tuple) -> i32 {
        let Tuple {
            protocol, family, ..
        } = *tuple;
        self.call(
            "clinet_ask",
            &[
                u64::from(protocol),
                u64::from(outgoing),
                u64::from(family),
                ptr(&tuple.laddr),
                u64::from(tuple.lport),
                ptr(&tuple.faddr),
                u64::from(tuple.fport),
            ],
        )
    }

    /// `clinet_end`.
    pub fn disconnect(&self, tuple: &Tuple) {
        self.tell(
            "clinet_end",
            &[
                u64::from(tuple.protocol),
                u64::from(tuple.family),
                ptr(&tuple.laddr),
                u64::from(tuple.lport),
                ptr(&tuple.faddr),
                u64::from(tuple.fport),
            ],
        );
    }

    /// `clinet_install` or `clinet_withdraw`.
    #[must_use]
    pub fn other_node(&self, function: &str, owner: u32, tuple: &Tuple) -> i32 {
        self.call(
            function,
            &[
                u64::from(owner),
                u64::from(tuple.protocol),
                u64::from(tuple.family),
                ptr(&tuple.laddr),
                u64::from(tuple.lport),
                ptr(&tuple.faddr),
                u64::from(tuple.fport),
            ],
        )
    }
}

/// Reads a variable of a module.
#[must_use]
pub fn read(variable: &AtomicU64) -> u64 {
    variable.load(std::sync::atomic::Ordering::SeqCst)
}

/// An eight-byte variable of a module.
///
/// # Panics
///
/// If there is none of that name and size.
#[must_use]
pub fn variable<'a>(module: &'a Module, name: &str) -> &'a AtomicU64 {
    let symbol = module
        .symbol(name)
        .unwrap_or_else(|| panic!("no variable {name}"));
    assert_eq!(symbol.size, 8, "{name}");
    let pointer = std::ptr::with_exposed_provenance::<AtomicU64>(symbol.address as usize);
    // SAFETY: eight aligned bytes of the module's data, which stay mapped
    // while the module is borrowed.
    unsafe { &*pointer }
}

/// The bytes of a C string in a module.
#[must_use]
pub fn c_string(address: u64) -> String {
    let pointer = std::ptr::with_exposed_provenance(address as usize);
    // SAFETY: the tests pass pointers that a module says are C strings.
    let string = unsafe { std::ffi::CStr::from_ptr(pointer) };
    string.to_string_lossy().into_owned()
}

/// The names of all symbols in a module file.
///
/// # Panics
///
/// If it is no ELF file.
#[must_use]
pub fn symbol_names(file: &[u8]) -> Vec<String> {
    use object::{Object, ObjectSymbol};
    let file = object::File::parse(file).expect("an ELF file");
    let names = file.symbols().filter_map(|symbol| symbol.name().ok());
    names.map(str::to_owned).collect()
}
