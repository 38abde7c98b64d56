// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Drivers: loading, attaching, detaching and opening.

use std::fmt;
use std::sync::Arc;

use crate::devices::{MinorNode, make_device};
use crate::fault::Fault;
use crate::instance;
use crate::kernel::Kernel;
use crate::leak::Leaks;
use crate::load_error::{ModloadError, ModunloadError};
use crate::machine::Machine;
use crate::module::Module;
use crate::open_file::{OpenFile, OpenFlags};
use crate::user::Cred;

const ENXIO: i32 = 6;

/// `struct dev_ops`.
pub(crate) mod dev_ops {
    pub const REV: u64 = 0;
    pub const GETINFO: u64 = 8;
    pub const ATTACH: u64 = 32;
    pub const DETACH: u64 = 40;
    pub const CB_OPS: u64 = 56;
    pub const QUIESCE: u64 = 80;
    pub const DEVO_REV: i32 = 4;
}

/// `struct cb_ops`.
pub(crate) mod cb_ops {
    pub const OPEN: u64 = 0;
    pub const CLOSE: u64 = 8;
    pub const READ: u64 = 40;
    pub const IOCTL: u64 = 56;
    pub const CHPOLL: u64 = 88;
    pub const PROP_OP: u64 = 96;
    pub const FLAG: u64 = 112;
    pub const REV: u64 = 116;
    pub const CB_REV: i32 = 1;
    pub const D_MP: i32 = 0x20;
}

/// What `getinfo` is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Info {
    /// The `dev_info_t` of a device.
    DevInfo,
    /// The instance of a device.
    Instance,
}

/// A driver with one instance, as `add_drv` and a `driver.conf` make it.
pub struct Driver {
    machine: Arc<Machine>,
    module: Module,
    major: u32,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("module", &self.module)
            .field("major", &self.major)
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads a driver such as `drv/clinetctl` as [`Kernel::load`] does, having
    /// given it a major number, and attaches its instance 0.
    ///
    /// Somebody waits for the driver: as soon as `mod_install` was called in `_init` another
    /// thread attaches the instance, opens its device, polls it and closes it.
    ///
    /// # Errors
    ///
    /// See [`ModloadError`]; nothing of the driver stays.
    pub fn load_driver(
        &self,
        name: &str,
        file: &[u8],
        tunables: &[(&str, u64)],
    ) -> Result<Driver, ModloadError> {
        let machine = self.machine.clone();
        let base_name = name.rsplit('/').next().unwrap_or(name);
        let major = machine.devices.add_driver(base_name);
        let module = self.load(name, file, tunables)?;
        let driver = Driver {
            machine,
            module,
            major,
        };
        if driver.machine.devices.operations(major).is_none() {
            driver.give_up()?;
            return Err(ModloadError::NoDriver(name.to_owned()));
        }
        if let Err(leaks) = instance::first(&driver.machine, major)? {
            driver.give_up()?;
            return Err(ModloadError::Attach {
                module: name.to_owned(),
                leaks,
            });
        }
        Ok(driver)
    }
}

impl Driver {
    /// The module, for its symbols and variables.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The major number.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The minor nodes of the instance.
    pub fn minor_nodes(&self) -> Vec<MinorNode> {
        let dev_info = self.dev_info();
        dev_info.map_or_else(Vec::new, |it| self.machine.devices.nodes(it))
    }

    /// Attaches the instance. `Ok(Err(..))` if the driver does not want to,
    /// with what it left behind.
    ///
    /// # Errors
    ///
    /// The fault if the machine panicked.
    ///
    /// # Panics
    ///
    /// If it is attached.
    pub fn attach(&self) -> Result<Result<(), Leaks>, Fault> {
        assert_eq!(self.dev_info(), None, "it is attached already");
        instance::attach(&self.machine, self.major)
    }

    /// Detaches the instance. Unlike a kernel this asks the driver also while
    /// one of its devices is open, and a driver that agrees then has a fault.
    ///
    /// # Errors
    ///
    /// [`ModunloadError::Detach`] if the driver does not agree, and
    /// [`ModunloadError::Leaks`] if it left minor nodes behind.
    ///
    /// # Panics
    ///
    /// If it is not attached.
    pub fn detach(&self) -> Result<(), ModunloadError> {
        assert!(self.dev_info().is_some(), "it is attached");
        let module = || self.module.name().to_owned();
        match instance::detach(&self.machine, self.major)? {
            None => Err(ModunloadError::Detach(module())),
            Some(leaks) if leaks.0.is_empty() => Ok(()),
            Some(leaks) => Err(ModunloadError::Leaks {
                module: module(),
                leaks,
            }),
        }
    }

    /// Detaches the instance if it is attached, and unloads the module.
    ///
    /// Somebody comes in between: when `_fini` calls `mod_remove` another thread has just
    /// attached the instance again, opened the device, polled and closed it, and detached the
    /// instance; it stays attached where [`Kernel::fail_next`] has `mod_remove` fail.
    ///
    /// # Errors
    ///
    /// See [`ModunloadError`].
    pub fn unload(&self) -> Result<(), ModunloadError> {
        if self.dev_info().is_some() {
            self.detach()?;
        }
        self.module.unload()
    }

    /// What `getinfo` says of a minor number of this driver: `None` for
    /// `DDI_FAILURE`.
    pub fn info(&self, what: Info, minor: u32) -> Option<u64> {
        let result = instance::info(&self.machine, self.major, what, minor);
        result.unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// The `dev_info_t` of the instance while it is attached.
    pub fn dev_info(&self) -> Option<u64> {
        self.machine.devices.attached(self.major)
    }

    /// Opens the first minor node.
    ///
    /// # Errors
    ///
    /// The errno of illumos; ENXIO if there is no node.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn open(&self, cred: Cred, flags: OpenFlags) -> Result<OpenFile, i32> {
        let node = self.minor_nodes().into_iter().next().ok_or(ENXIO)?;
        self.open_minor(node.minor, cred, flags)
    }

    /// Opens a device of the driver by its number, as a special file that
    /// somebody made with mknod(2) does.
    ///
    /// # Errors
    ///
    /// The errno of illumos.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn open_minor(&self, minor: u32, cred: Cred, flags: OpenFlags) -> Result<OpenFile, i32> {
        let device = make_device(self.major, minor);
        OpenFile::open(self.machine.clone(), device, cred, flags)
    }

    /// Unloads a driver that did not attach.
    fn give_up(&self) -> Result<(), ModloadError> {
        self.module
            .unload()
            .map_err(|error| ModloadError::AfterAttach {
                module: self.module.name().to_owned(),
                error,
            })
    }
}
