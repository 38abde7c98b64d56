// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Random calls of the driver's entry points, made of a string of bytes: the same
//! string makes the same calls.

use std::collections::BTreeMap;
use std::time::Duration;

use clinet_control::abi::{self, command};
use clinet_kernel::{Cred, Model, OpenFile, OpenFlags, PollSet, Privileges, UserMemory};
use clinet_module_tests::{TCP, Tuple, UDP};
use zerocopy::IntoBytes;

use crate::commands::{About, COMMANDS};
use crate::{Machine, new};

/// Where the bytes come from.
pub enum Source<'a> {
    /// These, and no more.
    Bytes(&'a [u8]),
    /// As many as are wanted.
    Random(fastrand::Rng),
}

impl Source<'_> {
    /// The next byte, unless there is none.
    fn byte(&mut self) -> Option<u8> {
        match self {
            Self::Bytes(bytes) => {
                let (first, rest) = bytes.split_first()?;
                *bytes = rest;
                Some(*first)
            }
            Self::Random(random) => Some(random.u8(..)),
        }
    }

    /// A number below `limit`, which is at most 256.
    fn below(&mut self, limit: usize) -> Option<usize> {
        Some(usize::from(self.byte()?) % limit)
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> Option<bool> {
        Some(self.below(n)? == 0)
    }

    fn word(&mut self) -> Option<u32> {
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Some(u32::from_le_bytes(bytes))
    }

    /// A number that is likely to be near a limit of something.
    fn interesting(&mut self) -> Option<u32> {
        const NUMBERS: [u32; 12] = [
            1,
            2,
            5,
            6,
            17,
            63,
            64,
            4096,
            16384,
            65535,
            0x7fff_ffff,
            u32::MAX,
        ];
        match self.below(16)? {
            0..6 => Some(0),
            6 => self.word(),
            7..10 => Some(u32::from(self.byte()?)),
            index => NUMBERS.get((index + self.below(12)?) % 12).copied(),
        }
    }
}

/// The place of a pointer in a structure, that of the number of elements, and the
/// size of these.
struct Pointer {
    at: usize,
    count: Option<usize>,
    element: usize,
}

fn pointers(command: crate::Command) -> Vec<Pointer> {
    let counted = |at, count, element| Pointer {
        at,
        count: Some(count),
        element,
    };
    let bitmap = |at| Pointer {
        at,
        count: None,
        element: abi::CLINETCTL_BITMAP as usize,
    };
    match command {
        command::GET_STATS => vec![counted(8, 16, size_of::<abi::clinetctl_stat_t>())],
        command::LIST => vec![counted(80, 88, size_of::<abi::clinet_entry_t>())],
        command::GET_ADDRS | command::SET_ADDRS => vec![counted(8, 16, 1)],
        command::INSTALL | command::WITHDRAW => {
            vec![counted(8, 16, size_of::<abi::clinetctl_tuple_t>())]
        }
        command::GET_GRANTS | command::SET_GRANTS => vec![bitmap(56), bitmap(64)],
        _ => Vec::new(),
    }
}

/// What came of the calls.
#[derive(Debug, Default)]
pub struct Report {
    /// How many there were.
    pub calls: u64,
    /// How many ended with which errno; 0 is none.
    pub ends: BTreeMap<i32, u64>,
}

impl Report {
    fn note(&mut self, result: Result<(), i32>) {
        self.calls += 1;
        *self.ends.entry(result.err().unwrap_or(0)).or_default() += 1;
    }
}

/// The errnos that `clinetctl.h` and `clinet.h` name.
const KNOWN: [i32; 21] = [
    0, 1, 2, 4, 6, 11, 12, 13, 14, 16, 22, 25, 28, 48, 62, 73, 120, 124, 125, 126, 151,
];

const ETIME: i32 = 62;

/// Files that are open at once.
const FILES: usize = 6;

/// A machine that is called at random.
struct Session {
    machine: Machine,
    files: Vec<OpenFile>,
    /// They outlive the files that are in them.
    poll_sets: Vec<PollSet>,
    report: Report,
}

/// Makes calls until the source has no bytes left, or `most` are made. All is
/// closed and unloaded then.
///
/// # Panics
///
/// If the machine panics, an errno is unknown, a call that failed changed
/// something, or something is left behind.
pub fn run(source: &mut Source<'_>, most: u64) -> Report {
    let mut session = Session {
        machine: Machine::new(&[("clinet_max_tuples", 2000)]),
        files: Vec::new(),
        poll_sets: Vec::new(),
        report: Report::default(),
    };
    while session.report.calls < most && session.step(source).is_some() {}
    session.files.clear();
    session.machine.kernel.settle();
    let unloaded = session.machine.driver.unload();
    unloaded.unwrap_or_else(|error| panic!("{error}"));
    for errno in session.report.ends.keys() {
        assert!(KNOWN.contains(errno), "errno {errno}");
    }
    session.report
}

