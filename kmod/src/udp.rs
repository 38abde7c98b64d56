// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! When UDP asks: always at connect(), at a send only if the destination is
//! not the most recent one.
//!
//! The most recent destination lives in two fields of the stack's `udp_t`,
//! under the endpoint's lock. The lock is not held across a question, since a
//! provider may run for a while and the stack's lock order leaves no choice.
//! In that gap another thread may send elsewhere, connect, or reset the
//! endpoint, after which the provider may have dropped what it was asked
//! about. So whoever stores looks again: a send that finds another
//! destination than before stores nothing, and one send more asks. A reset
//! from "none" to "none" cannot be seen in the two fields; it is seen in a
//! generation that resets count up.

#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering};

use static_assertions::{assert_eq_align, assert_eq_size, const_assert_eq};

use crate::contract;
use crate::flow::{FiveTuple, Protocol, SockAddr, to_words};
use crate::kernel::errno::Errno;
use crate::kernel::stack::spread;
use crate::kernel::sys;
use crate::stats::counters;

/// The twin of `clinet_udp_t`: the most recent destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct LastDestination {
    /// IPv4 as `::ffff:a.b.c.d`.
    v6lastdst: [u8; 16],
    /// Network byte order.
    lastdstport: sys::in_port_t,
}

assert_eq_size!(LastDestination, sys::clinet_udp_t);
assert_eq_align!(LastDestination, sys::clinet_udp_t);
const_assert_eq!(
    core::mem::offset_of!(LastDestination, v6lastdst),
    core::mem::offset_of!(sys::clinet_udp_t, udp_cl_v6lastdst)
);
const_assert_eq!(
    core::mem::offset_of!(LastDestination, lastdstport),
    core::mem::offset_of!(sys::clinet_udp_t, udp_cl_lastdstport)
);

impl LastDestination {
    /// No destination; none equals it.
    pub const NONE: Self = Self {
        v6lastdst: [0; 16],
        lastdstport: 0,
    };

    /// The peer in the form that is stored.
    #[must_use]
    pub fn of(peer: &SockAddr) -> Self {
        Self {
            v6lastdst: peer.addr.v6_form(),
            lastdstport: peer.port,
        }
    }

    /// Is it this peer? Nothing is written and nothing shared is read: every
    /// datagram comes through here. Endpoint lock held.
    #[inline]
    #[must_use]
    pub fn is(&self, peer: &SockAddr) -> bool {
        let [high, low] = peer.addr.words();
        [high, low] == to_words(self.v6lastdst)
            && peer.port == self.lastdstport
            && (high | low != 0 || peer.port != 0)
    }
}

/// The twin of `clinet_udp_ask_t`: a question under way.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Ask {
    destination: LastDestination,
    family: sys::sa_family_t,
    pad: u16,
    seen: LastDestination,
    generation: u32,
}

assert_eq_size!(Ask, sys::clinet_udp_ask_t);
assert_eq_align!(Ask, sys::clinet_udp_ask_t);

impl Ask {
    fn new(peer: &SockAddr, last: &LastDestination) -> Self {
        Self {
            destination: LastDestination::of(peer),
            family: peer.addr.family().number(),
            pad: 0,
            seen: *last,
            generation: resets(last).load(Ordering::Acquire),
        }
    }

    /// The family that the addresses of this question have.
    #[must_use]
    pub fn family(&self) -> sys::sa_family_t {
        self.family
    }

    fn peer(&self) -> Option<SockAddr> {
        let LastDestination {
            v6lastdst,
            lastdstport,
        } = self.destination;
        SockAddr::from_v6_form(self.family, (v6lastdst, lastdstport))
    }
}

/// Begins the question for a send. Endpoint lock held.
#[must_use]
pub fn send_begin(last: &LastDestination, peer: &SockAddr) -> Ask {
    Ask::new(peer, last)
}

/// Begins the question for a connect: the endpoint has no destination from
/// now on. Endpoint lock held.
pub fn connect_begin(last: &mut LastDestination, peer: &SockAddr) -> Ask {
    reset(last);
    Ask::new(peer, last)
}

/// Puts the question. Endpoint lock not held.
///
/// # Errors
///
/// `EAFNOSUPPORT` if `ask` was not made by a begin; else `refusal`, which is
/// all that an application gets to see of a provider's errno.
pub fn ask(ask: &Ask, local: SockAddr, refusal: Errno) -> Result<(), Errno> {
    let tuple = FiveTuple {
        protocol: Protocol::Udp,
        local,
        foreign: ask.peer().ok_or(Errno::AFNOSUPPORT)?,
    };
    contract::ask(&tuple, true).map_err(|_| refusal)?;
    Ok(())
}

/// Ends an accepted send: its destination is the most recent one, unless the
/// endpoint went on meanwhile. Endpoint lock held.
pub fn send_end(last: &mut LastDestination, ask: &Ask) {
    if *last == ask.seen {
        connect_end(last, ask);
    } else {
        counters().cs_udp_overtaken.bump();
    }
}

/// Ends an accepted connect: the peer is the most recent destination, unless
/// the endpoint was reset meanwhile. Endpoint lock held.
pub fn connect_end(last: &mut LastDestination, ask: &Ask) {
    if resets(last).load(Ordering::Acquire) == ask.generation {
        *last = ask.destination;
    } else {
        counters().cs_udp_overtaken.bump();
    }
}

/// Forgets the most recent destination. Endpoint lock held.
pub fn reset(last: &mut LastDestination) {
    resets(last).fetch_add(1, Ordering::AcqRel);
    *last = LastDestination::NONE;
}

/// Log2 of the number of reset generations.
const STRIPE_BITS: u32 = 10;

/// Reset generations. Endpoints share them by their address: sharing costs a
/// question more when a neighbour is reset during one, and nothing else.
static RESETS: [AtomicU32; 1 << STRIPE_BITS] = [const { AtomicU32::new(0) }; 1 << STRIPE_BITS];

fn resets(last: &LastDestination) -> &'static AtomicU32 {
    let stripe = spread(core::ptr::from_ref(last).addr(), STRIPE_BITS);
    let [first, ..] = &RESETS;
    RESETS.get(stripe).unwrap_or(first)
}
