// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which entries a filter wants.

#![forbid(unsafe_code)]

use core::ops::RangeInclusive;

use crate::call::only;
use crate::kernel::errno::Errno;
use crate::kernel::sys;

/// Some bits of an address that have to be the same.
struct Prefix {
    mask: u128,
    bits: u128,
}

impl Prefix {
    fn new(address: [u8; 16], length: u8) -> Result<Self, Errno> {
        let rest = 128_u32.checked_sub(u32::from(length)).ok_or(Errno::INVAL)?;
        let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
        Ok(Self {
            mask,
            bits: u128::from_be_bytes(address) & mask,
        })
    }

    fn fits(&self, address: &[u8; 16]) -> bool {
        u128::from_be_bytes(*address) & self.mask == self.bits
    }
}

/// A filter whose values make sense. `None` is what does not matter.
pub struct Filter {
    protocol: Option<u8>,
    laddr: Option<Prefix>,
    faddr: Option<Prefix>,
    lport: Option<RangeInclusive<u16>>,
    fport: Option<RangeInclusive<u16>>,
    owner: Option<u32>,
    stack: Option<u32>,
    age: Option<RangeInclusive<u32>>,
    outgoing: Option<u8>,
}

fn range<T: PartialOrd + Copy>([first, last]: [T; 2]) -> Result<RangeInclusive<T>, Errno> {
    match first <= last {
        true => Ok(first..=last),
        false => Err(Errno::INVAL),
    }
}

impl Filter {
    /// Checks what a program passed.
    ///
    /// # Errors
    ///
    /// [`Errno::INVAL`] for a value that is none.
    pub fn new(filter: &sys::clinetctl_filter_t) -> Result<Self, Errno> {
        only(filter.cf_by, sys::CLINETCTL_BY_ALL)?;
        let by = |bit: u32| filter.cf_by & bit != 0;
        let protocol = by(sys::CLINETCTL_BY_PROTOCOL).then_some(filter.cf_protocol);
        let outgoing = by(sys::CLINETCTL_BY_OUTGOING).then_some(filter.cf_outgoing);
        if protocol.is_some_and(|it| ![sys::IPPROTO_TCP, sys::IPPROTO_UDP].contains(&it.into()))
            || outgoing.is_some_and(|it| it > 1)
        {
            return Err(Errno::INVAL);
        }
        let laddr =
            by(sys::CLINETCTL_BY_LADDR).then(|| Prefix::new(filter.cf_laddr, filter.cf_lprefix));
        let faddr =
            by(sys::CLINETCTL_BY_FADDR).then(|| Prefix::new(filter.cf_faddr, filter.cf_fprefix));
        let lport = by(sys::CLINETCTL_BY_LPORT).then(|| range(filter.cf_lport));
        let fport = by(sys::CLINETCTL_BY_FPORT).then(|| range(filter.cf_fport));
        let age = by(sys::CLINETCTL_BY_AGE).then(|| range(filter.cf_age));
        Ok(Self {
            protocol,
            laddr: laddr.transpose()?,
            faddr: faddr.transpose()?,
            lport: lport.transpose()?,
            fport: fport.transpose()?,
            owner: by(sys::CLINETCTL_BY_OWNER).then_some(filter.cf_owner),
            stack: by(sys::CLINETCTL_BY_STACK).then_some(filter.cf_stack),
            age: age.transpose()?,
            outgoing,
        })
    }

    /// Does the entry fit in all that matters?
    pub fn fits(&self, entry: &sys::clinet_entry_t) -> bool {
        fn ok<T>(wanted: &Option<T>, fits: impl FnOnce(&T) -> bool) -> bool {
            wanted.as_ref().is_none_or(fits)
        }
        ok(&self.protocol, |it| *it == entry.ce_protocol)
            && ok(&self.owner, |it| *it == entry.ce_owner)
            && ok(&self.stack, |it| *it == entry.ce_stack)
            && ok(&self.outgoing, |it| *it == entry.ce_outgoing)
            && ok(&self.age, |it| it.contains(&entry.ce_age))
            && ok(&self.lport, |it| it.contains(&u16::from_be(entry.ce_lport)))
            && ok(&self.fport, |it| it.contains(&u16::from_be(entry.ce_fport)))
            && ok(&self.laddr, |it| it.fits(&entry.ce_laddr))
            && ok(&self.faddr, |it| it.fits(&entry.ce_faddr))
    }
}
