// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The commands that change nothing.

use clinet_control::abi::{self, clinet_entry_t, clinetctl_list_t, command};
use clinet_driver_tests::errno::{EADDRINUSE, EFAULT, EINVAL};
use clinet_driver_tests::{Device, Machine, new, tuple};
use clinet_kernel::{Model, UserMemory};
use clinet_module_tests::{PEER4, SHARED4, TCP, Tuple, UDP};
use zerocopy::{FromBytes, IntoBytes};

const ENTRY: usize = size_of::<clinet_entry_t>();

#[test]
fn the_state_is_the_modules() {
    let machine = Machine::new(&[("clinet_node_id", 7), ("clinet_max_tuples", 5000)]);
    let device = machine.open();
    assert_eq!(machine.connect(true, &Tuple::v4(TCP, 1, 2)), 0);
    let mut state: abi::clinetctl_state_t = new();
    assert_eq!(device.ask(command::GET_STATE, &mut state), Ok(()));
    assert_eq!((state.cst_node, state.cst_mode), (7, 2));
    assert_eq!((state.cst_tuples, state.cst_capacity), (1, 5000));
    assert_eq!(state.cst_attach, abi::CLINET_NEVER_ATTACHED);
    assert_eq!(state.cst_head.ch_size as usize, size_of_val(&state));
}

#[test]
fn the_clock_is_the_kernels() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let mut clock: abi::clinetctl_clock_t = new();
    assert_eq!(device.ask(command::GET_CLOCK, &mut clock), Ok(()));
    let before = clock.cc_now;
    machine
        .kernel
        .advance(std::time::Duration::from_millis(1500));
    assert_eq!(device.ask(command::GET_CLOCK, &mut clock), Ok(()));
    assert_eq!(clock.cc_now - before, 1_500_000_000);
}

fn stats(device: &Device, room: u32) -> (u32, u32, Vec<abi::clinetctl_stat_t>) {
    let size = size_of::<abi::clinetctl_stat_t>();
    let mut memory = UserMemory::new();
    let mut stats: abi::clinetctl_stats_t = new();
    stats.cs_stats = memory.add(&vec![0; room as usize * size]);
    stats.cs_count = room;
    let place = stats.cs_stats;
    assert_eq!(
        device.ask_with(command::GET_STATS, &mut stats, &mut memory),
        Ok(())
    );
    let bytes = memory.read(place, stats.cs_count as usize * size);
    let bytes = bytes.expect("it is mapped");
    let all = bytes
        .chunks(size)
        .map(|one| FromBytes::read_from_bytes(one).expect("one"));
    (stats.cs_count, stats.cs_total, all.collect())
}

#[test]
fn stats_have_the_names_of_the_kstats() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let (none, total, _) = stats(&device, 0);
    assert_eq!(none, 0);
    assert!(total > 20, "{total}");
    let (some, still, first) = stats(&device, 5);
    assert_eq!((some, still), (5, total));
    let (count, _, all) = stats(&device, abi::CLINETCTL_MOST_STATS);
    assert_eq!(count, total);
    let name = |stat: &abi::clinetctl_stat_t| {
        let bytes = stat.cs_name.iter().take_while(|byte| **byte != 0);
        let bytes: Vec<u8> = bytes.map(|byte| *byte as u8).collect();
        String::from_utf8(bytes).expect("text")
    };
    assert_eq!(name(&all[4]), name(&first[4]));
    let kstats = machine
        .kernel
        .kstat("clinet", 0, "registry")
        .expect("the kstat");
    let known = all.iter().map(&name);
    let known = known.filter(|name| kstats.iter().any(|(other, _)| other == name));
    assert!(known.count() > 20);
    let mut stats: abi::clinetctl_stats_t = new();
    stats.cs_count = abi::CLINETCTL_MOST_STATS + 1;
    assert_eq!(device.ask(command::GET_STATS, &mut stats), Err(EINVAL));
    stats.cs_count = 1;
    assert_eq!(device.ask(command::GET_STATS, &mut stats), Err(EFAULT));
}

