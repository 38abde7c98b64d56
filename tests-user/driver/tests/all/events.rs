// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Events: choosing, reading, waiting, and what is lost.

use std::sync::Mutex;
use std::time::Duration;

use clinet_control::abi::{self, command};
use clinet_driver_tests::errno::{EAGAIN, EFAULT, EINTR, EINVAL, ENOSPC};
use clinet_driver_tests::{Device, Machine, events, new, tuple};
use clinet_kernel::{OpenFlags, UserMemory, together};
use clinet_module_tests::{TCP, Tuple};
use zerocopy::IntoBytes;

const EVENT: usize = size_of::<abi::clinetctl_event_t>();
const REFUSED: u32 = 1 << abi::CLINETCTL_EVENT_REFUSED;
const MODE: u32 = 1 << abi::CLINETCTL_EVENT_MODE;
const POLLIN: i16 = 1;
const FOR_EVER: Duration = Duration::from_secs(600);

/// A machine on which node 5 owns the 5-tuples of port 9.
fn machine() -> Machine {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let mut memory = UserMemory::new();
    let mut bytes = Vec::new();
    for port in 0..100 {
        bytes.extend_from_slice(tuple(&owned(port)).as_bytes());
    }
    let mut tuples: abi::clinetctl_tuples_t = new();
    tuples.ct_tuples = memory.add(&bytes);
    (tuples.ct_count, tuples.ct_owner) = (100, 5);
    assert_eq!(
        device.ask_with(command::INSTALL, &mut tuples, &mut memory),
        Ok(())
    );
    machine
}

fn owned(port: u16) -> Tuple {
    Tuple::v4(TCP, port, 9)
}

/// Has a question refused.
fn refuse(machine: &Machine, port: u16) {
    assert_ne!(machine.connect(true, &owned(port)), 0);
}

#[test]
fn a_refusal_is_an_event() {
    let machine = machine();
    let device = machine.open();
    refuse(&machine, 1);
    assert_eq!(device.choose(REFUSED), Ok(()));
    assert_eq!(device.events().err(), Some(EAGAIN), "it was before");
    refuse(&machine, 2);
    refuse(&machine, 3);
    let events = device.events().expect("two");
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].ev_type, abi::CLINETCTL_EVENT_REFUSED);
    assert_eq!(events[0].ev_reason, abi::CLINET_OWNED);
    assert_eq!(events[0].ev_owner, 5);
    assert_eq!(events[0].ev_tuple.as_bytes(), tuple(&owned(2)).as_bytes());
    assert_eq!(events[1].ev_tuple.as_bytes(), tuple(&owned(3)).as_bytes());
    assert_eq!(events[1].ev_sequence, events[0].ev_sequence + 1);
    assert_eq!(device.events().err(), Some(EAGAIN));
}

/// An entry of another node that there is no room for: who looks on hears of what.
#[test]
fn an_installation_without_room_is_an_event() {
    let machine = Machine::new(&[("clinet_max_tuples", 1024)]);
    let device = machine.open();
    assert_eq!(device.choose(REFUSED), Ok(()));
    let install = |owner: u32, port: u16| {
        let mut memory = UserMemory::new();
        let mut tuples: abi::clinetctl_tuples_t = new();
        tuples.ct_tuples = memory.add(tuple(&owned(port)).as_bytes());
        (tuples.ct_count, tuples.ct_owner) = (1, owner);
        let result = device.ask_with(command::INSTALL, &mut tuples, &mut memory);
        assert_eq!(result, Ok(()));
        tuples.ct_error
    };
    for owner in 2..770 {
        assert_eq!(install(owner, owner as u16), 0, "{owner}");
    }
    assert_eq!(install(770, 770), ENOSPC);
    for port in 1000..1256 {
        assert_eq!(install(2, port), 0, "{port}");
    }
    assert_eq!(install(2, 1256), ENOSPC);
    let events = device.events().expect("two");
    let told = events
        .iter()
        .map(|event| (event.ev_owner, event.ev_reason, event.ev_error));
    assert!(told.eq([
        (770, abi::CLINET_FULL_NODES, ENOSPC),
        (2, abi::CLINET_FULL, ENOSPC)
    ]));
}

