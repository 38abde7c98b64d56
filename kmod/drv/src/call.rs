// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One ioctl(2): who asks, and the structure that it is about.

#![forbid(unsafe_code)]

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::files;
use crate::kernel::cred::Cred;
use crate::kernel::errno::Errno;
use crate::kernel::sys;
use crate::kernel::user::User;

/// The versions of `clinetctl.h` whose structures are taken.
const VERSIONS: core::ops::RangeInclusive<u32> =
    sys::CLINETCTL_VERSION_PREVIOUS..=sys::CLINETCTL_VERSION;

/// One ioctl of an open file.
pub struct Call<'a> {
    /// The file.
    pub minor: u32,
    /// Where the structure is.
    pub argument: u64,
    /// The memory that it is in.
    pub user: User,
    /// Who asks.
    pub cred: Cred<'a>,
}

impl Call<'_> {
    /// For what needs PRIV_NET_OBSERVABILITY.
    ///
    /// # Errors
    ///
    /// [`Errno::PERM`] without it.
    pub fn observing(&self) -> Result<&Self, Errno> {
        match self.cred.may_observe() {
            true => Ok(self),
            false => Err(Errno::PERM),
        }
    }

    /// For what changes something.
    ///
    /// # Errors
    ///
    /// [`Errno::PERM`] without PRIV_SYS_IP_CONFIG and outside the global zone.
    pub fn changing(&self) -> Result<&Self, Errno> {
        match self.cred.may_change() {
            true => Ok(self),
            false => Err(Errno::PERM),
        }
    }

    /// For what the control role is needed for as well.
    ///
    /// # Errors
    ///
    /// As for [`Call::changing`], and [`Errno::ACCES`] without the role.
    pub fn controlling(&self) -> Result<&Self, Errno> {
        self.changing()?;
        files::has_control(self.minor)?;
        Ok(self)
    }

    /// The head of the caller's structure.
    ///
    /// # Errors
    ///
    /// [`Errno::FAULT`].
    pub fn head(&self) -> Result<sys::clinetctl_head_t, Errno> {
        let mut head = [sys::clinetctl_head_t::new_zeroed()];
        self.user.read(self.argument, &mut head)?;
        let [head] = head;
        Ok(head)
    }

    /// Fills in the caller's structure. Its head is not looked at again: another
    /// thread may have changed it since it was good.
    fn fill<T: FromBytes + IntoBytes>(&self, structure: &mut [T; 1]) -> Result<(), Errno> {
        let head = self.head()?;
        if !VERSIONS.contains(&head.ch_version) {
            return Err(Errno::NOTSUP);
        }
        if head.ch_size as usize != size_of::<T>() {
            return Err(Errno::INVAL);
        }
        self.user.read(self.argument, structure)
    }

    /// Takes the caller's structure and gives it back as `answer` leaves it.
    ///
    /// # Errors
    ///
    /// Those of the structure, and those of `answer`.
    #[inline(never)]
    pub fn ask<T: FromBytes + IntoBytes + Immutable>(
        &self,
        answer: fn(&Self, &mut T) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut structure = [T::new_zeroed()];
        self.fill(&mut structure)?;
        let [inner] = &mut structure;
        answer(self, inner)?;
        self.user.write(&structure, self.argument)
    }

    /// Takes the caller's structure, and gives nothing back.
    ///
    /// # Errors
    ///
    /// Those of the structure, and those of `order`.
    #[inline(never)]
    pub fn take<T: FromBytes + IntoBytes>(
        &self,
        order: fn(&Self, &T) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut structure = [T::new_zeroed()];
        self.fill(&mut structure)?;
        let [inner] = &structure;
        order(self, inner)
    }

    /// As [`Call::ask`], for what changes something: that the answer can be given
    /// is tried out before.
    ///
    /// # Errors
    ///
    /// Those of the structure, and those of `change`.
    #[inline(never)]
    pub fn exchange<T: FromBytes + IntoBytes + Immutable>(
        &self,
        change: fn(&Self, &mut T) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut structure = [T::new_zeroed()];
        self.fill(&mut structure)?;
        self.user.write(&structure, self.argument)?;
        let [inner] = &mut structure;
        change(self, inner)?;
        self.user.write(&structure, self.argument)
    }
}

/// A member that has to be 0, or may only have the bits `allowed`.
///
/// # Errors
///
/// [`Errno::INVAL`] if it has others.
pub fn only(member: u32, allowed: u32) -> Result<(), Errno> {
    match member & !allowed {
        0 => Ok(()),
        _ => Err(Errno::INVAL),
    }
}

/// The padding of a 5-tuple has to be 0.
///
/// # Errors
///
/// [`Errno::INVAL`] if it is not.
pub fn check_tuple(tuple: &sys::clinetctl_tuple_t) -> Result<(), Errno> {
    match tuple.ct_pad {
        [0, 0, 0] => Ok(()),
        _ => Err(Errno::INVAL),
    }
}
