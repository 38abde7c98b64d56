// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The grants, their deadline, and the fence.

use clinet_control::abi::{self, command};
use clinet_driver_tests::errno::{EACCES, EAGAIN, EFAULT, ESTALE};
use clinet_driver_tests::{Device, Machine, new};
use clinet_kernel::{Model, UserMemory};
use zerocopy::IntoBytes;

const BITMAP: usize = abi::CLINETCTL_BITMAP as usize;

/// A bitmap of these ports.
fn bitmap(ports: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = vec![0; BITMAP];
    for port in ports {
        bytes[port / 8] |= 1 << (port % 8);
    }
    bytes
}

/// Grants of a space from 32768 on, with bitmaps in memory.
fn grants(
    memory: &mut UserMemory,
    sequence: u64,
    tcp: &[u8],
    udp: &[u8],
) -> abi::clinetctl_grants_t {
    let mut grants: abi::clinetctl_grants_t = new();
    grants.cg_epoch = 77;
    grants.cg_sequence = sequence;
    grants.cg_deadline = u64::MAX;
    grants.cg_first = [32768; 2];
    grants.cg_last = [65535; 2];
    grants.cg_bitmap = [memory.add(tcp), memory.add(udp)];
    grants
}

fn controlled() -> (Machine, Device) {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let mut action: abi::clinetctl_action_t = new();
    assert_eq!(device.ask(command::CONTROL, &mut action), Ok(()));
    (machine, device)
}

/// What is granted: the structure and both bitmaps.
fn granted(device: &Device) -> (abi::clinetctl_grants_t, [Vec<u8>; 2]) {
    let mut memory = UserMemory::new();
    let mut grants: abi::clinetctl_grants_t = new();
    let places = [0; 2].map(|_: i32| memory.add(&vec![0xee; BITMAP]));
    grants.cg_bitmap = places;
    assert_eq!(
        device.ask_with(command::GET_GRANTS, &mut grants, &mut memory),
        Ok(())
    );
    assert_eq!(grants.cg_bitmap, places);
    (
        grants,
        places.map(|place| memory.read(place, BITMAP).expect("it is mapped")),
    )
}

#[test]
fn grants_are_what_was_set() {
    for model in [Model::Lp64, Model::Ilp32] {
        let (_machine, mut device) = controlled();
        device.model = model;
        let mut memory = UserMemory::new();
        let (tcp, udp) = (bitmap(32768..34816), bitmap(40000..40001));
        let mut wanted = grants(&mut memory, 2, &tcp, &udp);
        let places = wanted.cg_bitmap;
        assert_eq!(
            device.ask_with(command::SET_GRANTS, &mut wanted, &mut memory),
            Ok(())
        );
        assert_eq!(wanted.cg_bitmap, places);
        let (set, [set_tcp, set_udp]) = granted(&device);
        assert!(set_tcp == tcp && set_udp == udp);
        assert_eq!((set.cg_epoch, set.cg_sequence), (77, 2));
        assert_eq!((set.cg_first, set.cg_last), ([32768; 2], [65535; 2]));
        assert_eq!(set.cg_lapsed, 0);
        // Not newer.
        assert_eq!(
            device.ask_with(command::SET_GRANTS, &mut wanted, &mut memory),
            Err(ESTALE)
        );
    }
}

