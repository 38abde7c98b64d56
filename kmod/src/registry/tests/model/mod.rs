// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Any sequence of calls against a plain map.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::pool::Pool;
use super::*;

mod map;

use map::{Bound, Held, Id, Model, bound_of};

#[derive(Clone, Debug)]
enum Call {
    Connect(Id, bool, Via),
    Disconnect(Id),
    Query(Id),
    Bind(Bound, Via),
    Unbind(Bound, Via),
    Install(Node, Id),
    Withdraw(Node, Id),
    Purge(Node),
    ResyncBegin(Node),
    ResyncEnd(Node),
    Share(Option<BTreeSet<u8>>),
    AuditBegin,
    Seen(Id),
    Add(Id),
    Sweep(Pass),
    Maintain,
    Tick(u8),
}

fn tuple_of((_, udp, local, lport, foreign): Id) -> FiveTuple {
    let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
    from(local, tuple(protocol, lport, foreign))
}

fn endpoint_of((_, local, lport): Bound) -> Endpoint {
    from(local, tuple(Protocol::Udp, lport, 0)).endpoint()
}

/// The registry and the model.
struct Both {
    registry: Registry<Std>,
    model: Model,
    /// Ticks since the last sweep for the dead.
    since_dead: u8,
}

impl Both {
    fn new(most: usize, shards: usize, age: u8) -> Self {
        let settings = Settings {
            most,
            most_udp: most.div_ceil(2),
            age,
            ..SETTINGS
        };
        let Fixture(registry) = Fixture::new(settings, shards);
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

    /// Is that limit reached?
    fn is_full(&self, full: Full, udp: bool) -> bool {
        let used = self.registry.used();
        let is_full = |pool| *used.of(pool) == self.registry.pools.most(pool);
        match full {
            Full::Tuples => is_full(Pool::Tuples),
            Full::Udp => udp && (is_full(Pool::Udp) || is_full(Pool::Endpoints)),
            Full::Addresses | Full::Nodes => false,
        }
    }

    /// Does the registry keep anything of the endpoint?
    fn knows(&self, (stack, last, lport): Bound) -> bool {
        let name = self.registry.locals.find(&local(stack, &v4(last)));
        name.is_some_and(|name| {
            let key = Key::endpoint(name.number(), lport);
            self.registry.endpoint_generation(&key).is_some()
        })
    }

    fn connect(&mut self, id: Id, outgoing: bool, via: Via) {
        // A new incoming one may be taken for one that follows a reset.
        let via = match self.model.held.contains_key(&id) {
            false if !outgoing => Via::Contract,
            _ => via,
        };
        let direction = match outgoing {
            true => Direction::Outgoing,
            false => Direction::Incoming,
        };
        let (tuple, tick) = (tuple_of(id), self.model.tick);
        let asked = self.registry.query(id.0, &tuple).0;
        let was_known = self.knows(bound_of(id));
        let verdict = self.registry.connect(id.0, &tuple, direction, via, tick);
        assert_eq!(asked, verdict, "a query said otherwise");
        let expected = self.model.answer(id).0;
        match verdict {
            Verdict::Full(full) if expected == Verdict::Registered => {
                assert!(self.is_full(full, id.1), "{full:?}");
            }
            // Without room for its endpoint nobody looks at it.
            Verdict::Full(Full::Udp) => assert!(!was_known && expected == Verdict::Registered),
            _ => assert_eq!(verdict, expected),
        }
        if id.1 && !was_known && self.knows(bound_of(id)) {
            self.model.unite(bound_of(id));
        }
        self.model.connect(id, outgoing, via, verdict);
    }

    fn bind(&mut self, bound: Bound, via: Via) {
        let full = self.is_full(Full::Udp, true);
        let tick = self.model.tick;
        let was_known = self.knows(bound);
        let counted = self.registry.bind(bound.0, &endpoint_of(bound), via, tick);
        assert_eq!(counted, self.model.is_shared(bound.1).then_some(true));
        match (counted, self.knows(bound)) {
            (None, _) => {}
            (Some(_), true) => {
                if !was_known {
                    self.model.unite(bound);
                }
                self.model.bind(bound, via);
            }
            (Some(_), false) => {
                assert!(full);
                self.model.bind_apart(bound, via);
            }
        }
    }

    fn unbind(&mut self, bound: Bound, via: Via) {
        let known = self.knows(bound);
        let ended = self.registry.unbind(bound.0, &endpoint_of(bound), via);
        let used =
            |(id, held): (&Id, &Held)| bound_of(*id) == bound && matches!(held, Held::Udp { .. });
        let in_use = self.model.binds.contains_key(&bound) || self.model.held.iter().any(used);
        assert!(known || !in_use);
        if known {
            assert!(ended);
            self.model.unbind(bound, via);
        } else {
            assert_eq!(ended, self.model.unbind_apart(bound, via));
        }
    }

    fn install(&mut self, node: Node, id: Id) {
        match self.registry.install(node, &tuple_of(id)) {
            Err(NotInstalled::Full(full)) => {
                assert!(self.is_full(full, false), "{full:?}");
                assert_eq!(self.model.answer(id).0, Verdict::Registered);
            }
            other => assert_eq!(other, self.model.install(node, id)),
        }
    }

    fn share(&mut self, shared: Option<BTreeSet<u8>>) {
        match &shared {
            None => self.registry.share_all(),
            Some(list) => {
                let list: Vec<_> = list.iter().map(|last| v4(*last).words()).collect();
                self.registry.share(&list).unwrap();
            }
        }
        self.model.share(shared);
    }

    fn apply(&mut self, call: &Call) {
        let registry = &self.registry;
        match call.clone() {
            Call::Connect(id, outgoing, via) => self.connect(id, outgoing, via),
            Call::Disconnect(id) => {
                let ended = registry.disconnect(id.0, &tuple_of(id));
                assert_eq!(ended, self.model.disconnect(id));
            }
            Call::Query(id) => match registry.query(id.0, &tuple_of(id)) {
                (Verdict::Full(full), 0) => assert!(self.is_full(full, id.1)),
                answer => assert_eq!(answer, self.model.answer(id)),
            },
            Call::Bind(bound, via) => self.bind(bound, via),
            Call::Unbind(bound, via) => self.unbind(bound, via),
            Call::Install(node, id) => self.install(node, id),
            Call::Withdraw(node, id) => {
                let withdrawn = registry.withdraw(node, &tuple_of(id));
                assert_eq!(withdrawn, Some(self.model.withdraw(node, id)));
            }
            Call::Purge(node) => {
                assert_eq!(registry.purge(node), Some(Ok(())));
                self.model.purge(node);
            }
            Call::ResyncBegin(node) => {
                assert_eq!(registry.resync_begin(node), Some(Ok(())));
                self.model.resync_begin(node);
            }
            Call::ResyncEnd(node) => {
                assert_eq!(registry.resync_end(node), Some(Ok(())));
                self.model.resync_end(node);
            }
            Call::Share(shared) => self.share(shared),
            Call::AuditBegin => {
                registry.audit_begin();
                self.model.audited = true;
            }
            Call::Seen(id) => {
                let seen = registry.audit_seen(id.0, &tuple_of(id));
                assert_eq!(seen, self.model.see(id));
            }
            Call::Add(id) => match registry.audit_add(id.0, &tuple_of(id)) {
                Audit::NoRoom => assert!(self.is_full(Full::Tuples, false)),
                added => assert_eq!(added, self.model.add(id)),
            },
            Call::Sweep(pass) => self.sweep(pass),
            Call::Tick(ticks) => self.tick(ticks),
            Call::Maintain => registry.maintain(),
        }
    }

    /// Time passes, with what the module's task does then.
    fn tick(&mut self, ticks: u8) {
        self.model.tick = (self.model.tick + ticks) % 64;
        self.sweep(Pass::Age);
        self.since_dead = self.since_dead.saturating_add(ticks);
        if let Some(pass) = self.registry.pending().filter(|_| self.since_dead > 4) {
            self.sweep(pass);
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
        }
        if pass != Pass::Age && self.registry.pending().is_none() {
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
            let age = |tick: u8| self.model.tick.wrapping_sub(tick) % 64;
            let expected = match *held {
                Held::Tcp(tcp) => (1, tcp.references, tcp.outgoing, 0),
                Held::Udp {
                    references, tick, ..
                } => {
                    assert!(!self.model.is_old(tick));
                    (1, references, false, age(tick))
                }
                Held::Other { node, .. } => (node, 0, false, 0),
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

fn call() -> impl Strategy<Value = Call> {
    let pass = prop::sample::select(
        &[
            Pass::Age,
            Pass::Unbound,
            Pass::Dead,
            Pass::Audit,
            Pass::Audit,
            Pass::Clear,
        ][..],
    );
    let list = prop::sample::subsequence(&LOCALS[..], 0..=LOCALS.len());
    let list = prop::option::of(list.prop_map(BTreeSet::from_iter));
    let node = 2..4_u32;
    let via = || prop::sample::select(&[Via::Ip, Via::Ip, Via::Contract][..]);
    // An audit is of TCP.
    let tcp = || id().prop_map(|id| (id.0, false, id.2, id.3, id.4));
    prop_oneof![
        30 => (id(), any::<bool>(), via()).prop_map(|(id, out, via)| Call::Connect(id, out, via)),
        12 => id().prop_map(Call::Disconnect),
        3 => id().prop_map(Call::Query),
        6 => (id(), via()).prop_map(|(id, via)| Call::Bind(bound_of(id), via)),
        6 => (id(), via()).prop_map(|(id, via)| Call::Unbind(bound_of(id), via)),
        12 => (node.clone(), global()).prop_map(|(node, id)| Call::Install(node, id)),
        6 => (node.clone(), global()).prop_map(|(node, id)| Call::Withdraw(node, id)),
        2 => node.clone().prop_map(Call::Purge),
        3 => node.clone().prop_map(Call::ResyncBegin),
        3 => node.prop_map(Call::ResyncEnd),
        1 => list.prop_map(Call::Share),
        2 => Just(Call::AuditBegin),
        4 => tcp().prop_map(Call::Seen),
        2 => tcp().prop_map(Call::Add),
        4 => pass.prop_map(Call::Sweep),
        1 => Just(Call::Maintain),
        6 => (0..4_u8).prop_map(Call::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_map(
        most in prop::sample::select(&[3_usize, 8, 24, 64, 4096][..]),
        shards in 1..3_usize,
        age in prop::sample::select(&[0_u8, 2, 16][..]),
        calls in prop::collection::vec(call(), 1..400),
    ) {
        let mut both = Both::new(most, shards, age);
        for call in &calls {
            both.apply(call);
            both.compare();
        }
    }
}
