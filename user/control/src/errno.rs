// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Error numbers of illumos, with names and texts on every system.

use std::fmt;

/// An error number of illumos.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident $number:literal $text:literal)*) => {
        impl Errno {
            $(#[doc = concat!($text, ".")]
            pub const $name: Self = Self($number);)*

            /// Its name, as in `EBUSY`; None for a number that has none here.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What it says to people.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "unknown error",
                }
            }
        }
    };
}

errnos! {
    EPERM 1 "a privilege is missing"
    ENOENT 2 "no such entry"
    ESRCH 3 "no such process"
    EINTR 4 "interrupted by a signal"
    EIO 5 "input or output failed"
    ENXIO 6 "no such device"
    E2BIG 7 "too long"
    EBADF 9 "not an open file"
    EAGAIN 11 "not now"
    ENOMEM 12 "out of memory"
    EACCES 13 "permission denied"
    EFAULT 14 "bad address"
    EBUSY 16 "busy"
    EEXIST 17 "exists already"
    ENODEV 19 "the device cannot do that"
    ENOTDIR 20 "not a folder"
    EINVAL 22 "invalid argument"
    ENFILE 23 "the system has too many open files"
    EMFILE 24 "the process has too many open files"
    ENOTTY 25 "no such command of the device"
    ENOSPC 28 "no room left"
    EPIPE 32 "nobody reads"
    ERANGE 34 "out of range"
    ENOTSUP 48 "not supported"
    ETIME 62 "not done in time"
    EPROTO 71 "against the protocol"
    ENOTACTIVE 73 "it refuses nothing now"
    EOVERFLOW 79 "too large a value"
    ENOSYS 89 "not implemented"
    ENOTSOCK 95 "not a socket"
    EDESTADDRREQ 96 "a destination is missing"
    EMSGSIZE 97 "the message is too long"
    EPROTOTYPE 98 "not the protocol of this socket"
    ENOPROTOOPT 99 "no such option"
    EPROTONOSUPPORT 120 "the protocol is not supported"
    EOPNOTSUPP 122 "not supported for this socket"
    EAFNOSUPPORT 124 "the address family is not supported"
    EADDRINUSE 125 "address already in use"
    EADDRNOTAVAIL 126 "address not available"
    ENETDOWN 127 "the network is down"
    ENETUNREACH 128 "the network is unreachable"
    ECONNABORTED 130 "the connection was aborted"
    ECONNRESET 131 "the connection was reset"
    ENOBUFS 132 "no buffers left"
    EISCONN 133 "connected already"
    ENOTCONN 134 "not connected"
    ETIMEDOUT 145 "timed out"
    ECONNREFUSED 146 "connection refused"
    EHOSTDOWN 147 "the host is down"
    EHOSTUNREACH 148 "no route to the host"
    EALREADY 149 "already under way"
    EINPROGRESS 150 "now under way"
    ESTALE 151 "overtaken by a newer state"
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.text()),
            None => write!(f, "unknown error {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl std::error::Error for Errno {}
