// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Statically defined DTrace probes (`sdt:clinet::NAME`).
//!
//! The kernel linker replaces each call by no-operations until somebody
//! enables the probe. So the call must be a call: were it the last thing that
//! a function does, the compiler would make it a jump, and control would run
//! on into the next function. Every wrapper therefore does something the
//! compiler cannot remove after it.

use core::arch::asm;
use core::ffi::CStr;

use super::sys::clinet_probe_tuple_t as Tuple;

/// Keeps the call before it from becoming a tail call.
#[inline(always)]
fn not_last() {
    // SAFETY: no instruction at all.
    unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
}

/// An argument as a probe gets it: a whole register.
trait Argument {
    fn word(self) -> usize;
}

impl<T: ?Sized> Argument for &T {
    #[inline(always)]
    fn word(self) -> usize {
        core::ptr::from_ref(self).cast::<()>().expose_provenance()
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Argument for $number {
            #[inline(always)]
            fn word(self) -> usize {
                self as usize
            }
        })*
    };
}

numbers!(bool u8 u16 u32);

macro_rules! probes {
    ($($(#[$doc:meta])* $name:ident = $symbol:ident($($argument:ident: $type:ty),*);)*) => {
        unsafe extern "C" {
            $(fn $symbol($($argument: usize),*);)*
        }

        $($(#[$doc])*
        #[inline(always)]
        pub fn $name($($argument: $type),*) {
            // SAFETY: never reached as a function; see the module documentation.
            // Pointers live as long as the probe fires.
            unsafe { $symbol($($argument.word()),*) };
            not_last();
        })*
    };
}

probes! {
    /// `ask`: a question was put. Arguments of the probe: the 5-tuple
    /// (`clinet_probe_tuple_t *`), stack id, 1 for outgoing and 0 for incoming.
    /// The same three come first in all that follow where they have them.
    ask = __dtrace_probe_ask(tuple: &Tuple, stack: u32, outgoing: bool);
    /// `accept`: ... and the answer was yes. 5-tuple, stack id, direction, reason.
    accept = __dtrace_probe_accept(
        tuple: &Tuple, stack: u32, outgoing: bool, reason: &'static CStr
    );
    /// `refuse`: ... or it was no. 5-tuple, stack id, direction, owner (0 if the
    /// reason is another one), reason, and 1 if the stack is told so, 0 if the
    /// mode is *observe*.
    refuse = __dtrace_probe_refuse(
        tuple: &Tuple, stack: u32, outgoing: bool, owner: u32, reason: &'static CStr,
        enforced: bool
    );
    /// `register`: a new entry of this node. 5-tuple, stack id.
    register = __dtrace_probe_register(tuple: &Tuple, stack: u32);
    /// `remove`: an entry of this node went. 5-tuple, stack id, reason.
    remove = __dtrace_probe_remove(tuple: &Tuple, stack: u32, reason: &'static CStr);
    /// `age`: an entry of UDP went because nobody asked for it for so many
    /// seconds. 5-tuple, stack id, seconds.
    age = __dtrace_probe_age(tuple: &Tuple, stack: u32, seconds: u32);
    /// `audit-fix`: the audit found the registry and the stack to differ. 5-tuple,
    /// stack id, what was done (`added`, `removed` or `conflict`), owner if it is
    /// a conflict.
    audit_fix = __dtrace_probe_audit__fix(
        tuple: &Tuple, stack: u32, what: &'static CStr, owner: u32
    );
    /// `install-conflict`: another node wants a 5-tuple that `owner` holds.
    /// Arguments of the probe: protocol, local address, local port, foreign
    /// address, foreign port, owner. Addresses are pointers to sixteen bytes,
    /// IPv4 as `::ffff:a.b.c.d`; ports are in network byte order.
    install_conflict = __dtrace_probe_install__conflict(
        protocol: u8, laddr: &[u8; 16], lport: u16, faddr: &[u8; 16], fport: u16, owner: u32
    );
}
