// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Each thing that there may be no room for has a reason and counters of its own,
//! for who asks, who looks on and who reads the counters.

use clinet_control::abi;
use clinet_module_tests::{Control, EADDRINUSE, EADDRNOTAVAIL, Loaded, TCP, Tuple, UDP};

use super::{EAGAIN, OWNED, numbered, reason};
use crate::events::Watched;

const ENOSPC: i32 = 28;

/// Local addresses at most, and other nodes at most.
const NAMES: u32 = 768;

extern "C" fn nobody() {}

/// A machine where somebody looks on from now on, and where in the events he is.
fn watched(tunables: &[(&str, u64)], fill: impl Fn(&Loaded)) -> (Watched, u64) {
    let watched = Watched::with(tunables, nobody);
    fill(&watched.loaded);
    watched.loaded.kernel.settle();
    let cursor = watched.open();
    (watched, cursor)
}

/// Reason, owner and errno of each refusal since the last time.
fn told(watched: &Watched, cursor: &mut u64) -> Vec<(u32, u32, i32)> {
    let events = watched.read(cursor, abi::CLINETCTL_EVENTS_ALL, 9);
    let events = events.iter();
    let told = events.map(|event| (event.ev_reason, event.ev_owner, event.ev_error));
    told.collect()
}

/// From the local address of this number.
fn from_address(n: u32) -> Tuple {
    let mut tuple = Tuple::v4(TCP, 1, 80);
    tuple.laddr[..4].copy_from_slice(&(0x0a00_0001 + n).to_be_bytes());
    tuple
}

#[test]
fn too_many_addresses_are_no_full_table() {
    let new = from_address(NAMES);
    for (refuse, answer, refusals) in [
        (0, 0, vec![]),
        (
            1,
            EADDRNOTAVAIL,
            vec![(abi::CLINET_FULL_ADDRESSES, 0, EADDRNOTAVAIL)],
        ),
    ] {
        let (watched, mut cursor) = watched(&[("clinet_full_refuse", refuse)], |loaded| {
            for n in 0..NAMES {
                assert_eq!(loaded.connect2(true, &from_address(n)), 0);
            }
        });
        let loaded = &watched.loaded;
        assert_eq!(loaded.connect2(true, &new), answer);
        let asked = reason(loaded, &new);
        assert_eq!(asked, (answer, abi::CLINET_FULL_ADDRESSES));
        assert_eq!(told(&watched, &mut cursor), refusals);
        let names = [
            "flow_tcp_out_addresses_full",
            "flow_tcp_out_full",
            "full_admitted",
            "full_refused",
        ];
        let counted = names.map(|name| loaded.stat(name));
        assert_eq!(counted, [1, 0, 1 - refuse, refuse]);
        assert_eq!(loaded.other_node("clinet_install", 2, &new), ENOSPC);
        let refused = (abi::CLINET_FULL_ADDRESSES, 2, ENOSPC);
        assert_eq!(told(&watched, &mut cursor), [refused]);
        let counted = ["addresses_full", "nodes_full"].map(|name| loaded.stat(name));
        assert_eq!(counted, [1, 0]);
        assert_eq!(loaded.state().cst_addresses, u64::from(NAMES));
        watched.close();
    }
}

#[test]
fn too_many_nodes_are_no_full_table() {
    let install = |loaded: &Loaded, node| {
        let tuple = numbered(node);
        loaded.other_node("clinet_install", node, &tuple)
    };
    let (watched, mut cursor) = watched(&[], |loaded| {
        for node in 2..2 + NAMES {
            assert_eq!(install(loaded, node), 0);
        }
    });
    let new = 2 + NAMES;
    assert_eq!(install(&watched.loaded, new), ENOSPC);
    let refused = (abi::CLINET_FULL_NODES, new, ENOSPC);
    assert_eq!(told(&watched, &mut cursor), [refused]);
    let counted = ["addresses_full", "nodes_full"].map(|name| watched.loaded.stat(name));
    assert_eq!(counted, [0, 1]);
    assert_eq!(watched.loaded.state().cst_nodes, u64::from(NAMES));
    watched.close();
}

#[test]
fn who_looks_on_is_told_whose_room_it_was() {
    let tunables = [("clinet_max_tuples", 1000), ("clinet_full_refuse", 1)];
    let flow = |n| Tuple::v4(UDP, 53, n);
    let (watched, mut cursor) = watched(&tunables, |loaded| {
        for n in 0..250 {
            assert_eq!(loaded.connect2(true, &flow(n)), 0);
        }
        for n in 0..750 {
            assert_eq!(loaded.connect2(true, &numbered(n)), 0);
        }
    });
    let loaded = &watched.loaded;
    assert_eq!(loaded.connect2(true, &flow(250)), EADDRNOTAVAIL);
    assert_eq!(loaded.connect2(true, &numbered(750)), EADDRNOTAVAIL);
    let install = loaded.other_node("clinet_install", 2, &numbered(751));
    assert_eq!(install, ENOSPC);
    assert_eq!(
        told(&watched, &mut cursor),
        [
            (abi::CLINET_FULL_UDP, 0, EADDRNOTAVAIL),
            (abi::CLINET_FULL, 0, EADDRNOTAVAIL),
            (abi::CLINET_FULL, 2, ENOSPC),
        ]
    );
    watched.close();
}

/// Epochs are told apart up to a number.
#[test]
fn who_begins_too_often_to_name_its_tuples_is_told_so() {
    let loaded = Loaded::new(&[]);
    let tuple = Tuple::v4(TCP, 1, 2);
    assert_eq!(loaded.other_node("clinet_install", 2, &tuple), 0);
    let begin = || loaded.call("clinet_resync_begin", &[2]);
    let begun = (0..300).take_while(|_| begin() == 0).count();
    assert_eq!((begun, begin()), (200, EAGAIN));
    assert_eq!(reason(&loaded, &tuple), (EADDRINUSE, OWNED));
}
