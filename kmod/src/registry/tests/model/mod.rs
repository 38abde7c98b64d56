// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Any sequence of calls against a plain map.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

mod map;

use map::{Bound, Held, Id, Model, bound_of};

#[derive(Clone, Debug)]
enum Step {
    Connect(Id, bool),
    Disconnect(Id),
    Query(Id),
    Bind(Bound),
    Unbind(Bound),
    Install(Node, Id),
    Withdraw(Node, Id),
    Purge(Node),
    Share(Option<BTreeSet<u8>>),
    Seen(Id),
    Sweep(Pass),
    Maintain,
    Tick(u8),
}

fn tuple_of((_, udp, local, lport, foreign): Id) -> FiveTuple {
    let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
    from(local, tuple(protocol, lport, foreign))
}

/// The registry, the model, and what a call may say when there is no room.
struct Both {
    registry: Registry<Std>,
    model: Model,
    /// Ticks since the last sweep for the dead.
    since_dead: u8,
}

impl Both {
    fn new(most: usize, regions: usize, age: u8) -> Self {
        let settings = Settings {
            most,
            age,
            ..SETTINGS
        };
        let Fixture(registry) = Fixture::new(settings, regions);
        let model = Model {
            age,
            ..Model::default()
        };
        Self {
            registry,
            model,
            since_dead: 0,
        }
    }

    /// May a new 5-tuple be refused now for want of room?
    fn may_be_full(&self, udp: bool) -> bool {
        let most = self.registry.capacity();
        let endpoints = udp && self.registry.endpoints() == most;
        endpoints || self.registry.len() == most
    }

    fn connect(&mut self, id: Id, outgoing: bool) {
        let asked = self.registry.query(id.0, &tuple_of(id)).0;
        let full = self.may_be_full(id.1);
        let answer = self
            .registry
            .connect(id.0, &tuple_of(id), outgoing, self.model.tick);
        let expected = self.model.answer(id).0;
        if answer.verdict == Verdict::Full {
            assert!(full, "full with {} entries", self.registry.len());
            // An endpoint that has no room hides who owns the 5-tuple.
            assert!(expected == Verdict::Registered || id.1, "{expected:?}");
        } else {
            assert_eq!(answer.verdict, expected);
        }
        assert!(
            asked == answer.verdict,
            "a query said {asked:?}, not {:?}",
            answer.verdict
        );
        self.model.ask(id, outgoing, answer.verdict);
    }

    fn bind(&mut self, bound: Bound) {
        let full = self.registry.endpoints() == self.registry.capacity();
        let of = tuple_of((bound.0, true, bound.1, bound.2, 0)).endpoint();
        match self.registry.bind(bound.0, &of, self.model.tick) {
            None => assert!(!self.model.is_shared(bound.1)),
            Some(true) => self.model.bind(bound),
            Some(false) => {
                assert!(full && !self.model.binds.contains_key(&bound));
                self.model.uncounted = true;
            }
        }
    }

    fn unbind(&mut self, bound: Bound) {
        let of = tuple_of((bound.0, true, bound.1, bound.2, 0)).endpoint();
        let known = self.registry.unbind(bound.0, &of);
        let used =
            |(id, held): (&Id, &Held)| bound_of(*id) == bound && matches!(held, Held::Udp { .. });
        let in_use = self.model.binds.contains_key(&bound) || self.model.held.iter().any(used);
        // One that is not in use is unknown after some sweep.
        assert!(known || !in_use);
        if known {
            self.model.unbind(bound);
        }
    }

    fn install(&mut self, node: Node, id: Id) {
        let full = self.may_be_full(false);
        match self.registry.install(node, &tuple_of(id)) {
            Err(NotInstalled::Full) => {
                assert!(full && self.model.answer(id).0 == Verdict::Registered);
            }
            other => assert_eq!(other.map(drop), self.model.install(node, id)),
        }
    }

    fn apply(&mut self, step: &Step) {
        let registry = &self.registry;
        match step.clone() {
            Step::Connect(id, outgoing) => self.ask(id, outgoing),
            Step::Disconnect(id) => {
                let ended = registry.end(id.0, &tuple_of(id));
                assert_eq!(ended, self.model.disconnect(id));
            }
            Step::Query(id) => {
                let (verdict, references) = registry.query(id.0, &tuple_of(id));
                if verdict == Verdict::Full {
                    assert!(self.may_be_full(id.1));
                } else {
                    assert_eq!((verdict, references), self.model.answer(id));
                }
            }
            Step::Bind(bound) => self.bind(bound),
            Step::Unbind(bound) => self.unbind(bound),
            Step::Install(node, id) => self.install(node, id),
            Step::Withdraw(node, id) => {
                let withdrawn = registry.withdraw(node, &tuple_of(id));
                assert_eq!(withdrawn, Some(self.model.withdraw(node, id)));
            }
            Step::Purge(node) => {
                assert!(registry.leave(node));
                self.model.held.retain(|_, held| *held != Held::Other(node));
            }
            Step::Share(shared) => {
                match &shared {
                    None => registry.share_all(),
                    Some(list) => {
                        let list: Vec<_> = list.iter().map(|last| v4(*last).words()).collect();
                        registry.share(&list).unwrap();
                    }
                }
                self.model.share(shared);
            }
            Step::Seen(id) => {
                let seen = registry.audit_seen(id.0, &tuple_of(id));
                let expected = match self.model.answer(id).0 {
                    Verdict::NotShared => Audit::NotShared,
                    Verdict::OwnedBy(node) => Audit::OwnedBy(node),
                    Verdict::Repeated => Audit::Present,
                    _ => Audit::Absent,
                };
                assert_eq!(seen, expected);
                if let Some(Held::Tcp { missed, .. }) = self.model.held.get_mut(&id) {
                    *missed = 0;
                }
            }
            Step::Sweep(pass) => self.sweep(pass),
            Step::Tick(ticks) => self.tick(ticks),
            Step::Maintain => assert!(registry.maintain(allocate).unwrap()),
        }
        if self.registry.wants() {
            assert!(self.registry.maintain(allocate).unwrap());
        }
    }