#[test]
fn each_file_has_what_it_chose() {
    let machine = machine();
    let [refusals, modes, none] = [0; 3].map(|_: i32| machine.open());
    assert_eq!(refusals.choose(REFUSED), Ok(()));
    assert_eq!(modes.choose(MODE), Ok(()));
    refuse(&machine, 1);
    let mut set: abi::clinetctl_property_t = new();
    (set.cp_property, set.cp_value) = (abi::CLINETCTL_MODE, 1);
    assert_eq!(none.ask(command::SET, &mut set), Ok(()));
    let types = |device: &Device| -> Vec<u32> {
        let events = device.events().expect("some");
        events.iter().map(|event| event.ev_type).collect()
    };
    assert_eq!(types(&refusals), [abi::CLINETCTL_EVENT_REFUSED]);
    assert_eq!(types(&modes), [abi::CLINETCTL_EVENT_MODE]);
    assert_eq!(none.events().err(), Some(EAGAIN));
    assert_eq!(refusals.choose(0), Ok(()));
    refuse_in_observe(&machine);
    assert_eq!(refusals.events().err(), Some(EAGAIN));
    assert_eq!(refusals.choose(1 << 8), Err(EINVAL));
}

/// A refusal that is only counted.
fn refuse_in_observe(machine: &Machine) {
    assert_eq!(machine.connect(true, &owned(2)), 0);
}

#[test]
fn whole_events_and_no_less() {
    let machine = machine();
    let device = machine.open();
    assert_eq!(device.choose(REFUSED), Ok(()));
    for port in 0..5 {
        refuse(&machine, port);
    }
    for room in [0, 1, EVENT - 1] {
        assert_eq!(device.file.read(room, true), Err(EINVAL), "{room}");
    }
    assert_eq!(
        device.file.read(EVENT, true).map(|bytes| bytes.len()),
        Ok(EVENT)
    );
    assert_eq!(
        device
            .file
            .read(3 * EVENT - 1, true)
            .map(|bytes| bytes.len()),
        Ok(2 * EVENT)
    );
    assert_eq!(
        device.file.read(1 << 20, true).map(|bytes| bytes.len()),
        Ok(2 * EVENT)
    );
}

#[test]
fn events_that_could_not_be_given_stay() {
    let machine = machine();
    let device = machine.open();
    assert_eq!(device.choose(REFUSED), Ok(()));
    refuse(&machine, 1);
    refuse(&machine, 2);
    let mut memory = UserMemory::new();
    let place = memory.add(&[0; EVENT + 1]);
    let read = |memory: &mut UserMemory, place| device.file.read_to(memory, place, 2 * EVENT, true);
    assert_eq!(read(&mut memory, place), Err(EFAULT));
    assert_eq!(read(&mut memory, 0), Err(EFAULT));
    assert_eq!(device.file.poll(POLLIN, Duration::ZERO), Ok(POLLIN));
    assert_eq!(device.events().map(|events| events.len()), Ok(2));
}

#[test]
fn what_nobody_read_in_time_is_counted() {
    let machine = machine();
    let device = machine.open();
    assert_eq!(device.choose(MODE | REFUSED), Ok(()));
    let count = 5000;
    for number in 0..count {
        refuse(&machine, number % 100);
    }
    machine.kernel.settle();
    let mut got = 0;
    let mut lost = 0;
    while let Ok(events) = device.events() {
        for event in events {
            match event.ev_type {
                abi::CLINETCTL_EVENT_LOST => lost += event.ev_value,
                _ => got += 1,
            }
        }
    }
    assert!(lost > 0);
    assert_eq!(got + lost, u64::from(count));
}

