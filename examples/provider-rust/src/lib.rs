// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A provider in Rust: a kernel module that is asked before a TCP connection
//! or a UDP "connection" comes to be. This one allows everything but
//! connections to one foreign port, and counts what it is asked.
//!
//! `include/cl_inet.h` has the rules. Those that matter most: compare the
//! version, and whose slots these are, before anything is stored; store by
//! compare-and-swap from NULL, the question last; never unload afterwards;
//! neither sleep nor keep a pointer in a hook.

#![no_std]

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// `cl_inet_connect2_fn`.
type Connect2 = unsafe extern "C" fn(u8, c_int, u16, *mut u8, u16, *mut u8, u16) -> c_int;

/// `clinet_contract_t`, as far as this provider looks.
#[repr(C)]
struct Contract {
    size: usize,
    version: *const c_char,
    connect2: *const AtomicPtr<c_void>,
}

/// `struct modlmisc`.
#[repr(C)]
struct Modlmisc {
    modops: *const c_void,
    linkinfo: *const c_char,
}

/// `struct modlinkage`.
#[repr(C)]
struct Modlinkage {
    rev: c_int,
    linkage: [*const c_void; 7],
}

/// A structure of pointers to constants.
#[repr(transparent)]
struct Constant<T>(T);

// SAFETY: nobody writes it, nor what it points at.
unsafe impl<T> Sync for Constant<T> {}

unsafe extern "C" {
    static cl_inet_connect2: AtomicPtr<c_void>;
    static cluster_version_supported: AtomicPtr<c_char>;
    static clinet_contract: Contract;
    static mod_miscops: c_void;

    fn cmn_err(level: c_int, format: *const c_char, ...);
    fn mod_install(linkage: *const Modlinkage) -> c_int;
    fn mod_remove(linkage: *const Modlinkage) -> c_int;
    fn mod_info(linkage: *const Modlinkage, info: *mut c_void) -> c_int;
}

const CE_WARN: c_int = 2;
const ENXIO: c_int = 6;
const EBUSY: c_int = 16;
const ENOTSUP: c_int = 48;
const EADDRINUSE: c_int = 125;

const NOT_CLINET: &CStr =
    c"provider: these hooks are not clinet's; name misc/clinet, not drv/ip, as a dependency";

/// The version that this provider is written for.
const WANTED_VERSION: &CStr = c"1.1";

/// What krtld looks for in a file that GNU ld linked: the module that has the
/// slots. With illumos's ld leave it out, and link with `-Nmisc/clinet`.
#[unsafe(no_mangle)]
static _depends_on: [u8; 12] = *b"misc/clinet\0";

#[unsafe(no_mangle)]
static modlmisc: Constant<Modlmisc> = Constant(Modlmisc {
    modops: &raw const mod_miscops,
    linkinfo: c"example cluster provider (Rust)".as_ptr(),
});

#[unsafe(no_mangle)]
static modlinkage: Constant<Modlinkage> = Constant(Modlinkage {
    rev: 1,
    linkage: [
        (&raw const modlmisc).cast(),
        ptr::null(),
        ptr::null(),
        ptr::null(),
        ptr::null(),
        ptr::null(),
        ptr::null(),
    ],
});

/// A tunable: the foreign port to refuse, network byte order; 0 is none.
#[unsafe(no_mangle)]
static provider_refused_port: AtomicU32 = AtomicU32::new(0);

/// How often it was asked.
#[unsafe(no_mangle)]
static provider_asked: AtomicU32 = AtomicU32::new(0);

/// The question. May run in an interrupt thread and with locks of ip held.
///
/// # Safety
///
/// The addresses are only valid during the call; this provider does not look.
unsafe extern "C" fn connect2(
    _protocol: u8,
    _is_outgoing: c_int,
    _family: u16,
    _laddr: *mut u8,
    _lport: u16,
    _faddr: *mut u8,
    fport: u16,
) -> c_int {
    provider_asked.fetch_add(1, Ordering::Relaxed);
    let refused = provider_refused_port.load(Ordering::Relaxed);
    if refused != 0 && refused == u32::from(fport) {
        EADDRINUSE
    } else {
        0
    }
}

fn associate() -> Result<(), c_int> {
    // SAFETY: a constant of clinet, which stays loaded: we depend on it.
    let contract = unsafe { &clinet_contract };
    // SAFETY: an atomic word of the module that we were linked with.
    let slot = unsafe { &cl_inet_connect2 };
    if contract.size < size_of::<Contract>() || !ptr::eq(contract.connect2, slot) {
        // SAFETY: a format without arguments.
        unsafe { cmn_err(CE_WARN, NOT_CLINET.as_ptr()) };
        return Err(ENXIO);
    }
    // SAFETY: clinet says that this points at a C string.
    let found = unsafe { CStr::from_ptr(cluster_version_supported.load(Ordering::Relaxed)) };
    if found != WANTED_VERSION {
        let format = c"provider: wanted version %s of the cluster contract, found %s";
        // SAFETY: two strings for two conversions.
        unsafe {
            cmn_err(
                CE_WARN,
                format.as_ptr(),
                WANTED_VERSION.as_ptr(),
                found.as_ptr(),
            )
        };
        return Err(ENOTSUP);
    }
    let function = connect2 as Connect2 as *mut c_void;
    let (null, success) = (ptr::null_mut(), Ordering::AcqRel);
    if slot
        .compare_exchange(null, function, success, Ordering::Relaxed)
        .is_err()
    {
        let message = c"provider: another provider is associated; is clinet:clinet_provider 0?";
        // SAFETY: a format without arguments.
        unsafe { cmn_err(CE_WARN, message.as_ptr()) };
        return Err(EBUSY);
    }
    Ok(())
}

/// Loads: association is the last thing that can fail.
///
/// # Safety
///
/// For the kernel to call.
#[unsafe(no_mangle)]
unsafe extern "C" fn _init() -> c_int {
    // SAFETY: a linkage that ends with NULL.
    let error = unsafe { mod_install(&raw const modlinkage.0) };
    if error != 0 {
        return error;
    }
    if let Err(error) = associate() {
        // SAFETY: installed above.
        unsafe { mod_remove(&raw const modlinkage.0) };
        return error;
    }
    0
}

/// Associated once, associated for ever: a thread may be in our function.
///
/// # Safety
///
/// For the kernel to call.
#[unsafe(no_mangle)]
unsafe extern "C" fn _fini() -> c_int {
    EBUSY
}

/// Describes the module.
///
/// # Safety
///
/// For the kernel to call with a `struct modinfo`.
#[unsafe(no_mangle)]
unsafe extern "C" fn _info(info: *mut c_void) -> c_int {
    // SAFETY: passed on by the kernel.
    unsafe { mod_info(&raw const modlinkage.0, info) }
}

#[cfg(target_os = "illumos")]
unsafe extern "C" {
    /// Nobody defines it: were there a panic, the module would not load.
    fn provider_panic_reached() -> !;
}

#[cfg(target_os = "illumos")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: never executed.
    unsafe { provider_panic_reached() }
}
