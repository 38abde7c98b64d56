// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `misc/ksocket`: datagram sockets of the kernel, by which a module reaches the
//! ioctls of ip. It is no import: `ddi_modopen` finds it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::imports;
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::fault;
use crate::memory;
use crate::network::IpControl;
use crate::thunk::KCRED;

const ENOMEM: i32 = 12;
const ENXIO: i32 = 6;
const EINVAL: i32 = 22;
const EIO: i32 = 5;
const EAFNOSUPPORT: i32 = 124;
const ENOTSOCK: i32 = 95;

const AF_UNSPEC: u16 = 0;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 26;
const SOCK_DGRAM: i32 = 1;
const KSOCKET_SLEEP: i32 = 0;
const KSOCKET_NOSLEEP: i32 = 1;

const SIOCLIFREMOVEIF: u32 = 0x8078_696e;
const SIOCLIFADDIF: u32 = 0xc078_696f;
const SIOCSLIFFLAGS: u32 = 0x8078_6974;
const SIOCGLIFFLAGS: u32 = 0xc078_6975;
const SIOCGLIFNUM: u32 = 0xc00c_6982;
const SIOCGLIFCONF: u32 = 0xc010_69a5;

/// All bits of lifc_flags and lifn_flags.
const LIFC_FLAGS: u32 = 0x3f;

/// `struct lifreq`
mod lifreq {
    pub const SIZE: usize = 376;
    pub const NAME_SIZE: usize = 32;
    /// The union: flags, or an address.
    pub const UNION: u64 = 40;
}

/// `struct lifconf`
mod lifconf {
    pub const FLAGS: u64 = 4;
    pub const LEN: u64 = 8;
    pub const BUF: u64 = 16;
}

/// `struct lifnum`
mod lifnum {
    pub const FLAGS: u64 = 4;
    pub const COUNT: u64 = 8;
}

/// Faults unless `cred` is one.
pub(super) fn must_be_cred(what: &str, cred: u64) {
    if cred != KCRED {
        fault!("{what}: {cred:#x} is no cred_t");
    }
}

/// An ioctl takes its time.
pub(super) fn take_time() {
    let machine = here().machine;
    let delay = machine.network.delay();
    if !delay.is_zero() {
        let deadline = machine.clock.after(delay);
        machine
            .sched
            .block(machine, None, Some(deadline), None, || ());
    }
}

/// What an ioctl was asked with: a family, which has to be the socket's or, where
/// that is allowed, none.
fn families(ip: &dyn IpControl, family: u16) -> Option<Vec<(String, IpAddr)>> {
    match family {
        AF_INET => Some(ip.interfaces(false)),
        AF_INET6 => Some(ip.interfaces(true)),
        AF_UNSPEC => Some([ip.interfaces(false), ip.interfaces(true)].concat()),
        _ => None,
    }
}

fn check_flags(flags: u32) {
    if flags & !LIFC_FLAGS != 0 {
        fault!("ksocket_ioctl: {flags:#x} are no flags of LIFC_*");
    }
}

fn number(ip: &dyn IpControl, argument: u64) -> i32 {
    check_flags(memory::read(argument + lifnum::FLAGS));
    let Some(all) = families(ip, memory::read(argument)) else {
        return EAFNOSUPPORT;
    };
    memory::write(argument + lifnum::COUNT, all.len() as i32);
    0
}

/// As many as there is room for.
fn list(ip: &dyn IpControl, argument: u64) -> i32 {
    check_flags(memory::read(argument + lifconf::FLAGS));
    let Some(all) = families(ip, memory::read(argument)) else {
        return EAFNOSUPPORT;
    };
    let room: i32 = memory::read(argument + lifconf::LEN);
    let room = usize::try_from(room).unwrap_or(0) / lifreq::SIZE;
    let buffer: u64 = memory::read(argument + lifconf::BUF);
    let shown = all.len().min(room);
    for (index, (name, address)) in all.iter().take(room).enumerate() {
        let at = buffer + (index * lifreq::SIZE) as u64;
        memory::fill(at, 0, lifreq::SIZE);
        memory::write_bytes(at, name.as_bytes());
        write_address(at + lifreq::UNION, *address);
    }
    memory::write(argument + lifconf::LEN, (shown * lifreq::SIZE) as i32);
    0
}

/// A `struct sockaddr_in` or `sockaddr_in6`.
fn write_address(at: u64, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            memory::write(at, AF_INET);
            memory::write_bytes(at + 4, &address.octets());
        }
        IpAddr::V6(address) => {
            memory::write(at, AF_INET6);
            memory::write_bytes(at + 8, &address.octets());
        }
    }
}

