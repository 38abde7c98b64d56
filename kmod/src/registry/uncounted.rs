// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Endpoints that are bound and have no entry, for want of memory or beyond a
//! limit: their binds, so that none of their entries goes with the bind of another
//! socket. If even this is full, a bind is counted nowhere. Like those of an entry
//! they age, since sockets may close without a word.

use super::Via;
use super::endpoint::Binds;
use super::env::{Env, Lock, Word};
use super::names::Meaning;

/// How many endpoints.
pub const UNCOUNTED: usize = 64;

/// An endpoint by what its local name means, since numbers change hands, and by its
/// port.
pub type Endpoint = (Meaning, u16);

/// An endpoint with its binds; without any the place is free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apart {
    of: Endpoint,
    binds: Binds,
    /// When the last one came.
    tick: u8,
}

impl Apart {
    fn is_free(&self) -> bool {
        self.binds.is_none()
    }

    fn is_of(&self, endpoint: &Endpoint) -> bool {
        !self.is_free() && self.of == *endpoint
    }
}

/// The endpoints.
pub struct Uncounted<E: Env> {
    places: E::Lock<E::Uncounted>,
    /// How many places are in use.
    used: E::Word,
}

impl<E: Env> Uncounted<E> {
    /// None, in memory for [`UNCOUNTED`].
    pub fn new(places: E::Uncounted) -> Self {
        Self {
            places: E::Lock::new(places),
            used: E::Word::new(0),
        }
    }

    /// One more bind. False: there is no room.
    pub fn add(&self, endpoint: Endpoint, via: Via, tick: u8) -> bool {
        let mut places = self.places.lock();
        let its = places.iter().position(|place| place.is_of(&endpoint));
        let place = its.or_else(|| places.iter().position(Apart::is_free));
        let Some(place) = place.and_then(|place| places.get_mut(place)) else {
            return false;
        };
        if place.is_free() {
            self.used.add(1);
        }
        place.of = endpoint;
        place.tick = tick;
        place.binds.add(via);
        true
    }

    /// One bind less. False: there was none.
    #[inline]
    pub fn end(&self, endpoint: impl FnOnce() -> Endpoint, via: Via) -> bool {
        self.used.load() != 0 && self.change(&endpoint(), |binds| binds.take(via))
    }

    /// Takes all binds of an endpoint.
    #[inline]
    pub fn take(&self, endpoint: impl FnOnce() -> Endpoint) -> Binds {
        match self.used.load() {
            0 => Binds::default(),
            _ => self.change(&endpoint(), core::mem::take),
        }
    }

    #[cold]
    fn change<R: Default>(&self, endpoint: &Endpoint, change: impl FnOnce(&mut Binds) -> R) -> R {
        let mut places = self.places.lock();
        let Some(place) = places.iter_mut().find(|place| place.is_of(endpoint)) else {
            return R::default();
        };
        let result = change(&mut place.binds);
        if place.is_free() {
            self.used.add(u64::MAX);
        }
        result
    }

    /// Hands the binds of each endpoint to `change`, and when the last one came.
    pub fn change_all(&self, change: impl Fn(&mut Binds, u8)) {
        if self.used.load() == 0 {
            return;
        }
        let mut places = self.places.lock();
        for place in places.iter_mut().filter(|place| !place.is_free()) {
            change(&mut place.binds, place.tick);
            if place.is_free() {
                self.used.add(u64::MAX);
            }
        }
    }

    /// How many endpoints there are.
    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.used.load()
    }
}
