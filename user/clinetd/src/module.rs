// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module, as a thread sees it that may wait for it.

use std::path::PathBuf;

use clinet_control::{Control, Errno, Error};

/// What an open file of the device is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Reading only.
    Observer,
    /// Granting, which one open file at a time may do.
    Control,
}

/// The control device, opened when it is needed and again after it broke.
pub struct Module {
    device: PathBuf,
    role: Role,
    open: Option<Control>,
}

impl Module {
    /// A device that is not open yet.
    pub fn new(device: PathBuf, role: Role) -> Self {
        Self {
            device,
            role,
            open: None,
        }
    }

    /// Does something with the open device.
    ///
    /// # Errors
    ///
    /// There is no device, another program has the control role (EBUSY), or what was to be done
    /// failed.
    pub fn with<R>(&mut self, act: impl FnOnce(&Control) -> Result<R, Error>) -> Result<R, Error> {
        let control = match self.open.take() {
            Some(control) => control,
            None => self.reopen()?,
        };
        let result = act(&control);
        let broken = matches!(&result, Err(error) if breaks(error));
        if !broken {
            self.open = Some(control);
        }
        result
    }

    fn reopen(&self) -> Result<Control, Error> {
        let control = Control::open(&self.device)?;
        if self.role == Role::Control {
            control.take_control()?;
        }
        Ok(control)
    }
}

/// The open file is of no use any more: its machine is gone, its driver was replaced, or the role
/// was lost with it.
fn breaks(error: &Error) -> bool {
    match error.errno() {
        Some(errno) => matches!(
            errno,
            Errno::EIO | Errno::ENXIO | Errno::ENODEV | Errno::EBADF | Errno::EACCES
        ),
        None => true,
    }
}
