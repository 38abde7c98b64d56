// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Logical interfaces: their names, addresses and flags, through the ioctls of a
//! socket of their family.

use core::mem;

use super::errno::Errno;
use super::kmem::KmemSlice;
use super::ksocket::Ksocket;
use super::sys;

/// A name in C's form; the last byte is always 0.
pub type Name = [u8; sys::LIFNAMSIZ as usize];

/// The interface that every machine has.
pub const LOOPBACK: Name = {
    let mut name = [0; size_of::<Name>()];
    if let Some((start, _)) = name.split_first_chunk_mut() {
        *start = *b"lo0";
    }
    name
};

/// Room for interfaces that come while they are counted.
const SPARE: usize = 4;
/// Interfaces that are listed at most.
const MOST: usize = 65_536;

/// All of them but those that are no source of packets to others anyway.
const ALL: u32 = sys::LIFC_NOXMIT | sys::LIFC_TEMPORARY | sys::LIFC_ALLZONES | sys::LIFC_UNDER_IPMP;

/// An interface of a list.
pub struct Interface(sys::lifreq);

impl Interface {
    fn empty() -> Self {
        // SAFETY: integers and unions of integers, for which zeros are valid.
        Self(unsafe { mem::zeroed() })
    }

    /// A request about the interface of this name.
    fn named(name: &Name) -> Self {
        let mut request = Self::empty();
        request.0.lifr_name = name.map(u8::cast_signed);
        request
    }

    /// Its name.
    pub fn name(&self) -> Name {
        let mut name = self.0.lifr_name.map(i8::cast_unsigned);
        if let Some(last) = name.last_mut() {
            *last = 0;
        }
        name
    }

    /// Its address in IPv6 form, IPv4 as `::ffff:a.b.c.d`; `None` if it has none.
    pub fn address(&self) -> Option<[u8; 16]> {
        let address = &raw const self.0.lifr_lifru;
        // SAFETY: the union has room for each of them, and any bytes are valid.
        let family = unsafe { (*address).lifru_addr.ss_family };
        match u32::from(family) {
            sys::AF_INET => {
                // SAFETY: as above, and aligned for them.
                let v4 = unsafe { (*address.cast::<sys::sockaddr_in>()).sin_addr };
                // SAFETY: four bytes in network order, in each form of the union.
                let [a, b, c, d] = unsafe { mem::transmute::<sys::in_addr, [u8; 4]>(v4) };
                Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
            }
            sys::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { (*address.cast::<sys::sockaddr_in6>()).sin6_addr };
                // SAFETY: sixteen bytes in network order, in each form of the union.
                Some(unsafe { mem::transmute::<sys::in6_addr_t, [u8; 16]>(v6) })
            }
            _ => None,
        }
    }
}

/// The interfaces of the socket's family, in all zones of the stack. Sleeps.
///
/// # Errors
///
/// `ENOMEM`, `EAGAIN` if ever more of them come, or the kernel's.
pub fn list(socket: &Ksocket<'_>) -> Result<KmemSlice<Interface>, Errno> {
    for _ in 0..4 {
        let room = count(socket)?.saturating_add(SPARE).min(MOST);
        let mut all = KmemSlice::from_fn(room, |_| Interface::empty()).ok_or(Errno::NOMEM)?;
        // With room to spare, all have come.
        if fill(socket, &mut all)? < room {
            return Ok(all);
        }
    }
    Err(Errno::AGAIN)
}

fn count(socket: &Ksocket<'_>) -> Result<usize, Errno> {
    let mut number = sys::lifnum {
        lifn_family: socket.family(),
        lifn_flags: ALL.cast_signed(),
        lifn_count: 0,
    };
    // SAFETY: the structure of this command, without pointers.
    unsafe { socket.ioctl(sys::CLINET_SIOCGLIFNUM, &mut number) }?;
    Ok(usize::try_from(number.lifn_count).unwrap_or(0))
}

/// Fills the list, and says how many came.
fn fill(socket: &Ksocket<'_>, all: &mut [Interface]) -> Result<usize, Errno> {
    let size = size_of_val(all);
    let mut request = sys::lifconf {
        lifc_family: socket.family(),
        lifc_flags: ALL.cast_signed(),
        lifc_len: i32::try_from(size).map_err(|_| Errno::NOMEM)?,
        lifc_lifcu: sys::lifconf__bindgen_ty_1 {
            lifcu_buf: all.as_mut_ptr().cast(),
        },
    };
    // SAFETY: the structure of this command, with the address and the length of
    // structures of ours that may be written.
    unsafe { socket.ioctl(sys::CLINET_SIOCGLIFCONF, &mut request) }?;
    let filled = usize::try_from(request.lifc_len).unwrap_or(0);
    Ok(filled / size_of::<Interface>())
}

/// Its flags. Sleeps.
///
/// # Errors
///
/// The kernel's; `ENXIO` if there is none of that name.
#[inline(never)]
pub fn flags(socket: &Ksocket<'_>, name: &Name) -> Result<u64, Errno> {
    let mut request = Interface::named(name);
    // SAFETY: the structure of this command, without pointers.
    unsafe { socket.ioctl(sys::CLINET_SIOCGLIFFLAGS, &mut request.0) }?;
    // SAFETY: any bytes are a valid number.
    Ok(unsafe { request.0.lifr_lifru.lifru_flags })
}

/// Sets its flags. Sleeps until the interface is down, if it goes down.
///
/// # Errors
///
/// As for [`flags`].
#[inline(never)]
pub fn set_flags(socket: &Ksocket<'_>, name: &Name, flags: u64) -> Result<(), Errno> {
    let mut request = Interface::named(name);
    request.0.lifr_lifru.lifru_flags = flags;
    // SAFETY: the structure of this command, without pointers.
    unsafe { socket.ioctl(sys::CLINET_SIOCSLIFFLAGS, &mut request.0) }
}

/// Adds a logical interface without an address to the loopback link, and returns
/// its name. Sleeps.
///
/// # Errors
///
/// The kernel's.
#[inline(never)]
pub fn add_loopback(socket: &Ksocket<'_>) -> Result<Name, Errno> {
    let mut request = Interface::named(&LOOPBACK);
    // SAFETY: the structure of this command, without pointers.
    unsafe { socket.ioctl(sys::CLINET_SIOCLIFADDIF, &mut request.0) }?;
    Ok(request.name())
}

/// Removes a logical interface. Sleeps.
///
/// # Errors
///
/// As for [`flags`].
#[inline(never)]
pub fn remove(socket: &Ksocket<'_>, name: &Name) -> Result<(), Errno> {
    let mut request = Interface::named(name);
    // SAFETY: the structure of this command, without pointers.
    unsafe { socket.ioctl(sys::CLINET_SIOCLIFREMOVEIF, &mut request.0) }
}