#[test]
fn a_query_is_answered_and_changes_nothing() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let (ours, theirs) = (Tuple::v4(TCP, 1, 2), Tuple::v6(UDP, 3, 4));
    assert_eq!(machine.connect(true, &ours), 0);
    let mut tuples: abi::clinetctl_tuples_t = new();
    let mut memory = UserMemory::new();
    tuples.ct_tuples = memory.add(tuple(&theirs).as_bytes());
    (tuples.ct_count, tuples.ct_owner) = (1, 9);
    assert_eq!(
        device.ask_with(command::INSTALL, &mut tuples, &mut memory),
        Ok(())
    );
    for (asked, error, reason, owner) in [
        (ours, 0, abi::CLINET_OURS, 1),
        (theirs, EADDRINUSE, abi::CLINET_OWNED, 9),
        (Tuple::v4(UDP, 5, 6), 0, abi::CLINET_FREE, 0),
    ] {
        let mut query: abi::clinetctl_query_t = new();
        query.cq_tuple = tuple(&asked);
        assert_eq!(device.ask(command::QUERY, &mut query), Ok(()));
        let answer = (query.cq_error, query.cq_reason, query.cq_owner);
        assert_eq!(answer, (error, reason, owner), "{asked:?}");
    }
    assert_eq!(machine.tuples(), 2);
    let mut query: abi::clinetctl_query_t = new();
    query.cq_tuple = tuple(&ours);
    query.cq_tuple.ct_protocol = 132;
    assert!(device.ask(command::QUERY, &mut query).is_err());
}

#[test]
fn addresses_are_a_text_that_may_be_longer_than_the_room() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let mut memory = UserMemory::new();
    let list = "192.0.2.10,2001:db8::10";
    let mut text: abi::clinetctl_text_t = new();
    text.cx_text = memory.add(list.as_bytes());
    text.cx_length = list.len() as u32;
    assert_eq!(
        device.ask_with(command::SET_ADDRS, &mut text, &mut memory),
        Ok(())
    );
    for room in [0, 1, 10, list.len(), 100] {
        let place = memory.add(&[0xee; 100]);
        (text.cx_text, text.cx_length) = (place, room as u32);
        assert_eq!(
            device.ask_with(command::GET_ADDRS, &mut text, &mut memory),
            Ok(())
        );
        assert_eq!(text.cx_length as usize, list.len());
        let there = room.min(list.len());
        let bytes = memory.read(place, 100).expect("it is mapped");
        assert_eq!(&bytes[..there], &list.as_bytes()[..there]);
        assert!(bytes[there..].iter().all(|byte| *byte == 0xee));
    }
    text.cx_length = abi::CLINETCTL_MOST_TEXT + 1;
    assert_eq!(
        device.ask_with(command::GET_ADDRS, &mut text, &mut memory),
        Err(EINVAL)
    );
    assert_eq!(
        device.ask_with(command::SET_ADDRS, &mut text, &mut memory),
        Err(EINVAL)
    );
    (text.cx_text, text.cx_length) = (memory.add(b"192.0.2.1\0"), 10);
    assert_eq!(
        device.ask_with(command::SET_ADDRS, &mut text, &mut memory),
        Err(EINVAL)
    );
    (text.cx_text, text.cx_length) = (8, 10);
    assert_eq!(
        device.ask_with(command::SET_ADDRS, &mut text, &mut memory),
        Err(EFAULT)
    );
    assert_eq!(
        device.ask_with(command::GET_ADDRS, &mut text, &mut memory),
        Err(EFAULT)
    );
}

/// A list for so many entries in a place for them.
fn listing(memory: &mut UserMemory, room: u32) -> clinetctl_list_t {
    let mut list: clinetctl_list_t = new();
    list.cl_entries = memory.add(&vec![0; room as usize * ENTRY]);
    list.cl_count = room;
    list.cl_entry_size = ENTRY as u32;
    list
}

/// All entries that fit, listed with so much room at a time.
fn all(device: &Device, filter: abi::clinetctl_filter_t, room: u32) -> Vec<clinet_entry_t> {
    let mut found = Vec::new();
    let mut memory = UserMemory::new();
    let mut list = listing(&mut memory, room);
    list.cl_filter = filter;
    loop {
        list.cl_count = room;
        assert_eq!(
            device.ask_with(command::LIST, &mut list, &mut memory),
            Ok(())
        );
        let bytes = memory.read(list.cl_entries, list.cl_count as usize * ENTRY);
        let bytes = bytes.expect("it is mapped");
        let entries = bytes.chunks(ENTRY);
        found.extend(entries.map(|one| clinet_entry_t::read_from_bytes(one).expect("one")));
        if list.cl_done == 1 {
            return found;
        }
    }
}

