// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What all commands have in common: whatever is wrong with a call is an errno,
//! changes nothing, and leaves nothing behind.

use clinet_control::abi;
use clinet_driver_tests::commands::{About, COMMANDS, Needs};
use clinet_driver_tests::errno::{EACCES, EBUSY, EFAULT, EINVAL, ENOTSUP, ENOTTY, EPERM};
use clinet_driver_tests::{Command, Device, Machine, new};
use clinet_kernel::{Cred, Model, Privileges, UserMemory};
use zerocopy::IntoBytes;

const MODELS: [Model; 2] = [Model::Lp64, Model::Ilp32];

/// The bytes of a structure of `size` bytes: zeros but for its head.
fn zeros(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size.max(8)];
    bytes[..4].copy_from_slice(&abi::CLINETCTL_VERSION.to_ne_bytes());
    bytes[4..8].copy_from_slice(&(size as u32).to_ne_bytes());
    bytes.truncate(size);
    bytes
}

/// A machine with an open device, and what must not change.
struct Fixture {
    machine: Machine,
    device: Device,
    before: Before,
}

#[derive(Debug, PartialEq, Eq)]
struct Before {
    state: Vec<u8>,
    memory: usize,
}

impl Before {
    fn of(machine: &Machine, device: &Device) -> Self {
        machine.kernel.settle();
        let mut state: abi::clinetctl_state_t = new();
        let result = device.ask(abi::command::GET_STATE, &mut state);
        assert_eq!(result, Ok(()));
        // Time goes on; the rest stays.
        state.cst_now = 0;
        Self {
            state: state.as_bytes().to_vec(),
            memory: machine.kernel.kmem_in_use(),
        }
    }
}

impl Fixture {
    fn new() -> Self {
        let machine = Machine::new(&[]);
        let device = machine.open();
        let before = Before::of(&machine, &device);
        Self {
            machine,
            device,
            before,
        }
    }

    /// With the control role.
    fn with_role() -> Self {
        let fixture = Self::new();
        fixture.take_role();
        fixture
    }

    fn take_role(&self) {
        let mut action: abi::clinetctl_action_t = new();
        let result = self.device.ask(abi::command::CONTROL, &mut action);
        assert_eq!(result, Ok(()));
    }

    fn ioctl(&self, command: Command, address: u64, memory: &mut UserMemory, model: Model) -> i32 {
        let result = self.device.file.ioctl(command, address, memory, model);
        result.err().unwrap_or(0)
    }

    fn ioctl_as(&self, cred: Cred, command: Command, bytes: &[u8]) -> i32 {
        let mut memory = UserMemory::new();
        let address = memory.add(bytes);
        let file = &self.device.file;
        let result = file.ioctl_as(cred, command, address, &mut memory, Model::Lp64);
        result.err().unwrap_or(0)
    }

    fn assert_unchanged(&self, what: &About) {
        let after = Before::of(&self.machine, &self.device);
        assert_eq!(after, self.before, "{what:?}");
    }
}

/// A shorter one, a longer one, none at all.
#[test]
fn a_wrong_size_is_refused() {
    let fixture = Fixture::with_role();
    for about in COMMANDS {
        for size in (0..about.size as u32).chain([about.size as u32 + 8, u32::MAX]) {
            let mut bytes = zeros(about.size);
            bytes[4..8].copy_from_slice(&size.to_ne_bytes());
            let mut memory = UserMemory::new();
            let address = memory.add(&bytes);
            let larger = about.number == abi::command::GET_VERSION && size > about.size as u32;
            let expected = if larger { 0 } else { EINVAL };
            let result = fixture.ioctl(about.number, address, &mut memory, Model::Lp64);
            assert_eq!(result, expected, "{about:?} {size}");
        }
        fixture.assert_unchanged(&about);
    }
}

#[test]
fn another_version_is_refused() {
    let fixture = Fixture::with_role();
    for about in COMMANDS {
        for version in [0, abi::CLINETCTL_VERSION + 1, u32::MAX] {
            let mut bytes = zeros(about.size);
            bytes[..4].copy_from_slice(&version.to_ne_bytes());
            let mut memory = UserMemory::new();
            let address = memory.add(&bytes);
            let is_version = about.number == abi::command::GET_VERSION;
            let expected = if is_version { 0 } else { ENOTSUP };
            let result = fixture.ioctl(about.number, address, &mut memory, Model::Lp64);
            assert_eq!(result, expected, "{about:?} {version}");
        }
        fixture.assert_unchanged(&about);
    }
}

