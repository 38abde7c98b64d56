// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory that is late, or fails, or is all there is; and keys that were chosen to
//! need much.

use super::super::hash::home;
use super::super::table::REACH;
use super::growth::bytes;
use super::*;

/// A registry whose task has not run, where this thread gets so many segments.
fn with_segments(segments: usize, shards: usize) -> Fixture {
    let registry = Registry::new(SETTINGS, secret(1), memory(&SETTINGS, shards));
    allow_segments(segments);
    Fixture(registry)
}

/// Registers 5-tuples of TCP and UDP, of which some are `Late`: those.
fn register(fixture: &Fixture, count: u32) -> Vec<FiveTuple> {
    let flows = (0..count).flat_map(|n| [tcp(n), from(11, tuple(Protocol::Udp, n as u16, n))]);
    let late = flows.filter(|flow| {
        let verdict = fixture.connect(flow);
        let now = fixture.0.query(0, flow);
        match verdict {
            Verdict::Registered => assert_eq!(now, (Verdict::Repeated, 1)),
            Verdict::Late => assert_eq!(now.1, 0, "{flow:?}"),
            odd => panic!("{odd:?} of {flow:?}"),
        }
        verdict == Verdict::Late
    });
    late.collect()
}

/// Nothing that was registered is lost, and all goes on when there is memory.
#[test]
fn any_segment_may_be_the_last_one() {
    for segments in 0.. {
        let fixture = with_segments(segments, 2);
        let registry = &fixture.0;
        let late = register(&fixture, 1000);
        // Without more room all the same: what grows is only late.
        let room = (bytes(registry) / size_of::<Bucket>()) * bucket::SLOTS;
        let used = registry.len() + registry.endpoints();
        assert!(late.is_empty() || used * 10 >= room * 6, "{used} of {room}");
        assert!(late.is_empty() || bytes(registry) == segments * size_of::<Segment>());
        assert_eq!(listing(registry, 0).len(), 2000 - late.len());
        invariants::check_of_one_thread(registry);
        registry.maintain();
        assert!(registry.reserve.is_exhausted());
        invariants::check_of_one_thread(registry);
        allow_segments(usize::MAX);
        registry.maintain();
        assert!(!registry.reserve.is_exhausted());
        for flow in &late {
            assert_eq!(fixture.connect(flow), Verdict::Registered);
        }
        assert_eq!(listing(registry, 0).len(), 2000);
        registry.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
        for _ in 0..5 {
            let late = SETTINGS.age + 1;
            registry.sweep(Pass::Dead, late, |_, _| {}).unwrap();
        }
        registry.maintain();
        assert_eq!(
            (registry.len(), registry.endpoints(), bytes(registry)),
            (0, 0, 0)
        );
        invariants::check_of_one_thread(registry);
        if late.is_empty() {
            assert!(segments > 12, "{segments}");
            break;
        }
    }
}

/// A shard that is full for want of memory, and 5-tuples that came late.
fn full(segments: usize) -> (Fixture, Vec<FiveTuple>) {
    let fixture = with_segments(segments, 1);
    let places = (segments * SEGMENT * bucket::SLOTS) as u32;
    let flows = (0..places + 500).map(tcp);
    let late: Vec<_> = flows
        .filter(|flow| fixture.connect(flow) == Verdict::Late)
        .collect();
    assert!(fixture.0.len() * 10 > places as usize * 6, "{segments}");
    (fixture, late)
}

/// However full a shard is, no call goes through all of it under the lock.
#[test]
fn nobody_looks_further_than_an_entry_may_be() {
    let (fixture, late) = full(60);
    let registry = &fixture.0;
    let question = |udp: bool, outgoing: bool, n: u32| {
        let flow = match udp {
            true => tuple(Protocol::Udp, n as u16, n),
            false => tcp(1_000_000 + n),
        };
        registry.ask(0, &flow, outgoing, 0)
    };
    let mut most = 0;
    for (n, flow) in (0..).zip(&late[..100]) {
        let (udp, socket) = (tuple(Protocol::Udp, n, n.into()), endpoint(n));
        most = [
            looks(|| question(false, true, n.into())),
            looks(|| question(false, false, n.into())),
            looks(|| question(true, true, n.into())),
            looks(|| registry.query(0, flow)),
            looks(|| registry.query(0, &udp)),
            looks(|| registry.disconnect(0, flow)),
            looks(|| registry.disconnect(0, &udp)),
            looks(|| registry.install(2, flow)),
            looks(|| registry.withdraw(2, flow)),
            looks(|| registry.bind(0, &socket, Via::Ip, 0)),
            looks(|| registry.unbind(0, &socket, Via::Ip)),
            looks(|| registry.audit_add(0, flow)),
        ]
        .into_iter()
        .fold(most, usize::max);
    }
    assert!((REACH..=7 * REACH).contains(&most), "{most} buckets");
    // Nothing of that stays behind when there is room again.
    for n in 0..20_000 {
        registry.end(0, &tcp(n));
    }
    let miss = looks(|| registry.query(0, &late[0]));
    assert!(miss < 10, "{miss} buckets");
    invariants::check_of_one_thread(registry);
}

/// What grows from a full shard finds its place within reach.
#[test]
fn a_full_shard_grows_when_memory_comes() {
    for segments in (1..16).chain([24, 40, 80]) {
        let (fixture, late) = full(segments);
        let registry = &fixture.0;
        invariants::check_of_one_thread(registry);
        allow_segments(usize::MAX);
        registry.maintain();
        let is_moving = registry.shards[0].lock().layout.is_moving();
        assert!(!is_moving, "{segments} segments");
        for flow in &late {
            assert_eq!(fixture.connect(flow), Verdict::Registered);
        }
        invariants::check_of_one_thread(registry);
    }
}

