// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Listing while the table changes.

use std::collections::BTreeMap;

use super::growth::bytes;
use super::*;

/// Lists with this much room, and calls `between` before each call.
fn list_all(
    registry: &Registry<Std>,
    room: usize,
    mut between: impl FnMut(usize),
) -> BTreeMap<[u64; 2], usize> {
    let mut seen = BTreeMap::new();
    let mut cursor = Some(Cursor::default());
    for call in 0.. {
        let Some(from) = cursor else {
            break;
        };
        between(call);
        let mut count = 0;
        cursor = registry
            .list(from, 0, room, |one| {
                count += 1;
                *seen.entry(one.foreign).or_default() += 1;
            })
            .unwrap();
        assert!(count <= room, "{count} of {room}");
    }
    seen
}

#[test]
fn what_is_there_all_the_time_is_listed_once_while_the_table_grows() {
    for shards in [1, 4] {
        let fixture = Fixture::new(SETTINGS, shards);
        for n in 0..2000 {
            fixture.connect(&tcp(n));
        }
        let before = fixture.0.len();
        let mut next = 10_000;
        let seen = list_all(&fixture.0, ROOM, |_| {
            for _ in 0..300 {
                fixture.connect(&tcp(next));
                next += 1;
            }
        });
        assert!(fixture.0.len() > 3 * before);
        for n in 0..2000 {
            assert_eq!(seen.get(&tcp(n).foreign.addr.words()), Some(&1), "{n}");
        }
        assert!(seen.values().all(|times| *times == 1));
    }
}

#[test]
fn and_while_it_shrinks() {
    for shards in [1, 4] {
        let fixture = Fixture::new(SETTINGS, shards);
        for n in 0..20_000 {
            fixture.connect(&tcp(n));
        }
        let before = bytes(&fixture.0);
        let seen = list_all(&fixture.0, ROOM, |call| {
            let from = 200 + 1500 * call as u32;
            for n in (from..from + 1500).take_while(|n| *n < 20_000) {
                assert_eq!(fixture.0.end(0, &tcp(n)), Some(true));
            }
            fixture.0.sweep(Pass::Age, 0, |_, _| {}).unwrap();
            fixture.0.maintain();
        });
        assert!(bytes(&fixture.0) < before / 10);
        for n in 0..200 {
            assert_eq!(seen.get(&tcp(n).foreign.addr.words()), Some(&1), "{n}");
        }
        assert!(seen.values().all(|times| *times == 1));
    }
}

#[test]
fn a_listing_says_all_about_an_entry() {
    let Fixture(registry) = Fixture::new(SETTINGS, 4);
    let addressed = FiveTuple {
        protocol: Protocol::Tcp,
        local: SockAddr {
            addr: v4(10),
            port: 0x1234,
        },
        foreign: SockAddr {
            addr: v4(77),
            port: 0x5678,
        },
    };
    registry.ask(3, &addressed, true, 0);
    registry.ask(3, &addressed, false, 0);
    let expected = TableEntry {
        stack: 3,
        owner: 1,
        references: 2,
        protocol: 6,
        outgoing: true,
        age: 0,
        local: v4(10).words(),
        foreign: v4(77).words(),
        lport: 0x1234,
        fport: 0x5678,
    };
    assert_eq!(listing(&registry, 0), [expected]);
    assert!(registry.install(9, &addressed).is_ok());
    let theirs = TableEntry {
        stack: 0,
        owner: 9,
        references: 0,
        outgoing: false,
        ..expected
    };
    let all = listing(&registry, 0);
    assert_eq!((all.len(), all.contains(&theirs)), (2, true), "{all:?}");
}

#[test]
fn an_empty_registry_and_an_odd_cursor_list_nothing() {
    let fixture = Fixture::new(SETTINGS, 4);
    assert!(listing(&fixture.0, 0).is_empty());
    fixture.connect(&tcp(1));
    let odd = Cursor {
        shard: u32::MAX,
        fraction: 7,
    };
    assert_eq!(fixture.0.list(odd, 0, ROOM, |_| panic!("listed")), Ok(None));
    let without_memory: Registry<Std> = Registry::new(SETTINGS, secret(1), memory(&SETTINGS, 4));
    assert!(listing(&without_memory, 0).is_empty());
}

#[test]
fn nobody_waits_for_the_turn_of_another() {
    let fixture = Fixture::new(SETTINGS, 4);
    let registry = &fixture.0;
    fixture.connect(&tcp(1));
    let turn = registry.turn().unwrap();
    assert_eq!(registry.list(Cursor::default(), 0, ROOM, |_| {}), Err(Busy));
    assert_eq!(registry.sweep(Pass::Dead, 0, |_, _| {}), Err(Busy));
    // Hooks and the task do not.
    registry.maintain();
    assert_eq!(registry.ask(0, &tcp(1), true, 0), Verdict::Repeated);
    drop(turn);
    assert!(registry.sweep(Pass::Dead, 0, |_, _| {}).is_ok());
}

#[test]
fn a_cursor_names_the_first_place_that_was_not_listed() {
    let fixture = Fixture::new(SETTINGS, 1);
    let registry = &fixture.0;
    fixture.connect(&tcp(1));
    let name = registry.locals.find(&local(0, &v4(10))).unwrap();
    let place = key(name, &tcp(1)).hash(&registry.secret).fraction();
    for (fraction, listed) in [(0, 1), (place - 1, 1), (place, 1), (place + 1, 0)] {
        let cursor = Cursor { shard: 0, fraction };
        let mut count = 0;
        registry.list(cursor, 0, ROOM, |_| count += 1).unwrap();
        assert_eq!(count, listed, "from {fraction:#x}, it is at {place:#x}");
    }
}
