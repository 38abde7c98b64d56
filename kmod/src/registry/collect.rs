// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Numbers of names come back when no entry has them any more.

use super::entry::NAMES;
use super::env::{Env, Lock, Word};
use super::names::{CHUNK, FREE, LEAVING, LIVE, Names, RETIRED, RETIRED_LEAVING, STATE, TOMBSTONE};

impl<E: Env> Names<E> {
    /// Gives numbers back that no entry has; for the task, and for whoever finds no
    /// room. `tell` as for [`Names::add`]. False: another thread is at it.
    ///
    /// Two looks: what has no entry leaves; what still has none and is not wanted
    /// again after all shards were locked once more is gone. Whoever adds an entry
    /// asks [`super::names::Numbered::holds`] with the shard locked: either its entry is told
    /// the second time, or it sees that the name leaves, and keeps it. The lock is held
    /// for a few names at a time.
    pub fn collect(&self, tell: impl Fn()) -> bool {
        if self.collecting.swap(1) != 0 {
            return false;
        }
        self.exhausted.store(0);
        tell();
        let mut any = false;
        self.change_all(|_, name| {
            let state = name.state.load();
            let has_none = name.entries.load() == 0;
            let leaving = match state & STATE {
                LIVE if has_none => LEAVING,
                RETIRED if has_none => RETIRED_LEAVING,
                _ => return,
            };
            name.state.store(state & !STATE | leaving);
            any = true;
        });
        if any {
            tell();
            self.change_all(|used, name| {
                let state = name.state.load();
                let gone = name.entries.load() == 0;
                let next = match state & STATE {
                    LEAVING | RETIRED_LEAVING if gone => {
                        *used = used.saturating_sub(1);
                        TOMBSTONE
                    }
                    LEAVING => LIVE,
                    RETIRED_LEAVING => RETIRED,
                    _ => return,
                };
                name.state.store(state & !STATE | next);
            });
            self.shorten_searches();
        }
        self.collecting.store(0);
        true
    }

    /// A search may end at a number that means nothing if it would end behind it.
    fn shorten_searches(&self) {
        self.change_all(|used, name| {
            let state = name.state.load();
            if *used == 0 && state & STATE == TOMBSTONE {
                name.state.store(state & !STATE | FREE);
            }
        });
        for chunk in (0..2 * NAMES / CHUNK).rev() {
            let _used = self.used.lock();
            for number in (0..CHUNK)
                .rev()
                .map(|place| (chunk * CHUNK + place) % NAMES)
            {
                let state =
                    |number: usize| self.names.get(number % NAMES).map(|name| name.state.load());
                let (Some(this), Some(next)) = (state(number), state(number + 1)) else {
                    continue;
                };
                if let Some(name) = self.names.get(number)
                    && this & STATE == TOMBSTONE
                    && next & STATE == FREE
                {
                    name.state.store(this & !STATE | FREE);
                }
            }
        }
    }
}
