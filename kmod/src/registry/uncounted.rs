// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Endpoints that are bound and have no entry, for want of memory or beyond a
//! limit: their binds, so that none of their entries goes with the bind of another
//! socket. If even this is full, a bind is counted nowhere.

use super::env::{Env, Lock, Word};
use super::names::Meaning;

/// How many endpoints.
pub const UNCOUNTED: usize = 64;

/// An endpoint by what its local name means, since numbers change hands, and by its
/// port.
pub type Endpoint = (Meaning, u16);

/// The binds of an endpoint; 0: the place is free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Binds {
    of: Endpoint,
    count: u32,
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
    pub fn add(&self, endpoint: Endpoint) -> bool {
        let mut places = self.places.lock();
        let is_its = |place: &&mut Binds| place.count > 0 && place.of == endpoint;
        if let Some(place) = places.iter_mut().find(is_its) {
            place.count = place.count.saturating_add(1);
            return true;
        }
        let Some(place) = places.iter_mut().find(|place| place.count == 0) else {
            return false;
        };
        *place = Binds {
            of: endpoint,
            count: 1,
        };
        self.used.add(1);
        true
    }

    /// Takes so many binds of an endpoint away, of those that it has. How many.
    #[inline]
    pub fn take(&self, endpoint: impl FnOnce() -> Endpoint, binds: u32) -> u32 {
        match self.used.load() {
            0 => 0,
            _ => self.take_found(endpoint(), binds),
        }
    }

    #[cold]
    fn take_found(&self, endpoint: Endpoint, binds: u32) -> u32 {
        let mut places = self.places.lock();
        let is_its = |place: &&mut Binds| place.count > 0 && place.of == endpoint;
        let Some(place) = places.iter_mut().find(is_its) else {
            return 0;
        };
        let taken = binds.min(place.count);
        place.count -= taken;
        if place.count == 0 {
            self.used.add(u64::MAX);
        }
        taken
    }

    /// Nobody is bound any more.
    pub fn clear(&self) {
        for place in self.places.lock().iter_mut() {
            if core::mem::take(&mut place.count) > 0 {
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