/// The address there, if there is one.
pub(super) fn read_address(at: u64) -> Option<IpAddr> {
    match memory::read::<u16>(at) {
        AF_INET => Some(Ipv4Addr::from(memory::read::<[u8; 4]>(at + 4)).into()),
        AF_INET6 => Some(Ipv6Addr::from(memory::read::<[u8; 16]>(at + 8)).into()),
        _ => None,
    }
}

/// The ioctls of one interface.
fn one(ip: &dyn IpControl, v6: bool, command: u32, argument: u64) -> Result<(), i32> {
    // All of it is copied in, whatever is used.
    let request = memory::bytes(argument, lifreq::SIZE);
    let name = &request[..lifreq::NAME_SIZE];
    let end = name.iter().position(|&byte| byte == 0);
    let Some(end) = end else {
        fault!("ksocket_ioctl: lifr_name is not ended by a NUL");
    };
    let name = String::from_utf8_lossy(&name[..end]).into_owned();
    match command {
        SIOCGLIFFLAGS => {
            let flags = ip.flags(v6, &name)?;
            memory::write(argument + lifreq::UNION, flags);
            Ok(())
        }
        SIOCSLIFFLAGS => ip.set_flags(v6, &name, memory::read(argument + lifreq::UNION)),
        SIOCLIFADDIF => {
            if memory::read::<u16>(argument + lifreq::UNION) != AF_UNSPEC {
                fault!("ksocket_ioctl: SIOCLIFADDIF with an address is not emulated");
            }
            let new = ip.add(v6, &name)?;
            memory::fill(argument, 0, lifreq::NAME_SIZE);
            memory::write_bytes(argument, new.as_bytes());
            Ok(())
        }
        _ => ip.remove(v6, &name),
    }
}

fn ioctl(ip: &Arc<dyn IpControl>, v6: bool, command: u32, argument: u64) -> i32 {
    match command {
        SIOCGLIFNUM => number(&**ip, argument),
        SIOCGLIFCONF => list(&**ip, argument),
        SIOCGLIFFLAGS | SIOCSLIFFLAGS | SIOCLIFADDIF | SIOCLIFREMOVEIF => {
            one(&**ip, v6, command, argument).err().unwrap_or(0)
        }
        _ => EINVAL,
    }
}

imports! {
    fn ksocket_socket(
        socket: u64,
        family: i32,
        kind: i32,
        _protocol: i32,
        flags: i32,
        cred: u64,
    ) -> i32 {
        if flags != KSOCKET_SLEEP && flags != KSOCKET_NOSLEEP {
            fault!("ksocket_socket: the flags are {flags}");
        }
        must_be_able_to_sleep("ksocket_socket");
        must_be_cred("ksocket_socket", cred);
        memory::write(socket, 0u64);
        let machine = here().machine;
        if machine.fails("ksocket_socket") {
            return ENOMEM;
        }
        let v6 = match u16::try_from(family) {
            Ok(AF_INET) => false,
            Ok(AF_INET6) => true,
            _ => return EAFNOSUPPORT,
        };
        if kind != SOCK_DGRAM {
            fault!("ksocket_socket: sockets of type {kind} are not emulated");
        }
        if !machine.network.ip().is_some_and(|ip| ip.has_udp()) {
            return ENXIO;
        }
        memory::write(socket, machine.network.sockets.open(v6));
        0
    }

    fn ksocket_ioctl(socket: u64, command: i32, argument: u64, value: u64, cred: u64) -> i32 {
        must_be_able_to_sleep("ksocket_ioctl");
        must_be_cred("ksocket_ioctl", cred);
        let machine = here().machine;
        let Some(v6) = machine.network.sockets.get(socket) else {
            fault!("ksocket_ioctl: {socket:#x} is no open socket");
        };
        take_time();
        if machine.fails("ksocket_ioctl") {
            return EIO;
        }
        let Some(ip) = machine.network.ip() else {
            return ENOTSOCK;
        };
        memory::write(value, 0i32);
        ioctl(&ip, v6, command as u32, argument)
    }

    fn ksocket_close(socket: u64, cred: u64) -> i32 {
        must_be_able_to_sleep("ksocket_close");
        must_be_cred("ksocket_close", cred);
        if here().machine.network.sockets.close(socket).is_none() {
            fault!("ksocket_close: {socket:#x} is no open socket");
        }
        0
    }
}
