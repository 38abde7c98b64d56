// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The logical interfaces of a stack, and whether a source is good.
//!
//! A sender looks at its source when the generation of the stack is another than
//! when it looked last, and an address of an interface that is down is a good
//! source: so clearing IFF_UP stops nothing. What makes the source bad is
//! IFF_NOLOCAL or the end of the interface, and what makes senders look again is a
//! generation that comes afterwards. Going down changes the generation *before*
//! the flags are set: [`Interfaces::in_gap`] runs something between the two.
//!
//! Not modelled, and not stopped in a kernel either: a privileged IPV6_PKTINFO,
//! raw sockets, and what clears the check of the source.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::address::{IpVersion, is_any, kept};
use crate::error::Errno;
use crate::lock;

/// The address is up.
pub const IFF_UP: u64 = 0x1;
/// The interface is one of loopback.
pub const IFF_LOOPBACK: u64 = 0x8;
/// The address is none of this machine's.
pub const IFF_NOLOCAL: u64 = 0x2_0000;
/// An interface of IPv4.
pub const IFF_IPV4: u64 = 0x100_0000;
/// An interface of IPv6.
pub const IFF_IPV6: u64 = 0x200_0000;

/// The address is VRRP's, which alone takes it up or down.
pub const IFF_VRRP: u64 = 0x100_0000_0000;

/// Those that nobody can change.
const FIXED: u64 = IFF_LOOPBACK | IFF_IPV4 | IFF_IPV6;

/// The link of the loopback addresses.
const LOOPBACK: &str = "lo0";

/// What a link may have in a family at boot: `ip_addrs_per_if` of ip(4P).
const ADDRESSES_PER_LINK: usize = 256;

/// A logical interface. IPv4 and IPv6 have names of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Such as `lo0` or `lo0:2`.
    pub name: String,
    /// Its address, in the form of its own family; unspecified if it has none.
    pub address: IpAddr,
    /// `IFF_UP` and so on.
    pub flags: u64,
}

impl Interface {
    fn new(name: &str, address: IpAddr, up: bool) -> Self {
        let version = match address {
            IpAddr::V4(_) => IFF_IPV4,
            IpAddr::V6(_) => IFF_IPV6,
        };
        let loopback = if link(name) == LOOPBACK {
            IFF_LOOPBACK
        } else {
            0
        };
        Self {
            name: name.to_owned(),
            address,
            flags: version | loopback | if up { IFF_UP } else { 0 },
        }
    }

    /// Is it up?
    pub fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    fn is_of(&self, version: IpVersion) -> bool {
        let bit = match version {
            IpVersion::V4 => IFF_IPV4,
            IpVersion::V6 => IFF_IPV6,
        };
        self.flags & bit != 0
    }

    fn is_named(&self, version: IpVersion, name: &str) -> bool {
        self.is_of(version) && self.name == name
    }

    /// Do packets to the address come to this machine?
    fn receives(&self) -> bool {
        self.is_up() && self.flags & IFF_NOLOCAL == 0
    }
}

/// The link of a logical interface.
fn link(name: &str) -> &str {
    name.split_once(':').map_or(name, |(link, _)| link)
}

/// The unit of a logical interface; that of a link is 0.
fn unit(name: &str) -> u32 {
    name.split_once(':')
        .and_then(|(_, unit)| unit.parse().ok())
        .unwrap_or(0)
}

/// What a test has done between a change of the generation and that of the flags.
type Gap = Box<dyn FnOnce() + Send>;

/// All logical interfaces of a stack.
pub(crate) struct Interfaces {
    all: RwLock<Vec<Interface>>,
    /// `ips_src_generation`; nobody has looked at a source in generation 0.
    generation: AtomicU32,
    gap: Mutex<Option<Gap>>,
    /// `ip_addrs_per_if`.
    per_link: AtomicUsize,
}

impl Interfaces {
    /// These addresses, which are up, by the names of their interfaces.
    pub fn new(addresses: &[(&str, IpAddr)]) -> Self {
        let interface = |&(name, address): &(&str, IpAddr)| Interface::new(name, address, true);
        Self {
            all: RwLock::new(addresses.iter().map(interface).collect()),
            generation: AtomicU32::new(1),
            gap: Mutex::default(),
            per_link: AtomicUsize::new(ADDRESSES_PER_LINK),
        }
    }

