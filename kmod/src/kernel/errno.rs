// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Error numbers, illumos's on every host.

#![forbid(unsafe_code)]

use super::sys;

/// A positive errno value of illumos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// No such entry.
    pub const NOENT: Self = Self(sys::ENOENT as i32);
    /// There is nobody to do this.
    pub const NXIO: Self = Self(sys::ENXIO as i32);
    /// No memory.
    pub const NOMEM: Self = Self(sys::ENOMEM as i32);
    /// In use; stays loaded.
    pub const BUSY: Self = Self(sys::EBUSY as i32);
    /// An argument makes no sense.
    pub const INVAL: Self = Self(sys::EINVAL as i32);
    /// The kernel has nothing of the kind.
    pub const NOTSUP: Self = Self(sys::ENOTSUP as i32);
    /// It was not done in time.
    pub const TIME: Self = Self(sys::ETIME as i32);
    /// It is switched off.
    pub const NOTACTIVE: Self = Self(sys::ENOTACTIVE as i32);
    /// Something newer is there.
    pub const STALE: Self = Self(sys::ESTALE as i32);
    /// Not now.
    pub const AGAIN: Self = Self(sys::EAGAIN as i32);
    /// No room.
    pub const NOSPC: Self = Self(sys::ENOSPC as i32);
    /// Neither TCP nor UDP.
    pub const PROTONOSUPPORT: Self = Self(sys::EPROTONOSUPPORT as i32);
    /// Neither IPv4 nor IPv6.
    pub const AFNOSUPPORT: Self = Self(sys::EAFNOSUPPORT as i32);
    /// Somebody else owns the 5-tuple.
    pub const ADDRINUSE: Self = Self(sys::EADDRINUSE as i32);
    /// What UDP's connect() fails with when it is refused.
    pub const ADDRNOTAVAIL: Self = Self(sys::EADDRNOTAVAIL as i32);
    /// What UDP's sendto() fails with when it is refused.
    pub const HOSTUNREACH: Self = Self(sys::EHOSTUNREACH as i32);
    /// A privilege is missing.
    pub const PERM: Self = Self(sys::EPERM as i32);
    /// A role is missing.
    pub const ACCES: Self = Self(sys::EACCES as i32);
    /// An address of a program is none.
    pub const FAULT: Self = Self(sys::EFAULT as i32);
    /// A signal came.
    pub const INTR: Self = Self(sys::EINTR as i32);
    /// There is no such command.
    pub const NOTTY: Self = Self(sys::ENOTTY as i32);

    /// The errno behind a provider's non-zero answer. `None` for a negative
    /// value, which TCP takes for a TLI code, and for `EINPROGRESS`, on which
    /// sockfs waits for a connection that nobody makes.
    #[must_use]
    pub fn from_answer(answer: i32) -> Option<Self> {
        (answer > 0 && answer != sys::EINPROGRESS as i32).then_some(Self(answer))
    }

    /// What a function of the kernel returned: 0, or the errno.
    ///
    /// # Errors
    ///
    /// The errno.
    pub fn check(number: i32) -> Result<(), Self> {
        match number {
            0 => Ok(()),
            number => Err(Self(number)),
        }
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

/// What a C function returns: 0 or the errno.
pub fn to_c(result: Result<(), Errno>) -> i32 {
    result.map_or_else(Errno::number, |()| 0)
}
