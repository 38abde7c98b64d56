// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The commands that change something.

use clinet_control::abi::{self, command};
use clinet_driver_tests::errno::{EADDRINUSE, EBUSY, EFAULT, EINVAL, ENOENT};
use clinet_driver_tests::{Command, Device, Machine, new, tuple};
use clinet_kernel::UserMemory;
use clinet_module_tests::{TCP, Tuple, UDP};
use zerocopy::IntoBytes;

/// The answer of install or withdraw: the ioctl's, how many were done, and the
/// errno of the next one.
fn with_tuples(
    device: &Device,
    command: Command,
    owner: u32,
    tuples: &[Tuple],
) -> (Result<(), i32>, u32, i32) {
    let mut memory = UserMemory::new();
    let mut bytes = Vec::new();
    for one in tuples {
        bytes.extend_from_slice(tuple(one).as_bytes());
    }
    let mut all: abi::clinetctl_tuples_t = new();
    all.ct_tuples = memory.add(&bytes);
    (all.ct_count, all.ct_owner) = (tuples.len() as u32, owner);
    let result = device.ask_with(command, &mut all, &mut memory);
    (result, all.ct_done, all.ct_error)
}

#[test]
fn tuples_of_others_come_and_go_in_their_order() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let all: Vec<Tuple> = (0..100).map(|port| Tuple::v4(TCP, port, 9)).collect();
    let (install, withdraw) = (command::INSTALL, command::WITHDRAW);
    assert_eq!(with_tuples(&device, install, 5, &all), (Ok(()), 100, 0));
    assert_eq!(machine.tuples(), 100);
    // The third is somebody else's.
    assert_eq!(machine.connect(true, &Tuple::v6(TCP, 3, 9)), 0);
    let more = [1, 2, 3, 4].map(|port| Tuple::v6(TCP, port, 9));
    assert_eq!(
        with_tuples(&device, install, 5, &more),
        (Ok(()), 2, EADDRINUSE)
    );
    assert_eq!(
        with_tuples(&device, withdraw, 5, &more),
        (Ok(()), 2, ENOENT)
    );
    assert_eq!(with_tuples(&device, withdraw, 5, &all), (Ok(()), 100, 0));
    assert_eq!(with_tuples(&device, install, 0, &all), (Ok(()), 0, EINVAL));
    assert_eq!(with_tuples(&device, install, 5, &[]), (Ok(()), 0, 0));
    assert_eq!(machine.tuples(), 1);
}

#[test]
fn tuples_are_all_looked_at_before_the_first() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let mut memory = UserMemory::new();
    let mut bytes = tuple(&Tuple::v4(TCP, 1, 2)).as_bytes().to_vec();
    bytes.extend_from_slice(tuple(&Tuple::v4(TCP, 3, 4)).as_bytes());
    let last = bytes.len() - 1;
    bytes[last] = 1;
    let mut all: abi::clinetctl_tuples_t = new();
    all.ct_tuples = memory.add(&bytes);
    (all.ct_count, all.ct_owner) = (2, 5);
    assert_eq!(
        device.ask_with(command::INSTALL, &mut all, &mut memory),
        Err(EINVAL)
    );
    all.ct_count = 3;
    assert_eq!(
        device.ask_with(command::INSTALL, &mut all, &mut memory),
        Err(EFAULT)
    );
    all.ct_count = abi::CLINETCTL_MOST_TUPLES + 1;
    assert_eq!(
        device.ask_with(command::INSTALL, &mut all, &mut memory),
        Err(EINVAL)
    );
    assert_eq!(machine.tuples(), 0);
}

#[test]
fn owners_leave_and_name_their_tuples_again() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let owner = |command, number| {
        let mut owner: abi::clinetctl_owner_t = new();
        owner.co_owner = number;
        device.ask(command, &mut owner)
    };
    let both = [Tuple::v4(TCP, 1, 2), Tuple::v4(UDP, 1, 2)];
    let install = |tuples: &[Tuple]| with_tuples(&device, command::INSTALL, 5, tuples);
    assert_eq!(install(&both), (Ok(()), 2, 0));
    assert_eq!(owner(command::RESYNC_BEGIN, 5), Ok(()));
    assert_eq!(install(&both[..1]), (Ok(()), 1, 0));
    assert_eq!(owner(command::RESYNC_END, 5), Ok(()));
    let answer = with_tuples(&device, command::WITHDRAW, 5, &both[1..]);
    assert_eq!(answer, (Ok(()), 0, ENOENT));
    assert_eq!(owner(command::PURGE, 5), Ok(()));
    let answer = with_tuples(&device, command::WITHDRAW, 5, &both[..1]);
    assert_eq!(answer, (Ok(()), 0, ENOENT));
    for command in [command::PURGE, command::RESYNC_BEGIN, command::RESYNC_END] {
        assert_eq!(owner(command, 0), Err(EINVAL));
        assert_eq!(owner(command, 1), Err(EINVAL), "this node");
    }
}

