// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `ddi_copyin`, `ddi_copyout` and `uiomove`: the ways to a program's memory.
//!
//! Each may wait for a page to come from disk, so each faults where a thread
//! must not sleep, and with a lock of a module held.

use super::imports;
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::fault;
use crate::locks;
use crate::memory;
use crate::user::{self, Caller, Model, UserMemory};

const EFAULT: i32 = 14;
const FKIOCTL: i32 = 0x8000_0000_u32 as i32;
const UIO_READ: i32 = 0;

/// `struct uio` with one `struct iovec`, whose fields the offsets name.
pub(crate) mod uio {
    pub const SIZE: usize = 48;
    pub const IOV: u64 = 0;
    pub const IOVCNT: u64 = 8;
    pub const OFFSET: u64 = 16;
    pub const FMODE: u64 = 28;
    pub const RESID: u64 = 40;
    /// In `struct iovec`.
    pub const BASE: u64 = 0;
    pub const LEN: u64 = 8;
}

/// Checks that `what` may wait, and returns who called the driver.
fn caller_of(what: &str) -> Caller {
    must_be_able_to_sleep(what);
    if locks::held_count() > 0 {
        let held = locks::describe_held(here().machine, 0);
        fault!("{what} may sleep, and {held} is held");
    }
    match user::caller() {
        Some(caller) => caller,
        None => fault!("{what} in a thread that no program called with"),
    }
}

/// The memory of a program that calls; `what` is none for a kernel module's.
fn user_memory<'a>(what: &str, caller: Caller) -> &'a mut UserMemory {
    if caller.model == Model::Kernel {
        fault!("{what} of a user address, and the caller is a kernel module");
    }
    // SAFETY: the caller lent it exclusively until the call ends, and only
    // imports of this thread use it, one after the other.
    match unsafe { caller.memory.as_mut() } {
        Some(memory) => memory,
        None => fault!("{what}, and the caller passed no memory"),
    }
}

/// Is this a copy between places of the kernel?
fn is_kernels(what: &str, caller: Caller, flags: i32) -> bool {
    let by_flags = flags & FKIOCTL != 0;
    if by_flags && caller.model != Model::Kernel {
        fault!("{what} with FKIOCTL, and the caller is a program");
    }
    by_flags
}

fn copy_in(what: &str, from: u64, to: u64, length: usize, flags: i32) -> i32 {
    let caller = caller_of(what);
    let bytes = if is_kernels(what, caller, flags) {
        Some(memory::bytes(from, length))
    } else {
        user_memory(what, caller).copy_in(from, length)
    };
    match bytes {
        Some(bytes) => {
            memory::write_bytes(to, &bytes);
            0
        }
        None => -1,
    }
}

fn copy_out(what: &str, from: u64, to: u64, length: usize, flags: i32) -> i32 {
    let caller = caller_of(what);
    let bytes = memory::bytes(from, length);
    if is_kernels(what, caller, flags) {
        memory::write_bytes(to, &bytes);
        return 0;
    }
    match user_memory(what, caller).copy_out(&bytes, to) {
        done if done == length => 0,
        _ => -1,
    }
}

imports! {
    fn ddi_copyin(from: u64, to: u64, length: usize, flags: i32) -> i32 {
        copy_in("ddi_copyin", from, to, length, flags)
    }

    fn ddi_copyout(from: u64, to: u64, length: usize, flags: i32) -> i32 {
        copy_out("ddi_copyout", from, to, length, flags)
    }

    fn uiomove(address: u64, length: u64, direction: i32, uio: u64) -> i32 {
        let caller = caller_of("uiomove");
        let program = user_memory("uiomove", caller);
        if direction != UIO_READ {
            fault!("uiomove: direction {direction} of a read(2) is not UIO_READ");
        }
        let iov: u64 = memory::read(uio + uio::IOV);
        let [base, left]: [u64; 2] = memory::read(iov);
        let wanted = left.min(length);
        let bytes = memory::bytes(address, wanted as usize);
        let done = program.copy_out(&bytes, base) as u64;
        memory::write(iov + uio::BASE, base + done);
        memory::write(iov + uio::LEN, left - done);
        let offset: u64 = memory::read(uio + uio::OFFSET);
        memory::write(uio + uio::OFFSET, offset + done);
        memory::write(uio + uio::RESID, left - done);
        if done == wanted { 0 } else { EFAULT }
    }
}
