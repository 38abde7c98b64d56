// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tests of the registry, in the world of `std`.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;
use std::{boxed::Box, vec};

use std::cell::Cell;

use super::bucket::Bucket;
use super::entry::NAMES;
use super::env::{Directory, Env, Lock, Peek, SEGMENT, Segment, Word};
use super::growth::{STEPS, Step};
use super::hash::{SECRET_BYTES, Secret};
use super::names::Name;
use super::reserve::RESERVED;
use super::shard::Shard;
use super::sweep::{ASKED, Asked};
use super::table::At;
use super::uncounted::{Apart, UNCOUNTED};
use super::*;
use crate::flow::{Direction, Endpoint, Protocol, SockAddr};

mod age;
mod audits;
mod behaviour;
mod growth;
mod invariants;
mod listing;
mod loom;
mod memory;
mod model;
mod names;
mod overflow;
mod pools;
mod sweep;
mod threads;
mod udp;
mod uncounted;

/// The world of `std`.
#[derive(Debug)]
pub struct Std;

impl<T> Lock<T> for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Mutex::new(value)
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        Mutex::lock(self).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Word for AtomicU64 {
    fn new(value: u64) -> Self {
        AtomicU64::new(value)
    }

    fn load(&self) -> u64 {
        AtomicU64::load(self, SeqCst)
    }

    fn store(&self, value: u64) {
        AtomicU64::store(self, value, SeqCst);
    }

    fn add(&self, value: u64) -> u64 {
        self.fetch_add(value, SeqCst)
    }

    fn swap(&self, value: u64) -> u64 {
        AtomicU64::swap(self, value, SeqCst)
    }

    fn replace(&self, from: u64, to: u64) -> bool {
        self.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }
}

