// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The typed commands, over a socket, against a device in memory.

use std::net::SocketAddr;
use std::time::Duration;

use clinet_control::abi::{clinetctl_event_t, command};
use clinet_control::{
    Control, Deleted, Entry, Errno, Error, EventMask, EventType, Filter, Grants, Mode, PortSet,
    Property, Protocol, Reason, Space, Tuple,
};
use clinet_device::Node;
use tempfile::TempDir;
use zerocopy::FromZeros;

struct Setup {
    node: Node,
    control: Control,
    /// Removed at the end.
    _folder: TempDir,
}

fn setup() -> Setup {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path()).expect("a socket");
    let control = Control::open(node.path()).expect("the device");
    Setup {
        node,
        control,
        _folder: folder,
    }
}

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn tuple(protocol: Protocol, lport: u16) -> Tuple {
    let mut local = end("192.0.2.10:0");
    local.set_port(lport);
    Tuple {
        protocol,
        local,
        foreign: end("198.51.100.7:443"),
    }
}

fn grants(sequence: u64) -> Grants {
    let space = Space {
        ports: Some(32768..=65535),
        granted: PortSet::from_iter([32768..=36863, 80..=80]),
    };
    Grants {
        epoch: 7,
        sequence,
        deadline: Some(5_000_000_000_000),
        tcp: space,
        udp: Space::default(),
    }
}

#[test]
fn a_driver_of_another_interface_is_refused_with_both_numbers() {
    let setup = setup();
    setup.node.module(|module| module.versions = [9, 8]);
    let error = Control::open(setup.node.path()).err().expect("refused");
    let text = error.to_string();
    assert!(
        text.contains("versions 8 to 9") && text.contains("1 to 1"),
        "{text}"
    );
}

#[test]
fn a_driver_that_knows_the_previous_interface_is_spoken_to_in_that() {
    let setup = setup();
    setup.node.module(|module| module.versions = [2, 1]);
    let control = Control::open(setup.node.path()).expect("one version is known to both");
    assert_eq!(control.version().interface, 1);
    assert_eq!(control.version().contract, "1.1");
    control.state().expect("the state");
}

#[test]
fn what_is_no_device_is_not_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path().to_owned(), folder.path().join("absent")] {
        let error = Control::open(&path).err().expect("nothing to open");
        assert!(matches!(error, Error::Open { .. }), "{error}");
    }
}

#[test]
fn a_refusal_has_its_number_and_what_was_refused() {
    let setup = setup();
    setup
        .node
        .module(|module| module.refused.insert(command::GET_STATE, Errno::ENXIO));
    let error = setup.control.state().expect_err("refused");
    assert_eq!(error.errno(), Some(Errno::ENXIO));
    assert_eq!(error.to_string(), "state: no such device (ENXIO)");
}

#[test]
fn the_state_has_words_for_numbers() {
    let setup = setup();
    setup.node.module(|module| {
        module.state.cst_mode = 1;
        module.state.cst_provider = 77;
        module.state.cst_first = [32768, 0];
        module.state.cst_last = [65535, 0];
        module.state.cst_deadline = module.state.cst_now + 1_500_000_000;
    });
    let state = setup.control.state().expect("the state");
    assert_eq!(state.mode, Mode::Observe);
    assert_eq!(state.provider.to_string(), "77");
    assert_eq!(state.tcp.space, Some(32768..=65535));
    assert_eq!(state.udp.space, None);
    assert_eq!(state.time_left(), Some(Duration::from_millis(1500)));
}

#[test]
fn stats_come_by_name() {
    let setup = setup();
    setup.node.module(|module| {
        module.stats.insert("tuples".into(), 3);
        module.stats.insert("x".repeat(40), 4);
    });
    let stats = setup.control.stats().expect("stats");
    let stats: Vec<_> = stats.iter().map(|s| (s.name.len(), s.value)).collect();
    assert_eq!(stats, [(6, 3), (40, 4)]);
}

#[test]
fn a_listing_has_every_entry_once_however_many_calls_it_takes() {
    let setup = setup();
    setup.node.module(|module| {
        for port in 1..=40_000 {
            module.add(1 + u32::from(port) % 2, tuple(Protocol::Tcp, port));
        }
    });
    let ports = |filter: &Filter| -> Vec<u16> {
        let entries = setup
            .control
            .list(filter)
            .map(|entry| entry.expect("an entry"));
        entries.map(|entry| entry.tuple.local.port()).collect()
    };
    assert_eq!(ports(&Filter::default()), Vec::from_iter(1..=40_000));
    let narrow = Filter {
        owner: Some(2),
        lport: Some(39_990..=u16::MAX),
        local: Some("192.0.2.0/24".parse().expect("a network")),
        ..Default::default()
    };
    assert_eq!(ports(&narrow), [39_991, 39_993, 39_995, 39_997, 39_999]);
}

