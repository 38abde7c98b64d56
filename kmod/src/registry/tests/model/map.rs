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
    Tcp(Tcp),
    Udp {
        references: u64,
        tick: u8,
        via: Via,
    },
    Other {
        node: Node,
        /// Since its last resynchronisation began.
        named: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tcp {
    pub references: u64,
    pub outgoing: bool,
    pub via: Via,
    /// An incoming one that was asked about more than once.
    doubtful: bool,
    /// By the audit under way, and by the one before.
    seen: bool,
    missed: bool,
}

impl Tcp {
    fn see(&mut self) {
        self.seen = true;
        self.doubtful &= self.references > 1;
    }

    /// Does it stay when an audit ends?
    fn end_audit(&mut self) -> bool {
        let stays = self.seen || !self.missed || self.via != Via::Ip;
        (self.seen, self.missed) = (false, !self.seen);
        stays
    }
}

pub fn bound_of((stack, _, local, lport, _): Id) -> Bound {
    (stack, local, lport)
}

/// Binds of an endpoint through ip's hooks and through the contract, and when it was
/// last used.
#[derive(Clone, Copy, Default)]
pub struct Binds {
    ip: u32,
    contract: u32,
    tick: u8,
}

impl Binds {
    fn of(&mut self, via: Via) -> &mut u32 {
        match via {
            Via::Ip => &mut self.ip,
            Via::Contract => &mut self.contract,
        }
    }

    fn is_none(&self) -> bool {
        self.ip + self.contract == 0
    }
}

#[derive(Default)]
pub struct Model {
    pub age: u8,
    pub tick: u8,
    pub held: HashMap<Id, Held>,
    /// UDP entries that are gone and that no sweep took away yet.
    pub gone: BTreeSet<Id>,
    /// Endpoints that are bound.
    pub binds: HashMap<Bound, Binds>,
    /// Those that there was no room for.
    pub apart: HashMap<Bound, Binds>,
    /// An audit is under way.
    pub audited: bool,
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
            Some(Held::Other { node, .. }) => (Verdict::OwnedBy(*node), 0),
            Some(Held::Tcp(Tcp { references, .. }) | Held::Udp { references, .. }) => {
                (Verdict::Repeated, *references)
            }
            None => (Verdict::Registered, 0),
        }
    }

    pub fn insert(&mut self, id: Id, held: Held) {
        self.gone.remove(&id);
        self.held.insert(id, held);
    }

    /// What this node registers.
    fn ours(&self, udp: bool, outgoing: bool, via: Via) -> Held {
        let references = 1;
        if udp {
            let tick = self.tick;
            return Held::Udp {
                references,
                tick,
                via,
            };
        }
        Held::Tcp(Tcp {
            references,
            outgoing,
            via,
            doubtful: false,
            seen: self.audited,
            missed: false,
        })
    }

    pub fn connect(&mut self, id: Id, outgoing: bool, via: Via, verdict: Verdict) {
        if let Some(bound) = self.binds.get_mut(&bound_of(id))
            && id.1
            && verdict != Verdict::NotShared
        {
            bound.tick = self.tick;
        }
        match (verdict, self.held.get_mut(&id)) {
            (Verdict::Registered, _) => self.insert(id, self.ours(id.1, outgoing, via)),
            (Verdict::Repeated, Some(Held::Tcp(tcp))) => {
                tcp.references += 1;
                tcp.missed = false;
                tcp.seen |= self.audited;
                tcp.doubtful |= !outgoing && via == Via::Ip;
            }
            (
                Verdict::Repeated,
                Some(Held::Udp {
                    references, tick, ..
                }),
            ) => {
                *references = (*references + 1).min(15);
                *tick = self.tick;
            }
            _ => {}
        }
    }

    pub fn disconnect(&mut self, id: Id) -> Ended {
        let (references, left) = match self.held.get_mut(&id) {
            None | Some(Held::Other { .. }) => return Ended::Unknown,
            Some(Held::Udp { references: 15, .. }) => return Ended::Kept,
            Some(Held::Udp { references, .. }) => (references, Ended::Kept),
            Some(Held::Tcp(tcp)) if tcp.doubtful => (&mut tcp.references, Ended::Doubtful),
            Some(Held::Tcp(tcp)) => (&mut tcp.references, Ended::Kept),
        };
        *references -= 1;
        if *references > 0 {
            return left;
        }
        self.held.remove(&id);
        Ended::Removed
    }

    /// What an audit is told of a connection.
    pub fn see(&mut self, id: Id) -> Audit {
        if let Some(Held::Tcp(tcp)) = self.held.get_mut(&id) {
            tcp.see();
        }
        match self.answer(id).0 {
            Verdict::NotShared => Audit::NotShared,
            Verdict::OwnedBy(node) => Audit::OwnedBy(node),
            Verdict::Repeated => Audit::Present,
            _ => Audit::Absent,
        }
    }

    /// What an audit found twice is registered, if there is room.
    pub fn add(&mut self, id: Id) -> Audit {
        match self.see(id) {
            Audit::Absent => {
                let mut held = self.ours(false, false, Via::Ip);
                if let Held::Tcp(tcp) = &mut held {
                    tcp.see();
                }
                self.insert(id, held);
                Audit::Added
            }
            other => other,
        }
    }

    /// Drops this node's entries of an endpoint.
    pub fn drop_entries(&mut self, bound: Bound) {
        let of_it =
            |id: &Id, held: &Held| matches!(held, Held::Udp { .. }) && bound_of(*id) == bound;
        let gone = self.held.extract_if(|id, held| of_it(id, held));
        self.gone.extend(gone.map(|(id, _)| id));
    }

    pub fn bind(&mut self, bound: Bound, via: Via) {
        if !self.binds.contains_key(&bound) {
            self.drop_entries(bound);
        }
        let binds = self.binds.entry(bound).or_default();
        *binds.of(via) += 1;
        binds.tick = self.tick;
    }

    /// There is no room for the endpoint.
    pub fn bind_apart(&mut self, bound: Bound, via: Via) {
        let binds = self.apart.entry(bound).or_default();
        *binds.of(via) += 1;
        binds.tick = self.tick;
    }

    /// There is room for the endpoint now.
    pub fn unite(&mut self, bound: Bound) {
        if let Some(mut binds) = self.apart.remove(&bound) {
            binds.tick = self.tick;
            self.binds.insert(bound, binds);
        }
    }

    /// A bind ended that there was no room for, if there is one.
    pub fn unbind_apart(&mut self, bound: Bound, via: Via) -> bool {
        let Some(binds) = self.apart.get_mut(&bound) else {
            return false;
        };
        let left = binds.of(via).checked_sub(1);
        *binds.of(via) = left.unwrap_or(0);
        if binds.is_none() {
            self.apart.remove(&bound);
        }
        left.is_some()
    }

    pub fn unbind(&mut self, bound: Bound, via: Via) {
        let mut binds = self.binds.remove(&bound).unwrap_or_default();
        *binds.of(via) = binds.of(via).saturating_sub(1);
        match binds.is_none() {
            true => self.drop_entries(bound),
            false => drop(self.binds.insert(bound, binds)),
        }
    }

    pub fn install(&mut self, node: Node, id: Id) -> Result<(), NotInstalled> {
        match self.answer(id).0 {
            Verdict::OwnedBy(holder) if holder != node => {
                return Err(NotInstalled::OwnedBy(holder));
            }
            Verdict::Repeated => return Err(NotInstalled::OwnedBy(1)),
            Verdict::NotShared => return Err(NotInstalled::NotShared),
            _ => {}
        }
        self.insert(id, Held::Other { node, named: true });
        Ok(())
    }

    pub fn withdraw(&mut self, node: Node, id: Id) -> bool {
        let owned = self.answer(id).0 == Verdict::OwnedBy(node);
        if owned {
            self.held.remove(&id);
        }
        owned
    }

    /// Another node left.
    pub fn purge(&mut self, of: Node) {
        let is_its = |held: &Held| matches!(held, Held::Other { node, .. } if *node == of);
        self.held.retain(|_, held| !is_its(held));
    }

    pub fn resync_begin(&mut self, of: Node) {
        for held in self.held.values_mut() {
            if let Held::Other { node, named } = held {
                *named &= *node != of;
            }
        }
    }

    pub fn resync_end(&mut self, of: Node) {
        self.held
            .retain(|_, held| !matches!(held, Held::Other { node, named: false } if *node == of));
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
        let past = |tick: u8| now.wrapping_sub(tick) % 64;
        for held in self.held.values_mut() {
            if let Held::Udp { tick, .. } = held
                && age == 0
                && past(*tick) > MOST_TICKS
            {
                *tick = now.wrapping_sub(MOST_TICKS) % 64;
            }
        }
        let old = |tick: u8| age != 0 && past(tick) > age;
        let mut unseen = 0;
        self.held.retain(|_, held| match held {
            Held::Other { .. } => true,
            Held::Udp { via: Via::Ip, .. } | Held::Tcp(Tcp { via: Via::Ip, .. })
                if pass == Pass::Clear =>
            {
                false
            }
            Held::Udp { tick, .. } => !old(*tick),
            Held::Tcp(tcp) if pass == Pass::Audit => {
                let stays = tcp.end_audit();
                unseen += u64::from(!stays);
                stays
            }
            Held::Tcp(_) => true,
        });
        self.audited &= pass != Pass::Audit;
        for binds in [&mut self.binds, &mut self.apart] {
            binds.retain(|_, binds| {
                if pass == Pass::Clear {
                    binds.ip = 0;
                }
                !binds.is_none() && !old(binds.tick)
            });
        }
        if pass != Pass::Age {
            self.gone.clear();
        }
        unseen
    }
}