/// Else each of the connections that follow would look for memory and wake it again.
#[test]
fn the_task_gives_nothing_back_when_it_was_woken() {
    let fixture = Fixture::new(SETTINGS, 16);
    let registry = &fixture.0;
    let one_after_another = || {
        for n in 0..200 {
            assert_eq!(fixture.connect(&tcp(n)), Verdict::Registered);
            assert_eq!(registry.end(0, &tcp(n)), Some(true));
            registry.bring_memory();
        }
    };
    one_after_another();
    assert_eq!(bytes(registry), 16 * size_of::<Segment>());
    let before = wakes_and_asks();
    one_after_another();
    assert_eq!(wakes_and_asks(), before);
    registry.maintain();
    assert_eq!(bytes(registry), 0);
}

#[test]
fn who_finds_no_memory_does_not_look_again_before_the_task() {
    let fixture = with_segments(0, 4);
    for _ in 0..3 {
        let before = wakes_and_asks();
        assert_eq!(register(&fixture, 50).len(), 100);
        let (wakes, asks) = wakes_and_asks();
        assert!(wakes == before.0 && asks <= before.1 + 1);
        fixture.0.maintain();
    }
    // The task keeps some; it is woken once when half of them are gone.
    allow_segments(usize::MAX);
    fixture.0.maintain();
    let before = wakes_and_asks();
    assert_eq!(register(&fixture, 2000).len(), 0);
    assert!(bytes(&fixture.0) > RESERVED / 2 * size_of::<Segment>());
    assert_eq!(wakes_and_asks().0, before.0 + 1);
    fixture.0.maintain();
    let asked = wakes_and_asks().1;
    for n in 10_000..10_300 {
        assert_eq!(fixture.connect(&tcp(n)), Verdict::Registered);
    }
    assert_eq!(wakes_and_asks().1, asked, "memory of the reserve was there");
}

#[test]
fn all_memory_may_be_there_at_once() {
    let settings = Settings {
        most: 20_000,
        fixed: true,
        ..SETTINGS
    };
    let fixture = Fixture(Registry::new(settings, secret(1), memory(&settings, 4)));
    allow_segments(100);
    assert!(!fixture.0.preallocate());
    allow_segments(usize::MAX);
    assert!(fixture.0.preallocate());
    allow_segments(0);
    let (all, before) = (bytes(&fixture.0), wakes_and_asks());
    for n in 0..19_600 {
        assert_eq!(fixture.connect(&tcp(n)), Verdict::Registered, "{n}");
    }
    assert_eq!(wakes_and_asks(), before);
    // And it stays.
    fixture.0.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
    fixture.0.maintain();
    assert_eq!((fixture.0.len(), bytes(&fixture.0)), (0, all));
    allow_segments(usize::MAX);
}

/// A shard that got far more than its part.
#[test]
fn a_directory_that_is_full_is_filled_and_no_more() {
    let few = Settings {
        most: 300,
        most_udp: 0,
        ..SETTINGS
    };
    let memory = memory(&few, 1);
    let segments = few.directory(1);
    let registry: Registry<Std> = Registry::new(SETTINGS, secret(1), memory);
    let fixture = Fixture(registry);
    let late = register(&fixture, 2000);
    assert_eq!(bytes(&fixture.0), segments * size_of::<Segment>());
    let places = segments * SEGMENT * bucket::SLOTS;
    let used = fixture.0.len() + fixture.0.endpoints();
    assert!(used * 10 >= places * 9, "{used} of {places}");
    invariants::check_of_one_thread(&fixture.0);
    for n in 0..100 {
        fixture.0.end(0, &tcp(n));
    }
    let now = late
        .iter()
        .filter(|flow| fixture.connect(flow) == Verdict::Registered);
    assert!(now.count() > 20);
    invariants::check_of_one_thread(&fixture.0);
}

/// Remote ends know the code and choose 5-tuples that collide in one bucket, but
/// for another secret.
#[test]
fn keys_that_collide_under_one_secret_do_not_under_another() {
    let fixture = Fixture::new(SETTINGS, 16);
    let registry = &fixture.0;
    fixture.connect(&tcp(0));
    let name = registry.locals.find(&local(0, &v4(10))).unwrap();
    let theirs = secret(2);
    let collides = |n: &u32| {
        let hash = key(name, &tcp(*n)).hash(&theirs);
        (hash.shard(63 - 4), home(hash.fraction(), 64)) == (3, 7)
    };
    let chosen: Vec<u32> = (1..1 << 20).filter(collides).collect();
    assert!(chosen.len() > 800, "{}", chosen.len());
    for n in &chosen {
        assert_eq!(fixture.connect(&tcp(*n)), Verdict::Registered);
    }
    for shard in registry.shards.iter() {
        let table = shard.lock();
        let buckets = (0..table.end()).filter_map(|index| table.bucket(index));
        let overflow = buckets.map(Bucket::overflow).max();
        assert!(overflow < Some(16), "{overflow:?} went past one bucket");
        let share = chosen.len() / registry.shards.len();
        assert!((share / 2..share * 2).contains(&table.used()));
    }
}

#[test]
fn the_task_is_woken_each_time_half_of_the_reserve_is_gone() {
    let fixture = Fixture::new(SETTINGS, 4);
    let reserve = &fixture.0.reserve;
    for _ in 0..3 {
        reserve.refill();
        let before = wakes_and_asks();
        let taken: Vec<_> = (0..RESERVED).map(|_| reserve.take()).collect();
        assert!(taken.iter().all(Option::is_some));
        assert_eq!(wakes_and_asks(), (before.0 + 1, before.1));
    }
}