std::thread_local! {
    /// Segments that there is memory for, in this thread.
    static SEGMENTS: Cell<usize> = const { Cell::new(usize::MAX) };
    /// How often the task was woken by this thread.
    static WAKES: Cell<usize> = const { Cell::new(0) };
    /// How often memory was asked for by this thread.
    static ASKS: Cell<usize> = const { Cell::new(0) };
    /// How often this thread looked at a bucket.
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// From now on this thread gets so many segments.
pub fn allow_segments(segments: usize) {
    SEGMENTS.set(segments);
}

/// How often this thread woke the task, and asked for memory.
pub fn wakes_and_asks() -> (usize, usize) {
    (WAKES.get(), ASKS.get())
}

/// How often this thread looks at a bucket while it calls.
pub fn looks<R>(call: impl FnOnce() -> R) -> usize {
    let before = LOOKS.get();
    let _result = call();
    LOOKS.get() - before
}

/// Memory of a segment, unless there is none.
pub fn boxed_segment() -> Option<Box<Segment>> {
    ASKS.set(ASKS.get() + 1);
    let left = SEGMENTS.get().checked_sub(1)?;
    SEGMENTS.set(left);
    Some(Box::new([Bucket::EMPTY; SEGMENT]))
}

impl Directory<Box<Segment>> for Vec<Option<Box<Segment>>> {
    fn places(&self) -> usize {
        Vec::len(self)
    }

    fn get(&self, place: usize) -> Option<&Segment> {
        LOOKS.set(LOOKS.get() + 1);
        <[_]>::get(self, place)?.as_deref()
    }

    fn get_mut(&mut self, place: usize) -> Option<&mut Segment> {
        LOOKS.set(LOOKS.get() + 1);
        <[_]>::get_mut(self, place)?.as_deref_mut()
    }

    fn put(&mut self, place: usize, segment: Box<Segment>) -> Option<Box<Segment>> {
        match <[_]>::get_mut(self, place) {
            Some(free @ None) => {
                *free = Some(segment);
                None
            }
            _ => Some(segment),
        }
    }

    fn take(&mut self, place: usize) -> Option<Box<Segment>> {
        <[_]>::get_mut(self, place)?.take()
    }
}

impl Peek for () {
    fn address(&self, _: usize) -> usize {
        0
    }
}

impl Env for Std {
    type Lock<T: Send + 'static> = Mutex<T>;
    type Word = AtomicU64;
    type Segment = Box<Segment>;
    type Directory = Vec<Option<Box<Segment>>>;
    type Peek = ();
    type FreeSegments = Vec<Option<Box<Segment>>>;
    type Uncounted = Box<[Apart]>;
    type Shards = Box<[Shard<Self>]>;
    type Names = Box<[Name<Self>]>;
    type Words = Arc<[AtomicU64]>;
    type Scratch = Box<[Asked]>;

    fn segment() -> Option<Box<Segment>> {
        boxed_segment()
    }

    fn wake() {
        WAKES.set(WAKES.get() + 1);
    }

    fn no_scratch() -> Box<[Asked]> {
        Box::default()
    }

    fn prefetch(_: usize) {}
}

/// Memory for a registry with so many shards.
pub fn memory<E>(settings: &Settings, shards: usize) -> Memory<E>
where
    E: Env<
            Segment = Box<Segment>,
            Directory = Vec<Option<Box<Segment>>>,
            Peek = (),
            FreeSegments = Vec<Option<Box<Segment>>>,
            Uncounted = Box<[Apart]>,
            Shards = Box<[Shard<E>]>,
            Names = Box<[Name<E>]>,
            Words = Arc<[<E as Env>::Word]>,
            Scratch = Box<[Asked]>,
        >,
{
    let directory = |len| (0..len).map(|_| None).collect::<Vec<_>>();
    let names = || (0..NAMES).map(|_| Name::new()).collect::<Box<[_]>>();
    Memory {
        shards: (0..shards)
            .map(|_| Shard::new((directory(settings.directory(shards)), ())))
            .collect(),
        locals: names(),
        owners: names(),
        shared: (0..shared::WORDS).map(|_| E::Word::new(0)).collect(),
        reserve: directory(RESERVED),
        uncounted: vec![Apart::default(); UNCOUNTED].into(),
        scratch: vec![Asked::default(); ASKED].into(),
    }
}

pub fn secret(seed: u64) -> Secret {
    let mut state = seed;
    Secret::new([(); SECRET_BYTES].map(|()| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    }))
}

pub const SETTINGS: Settings = Settings {
    node: 1,
    most: 1 << 20,
    most_udp: 1 << 19,
    age: 16,
    fixed: false,
};

/// In ticks.
pub const AGE: u8 = SETTINGS.age;

/// A registry whose task has run once.
pub struct Fixture(pub Registry<Std>);

impl Fixture {
    pub fn new(settings: Settings, shards: usize) -> Self {
        let memory = memory(&settings, shards);
        let registry = Registry::new(settings, secret(1), memory);
        registry.maintain();
        Self(registry)
    }

    /// Calls the registry as a stack would.
    pub fn connect(&self, tuple: &FiveTuple) -> Verdict {
        connect(&self.0, tuple)
    }
}

/// An outgoing question of the global stack at tick 0.
pub fn connect<E: Env>(registry: &Registry<E>, tuple: &FiveTuple) -> Verdict {
    registry.ask(0, tuple, true, 0)
}

/// Calls through ip's hooks, in the words of the tests.
pub trait Calls {
    fn ask(&self, stack: StackId, tuple: &FiveTuple, outgoing: bool, tick: u8) -> Verdict;
    /// A question of either protocol.
    fn connect(
        &self,
        stack: StackId,
        tuple: &FiveTuple,
        direction: Direction,
        via: Via,
        tick: u8,
    ) -> Verdict;
    /// 5-tuples, those of UDP, and endpoints.
    fn len(&self) -> usize;
    fn len_udp(&self) -> usize;
    fn endpoints(&self) -> usize;
    /// Was it the last reference? `None`: it is unknown.
    fn end(&self, stack: StackId, tuple: &FiveTuple) -> Option<bool>;
    /// A node left. False: there is no other node of this number.
    fn leave(&self, node: Node) -> bool;
    /// Whole audits that see these connections; how many entries each removed.
    fn audits(&self, seen: &[FiveTuple], audits: usize) -> Vec<u64>;
}

