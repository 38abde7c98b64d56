// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which local ports are this node's, and until when.

use std::fmt;
use std::ops::RangeInclusive;

use crate::abi;
use crate::{FenceState, Protocol};

const BYTES: usize = abi::CLINETCTL_BITMAP as usize;

/// A set of ports, as the device has it: bit p % 8 of byte p / 8 is port p.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet {
    bytes: Box<[u8; BYTES]>,
}

impl Default for PortSet {
    fn default() -> Self {
        Self {
            bytes: Box::new([0; BYTES]),
        }
    }
}

impl PortSet {
    /// The set of this bitmap.
    #[must_use]
    pub fn from_bytes(bytes: Box<[u8; BYTES]>) -> Self {
        Self { bytes }
    }

    /// The bitmap.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Is the port in the set?
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.bytes[usize::from(port / 8)] & 1 << (port % 8) != 0
    }

    /// Adds a port.
    pub fn insert(&mut self, port: u16) {
        self.bytes[usize::from(port / 8)] |= 1 << (port % 8);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of these ports are in the set.
    #[must_use]
    pub fn count(&self, ports: RangeInclusive<u16>) -> u32 {
        ports.map(|port| u32::from(self.contains(port))).sum()
    }

    /// The ports, as ranges that do not touch, upwards.
    #[must_use]
    pub fn ranges(&self) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for port in (0..=u16::MAX).filter(|port| self.contains(*port)) {
            match ranges.last_mut() {
                Some(last) if last.end().checked_add(1) == Some(port) => {
                    *last = *last.start()..=port;
                }
                _ => ranges.push(port..=port),
            }
        }
        ranges
    }
}

impl Extend<RangeInclusive<u16>> for PortSet {
    fn extend<T: IntoIterator<Item = RangeInclusive<u16>>>(&mut self, ranges: T) {
        for port in ranges.into_iter().flatten() {
            self.insert(port);
        }
    }
}

impl FromIterator<RangeInclusive<u16>> for PortSet {
    fn from_iter<T: IntoIterator<Item = RangeInclusive<u16>>>(ranges: T) -> Self {
        let mut set = Self::default();
        set.extend(ranges);
        set
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ranges()).finish()
    }
}

/// What is granted of one protocol's ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// The port space: it is divided among the nodes. None: there is none.
    pub ports: Option<RangeInclusive<u16>>,
    /// This node's ports. Those outside the space are reserved for it.
    pub granted: PortSet,
}

/// All that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// The caller's: later changes of the deadline have to name the same.
    pub epoch: u64,
    /// Grows with each change.
    pub sequence: u64,
    /// On the module's clock, in nanoseconds; None: the grants are static.
    pub deadline: Option<u64>,
    /// TCP.
    pub tcp: Space,
    /// UDP.
    pub udp: Space,
}

impl Grants {
    /// What is granted of this protocol.
    #[must_use]
    pub fn space(&self, protocol: Protocol) -> &Space {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        }
    }
}

/// What is granted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantsState {
    /// The grants.
    pub grants: Grants,
    /// The module's clock when they were read, in nanoseconds.
    pub now: u64,
    /// The deadline has passed: nothing granted is registered.
    pub lapsed: bool,
    /// Where the fence is.
    pub fence: FenceState,
}

/// A deadline as the device has it.
pub(crate) fn to_raw(deadline: Option<u64>) -> u64 {
    deadline.unwrap_or(abi::NO_DEADLINE)
}

/// A deadline as the device has it.
pub(crate) fn from_raw(deadline: u64) -> Option<u64> {
    (deadline != abi::NO_DEADLINE).then_some(deadline)
}

/// A port space as the device has it; 0 to 0 is none.
pub(crate) fn space(first: u16, last: u16) -> Option<RangeInclusive<u16>> {
    (last != 0).then_some(first..=last)
}
