// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which ports are granted, for the control device and from `/etc/system`.

use core::ffi::c_int;

use super::attach::warn_of_list;
use crate::builtin;
use crate::flow::Protocol;
use crate::grants::{FOREVER, Snapshot, Space, Terms, WORDS};
use crate::kernel::errno::{self, Errno};
use crate::kernel::kmem::KmemSlice;
use crate::kernel::log;
use crate::kernel::sys;
use crate::settings::list::ListError;
use crate::settings::ports;
use crate::watch;

const _: () = assert!(WORDS * 8 == sys::CLINETCTL_BITMAP as usize);

/// The port spaces of TCP and UDP that a list says: a range for each at most.
fn spaces(list: &[u8]) -> Result<[Space; 2], ListError> {
    let mut spaces = [Space::default(); 2];
    for ports in ports::parse(list) {
        let ports = ports?;
        for space in ports.ours(&mut spaces) {
            if space.is_some() {
                return Err(ListError {
                    position: ports.position,
                    problem: "is a second range for a protocol",
                });
            }
            *space = Space {
                first: ports.first,
                last: ports.last,
            };
        }
    }
    Ok(spaces)
}

/// A bitmap without a port.
fn bitmap() -> Result<KmemSlice<u64>, Errno> {
    KmemSlice::from_fn(WORDS, |_| 0).ok_or(Errno::NOMEM)
}

/// Sets the port space, and what is granted without a deadline, as lists say.
///
/// # Errors
///
/// `EINVAL`: a list is none, and the log says where. `ENOMEM`, which the log says,
/// too.
pub(super) fn configure(space: &[u8], list: &[u8]) -> Result<(), Errno> {
    let warn = |name, error| warn_of_list(name, error, "");
    let spaces = spaces(space).map_err(|error| warn("not loaded: clinet_port_space", error))?;
    let bitmaps = bitmap().and_then(|tcp| Ok([tcp, bitmap()?]));
    let mut bitmaps = bitmaps.inspect_err(|_| {
        log::warn(c"clinet: not loaded: no memory for clinet_grants");
    })?;
    let mut is_any = false;
    for ports in ports::parse(list) {
        let ports = ports.map_err(|error| warn("not loaded: clinet_grants", error))?;
        for bits in ports.ours(&mut bitmaps) {
            for port in ports.first..=ports.last {
                if let Some(word) = bits.get_mut(usize::from(port / 64)) {
                    *word |= 1 << (port % 64);
                }
            }
        }
        is_any = true;
    }
    let terms = Terms {
        epoch: 0,
        sequence: 1,
        deadline: if is_any { FOREVER } else { 0 },
        spaces,
    };
    let [tcp, udp] = &bitmaps;
    watch::configure(&terms, [tcp, udp])
}

/// What C gets of the terms.
fn fill(snapshot: &Snapshot, cg: &mut sys::clinetctl_grants_t) {
    let Terms {
        epoch,
        sequence,
        deadline,
        spaces,
    } = snapshot.terms;
    cg.cg_epoch = epoch;
    cg.cg_sequence = sequence;
    cg.cg_deadline = deadline;
    cg.cg_first = spaces.map(|space| space.first);
    cg.cg_last = spaces.map(|space| space.last);
    fill_now(snapshot, cg);
}

/// What C gets of the present.
fn fill_now(snapshot: &Snapshot, cg: &mut sys::clinetctl_grants_t) {
    cg.cg_now = watch::now();
    cg.cg_fence = watch::fence() as u32;
    cg.cg_lapsed = snapshot.is_shut().into();
}

c_function! {
    /// # Safety
    ///
    /// The pointers are NULL or writable, the bitmaps for as many bytes as they
    /// have. Thread context, no lock held.
    fn clinet_control_get_grants(
        cg: *mut sys::clinetctl_grants_t, tcp: *mut u64, udp: *mut u64,
    ) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let Some(cg) = (unsafe { cg.as_mut() }) else {
            return Errno::INVAL.number();
        };
        if tcp.is_null() || udp.is_null() {
            return Errno::INVAL.number();
        }
        let Some(grants) = builtin::grants() else {
            return Errno::NXIO.number();
        };
        let snapshot = grants.copy(|protocol, place, word| {
            let to = match protocol {
                Protocol::Tcp => tcp,
                Protocol::Udp => udp,
            };
            // SAFETY: one of the words of a bitmap, as the caller promises.
            unsafe { to.wrapping_add(place).write(word) };
        });
        fill(&snapshot, cg);
        0
    }
}

c_function! {
    /// # Safety
    ///
    /// `cg` is NULL or writable, the bitmaps are NULL or readable for as many
    /// bytes as they have, and nobody writes them. Thread context, no lock held.
    fn clinet_control_set_grants(
        cg: *mut sys::clinetctl_grants_t, tcp: *const u64, udp: *const u64,
    ) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let Some(cg) = (unsafe { cg.as_mut() }) else {
            return Errno::INVAL.number();
        };
        if tcp.is_null() || udp.is_null() {
            return Errno::INVAL.number();
        }
        // SAFETY: not NULL, and then as the caller promises.
        let ports = unsafe {
            [
                core::slice::from_raw_parts(tcp, WORDS),
                core::slice::from_raw_parts(udp, WORDS),
            ]
        };
        let [tcp, udp] = cg.cg_first;
        let [tcp_last, udp_last] = cg.cg_last;
        let terms = Terms {
            epoch: cg.cg_epoch,
            sequence: cg.cg_sequence,
            deadline: cg.cg_deadline,
            spaces: [
                Space { first: tcp, last: tcp_last },
                Space { first: udp, last: udp_last },
            ],
        };
        let result = watch::set_grants(&terms, ports);
        if let Some(grants) = builtin::grants().filter(|_| result.is_ok()) {
            fill_now(&grants.snapshot(), cg);
        }
        errno::to_c(result)
    }
}

c_function! {
    /// # Safety
    ///
    /// `cd` is NULL or writable. Thread context, no lock held.
    fn clinet_control_set_deadline(cd: *mut sys::clinetctl_deadline_t) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let Some(cd) = (unsafe { cd.as_mut() }) else {
            return Errno::INVAL.number();
        };
        let result = watch::set_deadline(cd.cd_epoch, cd.cd_sequence, cd.cd_deadline);
        if result.is_ok() {
            cd.cd_now = watch::now();
        }
        errno::to_c(result)
    }
}

c_function! {
    /// # Safety
    ///
    /// Thread context, no lock held.
    fn clinet_control_fence() -> c_int {
        errno::to_c(watch::take_away())
    }
}

c_function! {
    /// # Safety
    ///
    /// `cu` is NULL or readable. Thread context, no lock held.
    fn clinet_control_unfence(cu: *const sys::clinetctl_unfence_t) -> c_int {
        // SAFETY: NULL, or valid and written by nobody during the call: the caller promises it.
        let Some(cu) = (unsafe { cu.as_ref() }) else {
            return Errno::INVAL.number();
        };
        if cu.cu_flags & !sys::CLINETCTL_RECORDS_KEPT != 0 {
            return Errno::INVAL.number();
        }
        let clean = cu.cu_flags & sys::CLINETCTL_RECORDS_KEPT == 0;
        errno::to_c(watch::bring_back(cu.cu_epoch, cu.cu_sequence, clean))
    }
}
