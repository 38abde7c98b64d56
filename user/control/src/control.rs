// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An open file of the device: how its commands are given.

use std::ffi::c_char;
use std::path::Path;

use serde::Serialize;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::Error;
use crate::abi::{self, command};
use crate::device::{self, Device, Region};

/// What the driver and the module say about themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The version of the interface that both sides speak.
    pub interface: u32,
    /// Of the module clinet.
    pub module: String,
    /// Of the contract.
    pub contract: String,
}

/// An open file of the device, with its commands.
pub struct Control {
    device: Box<dyn Device>,
    version: Version,
}

impl Control {
    /// Opens the device, or the socket of a `lab node`, at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::over(device::open(path)?)
    }

    /// Speaks through an open device, in the newest version that both know.
    pub fn over(device: Box<dyn Device>) -> Result<Self, Error> {
        let mut this = Self {
            device,
            version: Version {
                interface: abi::CLINETCTL_VERSION,
                module: String::new(),
                contract: String::new(),
            },
        };
        let mut request = abi::clinetctl_version_t::new_zeroed();
        this.command("version", command::GET_VERSION, &mut request, &mut [])?;
        let newest = abi::CLINETCTL_VERSION.min(request.cv_current);
        let oldest = abi::CLINETCTL_VERSION_PREVIOUS.max(request.cv_previous);
        if newest < oldest {
            return Err(Error::Version {
                ours: abi::CLINETCTL_VERSION,
                ours_previous: abi::CLINETCTL_VERSION_PREVIOUS,
                driver: request.cv_current,
                driver_previous: request.cv_previous,
            });
        }
        this.version = Version {
            interface: newest,
            module: text(&request.cv_module),
            contract: text(&request.cv_contract),
        };
        Ok(this)
    }

    /// What is at the other end.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    pub(crate) fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// One ioctl. Its structure begins with a head, which is filled in here.
    pub(crate) fn command<T>(
        &self,
        what: &'static str,
        command: u32,
        request: &mut T,
        memory: &mut [Region<'_>],
    ) -> Result<(), Error>
    where
        T: FromBytes + IntoBytes + Immutable + KnownLayout,
    {
        let head = abi::clinetctl_head_t {
            ch_version: self.version.interface,
            ch_size: size_of::<T>() as u32,
        };
        let bytes = request.as_mut_bytes();
        bytes[..size_of_val(&head)].copy_from_slice(head.as_bytes());
        match self.device.ioctl(command, bytes, memory) {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::Refused {
                command: what,
                errno,
            }),
        }
    }

    /// A command that needs nothing but flags.
    pub(crate) fn action(&self, what: &'static str, command: u32, flags: u32) -> Result<(), Error> {
        let mut request = abi::clinetctl_action_t {
            ca_flags: flags,
            ..FromZeros::new_zeroed()
        };
        self.command(what, command, &mut request, &mut [])
    }
}

/// A text that ends at its first NUL, or fills its field.
pub(crate) fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars
        .iter()
        .map(|&char| char.cast_unsigned())
        .take_while(|&byte| byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