#[test]
fn a_read_waits_for_an_event() {
    let machine = machine();
    let device = machine.open();
    assert_eq!(device.choose(REFUSED), Ok(()));
    together::scope(|threads| {
        let reader = threads.spawn(|_| device.file.read(EVENT, false));
        refuse(&machine, 4);
        machine.kernel.advance(Duration::from_secs(2));
        let bytes = reader.join().expect("it ends").expect("an event");
        assert_eq!(events(&bytes)[0].ev_tuple.ct_lport, 4);
    });
    // Not with these flags.
    for flags in [OpenFlags::NDELAY, OpenFlags::NONBLOCK] {
        let file = machine
            .driver
            .open(clinet_kernel::Cred::root(), OpenFlags::READ | flags);
        assert_eq!(file.expect("it opens").read(EVENT, false), Err(EAGAIN));
    }
}

#[test]
fn a_choice_wakes_a_reader_that_had_none() {
    let machine = machine();
    let device = machine.open();
    together::scope(|threads| {
        let reader = threads.spawn(|_| device.file.read(EVENT, false));
        assert_eq!(device.choose(REFUSED), Ok(()));
        refuse(&machine, 4);
        machine.kernel.advance(Duration::from_secs(2));
        assert!(reader.join().expect("it ends").is_ok());
    });
}

#[test]
fn a_signal_ends_a_read() {
    let machine = machine();
    let device = machine.open();
    assert_eq!(device.choose(REFUSED), Ok(()));
    together::scope(|threads| {
        let reader = threads.spawn(|_| device.file.read(EVENT, false));
        device.file.interrupt();
        assert_eq!(reader.join().expect("it ends"), Err(EINTR));
    });
}

#[test]
fn a_poll_is_woken_by_an_event() {
    let machine = machine();
    let device = machine.open();
    assert_eq!(device.file.poll(POLLIN, Duration::ZERO), Ok(0));
    assert_eq!(device.choose(REFUSED), Ok(()));
    // Until it is known that there is none.
    assert_eq!(device.events().err(), Some(EAGAIN));
    assert_eq!(device.file.poll(POLLIN, Duration::ZERO), Ok(0));
    together::scope(|threads| {
        let poller = threads.spawn(|_| device.file.poll(POLLIN, FOR_EVER));
        refuse(&machine, 4);
        machine.kernel.advance(Duration::from_secs(2));
        assert_eq!(poller.join().expect("it ends"), Ok(POLLIN));
    });
    assert_eq!(device.file.poll(POLLIN, Duration::ZERO), Ok(POLLIN));
    assert_eq!(device.events().map(|events| events.len()), Ok(1));
    assert_eq!(device.file.poll(POLLIN, Duration::ZERO), Ok(0));
    // It cannot be written to.
    refuse(&machine, 4);
    machine.kernel.advance(Duration::from_secs(2));
    assert_eq!(device.file.poll(4, Duration::ZERO), Ok(0));
}

/// Files choose and close while two threads read from one: each event is read
/// once.
#[test]
fn threads_that_share_a_file_share_the_events() {
    let machine = machine();
    let device = machine.open();
    assert_eq!(device.choose(REFUSED), Ok(()));
    let count = 900;
    let read = Mutex::new(Vec::new());
    together::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|over| {
                while !over.is_set() {
                    match device.file.read(8 * EVENT, true) {
                        Ok(bytes) => {
                            let mut read = read.lock().expect("nobody panicked");
                            read.extend(events(&bytes).iter().map(|event| event.ev_sequence));
                        }
                        Err(errno) => assert_eq!(errno, EAGAIN),
                    }
                }
            });
        }
        for number in 0..count {
            refuse(&machine, number % 100);
            let other = machine.open();
            assert_eq!(other.choose(REFUSED), Ok(()));
            assert!(number % 2 == 0 || other.choose(0) == Ok(()));
        }
    });
    let mut sequences = read.into_inner().expect("nobody panicked");
    while let Ok(events) = device.events() {
        sequences.extend(events.iter().map(|event| event.ev_sequence));
    }
    sequences.sort_unstable();
    let first = sequences[0];
    let expected: Vec<u64> = (first..first + u64::from(count)).collect();
    assert_eq!(sequences, expected);
}
