// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released module file, loaded and called for its tests.
//!
//! A [`Loaded`] is one machine with the module in it. Calls go by the name
//! of the C function and take raw numbers and pointers, because the tests
//! have to say what no typed wrapper would let them say.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clinet_kernel::{Context, Kernel, ModloadError, Module};

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
/// `EINVAL` of illumos.
pub const EINVAL: i32 = 22;
/// `EBUSY` of illumos.
pub const EBUSY: i32 = 16;
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
pub fn ptr_mut<T>(value: &mut T) -> u64 {
    (&raw mut *value).cast::<u8>().expose_provenance() as u64
}

impl Loaded {
    /// Loads the module with these tunables.
    ///
    /// # Panics
    ///
    /// If it does not load.
    #[must_use]
    pub fn new(tunables: &[(&str, u64)]) -> Self {
        let kernel = Kernel::new();
        let module = kernel
            .load("misc/clinet", &module_file(), tunables)
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
        Ok(Recorder {
            module: self.load_foreign(name)?,
        })
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

    /// A counter of `clinet_stats_t`, by its name without `cs_`.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn stat(&self, name: &str) -> u64 {
        let mut values = [0_u64; STATS.len()];
        let size = size_of_val(&values) as u64;
        assert_eq!(self.call("clinet_stats", &[ptr_mut(&mut values), size]), 0);
        let index = STATS.iter().position(|stat| *stat == name);
        values[index.unwrap_or_else(|| panic!("no counter {name}"))]
    }