#[test]
fn a_structure_that_is_not_all_there_is_a_fault() {
    let fixture = Fixture::with_role();
    for about in COMMANDS {
        let whole = zeros(about.size);
        // Of the versions the head is enough to be refused an answer.
        for length in 0..about.size {
            for model in MODELS {
                let mut memory = UserMemory::new();
                let address = memory.add(&whole[..length]);
                let result = fixture.ioctl(about.number, address, &mut memory, model);
                assert_eq!(result, EFAULT, "{about:?} {length}");
            }
        }
        for address in [0, 1, 0x9000_0000, u64::MAX, u64::MAX - 7] {
            let result = fixture.ioctl(about.number, address, &mut UserMemory::new(), Model::Lp64);
            assert_eq!(result, EFAULT, "{about:?} {address:#x}");
        }
        fixture.assert_unchanged(&about);
    }
}

/// An answer that cannot be given is a fault before anything changes; where none
/// is given, none needs to be writable.
#[test]
fn a_structure_that_cannot_be_written_to() {
    let fixture = Fixture::with_role();
    for about in COMMANDS.iter().filter(|about| about.answers) {
        let mut memory = UserMemory::new();
        let mut bytes = zeros(about.size);
        if about.number == abi::command::LIST {
            let mut list: abi::clinetctl_list_t = new();
            list.cl_count = 64;
            list.cl_entry_size = size_of::<abi::clinet_entry_t>() as u32;
            bytes = list.as_bytes().to_vec();
        }
        if about.number == abi::command::GET_GRANTS || about.number == abi::command::SET_GRANTS {
            let mut grants: abi::clinetctl_grants_t = new();
            let bitmap = vec![0; abi::CLINETCTL_BITMAP as usize];
            grants.cg_bitmap = [memory.add(&bitmap), memory.add(&bitmap)];
            grants.cg_sequence = 1;
            bytes = grants.as_bytes().to_vec();
        }
        if about.number == abi::command::QUERY {
            bytes[8 + 36] = 6;
        }
        let address = memory.add(&bytes);
        memory.protect(address);
        let result = fixture.ioctl(about.number, address, &mut memory, Model::Lp64);
        assert_eq!(result, EFAULT, "{about:?}");
        fixture.assert_unchanged(about);
    }
    let mut memory = UserMemory::new();
    let address = memory.add(&zeros(16));
    memory.protect(address);
    let result = fixture.ioctl(abi::command::SWEEP, address, &mut memory, Model::Lp64);
    assert_eq!(result, 0);
}

/// Neither copy works: the one of the head, and the one of the structure.
#[test]
fn copies_that_fail_are_faults() {
    let fixture = Fixture::with_role();
    for about in COMMANDS {
        let copies = match about.number {
            abi::command::GET_VERSION => 1..=1,
            _ => 1..=2,
        };
        for copy in copies {
            let mut memory = UserMemory::new();
            let address = memory.add(&zeros(about.size));
            memory.fail_copy(copy);
            let result = fixture.ioctl(about.number, address, &mut memory, Model::Lp64);
            assert_eq!(result, EFAULT, "{about:?} {copy}");
        }
        // The eight bytes of the head, and the structure: one byte is missing yet.
        for bytes in [0, 7, 8, 8 + about.size - 1] {
            let mut memory = UserMemory::new();
            let address = memory.add(&zeros(about.size));
            memory.fail_after(Some(bytes));
            let result = fixture.ioctl(about.number, address, &mut memory, Model::Lp64);
            assert_eq!(result, EFAULT, "{about:?} {bytes}");
        }
        fixture.assert_unchanged(&about);
    }
}

#[test]
fn who_may_do_what() {
    let fixture = Fixture::new();
    let nobody = Cred::user(4);
    let observer = Cred {
        privileges: Privileges {
            net_observability: true,
            sys_ip_config: false,
        },
        ..nobody
    };
    let changer = Cred {
        privileges: Privileges {
            net_observability: false,
            sys_ip_config: true,
        },
        ..nobody
    };
    let elsewhere = Cred {
        zone: 3,
        ..Cred::root()
    };
    for about in COMMANDS {
        // A wrong size: it is looked at after the privileges.
        let mut bytes = zeros(about.size);
        bytes[4] = 1;
        let expected = |is_allowed: bool| match (is_allowed, about.needs) {
            (false, _) => EPERM,
            (true, Needs::Role) => EACCES,
            (true, _) => EINVAL,
        };
        for (cred, is_allowed) in [
            (nobody, about.needs == Needs::Nothing),
            (observer, about.needs <= Needs::Observe),
            (changer, about.needs != Needs::Observe),
            (elsewhere, about.needs <= Needs::Observe),
            (Cred::root(), true),
        ] {
            let result = fixture.ioctl_as(cred, about.number, &bytes);
            assert_eq!(result, expected(is_allowed), "{about:?} {cred:?}");
        }
        fixture.assert_unchanged(&about);
    }
}

