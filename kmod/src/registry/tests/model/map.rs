// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A plain map that says what a registry should.

use std::collections::{BTreeSet, HashMap};

use super::super::*;

/// Stack, protocol, last byte of the local address, local port, foreign end.
pub type Id = (StackId, bool, u8, u16, u32);
/// Stack, last byte of the local address, local port.
pub type Bound = (StackId, u8, u16);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held {
    Tcp {
        references: u64,
        outgoing: bool,
        missed: u8,
    },
    Udp {
        references: u64,
        tick: u8,
    },
    Other(Node),
}

pub fn bound_of((stack, _, local, lport, _): Id) -> Bound {
    (stack, local, lport)
}

#[derive(Default)]
pub struct Model {
    pub age: u8,
    pub tick: u8,
    pub held: HashMap<Id, Held>,
    /// UDP entries that are gone and that no sweep took away yet.
    pub gone: BTreeSet<Id>,
    /// Endpoints that are bound: how often, and when they were last used.
    pub binds: HashMap<Bound, (u32, u8)>,
    pub uncounted: bool,
    /// All, if `None`.
    pub shared: Option<BTreeSet<u8>>,
}

impl Model {
    pub fn is_shared(&self, local: u8) -> bool {
        self.shared
            .as_ref()
            .is_none_or(|shared| shared.contains(&local))
    }

    pub fn is_old(&self, tick: u8) -> bool {
        self.age != 0 && self.tick.wrapping_sub(tick) % 64 > self.age
    }

    /// What a question is answered, if there is room.
    pub fn answer(&self, id: Id) -> (Verdict, u64) {
        match self.held.get(&id) {
            _ if !self.is_shared(id.2) => (Verdict::NotShared, 0),
            Some(Held::Other(node)) => (Verdict::OwnedBy(*node), 0),
            Some(Held::Tcp { references, .. } | Held::Udp { references, .. }) => {
                (Verdict::Repeated, *references)
            }
            None => (Verdict::Registered, 0),
        }
    }

    pub fn insert(&mut self, id: Id, held: Held) {
        self.gone.remove(&id);
        self.held.insert(id, held);
    }

    pub fn connect(&mut self, id: Id, outgoing: bool, verdict: Verdict) {
        if let Some(bound) = self.binds.get_mut(&bound_of(id))
            && id.1
            && verdict != Verdict::NotShared
        {
            bound.1 = self.tick;
        }
        match (verdict, self.held.get_mut(&id)) {
            (Verdict::Registered, _) if id.1 => {
                self.insert(
                    id,
                    Held::Udp {
                        references: 1,
                        tick: self.tick,
                    },
                );
            }
            (Verdict::Registered, _) => {
                self.insert(
                    id,
                    Held::Tcp {
                        references: 1,
                        outgoing,
                        missed: 0,
                    },
                );
            }
            (
                Verdict::Repeated,
                Some(Held::Tcp {
                    references, missed, ..
                }),
            ) => {
                *references += 1;
                *missed = 0;
            }
            (Verdict::Repeated, Some(Held::Udp { references, tick })) => {
                *references = (*references + 1).min(31);
                *tick = self.tick;
            }
            _ => {}
        }
    }

    pub fn disconnect(&mut self, id: Id) -> Option<bool> {
        let references = match self.held.get_mut(&id)? {
            Held::Other(_) => return None,
            Held::Udp { references: 31, .. } => return Some(false),
            Held::Udp { references, .. } | Held::Tcp { references, .. } => references,
        };
        *references -= 1;
        if *references > 0 {
            return Some(false);
        }
        self.held.remove(&id);
        Some(true)
    }

    /// Drops this node's entries of an endpoint.
    pub fn drop_entries(&mut self, bound: Bound) {
        if self.uncounted {
            return;
        }
        let of_it =
            |id: &Id, held: &Held| matches!(held, Held::Udp { .. }) && bound_of(*id) == bound;
        let gone = self.held.extract_if(|id, held| of_it(id, held));
        self.gone.extend(gone.map(|(id, _)| id));
    }

    pub fn bind(&mut self, bound: Bound) {
        if !self.binds.contains_key(&bound) {
            self.drop_entries(bound);
        }
        self.binds.entry(bound).or_default().0 += 1;
        self.binds.entry(bound).or_default().1 = self.tick;
    }

    pub fn unbind(&mut self, bound: Bound) {
        match self.binds.get_mut(&bound) {
            Some((binds, _)) if *binds > 1 => *binds -= 1,
            _ => {
                self.binds.remove(&bound);
                self.drop_entries(bound);
            }
        }
    }

    pub fn install(&mut self, node: Node, id: Id) -> Result<(), NotInstalled> {
        match self.answer(id).0 {
            Verdict::OwnedBy(holder) if holder == node => return Ok(()),
            Verdict::OwnedBy(holder) => return Err(NotInstalled::OwnedBy(holder)),
            Verdict::Repeated => return Err(NotInstalled::OwnedBy(1)),
            Verdict::NotShared => return Err(NotInstalled::NotShared),
            _ => {}
        }
        self.insert(id, Held::Other(node));
        Ok(())
    }

    pub fn withdraw(&mut self, node: Node, id: Id) -> bool {
        let owned = self.held.get(&id) == Some(&Held::Other(node));
        if owned {
            self.held.remove(&id);
        }
        owned
    }

    pub fn share(&mut self, shared: Option<BTreeSet<u8>>) {
        self.shared = shared;
        let shared = self.shared.clone();
        let stays = |local: u8| shared.as_ref().is_none_or(|shared| shared.contains(&local));
        self.held.retain(|id, _| stays(id.2));
        self.gone.retain(|id| stays(id.2));
        self.binds.retain(|bound, _| stays(bound.1));
    }

    /// How many TCP entries a sweep finds that nobody saw.
    pub fn sweep(&mut self, pass: Pass) -> u64 {
        let (age, now) = (self.age, self.tick);
        let old = |tick: u8| age != 0 && now.wrapping_sub(tick) % 64 > age;
        let mut unseen = 0;
        self.held.retain(|_, held| match held {
            Held::Other(_) => true,
            _ if pass == Pass::Clear => false,
            Held::Udp { tick, .. } => !old(*tick),
            Held::Tcp { missed: 2.., .. } if pass == Pass::Audit => {
                unseen += 1;
                false
            }
            Held::Tcp { missed, .. } => {
                *missed += u8::from(pass == Pass::Audit);
                true
            }
        });
        self.binds
            .retain(|_, (_, tick)| pass != Pass::Clear && !old(*tick));
        if pass != Pass::Age {
            self.gone.clear();
        }
        unseen
    }
}