fn everything() -> abi::clinetctl_filter_t {
    new::<clinetctl_list_t>().cl_filter
}

fn key(entry: &clinet_entry_t) -> (u8, u16, u16) {
    (entry.ce_protocol, entry.ce_lport, entry.ce_fport)
}

#[test]
fn a_list_goes_on_until_all_were_there_once() {
    let machine = Machine::new(&[]);
    let mut device = machine.open();
    let mut expected = Vec::new();
    for port in 0..3000_u16 {
        let tuple = Tuple::v4(TCP, port.to_be(), 443_u16.to_be());
        assert_eq!(machine.connect(port % 2 == 0, &tuple), 0);
        expected.push((TCP, tuple.lport, tuple.fport));
    }
    expected.sort_unstable();
    for (room, model) in [
        (64, Model::Lp64),
        (1000, Model::Ilp32),
        (65536, Model::Lp64),
    ] {
        device.model = model;
        let mut keys: Vec<_> = all(&device, everything(), room).iter().map(key).collect();
        keys.sort_unstable();
        assert_eq!(keys, expected);
    }
    // An entry as the module has it.
    let entries = all(&device, everything(), 512);
    let entry = entries
        .iter()
        .find(|entry| entry.ce_lport == 77_u16.to_be());
    let entry = entry.expect("it was listed");
    assert_eq!(
        (entry.ce_outgoing, entry.ce_owner, entry.ce_stack),
        (0, 1, 0)
    );
    assert_eq!(entry.ce_laddr[12..], SHARED4[..4]);
    assert_eq!(entry.ce_faddr[10..12], [0xff, 0xff]);
    assert_eq!(entry.ce_faddr[12..], PEER4[..4]);
}

#[test]
fn a_filter_wants_what_fits_in_all() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    for port in 1000..1100_u16 {
        let tuple = Tuple::v4(TCP, port.to_be(), 443_u16.to_be());
        assert_eq!(machine.connect(port % 2 == 0, &tuple), 0);
        assert_eq!(
            machine.connect(true, &Tuple::v6(UDP, port.to_be(), 53_u16.to_be())),
            0
        );
    }
    let with = |change: fn(&mut abi::clinetctl_filter_t)| {
        let mut filter = everything();
        change(&mut filter);
        all(&device, filter, 64)
    };
    // The endpoints of UDP are entries of their own in the table, and not listed.
    assert_eq!(with(|_| ()).len(), 200);
    let tcp = with(|filter| (filter.cf_by, filter.cf_protocol) = (1, TCP));
    assert_eq!(tcp.len(), 100);
    assert!(tcp.iter().all(|entry| entry.ce_protocol == TCP));
    let laddr = with(|filter| {
        filter.cf_by = abi::CLINETCTL_BY_LADDR;
        filter.cf_laddr[..2].copy_from_slice(&[0x20, 1]);
        filter.cf_lprefix = 16;
    });
    assert!(laddr.len() == 100 && laddr.iter().all(|entry| entry.ce_protocol == UDP));
    let ports = with(|filter| {
        filter.cf_by = abi::CLINETCTL_BY_LPORT | abi::CLINETCTL_BY_FPORT;
        filter.cf_lport = [1010, 1019];
        filter.cf_fport = [443, 443];
    });
    assert!(ports.len() == 10 && ports.iter().all(|entry| entry.ce_protocol == TCP));
    let outgoing = with(|filter| {
        filter.cf_by = abi::CLINETCTL_BY_OUTGOING | abi::CLINETCTL_BY_PROTOCOL;
        (filter.cf_protocol, filter.cf_outgoing) = (TCP, 0);
    });
    assert_eq!(outgoing.len(), 50);
    for (by, count) in [
        (abi::CLINETCTL_BY_OWNER, 0),
        (abi::CLINETCTL_BY_STACK, 200),
        (abi::CLINETCTL_BY_AGE, 200),
        (abi::CLINETCTL_BY_FADDR, 200),
    ] {
        let mut filter = everything();
        filter.cf_by = by;
        assert_eq!(all(&device, filter, 64).len(), count, "{by:#x}");
    }
    let whole = with(|filter| {
        filter.cf_by = abi::CLINETCTL_BY_FADDR;
        filter.cf_faddr[10..].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 7]);
        filter.cf_fprefix = 128;
    });
    assert_eq!(whole.len(), 100);
}