impl<E: Env> Calls for Registry<E> {
    fn ask(&self, stack: StackId, tuple: &FiveTuple, outgoing: bool, tick: u8) -> Verdict {
        let direction = match outgoing {
            true => Direction::Outgoing,
            false => Direction::Incoming,
        };
        self.connect(stack, tuple, direction, Via::Ip, tick)
    }

    fn connect(
        &self,
        stack: StackId,
        tuple: &FiveTuple,
        direction: Direction,
        via: Via,
        tick: u8,
    ) -> Verdict {
        match tuple.protocol {
            Protocol::Tcp => match self.try_connect_tcp(stack, tuple, direction, via) {
                (Verdict::Late, _) => self.connect_tcp(stack, tuple, direction, via),
                (verdict, grows) => {
                    if grows {
                        self.grow_with(stack, tuple);
                    }
                    verdict
                }
            },
            Protocol::Udp => self.connect_udp(stack, tuple, via, tick),
        }
    }

    fn len(&self) -> usize {
        self.used().tuples
    }

    fn len_udp(&self) -> usize {
        self.used().udp
    }

    fn endpoints(&self) -> usize {
        self.used().endpoints
    }

    fn end(&self, stack: StackId, tuple: &FiveTuple) -> Option<bool> {
        match self.disconnect(stack, tuple) {
            Ended::Unknown => None,
            Ended::Kept | Ended::Doubtful => Some(false),
            Ended::Removed => Some(true),
        }
    }

    fn leave(&self, node: Node) -> bool {
        self.purge(node).is_some_and(|purged| purged.is_ok())
    }

    fn audits(&self, seen: &[FiveTuple], audits: usize) -> Vec<u64> {
        let audit = |_| {
            self.audit_begin();
            for tuple in seen {
                self.audit_seen(0, tuple);
            }
            self.sweep(Pass::Audit, 0, |_, _| {}).unwrap().unseen
        };
        (0..audits).map(audit).collect()
    }
}

pub fn v4(last: u8) -> Addr {
    Addr::v4([192, 0, 2, last])
}

/// A 5-tuple from 192.0.2.10 port `lport` to a foreign end with this number.
pub fn tuple(protocol: Protocol, lport: u16, foreign: u32) -> FiveTuple {
    let [a, b, c, d] = foreign.to_be_bytes();
    FiveTuple {
        protocol,
        local: SockAddr {
            addr: v4(10),
            port: lport,
        },
        foreign: SockAddr {
            addr: Addr::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]),
            port: 443,
        },
    }
}

pub fn tcp(foreign: u32) -> FiveTuple {
    tuple(Protocol::Tcp, 80, foreign)
}

pub fn udp(foreign: u32) -> FiveTuple {
    tuple(Protocol::Udp, 53, foreign)
}

/// The same from 192.0.2.`last`.
pub fn from(last: u8, mut tuple: FiveTuple) -> FiveTuple {
    tuple.local.addr = v4(last);
    tuple
}

/// A UDP endpoint of 192.0.2.10.
pub fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        protocol: Protocol::Udp,
        addr: v4(10),
        port,
    }
}

/// All that is listed now.
pub fn listing(registry: &Registry<Std>, tick: u8) -> Vec<TableEntry> {
    let mut all = Vec::new();
    let mut cursor = Some(Cursor::default());
    while let Some(from) = cursor {
        cursor = registry
            .list(from, tick, ROOM, |listed| all.push(listed))
            .unwrap();
    }
    all
}

/// What a query says, without the references.
pub fn verdict(registry: &Registry<Std>, tuple: &FiveTuple) -> Verdict {
    registry.query(0, tuple).0
}
