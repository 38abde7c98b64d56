// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The registry against a plain map, and what only a small table shows.

use std::collections::HashMap;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::flow::{Addr, SockAddr};

type TestRegistry = Registry<Vec<TupleSlot>, Vec<LocalSlot>, Vec<u32>>;

const ME: Node = 7;

fn registry(capacity: usize) -> TestRegistry {
    Registry::new(
        ME,
        [3; 16],
        (vec![TupleSlot::default(); capacity], vec![0; capacity]),
        (
            vec![LocalSlot::default(); capacity / 4],
            vec![0; capacity / 4],
        ),
    )
}

fn addr(number: u8) -> Addr {
    match number {
        0 => Addr::v4([0; 4]),
        1 => Addr::v6([0; 16]),
        // One address in both of its forms.
        2 => Addr::v4([192, 0, 2, 1]),
        3 => Addr::v6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]),
        other => Addr::v6([other; 16]),
    }
}

fn tuple(protocol: Protocol, local: (u8, u16), foreign: (u8, u16)) -> FiveTuple {
    FiveTuple {
        protocol,
        local: SockAddr {
            addr: addr(local.0),
            port: local.1,
        },
        foreign: SockAddr {
            addr: addr(foreign.0),
            port: foreign.1,
        },
    }
}

fn contents(registry: &TestRegistry) -> HashMap<TupleKey, (Node, u32)> {
    (0..registry.capacity())
        .filter_map(|number| registry.tuples.nth(number))
        .filter(|index| !registry.is_stale(*index))
        .map(|index| {
            let entry = registry.tuples.get(index).unwrap();
            let key = registry.tuples.key(index).unwrap();
            (*key, (entry.owner, entry.references))
        })
        .collect()
}

/// What the registry should do, by scanning maps.
#[derive(Default)]
struct Model {
    tuples: HashMap<TupleKey, (Node, u32)>,
    binds: HashMap<LocalKey, u32>,
}

impl Model {
    fn connect(&mut self, tuple: &FiveTuple) -> Verdict {
        if tuple.local.addr.is_unspecified() {
            return Verdict::Unspecified;
        }
        match self.tuples.get_mut(&tuple.into()) {
            Some((ME, references)) => {
                *references += 1;
                Verdict::Repeated
            }
            Some((owner, _)) => Verdict::OwnedBy(*owner),
            None => {
                self.tuples.insert(tuple.into(), (ME, 1));
                Verdict::Registered
            }
        }
    }

    fn disconnect(&mut self, tuple: &FiveTuple) -> Option<bool> {
        let (owner, references) = self.tuples.get_mut(&tuple.into())?;
        if *owner != ME {
            return None;
        }
        *references -= 1;
        if *references == 0 {
            self.tuples.remove(&tuple.into());
            return Some(true);
        }
        Some(false)
    }

    fn drop_entries(&mut self, key: &LocalKey) {
        self.tuples
            .retain(|tuple, (owner, _)| *owner != ME || tuple.local != *key);
    }

    fn bind(&mut self, endpoint: &Endpoint) {
        if endpoint.protocol != Protocol::Udp || endpoint.addr.is_unspecified() {
            return;
        }
        let key = LocalKey::from(endpoint);
        if self.binds.get(&key).copied().unwrap_or(0) == 0 {
            self.drop_entries(&key);
        }
        *self.binds.entry(key).or_insert(0) += 1;
    }

    fn unbind(&mut self, endpoint: &Endpoint) {
        if endpoint.protocol != Protocol::Udp || endpoint.addr.is_unspecified() {
            return;
        }
        let key = LocalKey::from(endpoint);
        let binds = self.binds.entry(key).or_insert(0);
        *binds = binds.saturating_sub(1);
        if *binds == 0 {
            self.drop_entries(&key);
        }
    }

    fn install(&mut self, owner: Node, tuple: &FiveTuple) -> Result<(), NotInstalled> {
        if owner == 0 || owner == ME || tuple.local.addr.is_unspecified() {
            return Err(NotInstalled::Invalid);
        }
        match self.tuples.get(&tuple.into()) {
            Some((holder, _)) if *holder != owner => Err(NotInstalled::OwnedBy(*holder)),
            _ => {
                self.tuples.insert(tuple.into(), (owner, 1));
                Ok(())
            }
        }
    }

    fn withdraw(&mut self, owner: Node, tuple: &FiveTuple) -> Option<bool> {
        if owner == 0 || owner == ME {
            return None;
        }
        let owned = self
            .tuples
            .get(&tuple.into())
            .is_some_and(|(holder, _)| *holder == owner);
        if owned {
            self.tuples.remove(&tuple.into());
        }
        Some(owned)
    }

    fn purge(&mut self, owner: Node) -> bool {
        if owner == 0 || owner == ME {
            return false;
        }
        self.tuples.retain(|_, (holder, _)| *holder != owner);
        true
    }
}

#[derive(Clone, Debug)]
enum Call {
    Connect(FiveTuple),
    Disconnect(FiveTuple),
    Bind(FiveTuple),
    Unbind(FiveTuple),
    Install(Node, FiveTuple),
    Withdraw(Node, FiveTuple),
    Purge(Node),
}

fn tuples() -> impl Strategy<Value = FiveTuple> {
    (any::<bool>(), 0..6_u8, 1..3_u16, 2..6_u8, 1..3_u16).prop_map(
        |(tcp, laddr, lport, faddr, fport)| {
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            tuple(protocol, (laddr, lport), (faddr, fport))
        },
    )
}