#[test]
fn a_filter_that_makes_no_sense_is_refused() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let mut memory = UserMemory::new();
    type Change = fn(&mut abi::clinetctl_filter_t);
    let changes: [Change; 9] = [
        |filter| filter.cf_by = 0x200,
        |filter| (filter.cf_by, filter.cf_protocol) = (1, 132),
        |filter| (filter.cf_by, filter.cf_lprefix) = (2, 129),
        |filter| (filter.cf_by, filter.cf_fprefix) = (4, 255),
        |filter| (filter.cf_by, filter.cf_lport) = (8, [2, 1]),
        |filter| (filter.cf_by, filter.cf_fport) = (16, [2, 1]),
        |filter| (filter.cf_by, filter.cf_age) = (0x80, [2, 1]),
        |filter| (filter.cf_by, filter.cf_outgoing) = (0x100, 2),
        |filter| filter.cf_by = u32::MAX,
    ];
    for change in changes {
        let mut list = listing(&mut memory, 64);
        change(&mut list.cl_filter);
        assert_eq!(
            device.ask_with(command::LIST, &mut list, &mut memory),
            Err(EINVAL)
        );
        let mut flush: abi::clinetctl_flush_t = new();
        change(&mut flush.cf_filter);
        assert_eq!(device.ask(command::FLUSH, &mut flush), Err(EINVAL));
    }
}

#[test]
fn a_list_has_a_size_and_a_place() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    assert_eq!(machine.connect(true, &Tuple::v4(TCP, 1, 2)), 0);
    let mut memory = UserMemory::new();
    type Change = fn(&mut clinetctl_list_t);
    let changes: [Change; 6] = [
        |list| list.cl_count = 0,
        |list| list.cl_count = 63,
        |list| list.cl_count = abi::CLINETCTL_MOST_ENTRIES + 1,
        |list| list.cl_entry_size -= 1,
        |list| list.cl_entry_size = 0,
        |list| list.cl_pad = 1,
    ];
    for change in changes {
        let mut list = listing(&mut memory, 64);
        change(&mut list);
        assert_eq!(
            device.ask_with(command::LIST, &mut list, &mut memory),
            Err(EINVAL)
        );
    }
    for place in [0, 0x9999_9999, u64::MAX] {
        let mut list = listing(&mut memory, 64);
        list.cl_entries = place;
        assert_eq!(
            device.ask_with(command::LIST, &mut list, &mut memory),
            Err(EFAULT)
        );
    }
    // Any cursor is one.
    for cursor in [[u32::MAX; 2], [3, u32::MAX], [1 << 30, 7]] {
        let mut list = listing(&mut memory, 64);
        list.cl_cursor = cursor;
        assert_eq!(
            device.ask_with(command::LIST, &mut list, &mut memory),
            Ok(())
        );
    }
}

/// How many entries a second `CLINETCTL_LIST` gives a program; not a test, since
/// it would be one of the machine.
#[test]
#[ignore = "it measures"]
fn how_fast_a_list_is() {
    let machine = Machine::new(&[("clinet_max_tuples", 4_000_000)]);
    let device = machine.open();
    for number in 0..1_000_000_u32 {
        let tuple = Tuple::v4(TCP, (number >> 16) as u16, number as u16);
        while machine.connect(true, &tuple) != 0 {
            machine.kernel.settle();
        }
        if number % 4096 == 0 {
            machine.kernel.settle();
        }
    }
    let mut memory = UserMemory::new();
    let room = abi::CLINETCTL_MOST_ENTRIES;
    let mut list = listing(&mut memory, room);
    let start = std::time::Instant::now();
    let mut count = 0;
    while list.cl_done == 0 {
        list.cl_count = room;
        assert_eq!(
            device.ask_with(command::LIST, &mut list, &mut memory),
            Ok(())
        );
        count += list.cl_count;
    }
    let took = start.elapsed();
    println!(
        "{count} entries in {took:?}: {:.1} million/s",
        f64::from(count) / took.as_secs_f64() / 1e6
    );
}