#[test]
fn other_numbers_are_no_commands() {
    let fixture = Fixture::with_role();
    let known: Vec<u32> = COMMANDS.iter().map(|about| about.number).collect();
    let prefix = known[0] & 0xffff_ff00;
    let near = (0..=255).map(|low| prefix | low);
    let far = known.iter().flat_map(|number| {
        [
            number ^ 0x0100_0000,
            number ^ 0x100,
            number | 0x8000_0000,
            number & 0xff,
        ]
    });
    let mut bytes = UserMemory::new();
    let address = bytes.add(&zeros(512));
    for number in near.chain(far).filter(|number| !known.contains(number)) {
        let result = fixture.ioctl(number, address, &mut bytes, Model::Lp64);
        assert_eq!(result, ENOTTY, "{number:#x}");
    }
}

#[test]
fn one_file_has_the_control_role() {
    let fixture = Fixture::new();
    let other = fixture.machine.open();
    let act = |device: &Device, command| {
        let mut action: abi::clinetctl_action_t = new();
        device.ask(command, &mut action)
    };
    let (control, release) = (abi::command::CONTROL, abi::command::RELEASE);
    assert_eq!(act(&other, release), Err(EACCES));
    assert_eq!(act(&fixture.device, control), Ok(()));
    assert_eq!(act(&fixture.device, control), Ok(()), "it has it already");
    assert_eq!(act(&other, control), Err(EBUSY));
    assert_eq!(act(&other, release), Err(EACCES));
    assert_eq!(act(&fixture.device, release), Ok(()));
    assert_eq!(act(&other, control), Ok(()));
    assert_eq!(act(&fixture.device, control), Err(EBUSY));
    drop(other);
    assert_eq!(
        act(&fixture.device, control),
        Ok(()),
        "closing gives it back"
    );
}

/// Members that have to be 0, and flags that nobody knows.
#[test]
fn reserved_members_are_refused() {
    let fixture = Fixture::with_role();
    let with = |command: Command, size: usize, offset: usize, byte: u8| {
        let mut bytes = zeros(size);
        bytes[offset] = byte;
        fixture.ioctl_as(Cred::root(), command, &bytes)
    };
    for number in [
        abi::command::ATTACH,
        abi::command::AUDIT,
        abi::command::SWEEP,
        abi::command::CONTROL,
        abi::command::RELEASE,
    ] {
        assert_eq!(with(number, 16, 8, 1), EINVAL, "flags");
        assert_eq!(with(number, 16, 12, 1), EINVAL, "padding");
    }
    for (command, size, offset, byte) in [
        (abi::command::DETACH, 16, 8, 2),
        (abi::command::DETACH, 16, 12, 1),
        (abi::command::SET, 24, 12, 2),
        (abi::command::EVENTS, 16, 9, 1),
        (abi::command::EVENTS, 16, 12, 1),
        (abi::command::PURGE, 16, 12, 1),
        (abi::command::RESYNC_BEGIN, 16, 12, 1),
        (abi::command::RESYNC_END, 16, 12, 1),
        (abi::command::GET_ADDRS, 24, 20, 1),
        (abi::command::SET_ADDRS, 24, 20, 1),
        (abi::command::DELETE, 56, 52, 4),
        (abi::command::DELETE, 56, 45, 1),
        (abi::command::QUERY, 72, 45, 1),
        (abi::command::QUERY, 72, 48, 2),
        (abi::command::FLUSH, 104, 80, 4),
        (abi::command::FENCE, 32, 24, 1),
        (abi::command::UNFENCE, 32, 24, 2),
        (abi::command::UNFENCE, 32, 28, 1),
    ] {
        let result = with(command, size, offset, byte);
        assert_eq!(result, EINVAL, "{command:#x} at {offset}");
    }
    let last = COMMANDS.last().expect("a command");
    fixture.assert_unchanged(last);
}
