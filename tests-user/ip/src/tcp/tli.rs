// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TLI's error codes on their way to error numbers.

use crate::error::Errno;

pub(super) const TBADADDR: i32 = 1;
pub(super) const TOUTSTATE: i32 = 6;
const TSYSERR: i32 = 8;

/// The errno for a TLI code: none for TSYSERR, which nobody may pass (a DEBUG
/// kernel panics there), and EPROTO outside the table.
pub(super) fn tli_to_errno(code: i32) -> Option<Errno> {
    match code {
        1 | 5 => Some(Errno::EADDRNOTAVAIL),
        2 => Some(Errno::ENOPROTOOPT),
        3 => Some(Errno::EACCES),
        23 => Some(Errno::EADDRINUSE),
        TSYSERR => None,
        _ => Some(Errno::EPROTO),
    }
}
