// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Addresses, endpoints and 5-tuples: the only place that reads the address
//! pointers of a caller.
//!
//! What a caller hands over is an allegation: a protocol number, an address
//! family and pointers that may be anything. Reading it gives a value that
//! owns its bytes, or says what was wrong.

mod addr;
#[cfg(test)]
mod tests;

use crate::kernel::errno::Errno;
use crate::kernel::sys;

pub use addr::{Addr, SockAddr, from_words, to_words};

/// The transport protocols whose 5-tuples are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = sys::IPPROTO_TCP as u8,
    /// UDP.
    Udp = sys::IPPROTO_UDP as u8,
}

impl Protocol {
    /// The protocol with this number in the IP header.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match u32::from(number) {
            sys::IPPROTO_TCP => Some(Self::Tcp),
            sys::IPPROTO_UDP => Some(Self::Udp),
            _ => None,
        }
    }

    /// Its number in the IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Who opens a connection. UDP is always outgoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This node.
    Outgoing,
    /// The other end.
    Incoming,
}

impl Direction {
    /// What a caller's `is_outgoing` says.
    #[inline]
    #[must_use]
    pub fn of(is_outgoing: sys::boolean_t) -> Self {
        if is_outgoing == sys::B_FALSE {
            Self::Incoming
        } else {
            Self::Outgoing
        }
    }
}

/// An address family as a caller named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// `AF_INET`, four bytes.
    V4 = sys::AF_INET as u8,
    /// `AF_INET6` (26 on illumos), sixteen bytes.
    V6 = sys::AF_INET6 as u8,
}

impl Family {
    /// The family with this number on illumos.
    #[must_use]
    pub fn from_number(number: sys::sa_family_t) -> Option<Self> {
        match u32::from(number) {
            sys::AF_INET => Some(Self::V4),
            sys::AF_INET6 => Some(Self::V6),
            _ => None,
        }
    }

    /// Its number on illumos.
    #[must_use]
    pub fn number(self) -> sys::sa_family_t {
        self as sys::sa_family_t
    }
}

/// Why what a caller said is not a 5-tuple or an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// A pointer is NULL.
    Null,
    /// The address family is neither `AF_INET` nor `AF_INET6`.
    Family,
    /// The protocol is neither TCP nor UDP: never asked about.
    Protocol,
}

impl Reject {
    /// The errno for it; `None` for another protocol, which is no error.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Null => Some(Errno::INVAL),
            Self::Family => Some(Errno::AFNOSUPPORT),
            Self::Protocol => None,
        }
    }
}

/// What is wrong with a 5-tuple, an endpoint or an address that could not be read;
/// `null`: a pointer of it is NULL.
#[cold]
#[must_use]
pub fn reason(family: sys::sa_family_t, null: bool) -> Reject {
    if null {
        Reject::Null
    } else if Family::from_number(family).is_none() {
        Reject::Family
    } else {
        Reject::Protocol
    }
}

/// Protocol, local and foreign end. Laid out as `clinet_probe_tuple_t`, so
/// that a probe gets a pointer to it and nothing has to be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FiveTuple {
    /// The transport protocol.
    pub protocol: Protocol,
    /// This node's end.
    pub local: SockAddr,
    /// The other end.
    pub foreign: SockAddr,
}

const _: () = {
    use core::mem::offset_of;
    use sys::clinet_probe_tuple_t as Probe;
    assert!(size_of::<FiveTuple>() == size_of::<Probe>());
    assert!(offset_of!(FiveTuple, protocol) == offset_of!(Probe, cpt_protocol));
    assert!(offset_of!(FiveTuple, local) == offset_of!(Probe, cpt_local));
    assert!(offset_of!(FiveTuple, foreign) == offset_of!(Probe, cpt_foreign));
};

impl FiveTuple {
    /// Reads a caller's 5-tuple. Everything that can be wrong is looked at in
    /// this order: pointers, family, protocol.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    ///
    /// # Safety
    ///
    /// Both pointers are as [`Addr::read`] wants them for `family`.
    #[inline]
    pub unsafe fn read(
        protocol: u8,
        family: sys::sa_family_t,
        local: (*const u8, sys::in_port_t),
        foreign: (*const u8, sys::in_port_t),
    ) -> Result<Self, Reject> {
        let read = || {
            Some(Self {
                protocol: Protocol::from_number(protocol)?,
                // SAFETY: the caller promises of the pointers all that this asks for.
                local: unsafe { SockAddr::read(family, local)? },
                // SAFETY: as above.
                foreign: unsafe { SockAddr::read(family, foreign)? },
            })
        };
        read().ok_or_else(|| reason(family, local.0.is_null() || foreign.0.is_null()))
    }

    /// The same as a probe shows it.
    #[must_use]
    pub fn as_probe(&self) -> &sys::clinet_probe_tuple_t {
        // SAFETY: both are laid out alike, which is asserted above, and the
        // members of the other one may have any value.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }

    /// The local end.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            protocol: self.protocol,
            addr: self.local.addr,
            port: self.local.port,
        }
    }
}

/// A local endpoint: what listens or is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The local address.
    pub addr: Addr,
    /// The local port, network byte order.
    pub port: sys::in_port_t,
}

impl Endpoint {
    /// Reads a caller's endpoint: pointer, family, protocol, in this order.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    ///
    /// # Safety
    ///
    /// `pointer` is as [`Addr::read`] wants it for `family`.
    #[inline]
    pub unsafe fn read(
        protocol: u8,
        family: sys::sa_family_t,
        pointer: *const u8,
        port: sys::in_port_t,
    ) -> Result<Self, Reject> {
        let read = || {
            // SAFETY: the caller promises of the pointers all that this asks for.
            let SockAddr { addr, port } = unsafe { SockAddr::read(family, (pointer, port))? };
            Some(Self {
                protocol: Protocol::from_number(protocol)?,
                addr,
                port,
            })
        };
        read().ok_or_else(|| reason(family, pointer.is_null()))
    }
}
