// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How a registry is set up, and the memory that it needs for that.

use super::Node;
use super::env::Env;
use super::growth::segments_for;

/// How a registry is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// This node.
    pub node: Node,
    /// 5-tuples at most.
    pub most: usize,
    /// 5-tuples of UDP of this node at most, and as many local endpoints besides.
    pub most_udp: usize,
    /// Age of UDP entries in ticks, at most [`MOST_TICKS`]. 0: they are never too old,
    /// and so many ticks are as much as is told of their age.
    pub age: u8,
    /// Shards keep the memory that they have.
    pub fixed: bool,
}

/// The greatest age in ticks. Two ticks can be told apart by which is the older
/// one if there are fewer than [`super::entry::TICKS`] / 2 between them; the rest is
/// what a sweep may be late.
pub const MOST_TICKS: u8 = 24;

impl Settings {
    /// Segments that one of `shards` may ever need: those of all 5-tuples and
    /// endpoints, six standard deviations more than its part, and one.
    #[must_use]
    pub fn directory(&self, shards: usize) -> usize {
        let mean = (self.most + self.most_udp) / shards.max(1);
        let entries = mean + 6 * (mean.isqrt() + 1);
        segments_for(entries) + 1
    }
}

/// The memory of a registry.
pub struct Memory<E: Env> {
    /// Two to the power of something, at most 2^16, each with a directory of
    /// [`Settings::directory`].
    pub shards: E::Shards,
    /// [`super::entry::NAMES`].
    pub locals: E::Names,
    /// As `locals`.
    pub owners: E::Names,
    /// [`super::shared::WORDS`].
    pub shared: E::Words,
    /// [`super::reserve::RESERVED`].
    pub reserve: E::FreeSegments,
    /// [`super::uncounted::UNCOUNTED`].
    pub uncounted: E::Uncounted,
    /// [`super::ASKED`].
    pub scratch: E::Scratch,
}