impl Session {
    /// One call; `None` if the source ends.
    fn step(&mut self, source: &mut Source<'_>) -> Option<()> {
        let kind = source.below(64)?;
        if self.files.is_empty() || kind == 0 {
            return self.open(source);
        }
        let index = source.below(self.files.len())?;
        match kind {
            1 => {
                self.files.swap_remove(index);
            }
            2..5 => {
                let length = source.below(4)? * 50 + source.below(64)? * 88;
                let result = self.files[index].read(length, true);
                self.report.note(result.map(drop));
            }
            5 => {
                let events = source.word()? as i16;
                let result = self.files[index].poll(events, Duration::ZERO);
                self.report.note(result.map(drop));
            }
            6 if source.once_in(4)? => {
                let events = source.word()? as i16;
                if let Ok(Some(set)) = self.files[index].add_to_poll_set(events) {
                    self.poll_sets.push(set);
                }
            }
            6..9 => self.connect(source)?,
            9 => self.machine.kernel.settle(),
            10 if source.once_in(16)? => {
                let seconds = source.below(20)? as u64;
                self.machine.kernel.advance(Duration::from_secs(seconds));
            }
            _ => self.ioctl(index, source)?,
        }
        Some(())
    }

    fn open(&mut self, source: &mut Source<'_>) -> Option<()> {
        if self.files.len() == FILES {
            self.files.swap_remove(0);
        }
        let flags = OpenFlags(u32::from(source.byte()?));
        let cred = random_cred(source)?;
        let result = self.machine.driver.open(cred, flags);
        self.report
            .note(result.as_ref().map(drop).map_err(|errno| *errno));
        self.files.extend(result.ok());
        Some(())
    }

    /// Something for a list: a connection that begins or ends.
    fn connect(&mut self, source: &mut Source<'_>) -> Option<()> {
        let protocol = if source.once_in(2)? { TCP } else { UDP };
        let port = u16::from(source.byte()?);
        let tuple = match source.once_in(2)? {
            true => Tuple::v4(protocol, port, 1),
            false => Tuple::v6(protocol, port, 1),
        };
        // The answer depends on what was granted and installed.
        let _ = self.machine.connect(source.once_in(2)?, &tuple);
        Some(())
    }

    fn ioctl(&mut self, index: usize, source: &mut Source<'_>) -> Option<()> {
        let about = COMMANDS[source.below(COMMANDS.len())?];
        let number = match source.once_in(64)? {
            true => source.word()?,
            false => about.number,
        };
        let mut memory = UserMemory::new();
        let bytes = structure(&about, source, &mut memory)?;
        let model = match source.once_in(3)? {
            true => Model::Ilp32,
            false => Model::Lp64,
        };
        let address = memory.add(&bytes);
        if source.once_in(32)? {
            memory.protect(address);
        }
        let mut is_whole = true;
        if source.once_in(16)? {
            memory.fail_copy(source.below(6)? as u64);
            is_whole = false;
        } else if source.once_in(16)? {
            memory.fail_after(Some(source.word()? as usize % 8192));
            is_whole = false;
        }
        let before = source.once_in(16)?.then(|| self.state());
        let file = &self.files[index];
        let result = match source.once_in(8)? {
            true => file.ioctl_as(random_cred(source)?, number, address, &mut memory, model),
            false => file.ioctl(number, address, &mut memory, model),
        };
        self.report.note(result.map(drop));
        // A copy that fails behind the change is the program's own doing, and what is not
        // done in time goes on.
        let is_refused = result.is_err_and(|errno| errno != ETIME);
        if let Some(before) = before.filter(|_| is_refused && is_whole) {
            assert_eq!(
                self.state(),
                before,
                "{about:?} failed and changed something"
            );
        }
        Some(())
    }

    /// What a call that fails must not change. Not the number of entries: the
    /// module's thread may have some aged.
    fn state(&self) -> [u64; 7] {
        let mut state: abi::clinetctl_state_t = new();
        let mut memory = UserMemory::new();
        let address = memory.add(state.as_bytes());
        let file = &self.files[0];
        let result = file.ioctl(command::GET_STATE, address, &mut memory, Model::Lp64);
        assert_eq!(result, Ok(0));
        let bytes = memory.read(address, size_of_val(&state));
        state
            .as_mut_bytes()
            .copy_from_slice(&bytes.expect("still mapped"));
        [
            state.cst_sequence,
            state.cst_epoch,
            state.cst_deadline,
            u64::from(state.cst_mode),
            u64::from(state.cst_fence_seconds),
            u64::from(state.cst_granted[0]),
            u64::from(state.cst_granted[1]),
        ]
    }
}

