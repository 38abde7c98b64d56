// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is granted, as values: port spaces, deadlines, and what is true of a port.

/// A deadline that never comes.
pub const FOREVER: u64 = u64::MAX;

/// Ports from the first to the last, in host byte order. None if both are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl Space {
    /// A word for it; 0 if there is none.
    pub(super) fn to_word(self) -> u64 {
        u64::from(self.first) | u64::from(self.last) << 16
    }

    pub(super) fn from_word(word: u64) -> Self {
        Self {
            first: word as u16,
            last: (word >> 16) as u16,
        }
    }

    /// Is there a port in it?
    #[must_use]
    pub fn is_some(self) -> bool {
        self.last != 0
    }

    pub(super) fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port) && port != 0
    }

    /// Is it either none, or ports of which none is 0?
    pub(super) fn is_valid(self) -> bool {
        self == Self::default() || (0 < self.first && self.first <= self.last)
    }
}

/// What is true of a local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no port space for the protocol.
    NoSpace,
    /// It is this node's, and the deadline has not passed.
    Granted,
    /// It is this node's, and the deadline has passed.
    Lapsed,
    /// It is in the port space and not this node's.
    NotGranted,
    /// It is outside the port space and not reserved for this node.
    Explicit,
}

/// Why something is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is of another epoch, or not newer than what there is.
    Stale,
    /// A port space or a bitmap that cannot be.
    Invalid,
    /// The deadline has passed.
    Passed,
}

/// All of what is granted but the ports themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Of whoever grants; only compared for equality.
    pub epoch: u64,
    /// Greater with each change.
    pub sequence: u64,
    /// When the grants end, in nanoseconds; [`FOREVER`]: never.
    pub deadline: u64,
    /// The port spaces of TCP and UDP.
    pub spaces: [Space; 2],
}

/// What there is at one moment; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The terms.
    pub terms: Terms,
    /// Granted ports of TCP and UDP.
    pub granted: [u32; 2],
    /// Are granted ports registered?
    pub open: bool,
}

impl Snapshot {
    /// Are there ports of which nothing is registered?
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.is_any() && !self.open
    }

    /// Is any port granted?
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.granted != [0; 2]
    }

    /// Are there ports whose deadline has passed at this time?
    #[must_use]
    pub fn has_lapsed(&self, now: u64) -> bool {
        self.is_any() && now >= self.terms.deadline
    }
}
