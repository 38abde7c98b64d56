// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An open device: what a program does with it reaches the entry points of
//! the driver.

mod polling;

use std::fmt;
use std::ops::BitOr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::context::Context;
use crate::devices::major_of;
use crate::driver::{cb_ops, dev_ops};
use crate::fault::Fault;
use crate::imports::copy::uio;
use crate::machine::Machine;
use crate::memory;
use crate::thunk::kernel_symbol;
use crate::user::{Caller, Calling, Cred, Model, UserMemory};
pub use polling::PollSet;

const OTYP_CHR: u64 = 2;
const ENXIO: i32 = 6;
const FKIOCTL: u32 = 0x8000_0000;
const DATAMODEL_ILP32: u32 = 0x0010_0000;
const DATAMODEL_LP64: u32 = 0x0020_0000;

/// How a device is opened: `FREAD` and so on of illumos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    /// To read.
    pub const READ: Self = Self(0x01);
    /// To write.
    pub const WRITE: Self = Self(0x02);
    /// Not to wait, as `O_NDELAY`.
    pub const NDELAY: Self = Self(0x04);
    /// Not to wait, as `O_NONBLOCK`.
    pub const NONBLOCK: Self = Self(0x80);
    /// `O_EXCL`.
    pub const EXCL: Self = Self(0x400);
}

impl BitOr for OpenFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A device that a program has open. It is closed when dropped. Several
/// threads may use it at once.
pub struct OpenFile {
    machine: Arc<Machine>,
    device: u64,
    flags: OpenFlags,
    cred: u64,
    /// Whom a signal is for.
    id: u64,
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile")
            .field("device", &format_args!("{:#x}", self.device))
            .finish_non_exhaustive()
    }
}

