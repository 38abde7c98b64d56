// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What can go wrong: illumos error numbers, and a module that does not come
//! up.

use std::fmt;
use std::path::PathBuf;

use clinet_kernel::ModloadError;

/// An illumos error number, on every host.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Errno(
    /// The number.
    pub i32,
);

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Self = Self($number);)*

            /// The name in `<sys/errno.h>` and what it means, if it is one of
            /// those that sockets give.
            fn describe(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Self::$name => Some((stringify!($name), $text)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    ENOENT = 2, "no such entry";
    ENXIO = 6, "no such device or provider";
    EAGAIN = 11, "nothing there yet";
    EBADF = 9, "the socket is closed";
    EBUSY = 16, "busy";
    EACCES = 13, "permission denied";
    EINVAL = 22, "invalid argument";
    ENOSPC = 28, "no room left";
    EPIPE = 32, "the sending side is closed";
    ERANGE = 34, "out of range";
    EPROTO = 71, "protocol error";
    EDESTADDRREQ = 96, "destination address required";
    ENOPROTOOPT = 99, "no such option of the protocol";
    EPROTONOSUPPORT = 120, "protocol not supported";
    EOPNOTSUPP = 122, "not supported by the socket";
    EAFNOSUPPORT = 124, "address family not supported";
    EADDRINUSE = 125, "address already in use";
    EADDRNOTAVAIL = 126, "address not available";
    ENETUNREACH = 128, "no route to the network";
    ECONNABORTED = 130, "connection aborted";
    ECONNRESET = 131, "connection reset by the peer";
    ENOBUFS = 132, "no buffer space available";
    EISCONN = 133, "socket is connected already";
    ENOTCONN = 134, "socket is not connected";
    ETIMEDOUT = 145, "connection timed out";
    ECONNREFUSED = 146, "connection refused";
    EHOSTUNREACH = 148, "no route to host";
    EALREADY = 149, "connect is under way already";
    EINPROGRESS = 150, "connect is under way";
}

impl Errno {
    /// The name in `<sys/errno.h>`, if it is one of those that sockets give.
    pub fn name(self) -> Option<&'static str> {
        self.describe().map(|(name, _)| name)
    }

    /// `Ok` for 0, else the number as an error.
    pub(crate) fn check(number: i32) -> Result<(), Self> {
        match number {
            0 => Ok(()),
            number => Err(Self(number)),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.describe() {
            Some((name, text)) => write!(f, "{name} ({}): {text}", self.0),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl std::error::Error for Errno {}

/// Why a node does not come up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is no module file.
    #[error("no module at {}: run `make` first ({error})", path.display())]
    NoModule {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The kernel did not load it.
    #[error(transparent)]
    Modload(#[from] ModloadError),
    /// It lacks a symbol of `clinet.h` or `cl_inet.h`.
    #[error("the module has no symbol {0}: build it again with `make`")]
    MissingSymbol(String),
}
