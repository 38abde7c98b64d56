// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The layered driver interface, of which there are the devices tcp and tcp6 and
//! the ioctl that aborts connections.

use super::imports;
use super::ksocket::{must_be_cred, read_address, take_time};
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::fault;
use crate::memory;

const EIO: i32 = 5;
const ENXIO: i32 = 6;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;

/// The devices, by their major numbers.
const DEVICES: [(&str, u32); 2] = [("tcp", 42), ("tcp6", 43)];
const MAJOR_NONE: u32 = u32::MAX;
const OTYP_CHR: i32 = 2;
const MINOR_BITS: u32 = 32;

const FREAD: i32 = 1;
const FWRITE: i32 = 2;
const FKIOCTL: i32 = i32::MIN;

const I_STR: i32 = 0x5308;
const TCP_IOC_ABORT_CONN: i32 = ('T' as i32) << 8 | 91;
const TCPS_SYN_SENT: i32 = -2;
const TCPS_TIME_WAIT: i32 = 6;
const ALL_ZONES: i32 = -1;
const GLOBAL_ZONEID: i32 = 0;

/// `struct strioctl`
mod strioctl {
    pub const LEN: u64 = 8;
    pub const DP: u64 = 16;
}

/// `tcp_ioc_abort_conn_t`
mod abort_conn {
    pub const SIZE: usize = 524;
    pub const REMOTE: u64 = 256;
    pub const START: u64 = 512;
    pub const END: u64 = 516;
    pub const ZONEID: u64 = 520;
}

/// An open device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layered {
    pub name: &'static str,
    flags: i32,
}

fn device(dev: u64) -> Option<&'static str> {
    let major = (dev >> MINOR_BITS) as u32;
    let found = DEVICES.iter().find(|(_, number)| *number == major);
    found.map(|(name, _)| *name)
}

fn abort(argument: u64) -> i32 {
    // All of it is copied in, whatever is used.
    let _ = memory::bytes(argument, abort_conn::SIZE);
    let [local, remote] = [0, abort_conn::REMOTE].map(|at| read_address(argument + at));
    let [start, end, zone]: [i32; 3] = [abort_conn::START, abort_conn::END, abort_conn::ZONEID]
        .map(|at| memory::read(argument + at));
    let (Some(local), Some(remote)) = (local, remote) else {
        return EINVAL;
    };
    let are_states = TCPS_SYN_SENT <= start && start <= end && end <= TCPS_TIME_WAIT;
    if !are_states || local.is_ipv4() != remote.is_ipv4() {
        return EINVAL;
    }
    if zone != ALL_ZONES && zone != GLOBAL_ZONEID {
        fault!("TCP_IOC_ABORT_CONN for zone {zone} is not emulated");
    }
    let port = |at: u64| memory::read::<u16>(argument + at + 2);
    if !remote.is_unspecified() || port(0) != 0 || port(abort_conn::REMOTE) != 0 {
        fault!("TCP_IOC_ABORT_CONN for less than a local address is not emulated");
    }
    match here().machine.network.ip() {
        Some(ip) => ip.abort(local, start..=end).err().unwrap_or(0),
        None => ENXIO,
    }
}

imports! {
    fn ddi_name_to_major(name: u64) -> u32 {
        let name = memory::name(name, 256, "the name for ddi_name_to_major");
        let found = DEVICES.iter().find(|(device, _)| *device == name);
        found.map_or(MAJOR_NONE, |(_, major)| *major)
    }

    fn ldi_ident_from_mod(linkage: u64, ident: u64) -> i32 {
        must_be_able_to_sleep("ldi_ident_from_mod");
        let machine = here().machine;
        if machine.fails("ldi_ident_from_mod") || machine.image_at(linkage).is_none() {
            return EINVAL;
        }
        memory::write(ident, machine.network.idents.open(()));
        0
    }

    fn ldi_ident_release(ident: u64) {
        must_be_able_to_sleep("ldi_ident_release");
        if here().machine.network.idents.close(ident).is_none() {
            fault!("ldi_ident_release: {ident:#x} is no ident");
        }
    }

    fn ldi_open_by_dev(
        dev: u64,
        kind: i32,
        flags: i32,
        cred: u64,
        handle: u64,
        ident: u64,
    ) -> i32 {
        must_be_able_to_sleep("ldi_open_by_dev");
        must_be_cred("ldi_open_by_dev", cred);
        let machine = here().machine;
        if machine.network.idents.get(ident).is_none() {
            fault!("ldi_open_by_dev: {ident:#x} is no ident");
        }
        if kind != OTYP_CHR || flags & (FREAD | FWRITE) == 0 {
            return EINVAL;
        }
        let Some(name) = device(memory::read(dev)) else {
            return ENODEV;
        };
        if machine.fails("ldi_open_by_dev") || machine.network.ip().is_none() {
            return ENXIO;
        }
        // An open of tcp makes a minor number.
        memory::write(dev, memory::read::<u64>(dev) | 2);
        memory::write(handle, machine.network.layered.open(Layered { name, flags }));
        0
    }

    fn ldi_close(handle: u64, flags: i32, cred: u64) -> i32 {
        must_be_able_to_sleep("ldi_close");
        must_be_cred("ldi_close", cred);
        match here().machine.network.layered.close(handle) {
            Some(opened) if opened.flags == flags => 0,
            Some(_) => fault!("ldi_close: other flags than at the open"),
            None => fault!("ldi_close: {handle:#x} is no handle"),
        }
    }

    fn ldi_ioctl(
        handle: u64,
        command: i32,
        argument: u64,
        mode: i32,
        cred: u64,
        value: u64,
    ) -> i32 {
        must_be_able_to_sleep("ldi_ioctl");
        must_be_cred("ldi_ioctl", cred);
        let machine = here().machine;
        if machine.network.layered.get(handle).is_none() {
            fault!("ldi_ioctl: {handle:#x} is no handle");
        }
        if mode & FKIOCTL == 0 {
            fault!("ldi_ioctl: addresses of a user, without FKIOCTL");
        }
        take_time();
        if machine.fails("ldi_ioctl") {
            return EIO;
        }
        let is_abort = command == I_STR && memory::read::<i32>(argument) == TCP_IOC_ABORT_CONN;
        if !is_abort || memory::read::<i32>(argument + strioctl::LEN) != abort_conn::SIZE as i32 {
            return EINVAL;
        }
        if value != 0 {
            memory::write(value, 0i32);
        }
        abort(memory::read(argument + strioctl::DP))
    }
}
