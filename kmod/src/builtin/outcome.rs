// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a question comes to, in the numbers and words that callers, probes and the
//! device have for it.

use core::ffi::CStr;

use super::Builtin;
use crate::flow::Protocol;
use crate::grants::rules::Reason;
use crate::kernel::errno::Errno;
use crate::kernel::sys;
use crate::registry::{Full, Node, Verdict};

/// What a question comes to, where it is enforced.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// `CLINET_FREE` and so on.
    pub reason: u32,
    /// The same for a probe.
    pub(super) name: &'static CStr,
    /// Who owns the 5-tuple, or 0.
    pub owner: Node,
    /// What a caller gets if the answer is no.
    pub errno: Option<Errno>,
}

impl Reason {
    pub(super) fn outcome(self) -> Outcome {
        let (reason, name, errno) = match self {
            Self::Lapsed => (sys::CLINET_LAPSED, c"lapsed", Errno::ADDRNOTAVAIL),
            Self::NotGranted => (sys::CLINET_NOT_GRANTED, c"not-granted", Errno::ADDRINUSE),
            Self::Explicit => (sys::CLINET_EXPLICIT, c"explicit", Errno::ADDRINUSE),
            Self::OtherStack => (sys::CLINET_OTHER_STACK, c"other-stack", Errno::ADDRNOTAVAIL),
        };
        Outcome {
            reason,
            name,
            owner: 0,
            errno: Some(errno),
        }
    }
}

impl Full {
    /// Its number in C.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Tuples => sys::CLINET_FULL,
            Self::Udp => sys::CLINET_FULL_UDP,
            Self::Addresses => sys::CLINET_FULL_ADDRESSES,
            Self::Nodes => sys::CLINET_FULL_NODES,
        }
    }

    /// The same for a probe.
    fn name(self) -> &'static CStr {
        match self {
            Self::Tuples | Self::Nodes => c"full",
            Self::Udp => c"udp-full",
            Self::Addresses => c"addresses-full",
        }
    }
}

impl Builtin {
    /// What a verdict comes to.
    #[inline(always)]
    pub(super) fn outcome(&self, protocol: Protocol, verdict: Verdict) -> Outcome {
        let full = || self.full_refuses(protocol).then_some(Errno::ADDRNOTAVAIL);
        let (reason, name, owner, errno) = match verdict {
            Verdict::Registered => (sys::CLINET_FREE, c"free", 0, None),
            Verdict::Repeated => (sys::CLINET_OURS, c"ours", self.registry.node(), None),
            Verdict::OwnedBy(owner) => {
                let errno = Some(Errno::ADDRINUSE);
                (sys::CLINET_OWNED, c"owned", owner, errno)
            }
            Verdict::Full(of) => (of.number(), of.name(), 0, full()),
            Verdict::Late => (sys::CLINET_LATE, c"late", 0, full()),
            Verdict::NotShared => (sys::CLINET_NOT_SHARED, c"not-shared", 0, None),
            Verdict::Unspecified => (sys::CLINET_NO_ADDRESS, c"no-address", 0, None),
        };
        Outcome {
            reason,
            name,
            owner,
            errno,
        }
    }
}
