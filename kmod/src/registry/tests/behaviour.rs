// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Owners, references, other nodes, stacks, the shared set.

use std::vec::Vec;

use super::*;

pub fn fixture() -> Fixture {
    Fixture::new(SETTINGS, 4)
}

#[test]
fn a_new_one_is_registered_and_a_second_question_adds_a_reference() {
    let Fixture(registry) = fixture();
    assert_eq!(registry.ask(0, &tcp(1), true, 0), Verdict::Registered);
    assert_eq!(registry.ask(0, &tcp(1), false, 0), Verdict::Repeated);
    assert_eq!(registry.query(0, &tcp(1)), (Verdict::Repeated, 2));
    assert_eq!(registry.len(), 1);
    assert_eq!(registry.end(0, &tcp(1)), Some(false));
    assert_eq!(registry.end(0, &tcp(1)), Some(true));
    assert_eq!(registry.end(0, &tcp(1)), None);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Registered);
}

#[test]
fn each_part_of_a_tuple_makes_it_another() {
    let Fixture(registry) = fixture();
    let mut others = [tcp(1); 6];
    others[1].protocol = Protocol::Udp;
    others[2].local.addr = v4(11);
    others[3].local.port = 81;
    others[4].foreign.addr = v4(1);
    others[5].foreign.port = 80;
    for tuple in &others {
        assert_eq!(
            registry.ask(0, tuple, true, 0),
            Verdict::Registered,
            "{tuple:?}"
        );
    }
    assert_eq!(registry.len(), 6);
}

#[test]
fn an_address_is_the_same_in_both_families() {
    let Fixture(registry) = fixture();
    let mut mapped = tcp(1);
    mapped.local.addr = Addr::v6(v4(10).v6_form());
    registry.ask(0, &tcp(1), true, 0);
    assert_eq!(registry.ask(0, &mapped, true, 0), Verdict::Repeated);
}

#[test]
fn a_reference_count_at_its_end_never_drops_the_entry() {
    let Fixture(registry) = fixture();
    for (tuple, max) in [(tcp(1), (1 << 14) - 1), (udp(1), 15)] {
        for _ in 0..max + 10 {
            registry.ask(0, &tuple, true, 0);
        }
        assert_eq!(registry.query(0, &tuple), (Verdict::Repeated, max));
        for _ in 0..max + 20 {
            assert_eq!(registry.end(0, &tuple), Some(false));
        }
        assert_eq!(registry.query(0, &tuple), (Verdict::Repeated, max));
    }
}

#[test]
fn one_below_the_end_every_reference_counts() {
    let Fixture(registry) = fixture();
    for _ in 0..14 {
        registry.ask(0, &udp(1), true, 0);
    }
    for _ in 0..13 {
        assert_eq!(registry.end(0, &udp(1)), Some(false));
    }
    assert_eq!(registry.end(0, &udp(1)), Some(true));
}

#[test]
fn an_end_drops_only_what_this_node_registered() {
    let Fixture(registry) = fixture();
    assert_eq!(registry.end(0, &tcp(1)), None);
    for tuple in [tcp(1), udp(1)] {
        assert!(registry.install(2, &tuple).is_ok());
        assert_eq!(registry.end(0, &tuple), None);
        assert_eq!(registry.query(0, &tuple), (Verdict::OwnedBy(2), 0));
        assert_eq!(registry.ask(0, &tuple, true, 0), Verdict::OwnedBy(2));
        assert_eq!(registry.end(0, &tuple), None);
    }
}

#[test]
fn a_conflict_changes_nothing_in_either_direction() {
    let Fixture(registry) = fixture();
    for tuple in [tcp(1), udp(1)] {
        registry.ask(0, &tuple, true, 0);
        assert_eq!(registry.install(2, &tuple), Err(NotInstalled::OwnedBy(1)));
        assert_eq!(registry.withdraw(2, &tuple), Some(false));
        assert_eq!(registry.query(0, &tuple), (Verdict::Repeated, 1));
        assert_eq!(registry.end(0, &tuple), Some(true));
        assert!(registry.install(2, &tuple).is_ok());
        assert!(registry.install(2, &tuple).is_ok());
        assert_eq!(registry.install(3, &tuple), Err(NotInstalled::OwnedBy(2)));
        assert_eq!(registry.withdraw(3, &tuple), Some(false));
        assert_eq!(registry.withdraw(2, &tuple), Some(true));
        assert_eq!(registry.withdraw(2, &tuple), Some(false));
        assert_eq!(verdict(&registry, &tuple), Verdict::Registered);
    }
}