#[test]
fn every_member_of_a_filter_reaches_the_driver() {
    let setup = setup();
    setup.node.module(|module| {
        module.add(1, tuple(Protocol::Tcp, 1));
        module.entries[0].ce_age = 50;
    });
    type Narrow = fn(&mut Filter, bool);
    let members: [Narrow; 9] = [
        |f, fits| f.protocol = Some(if fits { Protocol::Tcp } else { Protocol::Udp }),
        |f, fits| f.lport = Some(if fits { 1..=1 } else { 2..=9 }),
        |f, fits| f.fport = Some(if fits { 443..=443 } else { 0..=442 }),
        |f, fits| f.owner = Some(if fits { 1 } else { 2 }),
        |f, fits| f.stack = Some(if fits { 0 } else { 1 }),
        |f, fits| f.age = Some(if fits { 50..=u32::MAX } else { 0..=49 }),
        |f, fits| f.outgoing = Some(fits),
        |f, fits| {
            f.local = (if fits {
                "192.0.2.10/32"
            } else {
                "192.0.2.11/32"
            })
            .parse()
            .ok()
        },
        |f, fits| {
            f.foreign = (if fits { "198.51.100.0/24" } else { "::/96" })
                .parse()
                .ok()
        },
    ];
    for (number, narrow) in members.into_iter().enumerate() {
        for fits in [true, false] {
            let mut filter = Filter::default();
            narrow(&mut filter, fits);
            assert_eq!(
                setup.control.list(&filter).count(),
                usize::from(fits),
                "{number}"
            );
        }
    }
}

#[test]
fn an_error_ends_a_listing() {
    let setup = setup();
    let refused = Errno::EPERM;
    setup
        .node
        .module(|module| module.refused.insert(command::LIST, refused));
    let filter = Filter::default();
    let all: Vec<Result<Entry, Error>> = setup.control.list(&filter).take(3).collect();
    assert_eq!(all.len(), 1);
    let error = all[0].as_ref().expect_err("it was refused");
    assert_eq!(error.errno(), Some(refused));
}

#[test]
fn a_query_says_why() {
    let setup = setup();
    setup
        .node
        .module(|module| module.add(4, tuple(Protocol::Udp, 5)));
    let answer = |port| {
        setup
            .control
            .query(tuple(Protocol::Udp, port), false)
            .expect("an answer")
    };
    assert_eq!(answer(6).reason, Reason::Free);
    let owned = answer(5);
    assert_eq!((owned.reason, owned.owner), (Reason::Owned, 4));
    assert_eq!(owned.error, Some(Errno::EADDRINUSE));
}

#[test]
fn grants_come_back_as_they_were_set() {
    let setup = setup();
    setup.control.take_control().expect("nobody has it");
    setup.control.set_grants(&grants(3)).expect("newer");
    let state = setup.control.grants().expect("the grants");
    assert_eq!(state.grants, grants(3));
    assert_eq!(state.grants.tcp.granted.ranges(), [80..=80, 32768..=36863]);
    let error = setup.control.set_grants(&grants(3)).expect_err("not newer");
    assert_eq!(error.errno(), Some(Errno::ESTALE));
    setup.control.set_deadline(7, 4, None).expect("newer");
    assert_eq!(
        setup.control.grants().expect("grants").grants.deadline,
        None
    );
}

#[test]
fn one_open_file_has_the_control_role() {
    let setup = setup();
    let other = Control::open(setup.node.path()).expect("another one");
    let errno = |result: Result<(), Error>| result.expect_err("refused").errno();
    assert_eq!(errno(setup.control.fence(0, 1)), Some(Errno::EACCES));
    setup.control.take_control().expect("nobody has it");
    assert_eq!(errno(other.take_control()), Some(Errno::EBUSY));
    setup.control.release_control().expect("it has it");
    other.take_control().expect("it was given back");
}

#[test]
fn addresses_are_a_list_and_can_be_none() {
    let setup = setup();
    let addresses = setup.control.addresses().expect("addresses");
    assert_eq!(addresses.len(), 2);
    setup.control.set_addresses(&addresses[1..]).expect("one");
    assert_eq!(
        setup.control.addresses().expect("addresses"),
        &addresses[1..]
    );
    setup.control.set_addresses(&[]).expect("all but loopback");
    assert!(setup.control.addresses().expect("addresses").is_empty());
}