fn calls() -> impl Strategy<Value = Call> {
    let node = prop_oneof![Just(0), Just(ME), Just(8), Just(9)];
    prop_oneof![
        4 => tuples().prop_map(Call::Connect),
        3 => tuples().prop_map(Call::Disconnect),
        1 => tuples().prop_map(Call::Bind),
        1 => tuples().prop_map(Call::Unbind),
        2 => (node.clone(), tuples()).prop_map(|(node, tuple)| Call::Install(node, tuple)),
        1 => (node.clone(), tuples()).prop_map(|(node, tuple)| Call::Withdraw(node, tuple)),
        1 => node.prop_map(Call::Purge),
    ]
}

proptest! {
    #[test]
    fn any_calls_give_what_a_plain_map_gives(calls in prop::collection::vec(calls(), 1..200)) {
        let mut registry = registry(256);
        let mut model = Model::default();
        for call in calls {
            match call {
                Call::Connect(tuple) => {
                    prop_assert_eq!(registry.connect(&tuple), model.connect(&tuple));
                }
                Call::Disconnect(tuple) => {
                    prop_assert_eq!(registry.disconnect(&tuple), model.disconnect(&tuple));
                }
                Call::Bind(tuple) => {
                    prop_assert!(registry.bind(&tuple.endpoint()));
                    model.bind(&tuple.endpoint());
                }
                Call::Unbind(tuple) => {
                    registry.unbind(&tuple.endpoint());
                    model.unbind(&tuple.endpoint());
                }
                Call::Install(node, tuple) => {
                    prop_assert_eq!(registry.install(node, &tuple), model.install(node, &tuple));
                }
                Call::Withdraw(node, tuple) => {
                    prop_assert_eq!(registry.withdraw(node, &tuple), model.withdraw(node, &tuple));
                }
                Call::Purge(node) => {
                    prop_assert_eq!(registry.purge(node), model.purge(node));
                }
            }
            prop_assert_eq!(registry.len(), model.tuples.len());
        }
        prop_assert_eq!(contents(&registry), model.tuples);
    }

    /// A table that is too small refuses to grow and loses nothing it took.
    #[test]
    fn a_full_table_keeps_what_it_has(calls in prop::collection::vec(tuples(), 1..100)) {
        let mut registry = registry(4);
        let mut taken = HashMap::new();
        for tuple in calls {
            let key = TupleKey::from(&tuple);
            match registry.connect(&tuple) {
                Verdict::Registered => {
                    prop_assert!(taken.len() < 4);
                    prop_assert_eq!(taken.insert(key, (ME, 1)), None);
                }
                Verdict::Repeated => taken.get_mut(&key).unwrap().1 += 1,
                Verdict::Full => prop_assert!(taken.len() == 4 || tuple.protocol == Protocol::Udp),
                Verdict::Unspecified => prop_assert!(tuple.local.addr.is_unspecified()),
                Verdict::OwnedBy(_) => prop_assert!(false, "there is one node"),
            }
            prop_assert_eq!(&contents(&registry), &taken);
        }
    }
}

#[test]
fn slots_of_dropped_entries_are_found_when_slots_run_out() {
    let mut registry = registry(8);
    let endpoint = tuple(Protocol::Udp, (5, 1), (4, 1)).endpoint();
    for round in 0..100_u16 {
        assert!(registry.bind(&endpoint));
        for port in 0..8 {
            let tuple = tuple(Protocol::Udp, (5, 1), (4, round * 8 + port));
            assert_eq!(registry.connect(&tuple), Verdict::Registered);
        }
        let one_more = tuple(Protocol::Udp, (5, 1), (4, u16::MAX));
        assert_eq!(registry.connect(&one_more), Verdict::Full);
        assert!(registry.unbind(&endpoint));
        assert!(registry.is_empty());
    }
}

#[test]
fn an_entry_of_a_former_endpoint_does_not_come_back() {
    let mut registry = registry(8);
    let old = tuple(Protocol::Udp, (5, 1), (4, 1));
    assert!(registry.bind(&old.endpoint()));
    assert_eq!(registry.connect(&old), Verdict::Registered);
    assert!(registry.unbind(&old.endpoint()));
    // Takes the slot that the endpoint had.
    let new = tuple(Protocol::Udp, (5, 2), (4, 1));
    assert_eq!(registry.connect(&new), Verdict::Registered);
    assert_eq!(registry.disconnect(&old), None);
    assert_eq!(registry.len(), 1);
}

fn udp(port: u16) -> FiveTuple {
    tuple(Protocol::Udp, (5, port), (4, 1))
}

/// Two sockets are bound to one endpoint, and only one of them was counted.
#[test]
fn a_bind_that_was_not_counted_keeps_what_it_may_use() {
    let mut registry = registry(16);
    for port in 1..=4 {
        assert!(registry.bind(&udp(port).endpoint()));
    }
    assert!(!registry.bind(&udp(9).endpoint()));
    for port in 1..=4 {
        assert!(registry.unbind(&udp(port).endpoint()));
    }
    assert!(registry.bind(&udp(9).endpoint()));
    assert_eq!(registry.connect(&udp(9)), Verdict::Registered);
    assert!(registry.unbind(&udp(9).endpoint()));
    assert_eq!(registry.install(8, &udp(9)), Err(NotInstalled::OwnedBy(ME)));
}

/// What no unbind would ever end is not registered.
#[test]
fn udp_without_room_for_its_endpoint_is_full() {
    let mut registry = registry(16);
    for port in 1..=4 {
        assert_eq!(registry.connect(&udp(port)), Verdict::Registered);
    }
    assert_eq!(registry.connect(&udp(5)), Verdict::Full);
    for port in 1..=5 {
        registry.unbind(&udp(port).endpoint());
    }
    assert!(registry.is_empty());
    assert_eq!(registry.connect(&udp(5)), Verdict::Registered);
}