    /// Sets how many addresses a link may have in a family.
    pub fn set_per_link(&self, most: usize) {
        self.per_link.store(most, Ordering::Relaxed);
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Interface>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Interface>> {
        self.all.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn all(&self) -> Vec<Interface> {
        self.read().clone()
    }

    fn has(&self, is_it: impl Fn(&Interface) -> bool) -> bool {
        self.read().iter().any(is_it)
    }

    /// Is it an address of this machine that is up?
    pub fn is_local(&self, address: Ipv6Addr) -> bool {
        self.has(|one| one.receives() && kept(one.address) == address)
    }

    /// The first address of a version that is up.
    pub fn first(&self, version: IpVersion) -> Option<Ipv6Addr> {
        let all = self.read();
        let mut usable = all.iter().filter(|one| one.receives());
        let first = usable.find(|one| one.is_of(version));
        first.map(|one| kept(one.address))
    }

    /// `ip_laddr_verify`: may packets have this source, and may a program bind
    /// to it? What is down will do.
    pub fn is_source(&self, address: Ipv6Addr) -> bool {
        if self.is_local(address) {
            return true;
        }
        let all = self.read();
        let first = all.iter().find(|one| kept(one.address) == address);
        first.is_some_and(|one| one.flags & IFF_NOLOCAL == 0)
    }

    /// The check of a sender, who remembers in which generation its source was
    /// good. A sender without a source has a good one chosen.
    pub fn verify(&self, source: Ipv6Addr, seen: &mut u32) -> bool {
        let generation = self.generation.load(Ordering::SeqCst);
        if is_any(source) || *seen == generation {
            return true;
        }
        let is_good = self.is_source(source);
        if is_good {
            *seen = generation;
        }
        is_good
    }

    fn bump(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub fn in_gap(&self, gap: Gap) {
        *lock(&self.gap) = Some(gap);
    }

    fn pass_gap(&self) {
        let gap = lock(&self.gap).take();
        if let Some(gap) = gap {
            gap();
        }
    }

    fn change(&self, version: IpVersion, name: &str, change: impl FnOnce(&mut Interface)) {
        let mut all = self.write();
        if let Some(one) = all.iter_mut().find(|one| one.is_named(version, name)) {
            change(one);
        }
    }

    /// `SIOCGLIFFLAGS`
    pub fn flags(&self, version: IpVersion, name: &str) -> Result<u64, Errno> {
        let all = self.read();
        let found = all.iter().find(|one| one.is_named(version, name));
        found.map(|one| one.flags).ok_or(Errno::ENXIO)
    }

    /// `SIOCSLIFFLAGS`. What is up goes down first, which changes the
    /// generation, and may come up again with its new flags.
    pub fn set_flags(&self, version: IpVersion, name: &str, flags: u64) -> Result<(), Errno> {
        let before = self.flags(version, name)?;
        let flags = flags & !FIXED | before & FIXED;
        if before & IFF_VRRP != 0 && (flags ^ before) & IFF_UP != 0 {
            return Err(Errno::EINVAL);
        }
        if before & IFF_UP != 0 && flags != before {
            self.go_down(version, name);
        }
        self.change(version, name, |one| one.flags = flags);
        if flags & (IFF_UP | IFF_NOLOCAL) == IFF_UP && flags != before {
            self.bump();
        }
        Ok(())
    }

    /// `ipif_down_tail`
    fn go_down(&self, version: IpVersion, name: &str) {
        self.change(version, name, |one| one.flags &= !IFF_UP);
        self.bump();
        self.pass_gap();
    }

    /// `SIOCLIFADDIF`: a new logical interface of a link, whose name is
    /// returned. `lo0` comes into being so, too.
    pub fn add(&self, name: &str, address: IpAddr) -> Result<String, Errno> {
        let version = IpVersion::of_address(kept(address));
        let mut all = self.write();
        let mut units: Vec<u32> = all
            .iter()
            .filter(|one| one.is_of(version) && link(&one.name) == name)
            .map(|one| unit(&one.name))
            .collect();
        if units.len() >= self.per_link.load(Ordering::Relaxed) {
            return Err(Errno::ERANGE);
        }
        units.sort_unstable();
        let free = (0..).zip(&units).find(|(index, unit)| index != *unit);
        let free = free.map_or(units.len() as u32, |(index, _)| index);
        let name = match free {
            0 if name == LOOPBACK => name.to_owned(),
            0 => return Err(Errno::ENXIO),
            free => format!("{name}:{free}"),
        };
        all.push(Interface::new(&name, address, false));
        Ok(name)
    }

    /// `SIOCLIFREMOVEIF`. A link stays, unless it is loopback without a
    /// logical interface.
    pub fn remove(&self, version: IpVersion, name: &str) -> Result<(), Errno> {
        self.flags(version, name)?;
        let is_link = unit(name) == 0;
        let others = |one: &Interface| one.is_of(version) && link(&one.name) == name;
        if is_link && (name != LOOPBACK || self.read().iter().filter(|one| others(one)).count() > 1)
        {
            return Err(Errno::EBUSY);
        }
        self.write().retain(|one| !one.is_named(version, name));
        self.bump();
        Ok(())
    }

    /// The interfaces that have an address.
    pub fn with_address(&self, address: IpAddr) -> Vec<Interface> {
        let address = address.to_canonical();
        let all = self.read();
        let with = all.iter().filter(|one| one.address == address);
        with.cloned().collect()
    }
}