    /// Time passes, with what the module's task does then.
    fn tick(&mut self, ticks: u8) {
        self.model.tick = (self.model.tick + ticks) % 64;
        self.sweep(Pass::Age);
        self.since_dead = self.since_dead.saturating_add(ticks);
        if self.since_dead > 4 && self.registry.is_dirty() {
            self.sweep(Pass::Dead);
        }
    }

    fn sweep(&mut self, pass: Pass) {
        let swept = self
            .registry
            .sweep(pass, self.model.tick, |_, _| {})
            .unwrap();
        assert_eq!(swept.unseen, self.model.sweep(pass));
        if pass != Pass::Age {
            self.since_dead = 0;
            assert_eq!(self.registry.len(), self.model.held.len());
        }
    }

    /// Is what is listed what the model holds?
    fn compare(&self) {
        let mut listed = BTreeMap::new();
        for one in listing(&self.registry, self.model.tick) {
            let [.., local] = crate::flow::from_words(one.local);
            let [.., a, b, c, d] = crate::flow::from_words(one.foreign);
            let foreign = u32::from_be_bytes([a, b, c, d]);
            let id = (one.stack, one.protocol == 17, local, one.lport, foreign);
            assert!(listed.insert(id, one).is_none(), "listed twice: {id:?}");
        }
        for (id, held) in &self.model.held {
            let one = listed
                .remove(id)
                .unwrap_or_else(|| panic!("not listed: {id:?} {held:?}"));
            let is = (one.owner, u64::from(one.references), one.outgoing, one.age);
            let expected = match *held {
                Held::Tcp {
                    references,
                    outgoing,
                    ..
                } => (1, references, outgoing, 0),
                Held::Udp { references, tick } => {
                    assert!(!self.model.is_old(tick) || self.model.age == 0);
                    (
                        1,
                        references,
                        false,
                        self.model.tick.wrapping_sub(tick) % 64,
                    )
                }
                Held::Other(node) => (node, 0, false, 0),
            };
            assert_eq!(is, expected, "{id:?}");
        }
        for id in listed.keys() {
            assert!(self.model.gone.contains(id), "listed, and gone: {id:?}");
        }
        invariants::check_of_one_thread(&self.registry);
    }
}

const LOCALS: [u8; 2] = [10, 11];

fn id() -> impl Strategy<Value = Id> {
    let stack = prop_oneof![4 => Just(0_u32), 1 => Just(3)];
    let local = prop::sample::select(&LOCALS[..]);
    (stack, any::<bool>(), local, 1..3_u16, 0..8_u32)
}

/// Of the global stack, as all of other nodes are.
fn global() -> impl Strategy<Value = Id> {
    id().prop_map(|id| (0, id.1, id.2, id.3, id.4))
}

fn step() -> impl Strategy<Value = Step> {
    let pass = prop::sample::select(
        &[
            Pass::Age,
            Pass::Dead,
            Pass::Dead,
            Pass::Audit,
            Pass::Audit,
            Pass::Clear,
        ][..],
    );
    let list = prop::sample::subsequence(&LOCALS[..], 0..=LOCALS.len());
    let list = prop::option::of(list.prop_map(BTreeSet::from_iter));
    let node = 2..4_u32;
    prop_oneof![
        30 => (id(), any::<bool>()).prop_map(|(id, outgoing)| Step::Connect(id, outgoing)),
        12 => id().prop_map(Step::Disconnect),
        3 => id().prop_map(Step::Query),
        6 => id().prop_map(|id| Step::Bind(bound_of(id))),
        6 => id().prop_map(|id| Step::Unbind(bound_of(id))),
        12 => (node.clone(), global()).prop_map(|(node, id)| Step::Install(node, id)),
        6 => (node.clone(), global()).prop_map(|(node, id)| Step::Withdraw(node, id)),
        2 => node.prop_map(Step::Purge),
        1 => list.prop_map(Step::Share),
        // An audit is of TCP.
        4 => id().prop_map(|id| Step::Seen((id.0, false, id.2, id.3, id.4))),
        4 => pass.prop_map(Step::Sweep),
        1 => Just(Step::Maintain),
        6 => (0..4_u8).prop_map(Step::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_map(
        most in prop::sample::select(&[3_usize, 8, 24, 64, 4096][..]),
        regions in 1..3_usize,
        age in prop::sample::select(&[0_u8, 2, 16][..]),
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut both = Both::new(most, regions, age);
        for step in &steps {
            both.apply(step);
            both.compare();
        }
    }
}