#[test]
fn an_entry_is_deleted_but_a_live_one_only_by_force() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let (ours, theirs) = (Tuple::v4(TCP, 1, 2), Tuple::v4(TCP, 3, 4));
    assert_eq!(machine.connect(true, &ours), 0);
    let answer = with_tuples(&device, command::INSTALL, 5, &[theirs]);
    assert_eq!(answer, (Ok(()), 1, 0));
    let delete = |of: &Tuple, flags| {
        let mut delete: abi::clinetctl_delete_t = new();
        delete.cd_tuple = tuple(of);
        delete.cd_flags = flags;
        device.ask(command::DELETE, &mut delete)
    };
    let (force, dry) = (abi::CLINETCTL_FORCE, abi::CLINETCTL_DRY_RUN);
    assert_eq!(delete(&ours, 0), Err(EBUSY));
    assert_eq!(delete(&ours, force | dry), Ok(()));
    assert_eq!(delete(&theirs, dry), Ok(()));
    assert_eq!(machine.tuples(), 2);
    assert_eq!(delete(&theirs, 0), Ok(()));
    assert_eq!(delete(&theirs, 0), Err(ENOENT));
    assert_eq!(delete(&ours, force), Ok(()));
    assert_eq!(machine.tuples(), 0);
}

/// A flush of all that a filter wants, as often as it takes: deleted, kept.
fn flush(device: &Device, filter: abi::clinetctl_filter_t, flags: u32) -> (u64, u64) {
    let (mut deleted, mut kept) = (0, 0);
    let mut flush: abi::clinetctl_flush_t = new();
    (flush.cf_filter, flush.cf_flags) = (filter, flags);
    while flush.cf_done == 0 {
        assert_eq!(device.ask(command::FLUSH, &mut flush), Ok(()));
        deleted += flush.cf_deleted;
        kept += flush.cf_kept;
    }
    (deleted, kept)
}

#[test]
fn a_flush_takes_what_the_filter_wants() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    for port in 0..500_u16 {
        assert_eq!(machine.connect(true, &Tuple::v4(TCP, port.to_be(), 1)), 0);
        assert_eq!(machine.connect(true, &Tuple::v4(UDP, port.to_be(), 1)), 0);
    }
    let all = new::<abi::clinetctl_flush_t>().cf_filter;
    let mut some = all;
    some.cf_by = abi::CLINETCTL_BY_LPORT;
    some.cf_lport = [100, 199];
    assert_eq!(flush(&device, some, abi::CLINETCTL_DRY_RUN), (100, 100));
    assert_eq!(machine.tuples(), 1000);
    assert_eq!(flush(&device, some, 0), (100, 100));
    assert_eq!(flush(&device, some, 0), (0, 100));
    let force = abi::CLINETCTL_FORCE;
    assert_eq!(
        flush(&device, some, force | abi::CLINETCTL_DRY_RUN),
        (100, 0)
    );
    assert_eq!(flush(&device, some, force), (100, 0));
    assert_eq!(machine.tuples(), 800);
    assert_eq!(flush(&device, all, force), (800, 0));
    assert_eq!(machine.tuples(), 0);
}

#[test]
fn properties_are_the_modules() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    let set = |property, value, flags| {
        let mut set: abi::clinetctl_property_t = new();
        set.cp_property = property;
        (set.cp_value, set.cp_flags) = (value, flags);
        device.ask(command::SET, &mut set)
    };
    let state = || {
        let mut state: abi::clinetctl_state_t = new();
        assert_eq!(device.ask(command::GET_STATE, &mut state), Ok(()));
        state
    };
    assert_eq!(set(abi::CLINETCTL_FULL, 1, 0), Ok(()));
    assert_eq!(set(abi::CLINETCTL_FENCE_SECONDS, 17, 0), Ok(()));
    assert_eq!(set(abi::CLINETCTL_MODE, 1, abi::CLINETCTL_FORCE), Ok(()));
    let now = state();
    assert_eq!(
        (now.cst_full, now.cst_fence_seconds, now.cst_mode),
        (1, 17, 1)
    );
    for (property, value) in [
        (0, 0),
        (8, 0),
        (u32::MAX, 0),
        (abi::CLINETCTL_MODE, 3),
        (abi::CLINETCTL_MODE, u64::MAX),
        (abi::CLINETCTL_FULL, 2),
        (abi::CLINETCTL_FULL, 1 << 32),
        (abi::CLINETCTL_INCOMING, 2),
        (abi::CLINETCTL_EXPLICIT, 2),
        (abi::CLINETCTL_OTHER_STACK, 2),
        (abi::CLINETCTL_FENCE_ACTION, 3),
        (abi::CLINETCTL_FENCE_SECONDS, 0),
        (abi::CLINETCTL_FENCE_SECONDS, 61),
    ] {
        assert_eq!(set(property, value, 0), Err(EINVAL), "{property} {value}");
    }
    let after = state();
    assert_eq!(
        (after.cst_full, after.cst_fence_seconds, after.cst_mode),
        (1, 17, 1)
    );
}