impl OpenFile {
    pub(crate) fn open(
        machine: Arc<Machine>,
        device: u64,
        cred: Cred,
        flags: OpenFlags,
    ) -> Result<Self, i32> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let mut file = Self {
            cred: machine.devices.add_cred(cred),
            machine,
            device,
            flags,
            id: 1 + LAST.fetch_add(1, Ordering::Relaxed),
        };
        let mut opened = device;
        let arguments = [
            (&raw mut opened) as u64,
            u64::from(flags.0),
            OTYP_CHR,
            file.cred,
        ];
        let result = file.call(cb_ops::OPEN, None, &Context::thread(), &arguments);
        if let Err(errno) = result {
            file.machine.devices.remove_cred(file.cred);
            std::mem::forget(file);
            return Err(errno);
        }
        file.device = opened;
        if major_of(opened) != major_of(device) {
            file.fault("open changed the major number");
        }
        let before = file.machine.devices.opened(opened);
        if before > 0 && opened != device {
            file.fault("open gave away a minor number that is open");
        }
        Ok(file)
    }

    /// The minor number that the driver chose.
    pub fn minor(&self) -> u32 {
        self.device as u32
    }

    /// ioctl(2). Addresses, `argument` among them, are those of `memory` or,
    /// for [`Model::Kernel`], the kernel's.
    ///
    /// # Errors
    ///
    /// The errno of illumos.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn ioctl(
        &self,
        command: u32,
        argument: u64,
        memory: &mut UserMemory,
        model: Model,
    ) -> Result<i32, i32> {
        self.ioctl_with(self.cred, command, argument, memory, model)
    }

    /// ioctl(2) of a program with another cred than the one that opened.
    ///
    /// # Errors
    ///
    /// The errno of illumos.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn ioctl_as(
        &self,
        cred: Cred,
        command: u32,
        argument: u64,
        memory: &mut UserMemory,
        model: Model,
    ) -> Result<i32, i32> {
        let cred = self.machine.devices.add_cred(cred);
        let result = self.ioctl_with(cred, command, argument, memory, model);
        self.machine.devices.remove_cred(cred);
        result
    }

    fn ioctl_with(
        &self,
        cred: u64,
        command: u32,
        argument: u64,
        memory: &mut UserMemory,
        model: Model,
    ) -> Result<i32, i32> {
        let mode = self.flags.0
            | match model {
                Model::Lp64 => DATAMODEL_LP64,
                Model::Ilp32 => DATAMODEL_ILP32,
                Model::Kernel => DATAMODEL_LP64 | FKIOCTL,
            };
        let argument = match model {
            Model::Ilp32 => u64::from(argument as u32),
            Model::Lp64 | Model::Kernel => argument,
        };
        let mut value = 0_i32;
        let arguments = [
            self.device,
            u64::from(command),
            argument,
            u64::from(mode),
            cred,
            (&raw mut value) as u64,
        ];
        let caller = self.caller(memory, model);
        self.call(cb_ops::IOCTL, Some(caller), &Context::thread(), &arguments)?;
        Ok(value)
    }

    /// read(2): at most `length` bytes. Waits for some unless the file is open
    /// not to wait or `nonblocking` says so, as fcntl(2) can.
    ///
    /// # Errors
    ///
    /// The errno of illumos.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn read(&self, length: usize, nonblocking: bool) -> Result<Vec<u8>, i32> {
        let mut memory = UserMemory::new();
        let address = memory.add(&vec![0; length]);
        let count = self.read_to(&mut memory, address, length, nonblocking)?;
        Ok(memory.read(address, count).unwrap_or_default())
    }

    /// read(2) to an address of `memory`; returns how many bytes that were.
    ///
    /// # Errors
    ///
    /// The errno of illumos.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn read_to(
        &self,
        memory: &mut UserMemory,
        address: u64,
        length: usize,
        nonblocking: bool,
    ) -> Result<usize, i32> {
        // Both are written to by uiomove.
        let mut iov = [address, length as u64];
        let mut request = [0_u64; uio::SIZE / 8];
        let at = (&raw mut request) as u64;
        let flags = match nonblocking {
            true => self.flags | OpenFlags::NONBLOCK,
            false => self.flags,
        };
        memory::write(at + uio::IOV, (&raw mut iov) as u64);
        memory::write(at + uio::IOVCNT, 1_i32);
        memory::write(at + uio::FMODE, flags.0 as u16);
        memory::write(at + uio::RESID, length as u64);
        let caller = self.caller(memory, Model::Lp64);
        let arguments = [self.device, at, self.cred];
        self.call(cb_ops::READ, Some(caller), &Context::thread(), &arguments)?;
        let left: u64 = memory::read(at + uio::RESID);
        Ok(length - left as usize)
    }

    /// Sends a signal to the threads that wait inside the driver through this
    /// file, or else to the next one that wants to.
    pub fn interrupt(&self) {
        self.machine.sched.interrupt(self.id);
    }

    /// Closes the device; dropping does the same.
    pub fn close(self) {
        drop(self);
    }

    fn caller(&self, memory: &mut UserMemory, model: Model) -> Caller {
        Caller {
            memory,
            model,
            file: self.id,
        }
    }

    /// Calls one of the operations in `struct cb_ops`.
    fn call(
        &self,
        operation: u64,
        caller: Option<Caller>,
        context: &Context,
        arguments: &[u64],
    ) -> Result<(), i32> {
        let operations = self.machine.devices.operations(major_of(self.device));
        let Some(operations) = operations else {
            return Err(ENXIO);
        };
        let operations: u64 = memory::read(operations + dev_ops::CB_OPS);
        let function = memory::read(operations + operation);
        if Some(function) == kernel_symbol("nodev") {
            return Err(ENXIO);
        }
        let _calling = caller.map(Calling::new);
        // SAFETY: mod_install found the operations; they take these arguments.
        let result = unsafe { self.machine.call(context, function, arguments) };
        let result = result.unwrap_or_else(|fault| panic!("{fault}"));
        match result as i32 {
            0 => Ok(()),
            errno @ 1..=151 => Err(errno),
            other => self.fault(&format!(
                "an entry point returned {other}, which is no errno"
            )),
        }
    }

    /// Halts the machine.
    fn fault(&self, what: &str) -> ! {
        let fault = Fault {
            message: format!("device {:#x}: {what}", self.device),
            context: String::new(),
            trace: Vec::new(),
        };
        self.machine.halt(&fault);
        panic!("{fault}");
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let is_last = self.machine.devices.closed(self.device);
        if is_last && self.machine.check_running().is_ok() {
            let arguments = [self.device, u64::from(self.flags.0), OTYP_CHR, self.cred];
            let result = self.call(cb_ops::CLOSE, None, &Context::thread(), &arguments);
            if let Err(errno) = result
                && !std::thread::panicking()
            {
                panic!("close returned errno {errno}");
            }
        }
        self.machine.sched.forget_interrupt(self.id);
        self.machine.devices.remove_cred(self.cred);
    }
}
