// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The entry points: what the kernel passes becomes values, one call is made, an
//! errno comes out.
//!
//! Each definition is held against the declaration that C compiles.

use core::ffi::{c_int, c_short, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::call::Call;
use crate::kernel::clinet;
use crate::kernel::cred::Cred;
use crate::kernel::errno::{self, Errno};
use crate::kernel::log;
use crate::kernel::node::DevInfo;
use crate::kernel::sys::{self, cred_t, dev_info_t, dev_t, pollhead_t, uio_t};
use crate::kernel::text::Text;
use crate::kernel::user::{Request, User};
use crate::{command, events, files};

/// The instance, once it is attached.
static DEV_INFO: AtomicPtr<dev_info_t> = AtomicPtr::new(ptr::null_mut());

/// Defines a C function and fails to compile if the header declares another.
macro_rules! c_function {
    (
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) $(-> $ret)? $body

        const _: [unsafe extern "C" fn($($type),*) $(-> $ret)?; 2] = [$name, sys::$name];
    };
}

fn minor_of(device: dev_t) -> u32 {
    // SAFETY: a function of its argument alone.
    unsafe { sys::getminor(device) }
}

c_function! {
    /// Sets the driver up.
    ///
    /// # Safety
    ///
    /// Called by `_init`, before anybody else is in the driver.
    fn clinetctl_init() {
        // SAFETY: passed on by the caller.
        unsafe { files::init() };
    }
}

c_function! {
    /// Takes the driver down.
    ///
    /// # Safety
    ///
    /// Nobody is in the driver, now or later.
    fn clinetctl_fini() {
        // SAFETY: passed on by the caller.
        unsafe { files::fini() };
    }
}

/// Compares versions with clinet, and makes the node.
fn attach(dev_info: DevInfo) -> Result<(), Errno> {
    let theirs = clinet::interface();
    if theirs != sys::CLINET_CONTROL_VERSION {
        let mut text = Text::empty();
        text.string("clinetctl: not attached: it wants version ")
            .number(sys::CLINET_CONTROL_VERSION as usize)
            .string(" of misc/clinet's interface, which has version ")
            .number(theirs as usize);
        log::warn(text.as_c_str());
        return Err(Errno::NOTSUP);
    }
    if !DEV_INFO.load(Ordering::Acquire).is_null() {
        log::warn(c"clinetctl: not attached: there is an instance already");
        return Err(Errno::BUSY);
    }
    dev_info.create_node().inspect_err(|_| {
        log::warn(c"clinetctl: not attached: its node below /devices cannot be made");
    })?;
    DEV_INFO.store(dev_info.as_ptr(), Ordering::Release);
    Ok(())
}

c_function! {
    /// attach(9E).
    ///
    /// # Safety
    ///
    /// Called by the kernel with an instance that is attaching.
    fn clinetctl_attach(dev_info: *mut dev_info_t, what: sys::ddi_attach_cmd_t) -> c_int {
        // SAFETY: what attach was called with, used in here and, if this succeeds,
        // until detach.
        let dev_info = unsafe { DevInfo::new(dev_info) };
        match dev_info.filter(|_| what == sys::DDI_ATTACH).map(attach) {
            Some(Ok(())) => sys::DDI_SUCCESS as c_int,
            _ => sys::DDI_FAILURE,
        }
    }
}

c_function! {
    /// detach(9E): not while something is open.
    ///
    /// # Safety
    ///
    /// Called by the kernel with an instance that is attached.
    fn clinetctl_detach(dev_info: *mut dev_info_t, what: sys::ddi_detach_cmd_t) -> c_int {
        // SAFETY: what detach was called with, used in here only.
        let dev_info = unsafe { DevInfo::new(dev_info) };
        match dev_info {
            Some(dev_info) if what == sys::DDI_DETACH && !files::is_any_open() => {
                DEV_INFO.store(ptr::null_mut(), Ordering::Release);
                dev_info.remove_node();
                sys::DDI_SUCCESS as c_int
            }
            _ => sys::DDI_FAILURE,
        }
    }
}

