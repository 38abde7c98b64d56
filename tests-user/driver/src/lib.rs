// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released driver file, loaded beside the released module and called as the
//! kernel calls it.

pub mod commands;
pub mod errno;
pub mod fuzz;

use clinet_control::abi::{self, clinetctl_head_t, command};
use clinet_kernel::{
    Context, Cred, Driver, Kernel, Model, ModloadError, Module, OpenFile, OpenFlags, UserMemory,
};
use clinet_module_tests::{Tuple, built, module_file, ptr};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// The number of a command.
pub type Command = command::Type;

/// The released driver.
///
/// # Panics
///
/// If it is not built.
#[must_use]
pub fn driver_file() -> Vec<u8> {
    built("kernel/drv/amd64/clinetctl")
}

/// A machine with both modules.
pub struct Machine {
    /// The driver. It goes first: a kernel that is dropped is switched off.
    pub driver: Driver,
    /// The module.
    pub clinet: Module,
    /// The machine.
    pub kernel: Kernel,
}

/// Loads a driver file.
///
/// # Errors
///
/// Why it does not load.
pub fn load_driver(kernel: &Kernel, file: &[u8]) -> Result<Driver, ModloadError> {
    kernel.load_driver("drv/clinetctl", file, &[])
}

impl Machine {
    /// With these tunables of the module, and without an ip.
    ///
    /// # Panics
    ///
    /// If one of them does not load.
    #[must_use]
    pub fn new(tunables: &[(&str, u64)]) -> Self {
        let kernel = Kernel::new();
        let tunables = [&[("clinet_attach", 0)], tunables].concat();
        let clinet = kernel.load("misc/clinet", &module_file(), &tunables);
        let clinet = clinet.unwrap_or_else(|error| panic!("{error}"));
        let driver = load_driver(&kernel, &driver_file());
        let driver = driver.unwrap_or_else(|error| panic!("{error}"));
        Self {
            driver,
            clinet,
            kernel,
        }
    }

    /// Opens the device as root.
    ///
    /// # Panics
    ///
    /// If it does not open.
    #[must_use]
    pub fn open(&self) -> Device {
        self.open_as(Cred::root())
    }

    /// Opens the device as somebody.
    ///
    /// # Panics
    ///
    /// If it does not open.
    #[must_use]
    pub fn open_as(&self, cred: Cred) -> Device {
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let file = self.driver.open(cred, flags);
        Device {
            file: file.unwrap_or_else(|errno| panic!("errno {errno}")),
            model: Model::Lp64,
        }
    }

    /// Calls a function of the module with these arguments.
    pub fn call(&self, function: &str, arguments: &[u64]) -> i32 {
        let address = self.clinet.address(function);
        // SAFETY: a C function of the module; the tests pass what its header says.
        unsafe { self.clinet.call(&Context::thread(), address, arguments) as i32 }
    }

    /// Asks the module about a 5-tuple as ip does.
    pub fn connect(&self, is_outgoing: bool, tuple: &Tuple) -> i32 {
        self.call(
            "clinet_ask",
            &[
                u64::from(tuple.protocol),
                u64::from(is_outgoing),
                u64::from(tuple.family),
                ptr(&tuple.laddr),
                u64::from(tuple.lport),
                ptr(&tuple.faddr),
                u64::from(tuple.fport),
            ],
        )
    }

    /// How many 5-tuples the module has.
    #[must_use]
    pub fn tuples(&self) -> u64 {
        let mut state: abi::clinetctl_state_t = new();
        let nobody = self.open_as(Cred::user(9));
        let result = nobody.ask(command::GET_STATE, &mut state);
        assert_eq!(result, Ok(()));
        state.cst_tuples
    }
}

/// A structure of the device, of zeros but for its head.
#[must_use]
pub fn new<T: FromBytes + IntoBytes>() -> T {
    let mut structure = T::new_zeroed();
    let head = clinetctl_head_t {
        ch_version: abi::CLINETCTL_VERSION,
        ch_size: size_of::<T>() as u32,
    };
    structure.as_mut_bytes()[..size_of::<clinetctl_head_t>()].copy_from_slice(head.as_bytes());
    structure
}

/// An open device.
pub struct Device {
    /// The file.
    pub file: OpenFile,
    /// What kind of program has it open.
    pub model: Model,
}

impl Device {
    /// An ioctl of a program that has nothing but this structure in its memory.
    ///
    /// # Errors
    ///
    /// The errno.
    pub fn ask<T>(&self, command: Command, structure: &mut T) -> Result<(), i32>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        self.ask_with(command, structure, &mut UserMemory::new())
    }

    /// The same of a program that has other memory besides.
    ///
    /// # Errors
    ///
    /// The errno.
    ///
    /// # Panics
    ///
    /// If the answer is not 0.
    pub fn ask_with<T>(
        &self,
        command: Command,
        structure: &mut T,
        memory: &mut UserMemory,
    ) -> Result<(), i32>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        let address = memory.add(structure.as_bytes());
        let result = self.file.ioctl(command, address, memory, self.model);
        let bytes = memory.read(address, size_of::<T>()).expect("still mapped");
        *structure = T::read_from_bytes(&bytes).expect("as many bytes");
        memory.unmap(address);
        result.map(|value| assert_eq!(value, 0))
    }

    /// The events that can be read now.
    ///
    /// # Errors
    ///
    /// The errno.
    pub fn events(&self) -> Result<Vec<abi::clinetctl_event_t>, i32> {
        let size = size_of::<abi::clinetctl_event_t>();
        Ok(events(&self.file.read(64 * size, true)?))
    }

    /// Chooses events.
    ///
    /// # Errors
    ///
    /// The errno.
    pub fn choose(&self, mask: u32) -> Result<(), i32> {
        let mut events: abi::clinetctl_events_t = new();
        events.ce_mask = mask;
        self.ask(command::EVENTS, &mut events)
    }
}

/// The events in what read(2) delivered.
///
/// # Panics
///
/// If they are not whole.
#[must_use]
pub fn events(bytes: &[u8]) -> Vec<abi::clinetctl_event_t> {
    let chunks = bytes.chunks(size_of::<abi::clinetctl_event_t>());
    chunks
        .map(|chunk| FromBytes::read_from_bytes(chunk).expect("a whole event"))
        .collect()
}

/// A 5-tuple as the device has it.
#[must_use]
pub fn tuple(tuple: &Tuple) -> abi::clinetctl_tuple_t {
    let mut out = abi::clinetctl_tuple_t::new_zeroed();
    out.ct_laddr = mapped(tuple.family, &tuple.laddr);
    out.ct_faddr = mapped(tuple.family, &tuple.faddr);
    out.ct_lport = tuple.lport;
    out.ct_fport = tuple.fport;
    out.ct_protocol = tuple.protocol;
    out
}

/// Sixteen bytes of an address, IPv4 as `::ffff:a.b.c.d`.
fn mapped(family: u16, address: &[u8; 16]) -> [u8; 16] {
    if family != clinet_module_tests::INET {
        return *address;
    }
    let mut bytes = [0; 16];
    bytes[10..12].fill(0xff);
    bytes[12..].copy_from_slice(&address[..4]);
    bytes
}
