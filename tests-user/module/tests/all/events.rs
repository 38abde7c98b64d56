// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Events: `clinet_control_events*`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clinet_control::abi;
use clinet_kernel::Context;
use clinet_module_tests::{
    Control, EADDRINUSE, EBUSY, EINVAL, ENXIO, FLOWS, Grants, Loaded, TCP, Tuple, device_tuple,
    ptr_mut,
};
use zerocopy::{FromZeros, IntoBytes};

const ALL: u32 = abi::CLINETCTL_EVENTS_ALL;
/// Events that are kept.
const KEPT: u64 = 1024;

/// One machine with a reader.
pub struct Watched {
    pub loaded: Loaded,
    wake: u64,
}

static WAKES: AtomicU32 = AtomicU32::new(0);

extern "C" fn wake() {
    WAKES.fetch_add(1, Ordering::SeqCst);
}

static COUNTED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count() {
    COUNTED.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn another() {}

impl Watched {
    fn new() -> Self {
        Self::with(&[("clinet_fence", 2)], wake)
    }

    /// One whose readers are woken by a function.
    pub fn with(tunables: &[(&str, u64)], wake: extern "C" fn()) -> Self {
        let loaded = Loaded::new(tunables);
        let functions = [
            ("wake", wake as *const ()),
            ("another", another as *const ()),
        ];
        // SAFETY: functions without arguments.
        unsafe {
            loaded
                .kernel
                .provide_with_functions("drv/reader", &[], &functions);
        }
        let wake = loaded.kernel.symbol("drv/reader", "wake").unwrap();
        loaded.kernel.settle();
        Self { loaded, wake }
    }

    /// From now on events are recorded; where they begin.
    pub fn open(&self) -> u64 {
        self.open_for(ALL)
    }

    fn open_for(&self, mask: u32) -> u64 {
        let mut cursor = u64::MAX;
        let args = [self.wake, mask.into(), ptr_mut(&mut cursor)];
        let error = self.loaded.control("clinet_control_events_open", &args);
        assert_eq!(error, 0);
        cursor
    }

    /// They are recorded no more.
    pub fn close(&self) {
        self.close_for(ALL);
    }

    fn close_for(&self, mask: u32) {
        let args = [mask.into()];
        let _ = self.loaded.control("clinet_control_events_close", &args);
    }

    /// Up to `room` events that the mask wants.
    pub fn read(&self, cursor: &mut u64, mask: u32, room: u32) -> Vec<abi::clinetctl_event_t> {
        let mut events: Vec<abi::clinetctl_event_t> =
            (0..=room).map(|_| FromZeros::new_zeroed()).collect();
        let mut count = room;
        let args = [
            ptr_mut(cursor),
            mask.into(),
            ptr_mut(&mut events[..]),
            ptr_mut(&mut count),
        ];
        assert_eq!(self.loaded.control("clinet_control_events", &args), 0);
        assert!(count <= room);
        events.truncate(count as usize);
        events
    }

    /// A question that is refused.
    fn refuse(&self, port: u16) -> Tuple {
        let tuple = Tuple::v4(TCP, port, 80);
        let _ = self.loaded.other_node("clinet_install", 3, &tuple);
        assert_eq!(self.loaded.connect2(true, &tuple), EADDRINUSE);
        tuple
    }
}

#[test]
fn a_refusal_is_told_and_readers_are_woken() {
    let watched = Watched::new();
    watched.refuse(1);
    let mut cursor = watched.open();
    assert_eq!(watched.read(&mut cursor, ALL, 9).len(), 0);
    let before = WAKES.load(Ordering::SeqCst);
    let tuple = watched.refuse(2);
    watched.loaded.kernel.settle();
    assert!(WAKES.load(Ordering::SeqCst) > before);
    let [event] = &watched.read(&mut cursor, ALL, 9)[..] else {
        panic!("one event");
    };
    assert_eq!(event.ev_type, abi::CLINETCTL_EVENT_REFUSED);
    assert_eq!(event.ev_tuple.as_bytes(), device_tuple(&tuple).as_bytes());
    assert_eq!((event.ev_reason, event.ev_owner), (abi::CLINET_OWNED, 3));
    assert_eq!((event.ev_error, event.ev_enforced), (EADDRINUSE, 1));
    assert_eq!((event.ev_outgoing, event.ev_stack), (1, 0));
    assert_eq!(event.ev_time, watched.loaded.clock());
    assert_eq!(watched.read(&mut cursor, ALL, 9).len(), 0);
    watched.close();
    assert_eq!(watched.read(&mut cursor, ALL, 9).len(), 0);
    // Numbers go on, and what happened meanwhile is not told.
    watched.refuse(3);
    let mut again = watched.open();
    assert_eq!((again, again), (cursor, event.ev_sequence + 1));
    assert_eq!(watched.read(&mut again, ALL, 9).len(), 0);
    watched.close();
}

/// What somebody wants is not pushed out of the ring by what nobody wants.
#[test]
fn only_what_somebody_wants_is_recorded() {
    const MODE: u32 = 1 << abi::CLINETCTL_EVENT_MODE;
    const REFUSED: u32 = 1 << abi::CLINETCTL_EVENT_REFUSED;
    let watched = Watched::new();
    let start = watched.open_for(MODE);
    watched.refuse(1);
    assert_eq!(watched.open_for(REFUSED), start, "nobody wanted it");
    watched.refuse(2);
    let mut cursor = start;
    assert_eq!(watched.read(&mut cursor, ALL, 9).len(), 1);
    // A second one who wants refusals goes, and then the first.
    watched.open_for(REFUSED);
    watched.close_for(REFUSED);
    watched.refuse(3);
    watched.close_for(REFUSED);
    watched.refuse(4);
    assert_eq!(watched.read(&mut cursor, ALL, 9).len(), 1);
    watched.close_for(MODE);
}

/// Questions that are refused and told as events neither have memory looked for nor
/// keep the module's thread busy.
#[test]
fn a_flood_of_refusals_keeps_nobody_busy() {
    let tunables = [("clinet_max_tuples", 65536), ("clinet_full_refuse", 1)];
    let watched = Watched::with(&tunables, count);
    let loaded = &watched.loaded;
    loaded.kernel.fail_allocations(true);
    let ask = |port| loaded.connect2(true, &Tuple::v4(TCP, port, 80));
    let refused: Vec<u16> = (1..=60_000).filter(|port| ask(*port) != 0).collect();
    assert!(refused.len() > 2000, "{} refused", refused.len());
    loaded.kernel.settle();
    loaded.kernel.fail_allocations(false);
    watched.open();
    loaded.kernel.fail_allocations(true);
    let (asked, told) = (
        loaded.kernel.kmem_allocations(),
        COUNTED.load(Ordering::SeqCst),
    );
    let again: Vec<u16> = refused[..50].to_vec();
    for port in refused.into_iter().take(2000) {
        assert_ne!(ask(port), 0);
        loaded.kernel.settle();
    }
    let told = COUNTED.load(Ordering::SeqCst) - told;
    assert!((1..=2).contains(&told), "{told} times at one moment");
    // The thread comes by for each of these, and memory has to wait for the next second.
    for port in again {
        assert_ne!(ask(port), 0);
        loaded.kernel.advance(Duration::from_millis(10));
    }
    let asked = loaded.kernel.kmem_allocations() - asked;
    assert!(asked <= 5, "{asked} allocations for 2050 questions");
    loaded.kernel.fail_allocations(false);
    watched.close();
}

#[test]
fn each_flow_and_reason_is_told() {
    let watched = Watched::new();
    let loaded = &watched.loaded;
    let mut grants = Grants::with_space(32768..=65535);
    assert_eq!(loaded.set_grants(&mut grants), 0);
    let mut cursor = watched.open();
    for flow in FLOWS {
        let tuple = flow.tuple(40000);
        assert_eq!(loaded.connect2(flow.outgoing, &tuple), EADDRINUSE);
        let [event] = &watched.read(&mut cursor, ALL, 9)[..] else {
            panic!("one event");
        };
        assert_eq!(event.ev_reason, abi::CLINET_NOT_GRANTED, "{flow:?}");
        assert_eq!(event.ev_outgoing, u8::from(flow.outgoing), "{flow:?}");
        assert_eq!(
            event.ev_tuple.as_bytes(),
            device_tuple(&tuple).as_bytes(),
            "{flow:?}"
        );
    }
    // Counted only.
    assert_eq!(loaded.set(abi::CLINETCTL_MODE, 1, 0), 0);
    assert_eq!(loaded.connect2(true, &FLOWS[0].tuple(40000)), 0);
    let events = watched.read(&mut cursor, ALL, 9);
    let kinds: Vec<(u32, u64)> = events.iter().map(|e| (e.ev_type, e.ev_value)).collect();
    assert_eq!(
        kinds,
        [
            (abi::CLINETCTL_EVENT_MODE, 1),
            (abi::CLINETCTL_EVENT_REFUSED, 0)
        ]
    );
    assert_eq!((events[1].ev_enforced, events[1].ev_error), (0, 0));
    watched.close();
}

#[test]
fn grants_lapses_and_conflicts_are_told() {
    let watched = Watched::new();
    let loaded = &watched.loaded;
    let mut cursor = watched.open();
    let deadline = loaded.clock() + 5_000_000_000;
    let mut grants = Grants::with_space(32768..=65535).and(40000..=40000);
    grants.terms.cg_deadline = deadline;
    grants.terms.cg_sequence = 6;
    assert_eq!(loaded.set_grants(&mut grants), 0);
    let tuple = FLOWS[0].tuple(40000);
    assert_eq!(loaded.connect2(true, &tuple), 0);
    assert_eq!(loaded.other_node("clinet_install", 3, &tuple), EADDRINUSE);
    loaded.kernel.advance(std::time::Duration::from_secs(6));
    let events = watched.read(&mut cursor, ALL, 9);
    let kinds: Vec<(u32, u64)> = events.iter().map(|e| (e.ev_type, e.ev_value)).collect();
    assert_eq!(
        kinds,
        [
            (abi::CLINETCTL_EVENT_GRANTS, 6),
            (abi::CLINETCTL_EVENT_CONFLICT, 0),
            (abi::CLINETCTL_EVENT_LAPSED, deadline),
        ]
    );
    assert_eq!(
        events[1].ev_tuple.as_bytes(),
        device_tuple(&tuple).as_bytes()
    );
    assert_eq!(events[1].ev_owner, 1);
    assert!(events[2].ev_time >= deadline);
    watched.close();
}

#[test]
fn what_is_overwritten_is_told_whatever_the_mask_is() {
    let watched = Watched::new();
    let mut cursor = watched.open();
    let first = cursor;
    let tuple = watched.refuse(1);
    for _ in 0..KEPT + 9 {
        assert_eq!(watched.loaded.connect2(true, &tuple), EADDRINUSE);
    }
    let mut masked = cursor;
    let [lost] = &watched.read(&mut masked, 1 << abi::CLINETCTL_EVENT_MODE, 9)[..] else {
        panic!("one event");
    };
    assert_eq!(
        (lost.ev_type, lost.ev_value),
        (abi::CLINETCTL_EVENT_LOST, 10)
    );
    assert_eq!(masked, first + KEPT + 10);
    let some = watched.read(&mut cursor, ALL, 3);
    let kinds: Vec<u32> = some.iter().map(|event| event.ev_type).collect();
    assert_eq!(kinds, [abi::CLINETCTL_EVENT_LOST, 0, 0]);
    assert_eq!(some[1].ev_sequence, first + 10);
    assert_eq!(watched.read(&mut cursor, ALL, 0).len(), 0);
    let rest = watched.read(&mut cursor, ALL, 2000);
    assert_eq!(rest.len() as u64, KEPT - 2);
    assert_eq!(rest[0].ev_sequence, first + 12);
    watched.close();
}

#[test]
fn one_function_wakes_all_readers() {
    let watched = Watched::new();
    let loaded = &watched.loaded;
    let another = loaded.kernel.symbol("drv/reader", "another").unwrap();
    let in_use = loaded.kernel.kmem_in_use();
    let mut cursor = watched.open();
    let other = [another, ALL.into(), ptr_mut(&mut cursor)];
    assert_eq!(loaded.control("clinet_control_events_open", &other), EBUSY);
    watched.open();
    watched.close();
    watched.refuse(1);
    assert_eq!(watched.read(&mut cursor, ALL, 9).len(), 1);
    watched.close();
    watched.close();
    assert!(loaded.kernel.kmem_in_use() < in_use + 50_000);
    assert_eq!(loaded.control("clinet_control_events_open", &other), 0);
    watched.close();
    for (wake, mask) in [(0, ALL), (watched.wake, 0), (watched.wake, ALL + 1)] {
        let bad = [wake, mask.into(), ptr_mut(&mut cursor)];
        assert_eq!(loaded.control("clinet_control_events_open", &bad), EINVAL);
    }
    assert_eq!(
        loaded.control("clinet_control_events", &[0, 0, 0, 0]),
        EINVAL
    );
    let none = Loaded::new(&[("clinet_provider", 0)]);
    let nobody = [watched.wake, ALL.into(), ptr_mut(&mut cursor)];
    assert_eq!(none.control("clinet_control_events_open", &nobody), ENXIO);
}

/// A hook records in every context of ip.
#[test]
fn refusals_are_recorded_in_every_context() {
    let watched = Watched::new();
    let mut cursor = watched.open();
    let tuple = watched.refuse(1);
    let contexts = [
        Context::interrupt(),
        Context::thread().holding("uf_lock"),
        Context::interrupt().holding("conn_lock"),
    ];
    for context in contexts {
        let args = [
            6,
            1,
            u64::from(tuple.family),
            clinet_module_tests::ptr(&tuple.laddr),
            u64::from(tuple.lport),
            clinet_module_tests::ptr(&tuple.faddr),
            u64::from(tuple.fport),
        ];
        let answer = watched.loaded.call_in(&context, "clinet_ask", &args);
        assert_eq!(answer, EADDRINUSE);
    }
    assert_eq!(watched.read(&mut cursor, ALL, 9).len(), 4);
    watched.close();
}