#[test]
fn no_other_node_is_none_and_this_one() {
    let Fixture(registry) = fixture();
    for node in [0, 1] {
        assert_eq!(registry.install(node, &tcp(1)), Err(NotInstalled::Invalid));
        assert_eq!(registry.withdraw(node, &tcp(1)), None);
        assert!(!registry.leave(node));
    }
    assert!(registry.len() == 0);
}

#[test]
fn a_purge_works_at_once_and_the_sweep_takes_the_memory() {
    let Fixture(registry) = fixture();
    for n in 0..20 {
        assert!(registry.install(2, &tcp(n)).is_ok());
        assert!(registry.install(3, &tcp(100 + n)).is_ok());
    }
    assert_eq!(registry.pending(), None);
    assert!(registry.leave(2));
    assert_eq!(registry.pending(), Some(Pass::Dead));
    assert_eq!(registry.len(), 40);
    assert_eq!(listing(&registry, 0).len(), 20);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Registered);
    assert_eq!(registry.withdraw(2, &tcp(1)), Some(false));
    let swept = registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    assert_eq!((swept.dead, registry.len()), (20, 20));
    assert_eq!(verdict(&registry, &tcp(101)), Verdict::OwnedBy(3));
}

#[test]
fn what_a_purged_node_installs_again_is_its_own() {
    for sweep_between in [false, true] {
        let Fixture(registry) = fixture();
        for n in 0..10 {
            assert!(registry.install(2, &tcp(n)).is_ok());
        }
        assert!(registry.leave(2));
        if sweep_between {
            assert_eq!(registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap().dead, 10);
        }
        // One is a dead node's, and taken over; one is installed again.
        assert_eq!(registry.ask(0, &tcp(0), true, 0), Verdict::Registered);
        assert!(registry.install(2, &tcp(1)).is_ok());
        assert!(registry.install(3, &tcp(2)).is_ok());
        registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
        assert_eq!(registry.len(), 3);
        assert_eq!(verdict(&registry, &tcp(0)), Verdict::Repeated);
        assert_eq!(verdict(&registry, &tcp(1)), Verdict::OwnedBy(2));
        assert_eq!(verdict(&registry, &tcp(2)), Verdict::OwnedBy(3));
        assert_eq!(verdict(&registry, &tcp(3)), Verdict::Registered);
    }
}

#[test]
fn stacks_are_apart_and_other_nodes_are_on_the_global_one() {
    let Fixture(registry) = fixture();
    assert!(registry.install(2, &tcp(1)).is_ok());
    assert_eq!(registry.ask(7, &tcp(1), true, 0), Verdict::Registered);
    assert_eq!(registry.ask(8, &tcp(1), true, 0), Verdict::Registered);
    assert_eq!(registry.end(9, &tcp(1)), None);
    assert_eq!(registry.end(7, &tcp(1)), Some(true));
    assert_eq!(registry.query(8, &tcp(1)), (Verdict::Repeated, 1));
    assert_eq!(registry.query(0, &tcp(1)), (Verdict::OwnedBy(2), 0));
    let mut stacks: Vec<_> = listing(&registry, 0)
        .iter()
        .map(|one| (one.stack, one.owner))
        .collect();
    stacks.sort_unstable();
    assert_eq!(stacks, [(0, 2), (8, 1)]);
}

#[test]
fn an_unspecified_local_address_is_accepted_and_not_registered() {
    let Fixture(registry) = fixture();
    for addr in [Addr::v4([0; 4]), Addr::v6([0; 16])] {
        let mut tuple = udp(1);
        tuple.local.addr = addr;
        assert_eq!(registry.ask(0, &tuple, true, 0), Verdict::Unspecified);
        assert_eq!(verdict(&registry, &tuple), Verdict::Unspecified);
        assert_eq!(registry.install(2, &tuple), Err(NotInstalled::Invalid));
        assert_eq!(registry.end(0, &tuple), None);
    }
    assert!(registry.len() == 0);
}

