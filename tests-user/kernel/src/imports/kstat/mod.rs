// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `kstat_*`: named kernel statistics.

mod reading;

use std::ops::Range;
use std::sync::Mutex;

use super::imports;
use super::log::{Destination, Level, Message};
use super::mutex;
use crate::context::{Context, here, must_be_able_to_sleep};
use crate::fault::{self, fault};
use crate::locks::{self, Work, lock};
use crate::machine::Machine;
use crate::memory;
pub use reading::{KstatError, KstatValue};

/// Offsets in `kstat_t`.
const KS_MODULE: u64 = 20;
const KS_INSTANCE: u64 = 52;
const KS_NAME: u64 = 56;
const KS_TYPE: u64 = 87;
const KS_CLASS: u64 = 88;
const KS_FLAGS: u64 = 119;
const KS_DATA: u64 = 120;
const KS_NDATA: u64 = 128;
const KS_DATA_SIZE: u64 = 136;
const KS_UPDATE: u64 = 152;
const KS_LOCK: u64 = 176;
const KSTAT_SIZE: usize = 184;

/// Offsets in `kstat_named_t`.
const NAMED_TYPE: u64 = 31;
const NAMED_VALUE: u64 = 32;
const NAMED_STRING_LENGTH: u64 = 40;
const NAMED_SIZE: usize = 48;

/// Room for a name with its NUL.
const STRLEN: usize = 31;
const TYPE_NAMED: u8 = 1;
const FLAG_VIRTUAL: u8 = 1;
const FLAG_VAR_SIZE: u8 = 2;
const FLAG_INVALID: u8 = 32;

const DATA_STRING: u8 = 9;

/// One kstat. Its memory is a `kstat_t`, then its data. It has no lock unless the
/// module gives it one: readers keep each other out.
struct Entry {
    memory: Box<[u64]>,
    module: String,
    instance: i32,
    name: String,
    by: u64,
    /// Somebody reads it; others wait.
    busy: bool,
}

impl Entry {
    fn address(&self) -> u64 {
        self.memory.as_ptr() as u64
    }

    fn full_name(&self) -> String {
        format!("{}:{}:{}", self.module, self.instance, self.name)
    }
}

/// The kstats of one machine.
#[derive(Default)]
pub(crate) struct Kstats {
    entries: Mutex<Vec<Entry>>,
    /// The names of those that the kernel has of kmem caches and task queues.
    of_kernel: Mutex<Vec<String>>,
}

impl Kstats {
    /// The kernel makes `unix:0:NAME` for what has this name, and warns if there
    /// is one.
    pub fn add_of_kernel(&self, machine: &Machine, name: &str) {
        let mut names = lock(&self.of_kernel);
        if names.iter().any(|other| other == name) {
            warn_of_collision(machine, &format!("unix:0:{name}"));
        }
        names.push(name.to_owned());
    }

    /// It is gone.
    pub fn remove_of_kernel(&self, name: &str) {
        let mut names = lock(&self.of_kernel);
        let found = names.iter().position(|other| other == name);
        found.map(|index| names.swap_remove(index));
    }

    /// Deletes what code in `text` created, and returns the names.
    pub fn take_of(&self, text: &Range<u64>) -> Vec<String> {
        lock(&self.entries)
            .extract_if(.., |entry| text.contains(&entry.by))
            .map(|entry| entry.full_name())
            .collect()
    }