    /// `clinet_connect2`.
    #[must_use]
    pub fn connect2(&self, outgoing: bool, tuple: &Tuple) -> i32 {
        let Tuple {
            protocol, family, ..
        } = *tuple;
        self.call(
            "clinet_connect2",
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

    /// `clinet_disconnect`.
    pub fn disconnect(&self, tuple: &Tuple) {
        self.tell(
            "clinet_disconnect",
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

/// The members of `clinet_stats_t`, in their order.
pub const STATS: [&str; 24] = [
    "tcp_out_asked",
    "tcp_in_asked",
    "udp_asked",
    "tcp_out_refused",
    "tcp_in_refused",
    "udp_refused",
    "no_provider",
    "no_laddr",
    "other_protocol",
    "bad_argument",
    "bad_answer",
    "ended",
    "udp_overtaken",
    "registered",
    "repeated",
    "owned_elsewhere",
    "full_admitted",
    "full_refused",
    "removed",
    "unknown",
    "unspecified",
    "conflicts",
    "tuples",
    "capacity",
];

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

/// A 5-tuple as C has it. Ports are in network byte order, which the tests
/// write as plain numbers: nobody looks into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// IP protocol number.
    pub protocol: u8,
    /// Address family, illumos.
    pub family: u16,
    /// Local address; IPv4 in the first four bytes.
    pub laddr: [u8; 16],
    /// Local port.
    pub lport: u16,
    /// Foreign address.
    pub faddr: [u8; 16],
    /// Foreign port.
    pub fport: u16,
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

/// Some bytes at the very end of a page that has none behind it.
pub struct LastBytes {
    map: *mut libc::c_void,
}

const PAGE: usize = 4096;

impl LastBytes {
    /// The address of the last `len` bytes before memory ends; they are zero.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    #[must_use]
    pub fn new(len: usize) -> (Self, u64) {
        // SAFETY: a new anonymous mapping of two pages.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                2 * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(map, libc::MAP_FAILED);
        // SAFETY: the second page of the mapping, which nobody uses.
        let protected = unsafe { libc::mprotect(map.byte_add(PAGE), PAGE, libc::PROT_NONE) };
        assert_eq!(protected, 0);
        let address = map.expose_provenance() + PAGE - len;
        (Self { map }, address as u64)
    }
}

impl Drop for LastBytes {
    fn drop(&mut self) {
        // SAFETY: the two pages of `new`.
        unsafe { libc::munmap(self.map, 2 * PAGE) };
    }
}

/// 192.0.2.10 as C has it.
pub const SHARED4: [u8; 16] = [192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// 2001:db8::10 as C has it.
pub const SHARED6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
/// 198.51.100.7 as C has it.
pub const PEER4: [u8; 16] = [198, 51, 100, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// 2001:db8:7::7 as C has it.
pub const PEER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

impl Tuple {
    /// From 192.0.2.10 to 198.51.100.7.
    #[must_use]
    pub const fn v4(protocol: u8, lport: u16, fport: u16) -> Self {
        Self {
            protocol,
            family: INET,
            laddr: SHARED4,
            lport,
            faddr: PEER4,
            fport,
        }
    }

    /// From 2001:db8::10 to 2001:db8:7::7.
    #[must_use]
    pub const fn v6(protocol: u8, lport: u16, fport: u16) -> Self {
        Self {
            protocol,
            family: INET6,
            laddr: SHARED6,
            lport,
            faddr: PEER6,
            fport,
        }
    }
}

/// What a recorded call was, as in `foreign/recorder.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `cl_inet_connect2`, with `is_outgoing`.
    Connect2(u32),
    /// `cl_inet_disconnect`.
    Disconnect,
    /// `cl_inet_listen`.
    Listen,
    /// `cl_inet_unlisten`.
    Unlisten,
    /// `cl_inet_bind`.
    Bind,
    /// `cl_inet_unbind`.
    Unbind,
}

/// One call of a recording provider. Calls for an endpoint have no foreign
/// address.
pub type Call = (What, Tuple);

/// `recorder_call_t` of `foreign/recorder.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawCall {
    what: u32,
    outgoing: u32,
    protocol: u8,
    pad: u8,
    family: u16,
    lport: u16,
    fport: u16,
    laddr: [u8; 16],
    faddr: [u8; 16],
}

/// A foreign module that records its calls.
pub struct Recorder {
    /// The module.
    pub module: Module,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.module.fmt(f)
    }
}

impl Recorder {
    fn pointer<T>(&self, name: &str) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.module.address(name) as usize)
    }

    /// Sets what connect2 answers.
    pub fn answer(&self, answer: i32) {
        // SAFETY: `int32_t recorder_answer`, which no other thread writes.
        unsafe {
            self.pointer::<i32>("recorder_answer")
                .write_volatile(answer)
        };
    }

    /// Sets what connect2 answers for one foreign port; 0 for others.
    pub fn answer_for(&self, fport: u16, answer: i32) {
        self.answer(answer);
        let port = self.pointer::<u32>("recorder_port");
        // SAFETY: `uint32_t recorder_port`, which no other thread writes.
        unsafe { port.write_volatile(u32::from(fport)) };
    }

    /// The version of the contract that it uses.
    #[must_use]
    pub fn version(&self) -> String {
        c_string(read(variable(&self.module, "recorder_version")))
    }

    /// The calls since the last time, oldest first.
    pub fn take(&self) -> Vec<Call> {
        let count = self.pointer::<u32>("recorder_count");
        // SAFETY: `uint32_t recorder_count`; the tests take it between calls.
        let calls = unsafe { count.read_volatile() } as usize;
        // SAFETY: as above.
        unsafe { count.write_volatile(0) };
        let first = self.pointer::<RawCall>("recorder_calls");
        (0..calls)
            .map(|index| {
                assert!(index < 4096, "more calls than the recorder keeps");
                // SAFETY: index is below the length of `recorder_calls`, and
                // RawCall has the layout of its elements.
                call(unsafe { first.add(index).read_volatile() })
            })
            .collect()
    }

    /// The questions since the last time; other calls are forgotten.
    pub fn questions(&self) -> usize {
        let calls = self.take();
        calls
            .iter()
            .filter(|(what, _)| matches!(what, What::Connect2(_)))
            .count()
    }
}

fn call(raw: RawCall) -> Call {
    let what = match raw.what {
        1 => What::Connect2(raw.outgoing),
        2 => What::Disconnect,
        3 => What::Listen,
        4 => What::Unlisten,
        5 => What::Bind,
        6 => What::Unbind,
        other => panic!("the recorder noted {other}"),
    };
    let tuple = Tuple {
        protocol: raw.protocol,
        family: raw.family,
        laddr: raw.laddr,
        lport: raw.lport,
        faddr: raw.faddr,
        fport: raw.fport,
    };
    (what, tuple)
}

/// `clinet_tcp_t`; zeroed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpState {
    words: [u32; 11],
}

/// `clinet_udp_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpState {
    /// `udp_cl_v6lastdst`, IPv4 as `::ffff:a.b.c.d`.
    pub v6lastdst: In6,
    /// `udp_cl_lastdstport`.
    pub lastdstport: u16,
}

/// `in6_addr_t`.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct In6(pub [u8; 16]);

impl UdpState {
    /// No destination.
    pub const NONE: Self = Self {
        v6lastdst: In6([0; 16]),
        lastdstport: 0,
    };

    /// The state whose most recent destination this is.
    #[must_use]
    pub fn at(family: u16, addr: &[u8; 16], port: u16) -> Self {
        let mut bytes = *addr;
        if family == INET {
            bytes = [0; 16];
            bytes[10..12].fill(0xff);
            bytes[12..].copy_from_slice(&addr[..4]);
        }
        Self {
            v6lastdst: In6(bytes),
            lastdstport: port,
        }
    }
}

/// `clinet_udp_ask_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpAsk {
    words: [u32; 12],
}
