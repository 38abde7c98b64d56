// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the bench calls in the module: all names and signatures.

use std::ffi::c_void;

use clinet_krtld::Image;

use crate::error::{Error, Result};

/// `cl_inet_connect2`.
pub type Connect2 = unsafe extern "C" fn(u8, i32, u16, *const u8, u16, *const u8, u16) -> i32;
/// `cl_inet_disconnect`.
pub type Disconnect = unsafe extern "C" fn(u8, u16, *const u8, u16, *const u8, u16);
/// ip's `cl_inet_connect2`.
pub type IpConnect2 =
    unsafe extern "C" fn(i32, u8, i32, u16, *const u8, u16, *const u8, u16, *mut c_void) -> i32;
/// ip's `cl_inet_disconnect`.
pub type IpDisconnect =
    unsafe extern "C" fn(i32, u8, u16, *const u8, u16, *const u8, u16, *mut c_void);
/// `cl_inet_bind`, `cl_inet_unbind`.
pub type OfEndpoint = unsafe extern "C" fn(u8, u16, *const u8, u16);
/// `clinet_install`.
pub type Install = unsafe extern "C" fn(u32, u8, u16, *const u8, u16, *const u8, u16) -> i32;
/// `clinet_purge`.
pub type Purge = unsafe extern "C" fn(u32) -> i32;
/// `clinet_query`.
pub type Query =
    unsafe extern "C" fn(u8, u16, *const u8, u16, *const u8, u16, *mut c_void, usize) -> i32;
/// `clinet_sweep`.
pub type Sweep = unsafe extern "C" fn();
/// `clinet_audit`.
pub type Audit = unsafe extern "C" fn() -> i32;
/// `clinet_memory`.
pub type Memory = unsafe extern "C" fn() -> u64;
/// `clinet_stats`.
pub type Stats = unsafe extern "C" fn(*mut u64, usize) -> i32;
/// `_init`.
pub type Init = unsafe extern "C" fn() -> i32;

/// `clinet_udp_t`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(4))]
pub struct LastDestination {
    /// `udp_cl_v6lastdst`.
    pub address: [u8; 16],
    /// `udp_cl_lastdstport`, network byte order.
    pub port: u16,
}

/// Room for a `clinet_udp_ask_t`.
pub type Ask = [u64; 16];

/// `EADDRINUSE` of illumos.
pub const EADDRINUSE: i32 = 125;
/// `ENOENT` of illumos.
pub const ENOENT: i32 = 2;
/// `ENOSPC` of illumos.
pub const ENOSPC: i32 = 28;

/// The members of `clinet_stats_t` that the bench reads, by their place.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub enum Stat {
    /// New 5-tuples.
    Registered = 13,
    /// No room: let through.
    FullAdmitted = 16,
    /// No room: refused.
    FullRefused = 17,
    /// The last reference dropped.
    Removed = 18,
    /// 5-tuples that count.
    Tuples = 22,
    /// Of outgoing TCP: the local address is not shared.
    NotShared = 40,
}

/// How many members of `clinet_stats_t` are read.
pub const STATS: usize = 41;

macro_rules! functions {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $kind:ident $name:literal;)*) => {
        /// The functions of a module that is loaded; those of its slots are
        /// the provider's.
        #[derive(Clone, Debug)]
        pub struct Functions {
            $($(#[$doc])* pub $field: Option<$type>,)*
        }

        impl Functions {
            /// Looks all of them up. To be called after `_init`.
            pub(crate) fn of(image: &Image) -> Self {
                Self {
                    $($field: address::$kind(image, $name).map(|address| {
                        let pointer = std::ptr::with_exposed_provenance::<()>(address as usize);
                        // SAFETY: the module says that a function of this
                        // signature is there (include/clinet.h, cl_inet.h),
                        // and a function pointer is a pointer that is not NULL.
                        unsafe { std::mem::transmute::<*const (), $type>(pointer) }
                    }),)*
                }
            }

            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The module lacks it.
                #[inline]
                pub fn $field(&self) -> Result<$type> {
                    self.$field.ok_or(Error::NoFunction($name))
                }
            )*
        }
    };
}

functions! {
    /// Asks for a tuple.
    connect2: Connect2 = slot "cl_inet_connect2";
    /// Gives it back.
    disconnect: Disconnect = slot "cl_inet_disconnect";
    /// A UDP endpoint begins.
    bind: OfEndpoint = slot "cl_inet_bind";
    /// A UDP endpoint ends.
    unbind: OfEndpoint = slot "cl_inet_unbind";
    /// Another node owns a tuple.
    install: Install = function "clinet_install";
    /// Another node is gone.
    purge: Purge = function "clinet_purge";
    /// Counters.
    stats: Stats = function "clinet_stats";
    /// Would it be admitted?
    query: Query = function "clinet_query";
    /// Ages everything once.
    sweep: Sweep = function "clinet_sweep";
    /// Compares everything with ip's connections.
    audit: Audit = function "clinet_audit";
    /// Bytes that the registry has.
    memory: Memory = function "clinet_memory";
    /// Starts the module.
    init: Init = function "_init";
}

/// Tunables.
pub mod tunable {
    /// How many tuples at most.
    pub const MAX_TUPLES: &str = "clinet_max_tuples";
    /// Allocate all memory at once.
    pub const PREALLOC: &str = "clinet_prealloc";
    /// This node.
    pub const NODE_ID: &str = "clinet_node_id";
    /// The shared addresses, a `char *`.
    pub const ADDRS: &str = "clinet_addrs";
    /// Seconds after which a UDP tuple is too old.
    pub const UDP_AGE: &str = "clinet_udp_age";
    /// Attach to ip.
    pub const ATTACH: &str = "clinet_attach";
    /// The ports that nodes divide; a pointer to a string.
    pub const PORT_SPACE: &str = "clinet_port_space";
    /// This node's ports; a pointer to a string.
    pub const GRANTS: &str = "clinet_grants";
}

mod address {
    use super::Image;

    /// A function by name.
    pub fn function(image: &Image, name: &str) -> Option<u64> {
        let symbol = image.symbol(name)?;
        Some(symbol.address).filter(|address| *address != 0)
    }

    /// The function that a slot holds.
    pub fn slot(image: &Image, name: &str) -> Option<u64> {
        let symbol = image.symbol(name)?;
        assert_eq!(symbol.size, 8, "{name} is no pointer");
        let slot = std::ptr::with_exposed_provenance::<u64>(symbol.address as usize);
        // SAFETY: eight aligned bytes of the module's data (the contract says
        // so), which are there while the image is borrowed.
        Some(unsafe { slot.read_volatile() }).filter(|function| *function != 0)
    }
}
