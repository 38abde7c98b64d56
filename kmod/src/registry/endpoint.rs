// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Local endpoints of UDP: who is bound, and which entries still count.
//!
//! An endpoint is an entry of the same table. Its entries carry its generation;
//! when it moves on they are absent, and a sweep drops them.

use super::entry::{Bound, Entry, Key};
use super::env::{Env, Word};
use super::names::Numbered;
use super::region::Inner;
use super::{Answer, Registry, StackId, Verdict, local};
use crate::flow::{Endpoint, FiveTuple, Protocol};

impl<E: Env> Registry<E> {
    /// A UDP endpoint was bound. What an earlier one left behind goes, unless
    /// another socket is bound to the same address and port. `Some(false)`: there
    /// was no room to count it, and entries of UDP stay from now on; `None`:
    /// nobody looks at it.
    pub fn bind(&self, stack: StackId, endpoint: &Endpoint, tick: u8) -> Option<bool> {
        if endpoint.protocol != Protocol::Udp {
            return None;
        }
        let counted = match self.local(stack, &endpoint.addr) {
            Ok(local) => self.with_endpoint(local, endpoint.port, tick, |bound| {
                if bound.binds == 0 {
                    self.drop_entries(bound);
                }
                bound.binds = bound.binds.saturating_add(1);
                bound.tick = tick;
            }),
            Err(verdict) => Err(Answer::of(verdict)),
        };
        match counted {
            Ok(((), _)) => Some(true),
            Err(answer) if matches!(answer.verdict, Verdict::Full | Verdict::Late) => {
                self.uncounted.store(1);
                Some(false)
            }
            Err(_) => None,
        }
    }

    /// A UDP endpoint was unbound; with the last one its entries go. Nothing
    /// of a specific address goes with an unspecified one. False: unknown.
    pub fn unbind(&self, stack: StackId, endpoint: &Endpoint) -> bool {
        self.unbind_found(stack, endpoint).is_some()
    }

    fn unbind_found(&self, stack: StackId, endpoint: &Endpoint) -> Option<()> {
        let local = self.locals.find(&local(stack, &endpoint.addr))?;
        let key = Key::endpoint(endpoint.protocol, local.number, endpoint.port);
        let (place, region, _) = self.place(&key)?;
        let mut inner = self.lock(region, local)?;
        let found = inner.find(place, |entry| entry.is_endpoint(&key))?;
        let entry = inner.get_mut(found)?;
        let mut bound = Bound::from(&*entry);
        bound.binds = bound.binds.saturating_sub(1);
        if bound.binds == 0 {
            self.drop_entries(&mut bound);
        }
        *entry = bound.entry(&key);
        Some(())
    }

    /// The generation for an entry that is about to be registered, and whether
    /// [`Registry::maintain`] has something to do; the endpoint is added if it was
    /// never bound as far as is known.
    #[inline(never)]
    pub(super) fn use_endpoint(
        &self,
        local: Numbered<'_, E>,
        port: u16,
        tick: u8,
    ) -> Result<(u8, bool), Answer> {
        self.with_endpoint(local, port, tick, |bound| {
            bound.empty = false;
            bound.tick = tick;
            bound.generation
        })
    }

    /// The generation of a 5-tuple's endpoint; none for TCP.
    #[inline]
    pub(super) fn generation(&self, local: Numbered<'_, E>, tuple: &FiveTuple) -> Option<u8> {
        match tuple.protocol {
            Protocol::Tcp => None,
            Protocol::Udp => self.endpoint_generation(&Key::endpoint(
                Protocol::Udp,
                local.number,
                tuple.local.port,
            )),
        }
    }

    #[inline(never)]
    pub(super) fn endpoint_generation(&self, key: &Key) -> Option<u8> {
        let (place, region, _) = self.place(key)?;
        let mut inner = region.lock();
        let found = inner.find(place, |entry| entry.is_endpoint(key))?;
        inner
            .get_mut(found)
            .map(|entry| Bound::from(&*entry).generation)
    }

    fn with_endpoint<R>(
        &self,
        local: Numbered<'_, E>,
        port: u16,
        tick: u8,
        change: impl FnOnce(&mut Bound) -> R,
    ) -> Result<(R, bool), Answer> {
        let refuse = |verdict, wake| Answer { verdict, wake };
        let key = Key::endpoint(Protocol::Udp, local.number, port);
        let Some((place, region, number)) = self.place(&key) else {
            return Err(refuse(Verdict::Late, false));
        };
        let Some(mut inner) = self.lock(region, local) else {
            return Err(refuse(Verdict::NotShared, false));
        };
        let found = inner.find(place, |entry| entry.is_endpoint(&key));
        if let Some(entry) = found.and_then(|found| inner.get_mut(found)) {
            let mut bound = Bound::from(&*entry);
            let result = change(&mut bound);
            *entry = bound.entry(&key);
            return Ok((result, false));
        }
        let mut bound = Bound {
            tick,
            empty: true,
            pass: self.begun.load() as u32,
            ..Bound::default()
        };
        let result = change(&mut bound);
        let verdict = self.add_endpoint(&mut inner, place, bound.entry(&key), tick);
        let need = match verdict {
            Some(Verdict::Late) => inner.need_now(),
            _ => inner.need(),
        };
        drop(inner);
        self.help(place.hash);
        let wake = self.note(number, need);
        match verdict {
            Some(verdict) => Err(refuse(verdict, wake)),
            None => Ok((result, wake)),
        }
    }

    /// What is in the way of a new endpoint, if anything is.
    fn add_endpoint(
        &self,
        inner: &mut Inner<E>,
        place: super::region::Place,
        entry: Entry,
        tick: u8,
    ) -> Option<Verdict> {
        if self.endpoint_pool.add(u64::MAX).cast_signed() <= 0 {
            self.endpoint_pool.add(1);
            return Some(Verdict::Full);
        }
        if inner.insert(place, entry, Some(tick)) {
            return None;
        }
        self.endpoint_pool.add(1);
        Some(Verdict::Late)
    }

    /// All entries of an endpoint go, without looking at any; none does if
    /// one of them may belong to a bind that was not counted.
    pub(super) fn drop_entries(&self, bound: &mut Bound) {
        self.dirty.store(1);
        if self.uncounted.load() != 0 {
            return;
        }
        bound.swept(self.begun.load() as u32, self.done.load() as u32);
        // Without a free generation the entries stay: they can only be ours.
        let _dropped = bound.drop_entries();
    }

    /// UDP endpoints that are known.
    pub fn endpoints(&self) -> usize {
        let left = self.endpoint_pool.load().cast_signed().max(0) as usize;
        self.settings.most.saturating_sub(left)
    }
}