#[test]
fn many_tuples_go_in_parts_and_the_first_that_fails_is_named() {
    let setup = setup();
    let tuples: Vec<_> = (1..=10_000)
        .map(|port| tuple(Protocol::Tcp, port))
        .collect();
    setup.control.install(2, &tuples).expect("all are free");
    setup
        .control
        .delete(tuples[5000], 0, false)
        .expect("another node's");
    setup
        .control
        .withdraw(2, &tuples[..4000])
        .expect("they are there");
    let error = setup
        .control
        .withdraw(2, &tuples[4000..])
        .expect_err("one is not there");
    let Error::Stopped { done, errno } = error else {
        panic!("{error}");
    };
    assert_eq!((done, errno), (1000, Errno::ENOENT));
}

#[test]
fn a_flush_tells_what_it_would_do_and_does_it() {
    let setup = setup();
    setup.node.module(|module| {
        module.add(1, tuple(Protocol::Tcp, 1));
        module.add(1, tuple(Protocol::Udp, 1));
        module.add(2, tuple(Protocol::Tcp, 2));
    });
    let flush = |force, dry| {
        setup
            .control
            .flush(&Filter::default(), force, dry)
            .expect("a flush")
    };
    let left = || setup.node.module(|module| module.entries.len());
    let kept_one = Deleted {
        deleted: 2,
        kept: 1,
    };
    assert_eq!((flush(false, true), left()), (kept_one, 3));
    assert_eq!((flush(false, false), left()), (kept_one, 1));
    let forced = Deleted {
        deleted: 1,
        kept: 0,
    };
    assert_eq!((flush(true, false), left()), (forced, 0));
}

#[test]
fn events_are_waited_for_and_the_lost_ones_are_told() {
    let setup = setup();
    let mask = EventMask::from_iter([EventType::Mode]);
    let mut events = setup.control.events(mask).expect("events");
    let short = Some(Duration::from_millis(1));
    assert_eq!(events.next(short).expect("nothing yet"), None);
    let happen = |kind, ev_value| {
        let event = clinetctl_event_t {
            ev_value,
            ..FromZeros::new_zeroed()
        };
        setup.node.module(|module| module.happen(kind, event));
    };
    happen(EventType::Attach, 1);
    happen(EventType::Mode, 2);
    happen(EventType::Lost, 3);
    let mut next = || {
        events
            .next(Some(Duration::from_secs(60)))
            .expect("events")
            .expect("one")
    };
    let (mode, lost) = (next(), next());
    assert_eq!(
        (mode.kind, mode.value, mode.sequence),
        (EventType::Mode, 2, 1)
    );
    assert_eq!((lost.kind, lost.value), (EventType::Lost, 3));
}

#[test]
fn a_property_that_disarms_the_fence_needs_force() {
    let setup = setup();
    setup.control.take_control().expect("nobody has it");
    setup.control.set_grants(&grants(1)).expect("newer");
    let off = u64::from(Mode::Off.number());
    let error = setup
        .control
        .set(Property::Mode, off, false)
        .expect_err("granted");
    assert_eq!(error.errno(), Some(Errno::EBUSY));
    setup
        .control
        .set(Property::Mode, off, true)
        .expect("forced");
    let state = setup.control.state().expect("the state");
    assert_eq!((state.mode, state.lapsed), (Mode::Off, true));
}

#[test]
fn words_are_read_as_they_are_written() {
    for reason in Reason::ALL {
        assert_eq!(reason.to_string().parse(), Ok(*reason));
        assert_eq!(Reason::from(reason.number()), *reason);
    }
    assert_eq!(Reason::from(99), Reason::Unknown(99));
    let error = "on".parse::<Mode>().expect_err("no mode");
    assert_eq!(
        error.to_string(),
        r#""on" is none of off, observe, enforce"#
    );
}

#[test]
fn port_sets_have_every_port() {
    let ends = PortSet::from_iter([0..=0, 65535..=65535, 7..=8]);
    assert_eq!(ends.ranges(), [0..=0, 7..=8, 65535..=65535]);
    assert_eq!((ends.len(), ends.count(1..=65535)), (4, 3));
    assert_eq!(ends.as_bytes()[0], 0b1000_0001);
    assert!(!PortSet::from_iter([0..=65535]).is_empty());
    assert!(PortSet::default().is_empty());
}
