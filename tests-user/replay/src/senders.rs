// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Who sends from a shared address.

use crate::mac::Mac;

/// How far apart the identifications of packets may be that one machine sends
/// shortly after each other: many count all that they send.
const NEAR: u16 = 16;

/// Counts that have just begun are near each other on every machine.
const BEGUN: u16 = 1024;

/// Who sends from a shared address, by way of what.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) address: u128,
    pub(crate) mac: Option<Mac>,
    /// The packet has passed a router.
    pub(crate) routed: bool,
    /// The identification of a UDP datagram's IPv4 header; 0: nothing to go by.
    pub(crate) number: u16,
}

/// The node that sent from a shared address last.
#[derive(Clone, Copy)]
pub(crate) struct Sender {
    pub(crate) node: usize,
    /// By a router.
    pub(crate) routed: bool,
    /// The last identifications, the last one first.
    numbers: [u16; 4],
}

impl Sender {
    /// Before its first packet is noted.
    pub(crate) fn new(node: usize) -> Self {
        Self {
            node,
            routed: false,
            numbers: [0; 4],
        }
    }

    /// Does this datagram go on where the last ones were?
    pub(crate) fn counts_to(&self, number: u16) -> bool {
        let near = |last: &u16| number != *last && number.abs_diff(*last) <= NEAR;
        number >= BEGUN && self.numbers.iter().any(near)
    }

    pub(crate) fn note(&mut self, number: u16) {
        if number != 0 {
            self.numbers.rotate_right(1);
            self.numbers[0] = number;
        }
    }
}