c_function! {
    /// getinfo(9E): all devices are those of instance 0.
    ///
    /// # Safety
    ///
    /// Called by the kernel; `result` is writable.
    fn clinetctl_getinfo(
        _dev_info: *mut dev_info_t, what: sys::ddi_info_cmd_t, _device: *mut c_void,
        result: *mut *mut c_void,
    ) -> c_int {
        let dev_info = DEV_INFO.load(Ordering::Acquire);
        let answer = match what {
            sys::DDI_INFO_DEVT2DEVINFO if !dev_info.is_null() => dev_info.cast(),
            sys::DDI_INFO_DEVT2INSTANCE => ptr::null_mut(),
            _ => return sys::DDI_FAILURE,
        };
        // SAFETY: writable, as the kernel promises.
        unsafe { result.write(answer) };
        sys::DDI_SUCCESS as c_int
    }
}

c_function! {
    /// open(9E): of the node only, and each time another minor number.
    ///
    /// # Safety
    ///
    /// Called by the kernel; `device` is valid.
    fn clinetctl_open(
        device: *mut dev_t, _flags: c_int, kind: c_int, _cred: *mut cred_t,
    ) -> c_int {
        // SAFETY: readable, as the kernel promises.
        let node = unsafe { device.read() };
        if ![sys::OTYP_CHR, sys::OTYP_LYR].contains(&(kind as u32)) {
            return Errno::INVAL.number();
        }
        if minor_of(node) != files::NODE {
            return Errno::NXIO.number();
        }
        errno::to_c(files::open().map(|minor| {
            // SAFETY: functions of their arguments alone.
            let opened = unsafe { sys::makedevice(sys::getmajor(node), minor) };
            // SAFETY: writable, as the kernel promises.
            unsafe { device.write(opened) };
        }))
    }
}

c_function! {
    /// close(9E).
    ///
    /// # Safety
    ///
    /// Called by the kernel when all other calls for this device have returned.
    fn clinetctl_close(
        device: dev_t, _flags: c_int, _kind: c_int, _cred: *mut cred_t,
    ) -> c_int {
        let minor = minor_of(device);
        let stopped = events::stop(minor);
        files::close(minor);
        errno::to_c(stopped)
    }
}

c_function! {
    /// read(9E): events.
    ///
    /// # Safety
    ///
    /// Called by the kernel in a thread of a program; `uio` is valid.
    fn clinetctl_read(device: dev_t, uio: *mut uio_t, _cred: *mut cred_t) -> c_int {
        // SAFETY: what read was called with, used in here only.
        let request = unsafe { Request::new(uio) };
        errno::to_c(match request {
            Some(mut request) => events::read(minor_of(device), &mut request),
            None => Err(Errno::INVAL),
        })
    }
}

c_function! {
    /// ioctl(9E).
    ///
    /// # Safety
    ///
    /// Called by the kernel in a thread of a program, or by another module with
    /// FKIOCTL and addresses that are good; `cred` is valid.
    fn clinetctl_ioctl(
        device: dev_t, number: c_int, argument: isize, mode: c_int, cred: *mut cred_t,
        _value: *mut c_int,
    ) -> c_int {
        // SAFETY: what ioctl was called with, used in here only.
        let Some(cred) = (unsafe { Cred::new(cred) }) else {
            return Errno::INVAL.number();
        };
        let call = Call {
            minor: minor_of(device),
            argument: argument as u64,
            // SAFETY: the mode that ioctl was called with, used in here only.
            user: unsafe { User::new(mode) },
            cred,
        };
        errno::to_c(command::run(&call, number as u32))
    }
}

/// Edge-triggered polling, which came to illumos after the oldest kernel that this
/// is for: it wants the pollhead in any case.
const POLLET: c_short = 0x2000;

c_function! {
    /// chpoll(9E). Calls nobody who may sleep: so it may say that there is
    /// something to read although it is only for others.
    ///
    /// # Safety
    ///
    /// Called by the kernel; the pointers are writable.
    fn clinetctl_chpoll(
        device: dev_t, wanted: c_short, anyyet: c_int, come: *mut c_short,
        pollhead: *mut *mut pollhead_t,
    ) -> c_int {
        let minor = minor_of(device);
        let is_ready = match events::is_ready(minor) {
            Ok(is_ready) => is_ready,
            Err(error) => return error.number(),
        };
        let Some(waiting) = files::pollhead(minor) else {
            return Errno::NXIO.number();
        };
        let readable = (sys::POLLIN | sys::POLLRDNORM) as c_short;
        let found = if is_ready { wanted & readable } else { 0 };
        // SAFETY: writable, as the kernel promises.
        unsafe { come.write(found) };
        if (found == 0 && anyyet == 0) || wanted & POLLET != 0 {
            // SAFETY: as above.
            unsafe { pollhead.write(waiting.as_ptr()) };
        }
        0
    }
}
