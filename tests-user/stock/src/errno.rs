// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! illumos's error numbers, and TLI's on their way to them.

/// An illumos error number.
pub type Errno = i32;

#[expect(missing_docs, reason = "the names in <sys/errno.h>")]
mod numbers {
    use super::Errno;

    pub const ENXIO: Errno = 6;
    pub const EBADF: Errno = 9;
    pub const EAGAIN: Errno = 11;
    pub const EACCES: Errno = 13;
    pub const EINVAL: Errno = 22;
    pub const EPIPE: Errno = 32;
    pub const EPROTO: Errno = 71;
    pub const EDESTADDRREQ: Errno = 96;
    pub const ENOPROTOOPT: Errno = 99;
    pub const EOPNOTSUPP: Errno = 122;
    pub const EAFNOSUPPORT: Errno = 124;
    pub const EADDRINUSE: Errno = 125;
    pub const EADDRNOTAVAIL: Errno = 126;
    pub const ENETUNREACH: Errno = 128;
    pub const ECONNABORTED: Errno = 130;
    pub const ECONNRESET: Errno = 131;
    pub const EISCONN: Errno = 133;
    pub const ENOTCONN: Errno = 134;
    pub const ETIMEDOUT: Errno = 145;
    pub const ECONNREFUSED: Errno = 146;
    pub const EHOSTUNREACH: Errno = 148;
    pub const EALREADY: Errno = 149;
    pub const EINPROGRESS: Errno = 150;
}
pub use numbers::*;

pub(crate) const TBADADDR: i32 = 1;
pub(crate) const TOUTSTATE: i32 = 6;
pub(crate) const TSYSERR: i32 = 8;

/// The errno for a TLI code: 0 for TSYSERR, which nobody may pass (a DEBUG
/// kernel panics there), and EPROTO outside the table.
pub(crate) fn tli_to_errno(code: i32) -> Errno {
    match code {
        1 | 5 => EADDRNOTAVAIL,
        2 => ENOPROTOOPT,
        3 => EACCES,
        23 => EADDRINUSE,
        TSYSERR => 0,
        _ => EPROTO,
    }
}
