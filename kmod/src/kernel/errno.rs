// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Error numbers, illumos's on every host.

#![forbid(unsafe_code)]

use core::num::NonZero;

use super::sys;

/// An errno value of illumos. No errno and 0 are the same word, as in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(NonZero<i32>);

const fn errno(number: u32) -> Errno {
    match NonZero::new(number.cast_signed()) {
        Some(number) => Errno(number),
        None => Errno(NonZero::<i32>::MAX),
    }
}

impl Errno {
    /// No such entry.
    pub const NOENT: Self = errno(sys::ENOENT);
    /// There is nobody to do this.
    pub const NXIO: Self = errno(sys::ENXIO);
    /// No memory.
    pub const NOMEM: Self = errno(sys::ENOMEM);
    /// In use; stays loaded.
    pub const BUSY: Self = errno(sys::EBUSY);
    /// An argument makes no sense.
    pub const INVAL: Self = errno(sys::EINVAL);
    /// The kernel has nothing of the kind.
    pub const NOTSUP: Self = errno(sys::ENOTSUP);
    /// It was not done in time.
    pub const TIME: Self = errno(sys::ETIME);
    /// It is switched off.
    pub const NOTACTIVE: Self = errno(sys::ENOTACTIVE);
    /// Something newer is there.
    pub const STALE: Self = errno(sys::ESTALE);
    /// Not now.
    pub const AGAIN: Self = errno(sys::EAGAIN);
    /// No room.
    pub const NOSPC: Self = errno(sys::ENOSPC);
    /// Neither TCP nor UDP.
    pub const PROTONOSUPPORT: Self = errno(sys::EPROTONOSUPPORT);
    /// Neither IPv4 nor IPv6.
    pub const AFNOSUPPORT: Self = errno(sys::EAFNOSUPPORT);
    /// Somebody else owns the 5-tuple.
    pub const ADDRINUSE: Self = errno(sys::EADDRINUSE);
    /// What UDP's connect() fails with when it is refused.
    pub const ADDRNOTAVAIL: Self = errno(sys::EADDRNOTAVAIL);
    /// What UDP's sendto() fails with when it is refused.
    pub const HOSTUNREACH: Self = errno(sys::EHOSTUNREACH);
    /// A privilege is missing.
    pub const PERM: Self = errno(sys::EPERM);
    /// A role is missing.
    pub const ACCES: Self = errno(sys::EACCES);
    /// An address of a program is none.
    pub const FAULT: Self = errno(sys::EFAULT);
    /// A signal came.
    pub const INTR: Self = errno(sys::EINTR);
    /// There is no such command.
    pub const NOTTY: Self = errno(sys::ENOTTY);

    /// The errno behind a provider's non-zero answer. `None` for a negative
    /// value, which TCP takes for a TLI code, and for `EINPROGRESS`, on which
    /// sockfs waits for a connection that nobody makes.
    #[must_use]
    pub fn from_answer(answer: i32) -> Option<Self> {
        let number = NonZero::new(answer)?;
        (answer > 0 && answer != sys::EINPROGRESS as i32).then_some(Self(number))
    }

    /// What a function of the kernel returned: 0, or the errno.
    ///
    /// # Errors
    ///
    /// The errno.
    pub fn check(number: i32) -> Result<(), Self> {
        NonZero::new(number).map_or(Ok(()), |number| Err(Self(number)))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0.get()
    }
}

/// What a C function returns: 0 or the errno.
pub fn to_c(result: Result<(), Errno>) -> i32 {
    result.map_or_else(Errno::number, |()| 0)
}
