// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the registry needs from the world: locks, words, memory, a wake-up.
//!
//! The kernel, the tests and the model checkers each bring their own.

use core::ops::{Deref, DerefMut};

use super::bucket::Bucket;
use super::names::Name;
use super::shard::Shard;
use super::sweep::Asked;
use super::uncounted::Apart;

/// A mutual exclusion around a value. In the kernel an adaptive mutex.
pub trait Lock<T> {
    /// Access to the value; unlocks when dropped.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    /// An unlocked one.
    fn new(value: T) -> Self;

    /// Waits for it. No holder sleeps.
    fn lock(&self) -> Self::Guard<'_>;
}

/// An atomic word. Loads acquire, stores release, the rest does both.
pub trait Word {
    /// A word with a value.
    fn new(value: u64) -> Self;
    /// Its value.
    fn load(&self) -> u64;
    /// Replaces the value.
    fn store(&self, value: u64);
    /// Adds, wrapping; the value before.
    fn add(&self, value: u64) -> u64;
    /// Replaces the value; the value before.
    fn swap(&self, value: u64) -> u64;
    /// Replaces the value if it is `from`. Was it?
    fn replace(&self, from: u64, to: u64) -> bool;
}

/// Buckets in a segment: 32 KiB, so that the directories of ten million 5-tuples stay in
/// a processor's cache (with 8 KiB a lookup among them took a tenth more). The table
/// grows and shrinks by whole segments, so that all of its memory has one size and goes
/// back as it came. In tests they are smaller, so that more of that happens.
pub const SEGMENT: usize = if cfg!(test) { 64 } else { 256 };

/// The buckets of a segment.
pub type Segment = [Bucket; SEGMENT];

/// Places for segments.
pub trait Directory<S> {
    /// How many.
    fn places(&self) -> usize;
    /// The segment at a place.
    fn get(&self, place: usize) -> Option<&Segment>;
    /// As [`Directory::get`].
    fn get_mut(&mut self, place: usize) -> Option<&mut Segment>;
    /// Puts one into an empty place; gives it back if there is none.
    fn put(&mut self, place: usize, segment: S) -> Option<S>;
    /// Takes one out.
    fn take(&mut self, place: usize) -> Option<S>;
}

/// What anybody may ask of a directory, whoever changes it meanwhile.
pub trait Peek {
    /// The address of the segment at a place, now or a moment ago; 0: there is none.
    fn address(&self, place: usize) -> usize;
}

/// A world in which a registry lives.
pub trait Env: Sized + 'static {
    /// Its locks.
    type Lock<T: Send + 'static>: Lock<T> + 'static;
    /// Its atomic words.
    type Word: Word;
    /// The memory of one segment, which goes back when it is dropped.
    type Segment: DerefMut<Target = Segment> + Send + 'static;
    /// Places for the segments of a shard, handed in once.
    type Directory: Directory<Self::Segment> + Send + 'static;
    /// Tells where the segments of a directory are.
    type Peek: Peek + 'static;
    /// Memory for free segments, handed in once.
    type FreeSegments: DerefMut<Target = [Option<Self::Segment>]> + Send + 'static;
    /// Memory for shards, handed in once.
    type Shards: Deref<Target = [Shard<Self>]>;
    /// Memory for names, handed in once.
    type Names: Deref<Target = [Name<Self>]>;
    /// Memory for words, handed in once.
    type Words: Deref<Target = [Self::Word]>;
    /// Memory for binds without an entry, handed in once.
    type Uncounted: DerefMut<Target = [Apart]> + Send + 'static;
    /// Memory for a sweep, handed in once.
    type Scratch: DerefMut<Target = [Asked]> + Send + 'static;

    /// Memory for a segment of empty buckets; `None`: there is none now. Called
    /// with no lock held, in any context: must not sleep.
    fn segment() -> Option<Self::Segment>;

    /// [`super::Registry::maintain`] should be called soon. Called with no lock held, in
    /// any context.
    fn wake();

    /// No memory for a sweep.
    fn no_scratch() -> Self::Scratch;

    /// Asks for the two cache lines of the bucket at an address, which will be written.
    /// May do nothing.
    fn prefetch(address: usize);
}
