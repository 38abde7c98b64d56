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

unsafe extern "C" {
    fn __dtrace_probe_install__conflict(
        protocol: usize,
        laddr: usize,
        lport: usize,
        faddr: usize,
        fport: usize,
        owner: usize,
    );
}

/// Keeps the call before it from becoming a tail call.
#[inline(always)]
fn not_last() {
    // SAFETY: no instruction at all.
    unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
}

/// `install-conflict`: another node wants a 5-tuple that `owner` holds.
/// Arguments of the probe: protocol, local address, local port, foreign
/// address, foreign port, owner. Addresses are pointers to sixteen bytes,
/// IPv4 as `::ffff:a.b.c.d`; ports are in network byte order.
#[inline(never)]
pub fn install_conflict(
    protocol: u8,
    local: ([u8; 16], u16),
    foreign: ([u8; 16], u16),
    owner: u32,
) {
    // SAFETY: never reached as a function; see the module documentation. The
    // pointers live as long as the probe fires.
    unsafe {
        __dtrace_probe_install__conflict(
            protocol.into(),
            local.0.as_ptr().expose_provenance(),
            local.1.into(),
            foreign.0.as_ptr().expose_provenance(),
            foreign.1.into(),
            owner as usize,
        );
    }
    not_last();
}