fn random_cred(source: &mut Source<'_>) -> Option<Cred> {
    let bits = source.byte()?;
    if bits & 0x30 != 0 {
        return Some(Cred::root());
    }
    Some(Cred {
        uid: u32::from(bits >> 6),
        zone: i32::from(bits & 8),
        privileges: Privileges {
            net_observability: bits & 1 != 0,
            sys_ip_config: bits & 2 != 0,
        },
    })
}

/// The bytes of a structure: mostly one that makes sense.
fn structure(about: &About, source: &mut Source<'_>, memory: &mut UserMemory) -> Option<Vec<u8>> {
    let mut bytes = vec![0; about.size];
    let put = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    // Zeros, or numbers here and there.
    if source.once_in(2)? {
        for at in (8..about.size).step_by(4) {
            if source.once_in(4)? {
                put(&mut bytes, at, &source.interesting()?.to_le_bytes());
            }
        }
    }
    put(&mut bytes, 0, &abi::CLINETCTL_VERSION.to_le_bytes());
    put(&mut bytes, 4, &(about.size as u32).to_le_bytes());
    sensible(about.number, &mut bytes, source)?;
    for pointer in pointers(about.number) {
        let count = pointer.count.and_then(|at| bytes.get(at..at + 4));
        let count = count.and_then(|count| count.try_into().ok());
        let count = count.map_or(1, u32::from_le_bytes).min(5000) as usize;
        let length = match source.once_in(8)? {
            true => source.word()? as usize % 4096,
            false => count * pointer.element,
        };
        let mut region = vec![source.byte()?; length];
        tuples(about.number, &mut region, source)?;
        let place = memory.add(&region);
        if source.once_in(16)? {
            memory.protect(place);
        }
        let place = match source.once_in(32)? {
            true => u64::from(source.word()?) << (source.below(2)? * 32),
            false => place,
        };
        put(&mut bytes, pointer.at, &place.to_le_bytes());
    }
    for _ in 0..source.below(16)?.saturating_sub(12) {
        let at = usize::from(source.byte()?) % about.size;
        bytes[at] = source.byte()?;
    }
    // A machine that is told to panic does so, and nothing is learnt from that.
    let action = abi::CLINETCTL_FENCE_ACTION.to_le_bytes();
    if about.number == command::SET && bytes[8..12] == action && bytes[16] == 1 {
        bytes[16] = 0;
    }
    if source.once_in(64)? {
        bytes.truncate(usize::from(source.byte()?));
    }
    Some(bytes)
}

/// Members that a random number would seldom be right for.
fn sensible(number: crate::Command, bytes: &mut [u8], source: &mut Source<'_>) -> Option<()> {
    if source.once_in(4)? {
        return Some(());
    }
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let small = u32::from(source.byte()?);
    match number {
        command::LIST => {
            put(8, if small < 128 { 0 } else { small });
            put(88, 64 + small * 8);
            put(92, size_of::<abi::clinet_entry_t>() as u32);
            put(100, 0);
        }
        command::FLUSH => {
            put(8, small);
            put(80, small % 4);
        }
        command::SET => {
            put(8, small % 9);
            put(12, small / 128);
            put(16, source.interesting()?);
            put(20, 0);
        }
        command::GET_ADDRS | command::SET_ADDRS => {
            put(16, small);
            put(20, 0);
        }
        command::EVENTS => {
            put(8, small);
            put(12, 0);
        }
        command::INSTALL | command::WITHDRAW => {
            put(16, small % 32);
            put(20, small / 32);
        }
        command::PURGE | command::RESYNC_BEGIN | command::RESYNC_END => {
            put(8, small / 32);
            put(12, 0);
        }
        command::SET_GRANTS | command::SET_DEADLINE | command::UNFENCE => {
            put(8, small / 64);
            put(16, source.interesting()?);
        }
        _ => {}
    }
    Some(())
}

/// Makes tuples of what INSTALL and WITHDRAW get.
fn tuples(number: crate::Command, region: &mut [u8], source: &mut Source<'_>) -> Option<()> {
    if ![command::INSTALL, command::WITHDRAW].contains(&number) || source.once_in(8)? {
        return Some(());
    }
    for one in region.chunks_exact_mut(size_of::<abi::clinetctl_tuple_t>()) {
        let mut tuple = crate::tuple(&Tuple::v4(TCP, u16::from(source.byte()?), 1));
        tuple.ct_protocol = if source.once_in(2)? { TCP } else { UDP };
        one.copy_from_slice(tuple.as_bytes());
    }
    Some(())
}