    /// Reads a kstat as `kstat_read` does.
    pub fn read(
        &self,
        machine: &Machine,
        module: &str,
        instance: i32,
        name: &str,
    ) -> Result<Vec<(String, KstatValue)>, KstatError> {
        let kstat = self.find(module, instance, name)?;
        let held = machine.as_kernel(&Context::thread(), || {
            machine.locks.wait(machine, kstat, || self.try_hold(kstat))
        });
        held.unwrap_or_else(|fault| panic!("{fault}"))?;
        let values = machine.as_kernel(&Context::thread(), || {
            locks::doing(Work::Update(kstat), || reading::read(machine, kstat))
        });
        machine
            .locks
            .wake(machine, kstat, || self.set_busy(kstat, false));
        values.unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn find(&self, module: &str, instance: i32, name: &str) -> Result<u64, KstatError> {
        let all = lock(&self.entries);
        let is_it = |entry: &&Entry| {
            (&*entry.module, entry.instance, &*entry.name) == (module, instance, name)
        };
        let entry = all.iter().find(is_it).ok_or(KstatError::Absent)?;
        Ok(entry.address())
    }

    /// Holds a kstat for reading, unless somebody else does.
    fn try_hold(&self, kstat: u64) -> Option<Result<(), KstatError>> {
        let mut all = lock(&self.entries);
        let Some(entry) = all.iter_mut().find(|entry| entry.address() == kstat) else {
            return Some(Err(KstatError::Absent));
        };
        if entry.busy {
            return None;
        }
        if memory::read::<u8>(kstat + KS_FLAGS) & FLAG_INVALID != 0 {
            return Some(Err(KstatError::NotInstalled));
        }
        entry.busy = true;
        Some(Ok(()))
    }

    fn set_busy(&self, kstat: u64, busy: bool) {
        if let Some(entry) = lock(&self.entries)
            .iter_mut()
            .find(|e| e.address() == kstat)
        {
            entry.busy = busy;
        }
    }

    /// The name of a kstat, or its address.
    pub fn name(&self, kstat: u64) -> String {
        self.name_of(kstat).unwrap_or_else(|| format!("{kstat:#x}"))
    }

    /// The name of the kstat at `kstat`, if it is one.
    fn name_of(&self, kstat: u64) -> Option<String> {
        lock(&self.entries)
            .iter()
            .find(|entry| entry.address() == kstat)
            .map(Entry::full_name)
    }

    /// Adds a kstat unless one of that name is there.
    fn add(&self, entry: Entry) -> Result<u64, String> {
        let mut all = lock(&self.entries);
        let name = entry.full_name();
        if all.iter().any(|other| other.full_name() == name) {
            return Err(name);
        }
        let address = entry.address();
        all.push(entry);
        Ok(address)
    }

    /// Removes the kstat unless it is being read.
    fn try_remove(&self, kstat: u64) -> Option<()> {
        let mut all = lock(&self.entries);
        let index = all.iter().position(|entry| entry.address() == kstat)?;
        (!all[index].busy).then(|| {
            all.swap_remove(index);
        })
    }
}

/// Makes the memory of a kstat that is not installed.
fn new_kstat(
    class: &str,
    (module, instance, name): (&str, i32, &str),
    ndata: u32,
    flags: u8,
) -> Box<[u64]> {
    let is_virtual = flags & FLAG_VIRTUAL != 0;
    let data_size = ndata as usize * NAMED_SIZE;
    let own_data = if is_virtual { 0 } else { data_size };
    let memory = vec![0u64; (KSTAT_SIZE + own_data) / 8].into_boxed_slice();
    let kstat = memory.as_ptr() as u64;
    let data = kstat + KSTAT_SIZE as u64;
    memory::write_bytes(kstat + KS_MODULE, module.as_bytes());
    memory::write(kstat + KS_INSTANCE, instance);
    memory::write_bytes(kstat + KS_NAME, name.as_bytes());
    memory::write(kstat + KS_TYPE, TYPE_NAMED);
    memory::write_bytes(kstat + KS_CLASS, class.as_bytes());
    memory::write(kstat + KS_FLAGS, flags | FLAG_INVALID);
    memory::write(kstat + KS_DATA, if is_virtual { 0 } else { data });
    memory::write(kstat + KS_NDATA, ndata);
    memory::write(kstat + KS_DATA_SIZE, data_size as u64);
    memory
}

fn warn_of_collision(machine: &Machine, name: &str) {
    machine.log.push(Message {
        level: Level::Warning,
        destination: Destination::Everywhere,
        text: format!("kstat_create({name}): namespace collision"),
    });
}

/// Faults unless `kstat` is one; `what` names the function.
fn must_be_kstat(what: &str, kstat: u64) -> String {
    match here().machine.kstats.name_of(kstat) {
        Some(name) => name,
        None => fault!("{what}: {kstat:#x} is no kstat"),
    }
}

imports! {
    fn kstat_create(
        module: u64,
        instance: i32,
        name: u64,
        class: u64,
        kind: u8,
        ndata: u32,
        flags: u8,
    ) -> u64 {
        must_be_able_to_sleep("kstat_create");
        let module = memory::name(module, STRLEN, "the module of a kstat");
        let name = memory::name(name, STRLEN, "the name of a kstat");
        let class = memory::name(class, STRLEN, "the class of a kstat");
        if kind != TYPE_NAMED {
            fault!("kstat_create: type {kind} of {module}:{instance}:{name} is not KSTAT_TYPE_NAMED");
        }
        if ndata == 0 {
            fault!("kstat_create: {module}:{instance}:{name} has no data");
        }
        if flags & !(FLAG_VIRTUAL | FLAG_VAR_SIZE) != 0 {
            fault!("kstat_create: flags {flags:#x} of {module}:{instance}:{name} are not emulated");
        }
        let machine = here().machine;
        let entry = Entry {
            memory: new_kstat(&class, (&module, instance, &name), ndata, flags),
            module,
            instance,
            name,
            by: fault::caller_address(),
            busy: false,
        };
        machine.kstats.add(entry).unwrap_or_else(|name| {
            warn_of_collision(machine, &name);
            0
        })
    }

    fn kstat_install(kstat: u64) {
        must_be_able_to_sleep("kstat_install");
        let name = must_be_kstat("kstat_install", kstat);
        let flags: u8 = memory::read(kstat + KS_FLAGS);
        let data: u64 = memory::read(kstat + KS_DATA);
        if flags & FLAG_VAR_SIZE != 0 && memory::read::<u64>(kstat + KS_LOCK) == 0 {
            fault!("kstat_install: {name} is of variable size and has no ks_lock");
        }
        if data == 0 {
            fault!("kstat_install: {name} has no data");
        }
        let has_string = (0..u64::from(memory::read::<u32>(kstat + KS_NDATA)))
            .any(|i| memory::read::<u8>(data + i * NAMED_SIZE as u64 + NAMED_TYPE) == DATA_STRING);
        if has_string && flags & FLAG_VIRTUAL == 0 {
            fault!("kstat_install: {name} has strings and is not KSTAT_FLAG_VIRTUAL");
        }
        memory::write(kstat + KS_FLAGS, flags & !FLAG_INVALID);
    }

    fn kstat_delete(kstat: u64) {
        must_be_able_to_sleep("kstat_delete");
        let name = must_be_kstat("kstat_delete", kstat);
        let machine = here().machine;
        let lock: u64 = memory::read(kstat + KS_LOCK);
        if lock != 0 && mutex::is_owned(lock) {
            fault!("kstat_delete: the ks_lock of {name} is held");
        }
        let work = Work::Update(kstat);
        if locks::does(work) {
            fault!("kstat_delete of {name} by its own ks_update: it would wait for itself");
        }
        machine.locks.check_wait(work);
        machine.locks.wait(machine, kstat, || machine.kstats.try_remove(kstat));
    }

    fn kstat_named_init(named: u64, name: u64, kind: u8) {
        let name = memory::name(name, STRLEN, "the name of a kstat value");
        memory::fill(named, 0, NAMED_SIZE);
        memory::write_bytes(named, name.as_bytes());
        memory::write(named + NAMED_TYPE, kind);
    }

    fn kstat_named_setstr(named: u64, text: u64) {
        if memory::read::<u8>(named + NAMED_TYPE) != DATA_STRING {
            fault!("kstat_named_setstr: the value is no KSTAT_DATA_STRING");
        }
        let length = if text == 0 { 0 } else { memory::string_length(text) + 1 };
        memory::write(named + NAMED_VALUE, text);
        memory::write(named + NAMED_STRING_LENGTH, length as u32);
    }
}