/// Both bitmaps are here before anything changes.
#[test]
fn half_of_the_grants_is_none() {
    let (_machine, device) = controlled();
    let all = bitmap(32768..65536);
    for half in 0..2 {
        let mut memory = UserMemory::new();
        let mut wanted = grants(&mut memory, 2, &all, &all);
        memory.map(wanted.cg_bitmap[half], &all[..BITMAP - 1]);
        let result = device.ask_with(command::SET_GRANTS, &mut wanted, &mut memory);
        assert_eq!(result, Err(EFAULT));
        wanted.cg_bitmap[half] = 0;
        let result = device.ask_with(command::SET_GRANTS, &mut wanted, &mut memory);
        assert_eq!(result, Err(EFAULT));
    }
    // Of the copies: the head, the structure, the try, the bitmaps.
    for copy in 1..=5 {
        let mut memory = UserMemory::new();
        let mut wanted = grants(&mut memory, 2, &all, &all);
        memory.fail_copy(copy);
        let result = device.ask_with(command::SET_GRANTS, &mut wanted, &mut memory);
        assert_eq!(result, Err(EFAULT), "{copy}");
    }
    let (set, [tcp, udp]) = granted(&device);
    assert!(set.cg_sequence < 2);
    assert!(tcp.iter().chain(&udp).all(|byte| *byte == 0));
    let mut grants: abi::clinetctl_grants_t = new();
    assert_eq!(device.ask(command::GET_GRANTS, &mut grants), Err(EFAULT));
}

#[test]
fn a_deadline_needs_the_epoch_and_a_newer_sequence() {
    let (_machine, device) = controlled();
    let mut memory = UserMemory::new();
    let all = bitmap(32768..65536);
    let mut wanted = grants(&mut memory, 2, &all, &all);
    assert_eq!(
        device.ask_with(command::SET_GRANTS, &mut wanted, &mut memory),
        Ok(())
    );
    let set = |epoch, sequence| {
        let mut deadline: abi::clinetctl_deadline_t = new();
        deadline.cd_epoch = epoch;
        deadline.cd_sequence = sequence;
        deadline.cd_deadline = 1 << 60;
        let result = device.ask(command::SET_DEADLINE, &mut deadline);
        result.map(|()| deadline.cd_now)
    };
    assert_eq!(set(76, 3), Err(ESTALE));
    assert_eq!(set(77, 2), Err(ESTALE));
    let now = set(77, 3).expect("it is newer");
    let mut clock: abi::clinetctl_clock_t = new();
    assert_eq!(device.ask(command::GET_CLOCK, &mut clock), Ok(()));
    assert!(now <= clock.cc_now);
    assert_eq!(granted(&device).0.cg_deadline, 1 << 60);
}

#[test]
fn only_who_has_the_role_grants() {
    let (machine, device) = controlled();
    let other = machine.open();
    let mut memory = UserMemory::new();
    let all = bitmap(32768..65536);
    let mut wanted = grants(&mut memory, 2, &all, &all);
    assert_eq!(
        other.ask_with(command::SET_GRANTS, &mut wanted, &mut memory),
        Err(EACCES)
    );
    assert_eq!(
        device.ask_with(command::SET_GRANTS, &mut wanted, &mut memory),
        Ok(())
    );
    // Anybody may look who may observe.
    let (set, _) = granted(&other);
    assert_eq!(set.cg_sequence, 2);
}

/// Ports of 32-bit programs are granted as those of 64-bit ones: byte for byte.
#[test]
fn structures_are_the_same_for_both_models() {
    let (_machine, mut device) = controlled();
    let answers = [Model::Lp64, Model::Ilp32].map(|model| {
        device.model = model;
        granted(&device).0.as_bytes()[8..32].to_vec()
    });
    assert_eq!(answers[0], answers[1]);
}

/// A deadline that has passed is no time to bring the addresses back.
#[test]
fn an_unfence_needs_a_deadline_that_is_to_come() {
    let (machine, device) = controlled();
    let mut memory = UserMemory::new();
    let all = bitmap(32768..65536);
    let mut wanted = grants(&mut memory, 2, &all, &all);
    wanted.cg_deadline = 1;
    machine.kernel.advance(std::time::Duration::from_secs(1));
    assert_eq!(
        device.ask_with(command::SET_GRANTS, &mut wanted, &mut memory),
        Ok(())
    );
    let mut unfence: abi::clinetctl_unfence_t = new();
    (unfence.cu_epoch, unfence.cu_sequence) = (76, 3);
    assert_eq!(device.ask(command::UNFENCE, &mut unfence), Err(ESTALE));
    unfence.cu_epoch = 77;
    assert_eq!(device.ask(command::UNFENCE, &mut unfence), Err(EAGAIN));
}