#[test]
fn without_a_list_all_but_loopback_is_shared() {
    let Fixture(registry) = fixture();
    let mut six = [0; 16];
    six[15] = 1;
    for addr in [
        Addr::v4([127, 0, 0, 1]),
        Addr::v4([127, 9, 9, 9]),
        Addr::v6(six),
    ] {
        let mut tuple = tcp(1);
        tuple.local.addr = addr;
        assert_eq!(registry.ask(0, &tuple, true, 0), Verdict::NotShared);
        assert_eq!(verdict(&registry, &tuple), Verdict::NotShared);
        assert_eq!(registry.install(2, &tuple), Err(NotInstalled::NotShared));
    }
    for last in [126, 128] {
        let mut tuple = tcp(1);
        tuple.local.addr = Addr::v4([last, 0, 0, 1]);
        assert_eq!(registry.ask(0, &tuple, true, 0), Verdict::Registered);
    }
}

#[test]
fn what_is_shared_no_more_is_gone_and_stays_gone() {
    let Fixture(registry) = fixture();
    for last in [10, 11] {
        for n in 0..10 {
            registry.ask(0, &from(last, tcp(n)), true, 0);
            assert!(registry.install(2, &from(last, tcp(100 + n))).is_ok());
        }
    }
    registry.share(&[v4(11).words(), v4(12).words()]).unwrap();
    assert_eq!(registry.pending(), Some(Pass::Dead));
    assert_eq!(registry.ask(0, &tcp(1), true, 0), Verdict::NotShared);
    assert_eq!(registry.end(0, &tcp(1)), None);
    assert_eq!(
        registry.ask(0, &from(11, tcp(1)), true, 0),
        Verdict::Repeated
    );
    assert_eq!(
        registry.ask(0, &from(12, tcp(1)), true, 0),
        Verdict::Registered
    );
    assert_eq!(listing(&registry, 0).len(), 21);
    // Shared again before the sweep: an address that starts anew.
    registry.share_all();
    assert_eq!(registry.ask(0, &tcp(1), true, 0), Verdict::Registered);
    assert_eq!(registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap().dead, 20);
    assert_eq!(registry.query(0, &tcp(1)), (Verdict::Repeated, 1));
    assert_eq!(verdict(&registry, &tcp(2)), Verdict::Registered);
    assert_eq!(registry.len(), 22);
}

#[test]
fn a_list_has_256_addresses_and_no_unspecified_one() {
    let Fixture(registry) = fixture();
    let all: Vec<_> = (0..=255).map(|n| v4(n).words()).collect();
    assert_eq!(registry.share(&all), Ok(()));
    for n in 0..=255 {
        assert!(registry.is_shared(&v4(n)), "{n}");
    }
    assert!(!registry.is_shared(&Addr::v4([192, 0, 3, 1])));
    let mut more = all.clone();
    more.push(Addr::v4([192, 0, 3, 1]).words());
    assert_eq!(registry.share(&more), Err(NotAList));
    assert_eq!(registry.share(&[v4(10).words(), [0, 0]]), Err(NotAList));
    assert!(
        registry.is_shared(&v4(11)),
        "a list that was refused changed something"
    );
    registry.share(&[]).unwrap();
    assert!(!registry.is_shared(&v4(10)));
}

/// Most machines share few of their addresses: most flows get no further.
#[test]
fn the_filter_excludes_most_that_is_not_shared_and_nothing_that_is() {
    let Fixture(registry) = fixture();
    let excluded = || (0..=255).filter(|n| registry.excludes(&v4(*n))).count();
    assert_eq!(excluded(), 0);
    for shared in [[10, 11], [20, 21]] {
        registry.share(&shared.map(|n| v4(n).words())).unwrap();
        assert!((240..255).contains(&excluded()), "{}", excluded());
        assert!(shared.iter().all(|n| !registry.excludes(&v4(*n))));
        assert!(!registry.excludes(&Addr::v4([0; 4])) && !registry.excludes(&Addr::v6([0; 16])));
    }
    registry.share_all();
    assert_eq!(excluded(), 0);
}

