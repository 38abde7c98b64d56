// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tests of the registry, in the world of `std`.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;
use std::{boxed::Box, vec};

use super::bucket::Bucket;
use super::entry::{Entry, NAMES};
use super::env::{Env, Lock, Word};
use super::hash::{SECRET_BYTES, Secret};
use super::names as names_of;
use super::names::Name;
use super::region::Region;
use super::remote::owner;
use super::sweep::{ASKED, Asked};
use super::*;
use crate::flow::{Endpoint, Protocol, SockAddr};

mod behaviour;
mod growth;
mod invariants;
mod listing;
mod loom;
mod memory;
mod model;
mod moving;
mod names;
mod passes;
mod sweep;
mod threads;
mod udp;

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

    fn or(&self, bits: u64) -> u64 {
        self.fetch_or(bits, SeqCst)
    }

    fn swap(&self, value: u64) -> u64 {
        AtomicU64::swap(self, value, SeqCst)
    }
}

impl Env for Std {
    type Lock<T: Send + 'static> = Mutex<T>;
    type Word = AtomicU64;
    type Buckets = Vec<Bucket>;
    type Regions = Box<[Region<Self>]>;
    type Names = Box<[Name<Self>]>;
    type Words = Arc<[AtomicU64]>;
    type Scratch = Box<[Asked]>;

    fn no_buckets() -> Vec<Bucket> {
        Vec::new()
    }

    fn prefetch(_: usize) {}

    fn prefetch_bucket(_: usize) {}
}

/// Memory for a registry with so many regions.
pub fn memory<E>(regions: usize) -> Memory<E>
where
    E: Env<
            Regions = Box<[Region<E>]>,
            Names = Box<[Name<E>]>,
            Words = Arc<[<E as Env>::Word]>,
            Scratch = Box<[Asked]>,
        >,
{
    let words = |len: usize| (0..len).map(|_| E::Word::new(0)).collect::<Arc<[_]>>();
    let names = || (0..NAMES).map(|_| Name::new()).collect::<Box<[_]>>();
    Memory {
        regions: (0..regions).map(|_| Region::new()).collect(),
        locals: (names(), words(names_of::WORDS)),
        owners: (names(), words(names_of::WORDS)),
        shared: words(shared::WORDS),
        wanting: words(regions.div_ceil(64) * MARKS),
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
    age: 16,
    fixed: false,
};

/// A registry with memory, and the memory that it asks for later.
pub struct Fixture(pub Registry<Std>);

impl Fixture {
    pub fn new(settings: Settings, regions: usize) -> Self {
        let registry = Registry::new(settings, secret(1), memory(regions));
        assert!(registry.prepare(0, allocate));
        Self(registry)
    }

    /// Calls the registry as a stack would, and the task after it.
    pub fn connect(&self, tuple: &FiveTuple) -> Verdict {
        let answer = self.0.connect(0, tuple, true, 0);
        if answer.wake {
            assert!(self.0.maintain(allocate).unwrap());
        }
        answer.verdict
    }
}

pub fn allocate(buckets: usize) -> Option<Vec<Bucket>> {
    Some(vec![Bucket::default(); buckets])
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
pub fn listing(registry: &Registry<Std>, tick: u8) -> Vec<Listed> {
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