#[test]
fn a_query_changes_nothing() {
    let Fixture(registry) = Fixture::new(
        Settings {
            most: 4,
            ..SETTINGS
        },
        1,
    );
    registry.ask(0, &udp(1), true, 3);
    assert!(registry.install(2, &tcp(1)).is_ok());
    let before = (listing(&registry, 5), registry.endpoints());
    for _ in 0..100 {
        for (n, tuple) in [tcp(1), udp(1), tcp(2), udp(2), from(99, udp(3))]
            .iter()
            .enumerate()
        {
            registry.query(n as u32 % 2, tuple);
        }
    }
    assert_eq!((listing(&registry, 5), registry.endpoints()), before);
    assert_eq!(registry.query(0, &udp(1)), (Verdict::Repeated, 1));
}

#[test]
fn a_resynchronisation_drops_at_its_end_what_was_not_named() {
    let Fixture(registry) = fixture();
    for n in 0..3 {
        assert!(registry.install(2, &tcp(n)).is_ok());
    }
    assert_eq!(registry.resync_begin(2), Some(Ok(())));
    assert_eq!(listing(&registry, 0).len(), 3);
    assert!(registry.install(2, &tcp(1)).is_ok());
    assert!(registry.install(2, &tcp(3)).is_ok());
    assert_eq!(verdict(&registry, &tcp(0)), Verdict::OwnedBy(2));
    assert_eq!(registry.resync_end(2), Some(Ok(())));
    let owned = |n| verdict(&registry, &tcp(n)) == Verdict::OwnedBy(2);
    assert_eq!([0, 1, 2, 3].map(owned), [false, true, false, true]);
    assert_eq!(registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap().dead, 2);
    // Neither this node nor none.
    assert_eq!(
        (registry.resync_begin(1), registry.resync_end(0)),
        (None, None)
    );
}

#[test]
fn epochs_run_out_without_sweeps_and_come_back_with_one() {
    let Fixture(registry) = fixture();
    assert!(registry.install(2, &tcp(1)).is_ok());
    let purges = (0..300).take_while(|_| registry.leave(2)).count();
    assert_eq!(purges, 250);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Registered);
    assert!(registry.install(2, &tcp(2)).is_ok());
    for _ in 0..3 {
        registry.sweep(Pass::Unbound, 0, |_, _| {}).unwrap();
    }
    assert!(!registry.leave(2), "these sweeps pass by what it owns");
    for _ in 0..2 {
        registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    }
    for _ in 0..200 {
        assert_eq!(registry.resync_begin(2), Some(Ok(())));
    }
    assert_eq!(verdict(&registry, &tcp(2)), Verdict::OwnedBy(2));
}

/// Epochs that are alive are not free, however often the table was swept.
#[test]
fn a_resynchronisation_that_never_ends_runs_out_of_epochs() {
    let Fixture(registry) = fixture();
    for n in 0..200 {
        assert!(registry.install(2, &tcp(n)).is_ok());
        assert_eq!(registry.resync_begin(2), Some(Ok(())), "{n}");
        for _ in 0..2 {
            registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
        }
    }
    assert_eq!(registry.resync_begin(2), Some(Err(TooMany)));
    assert!((0..200).all(|n| verdict(&registry, &tcp(n)) == Verdict::OwnedBy(2)));
}

/// Sweeps before its end dropped nothing of what died then.
#[test]
fn what_a_resynchronisation_dropped_stays_dead_without_a_sweep() {
    let Fixture(registry) = fixture();
    for n in 0..200 {
        assert!(registry.install(2, &tcp(n)).is_ok());
        assert_eq!(registry.resync_begin(2), Some(Ok(())), "{n}");
    }
    for _ in 0..3 {
        registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    }
    assert_eq!(registry.resync_end(2), Some(Ok(())));
    let purges = (0..300).take_while(|_| {
        let all_dead = (0..200).all(|n| verdict(&registry, &tcp(n)) == Verdict::Registered);
        assert!(all_dead);
        registry.leave(2)
    });
    assert_eq!(purges.count(), 50);
}

#[test]
fn clearing_leaves_what_other_nodes_own() {
    let Fixture(registry) = fixture();
    for n in 0..10 {
        registry.ask(0, &tcp(n), true, 0);
        registry.ask(0, &udp(n), true, 0);
        assert!(registry.install(2, &tcp(100 + n)).is_ok());
    }
    registry.bind(0, &endpoint(7), Via::Ip, 0);
    registry.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
    // The endpoint that had entries is forgotten when it ages.
    assert_eq!((registry.len(), registry.endpoints()), (10, 1));
    assert!(listing(&registry, 0).iter().all(|one| one.owner == 2));
}
