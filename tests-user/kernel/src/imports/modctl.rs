// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `mod_install` and its kin, and `ddi_modopen`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::imports;
use crate::context::{here, must_be_able_to_sleep};
use crate::driver::{cb_ops, dev_ops};
use crate::fault::{self, fault};
use crate::instance;
use crate::locks::lock;
use crate::memory;
use crate::record::Record;
use crate::thunk::kernel_symbol;

const EINVAL: i32 = 22;
const ENOENT: i32 = 2;
const ENXIO: i32 = 6;
const EAGAIN: i32 = 11;
const EBUSY: i32 = 16;
const EALREADY: i32 = 149;
const ENOTSUP: i32 = 48;
const MODREV_1: i32 = 1;
const KRTLD_MODE_FIRST: i32 = 1;

/// `struct modlinkage`: ml_rev, then seven pointers ended by NULL.
const ML_LINKAGE: u64 = 8;
const ML_LINKAGES: u64 = 7;
/// `struct modlmisc` and `modldrv` begin alike: the operations, the text.
const LINKINFO: u64 = 8;
/// `struct modldrv` goes on.
const DEV_OPS: u64 = 16;

/// `struct modinfo`.
pub(crate) mod modinfo {
    pub const SIZE: usize = 432;
    pub const MI_REV: u64 = 32;
    pub const MI_MSINFO: u64 = 72;
    /// The size of one entry of mi_msinfo, and of the text in it.
    pub const MSINFO_SIZE: u64 = 36;
    pub const LINKINFO_SIZE: usize = 32;
}

/// The modules that modules have open.
#[derive(Default)]
pub(crate) struct Handles(Mutex<Open>);

#[derive(Default)]
struct Open {
    last: u64,
    /// By handle: the module and the place that opened it.
    by_handle: BTreeMap<u64, (Arc<Record>, u64)>,
}

impl Handles {
    fn open(&self, record: Arc<Record>) -> u64 {
        record.references.fetch_add(1, Ordering::Relaxed);
        let mut open = lock(&self.0);
        // No address: a module that follows the handle traps.
        open.last += 1;
        let handle = 0xffff_ff02_0000_0000 + open.last * 64;
        open.by_handle
            .insert(handle, (record, fault::caller_address()));
        handle
    }

    fn get(&self, handle: u64) -> Option<Arc<Record>> {
        lock(&self.0)
            .by_handle
            .get(&handle)
            .map(|(record, _)| record.clone())
    }

    fn close(&self, handle: u64) -> bool {
        let Some((record, _)) = lock(&self.0).by_handle.remove(&handle) else {
            return false;
        };
        record.references.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Closes what code in `text` opened, and returns the names.
    pub fn take_of(&self, text: &Range<u64>) -> Vec<String> {
        let left: Vec<_> = lock(&self.0)
            .by_handle
            .extract_if(.., |_, (_, by)| text.contains(by))
            .map(|(_, (record, _))| record)
            .collect();
        for record in &left {
            record.references.fetch_sub(1, Ordering::Relaxed);
        }
        left.iter().map(|record| record.name.clone()).collect()
    }
}

/// The linkages without a driver that `mod_install` was called for and `mod_remove` was
/// not.
#[derive(Default)]
pub(crate) struct Linkages(Mutex<BTreeSet<u64>>);

impl Linkages {
    fn install(&self, linkage: u64) {
        if drivers(linkage).is_empty() && !lock(&self.0).insert(linkage) {
            fault!("mod_install of what is installed");
        }
    }

    fn remove(&self, linkage: u64) {
        if drivers(linkage).is_empty() && !lock(&self.0).remove(&linkage) {
            fault!("mod_remove of what is not installed");
        }
    }

    /// Forgets those in `data`. Was there any?
    pub fn forget(&self, data: &Range<u64>) -> bool {
        let mut all = lock(&self.0);
        let before = all.len();
        all.retain(|linkage| !data.contains(linkage));
        all.len() < before
    }
}

/// The `struct modl*` that a linkage names.
fn linkages(linkage: u64) -> Vec<u64> {
    if memory::read::<i32>(linkage) != MODREV_1 {
        fault!("a struct modlinkage with an ml_rev other than MODREV_1");
    }
    let all: Vec<u64> = (0..ML_LINKAGES)
        .map(|index| memory::read(linkage + ML_LINKAGE + index * 8))
        .take_while(|&entry: &u64| entry != 0)
        .collect();
    if all.len() == ML_LINKAGES as usize {
        fault!("a struct modlinkage that no NULL ends");
    }
    all
}

/// The `struct dev_ops` of the drivers in a linkage.
fn drivers(linkage: u64) -> Vec<u64> {
    let is_driver = |entry: &u64| Some(memory::read(*entry)) == kernel_symbol("mod_driverops");
    let all = linkages(linkage).into_iter().filter(is_driver);
    all.map(|entry| memory::read(entry + DEV_OPS)).collect()
}

/// The major number of the module that a linkage is in.
fn major(linkage: u64) -> Option<u32> {
    let machine = here().machine;
    let record = machine.image_at(linkage)?;
    machine.devices.major(record.base_name())
}

/// Checks what a compiler does not: that the operations are those of a driver
/// for this kernel.
fn check_driver(operations: u64) {
    let cb_ops: u64 = memory::read(operations + dev_ops::CB_OPS);
    if memory::read::<i32>(operations + dev_ops::REV) != dev_ops::DEVO_REV {
        fault!("a struct dev_ops with a devo_rev other than DEVO_REV");
    }
    if memory::read::<i32>(cb_ops + cb_ops::REV) != cb_ops::CB_REV {
        fault!("a struct cb_ops with a cb_rev other than CB_REV");
    }
    if memory::read::<u64>(operations + dev_ops::QUIESCE) == 0 {
        fault!("a struct dev_ops without devo_quiesce: fast reboot would refuse");
    }
    for offset in (cb_ops::OPEN..=cb_ops::PROP_OP).step_by(8) {
        if memory::read::<u64>(cb_ops + offset) == 0 {
            fault!("a struct cb_ops with NULL at offset {offset}: nodev belongs there");
        }
    }
}

/// Installs the drivers of a linkage.
fn install_drivers(linkage: u64) -> i32 {
    for operations in drivers(linkage) {
        let Some(major) = major(linkage) else {
            return ENXIO;
        };
        check_driver(operations);
        let cb_ops: u64 = memory::read(operations + dev_ops::CB_OPS);
        if memory::read::<i32>(cb_ops + cb_ops::FLAG) & cb_ops::D_MP == 0 {
            return ENXIO;
        }
        if !here().machine.devices.install(major, operations) {
            return EALREADY;
        }
    }
    0
}

/// Takes the drivers of a linkage away, unless they are attached. Somebody
/// attaches them just before, and may `stay`.
fn remove_drivers(linkage: u64, stay: bool) -> i32 {
    let machine = here().machine;
    let devices = &machine.devices;
    let is_removed = |operations: u64| {
        let major = major(linkage).filter(|&it| devices.operations(it) == Some(operations));
        major.is_some_and(|major| {
            if devices.attached(major).is_none() {
                instance::come_late(machine, major, stay);
            }
            !stay && devices.uninstall(major)
        })
    };
    if drivers(linkage).into_iter().all(is_removed) {
        0
    } else {
        EBUSY
    }
}

/// Checks that every linkage has operations that the kernel knows.
fn check_operations(linkage: u64) -> i32 {
    let known = [kernel_symbol("mod_miscops"), kernel_symbol("mod_driverops")];
    let all = linkages(linkage);
    let every_known = all
        .iter()
        .all(|&entry| known.contains(&Some(memory::read::<u64>(entry))));
    if all.is_empty() || !every_known {
        return EINVAL;
    }
    0
}

imports! {
    fn mod_install(linkage: u64) -> i32 {
        must_be_able_to_sleep("mod_install");
        if here().machine.fails("mod_install") {
            return EAGAIN;
        }
        let error = match check_operations(linkage) {
            0 => install_drivers(linkage),
            error => error,
        };
        if error == 0 {
            here().machine.linkages.install(linkage);
            if let (Some(major), false) = (major(linkage), drivers(linkage).is_empty()) {
                instance::come(here().machine, major);
            }
        }
        error
    }

    fn mod_remove(linkage: u64) -> i32 {
        must_be_able_to_sleep("mod_remove");
        let fails = here().machine.fails("mod_remove");
        let error = match check_operations(linkage) {
            0 if fails && drivers(linkage).is_empty() => EBUSY,
            0 => remove_drivers(linkage, fails),
            error => error,
        };
        if error == 0 {
            here().machine.linkages.remove(linkage);
        }
        error
    }

    fn mod_info(linkage: u64, info: u64) -> i32 {
        memory::write(info + modinfo::MI_REV, memory::read::<i32>(linkage));
        for (index, entry) in linkages(linkage).into_iter().enumerate() {
            let text = memory::name(
                memory::read(entry + LINKINFO),
                modinfo::LINKINFO_SIZE,
                "the linkinfo",
            );
            let at = info + modinfo::MI_MSINFO + index as u64 * modinfo::MSINFO_SIZE;
            memory::write_bytes(at, text.as_bytes());
            memory::write(at + text.len() as u64, 0u8);
        }
        1
    }

    fn ddi_modopen(name: u64, mode: i32, error: u64) -> u64 {
        must_be_able_to_sleep("ddi_modopen");
        if mode != KRTLD_MODE_FIRST {
            fault!("ddi_modopen: mode {mode} is not KRTLD_MODE_FIRST");
        }
        let name = memory::name(name, 1024, "the name for ddi_modopen");
        let (handle, result) = match here().machine.module(&name) {
            Some(record) => (here().machine.handles.open(record), 0),
            None => (0, ENOENT),
        };
        if error != 0 {
            memory::write(error, result);
        }
        handle
    }

    fn ddi_modsym(handle: u64, name: u64, error: u64) -> u64 {
        must_be_able_to_sleep("ddi_modsym");
        let Some(record) = here().machine.handles.get(handle) else {
            fault!("ddi_modsym: {handle:#x} is no open handle");
        };
        let name = memory::name(name, 1024, "the name for ddi_modsym");
        let symbol = record.symbol(&name);
        if error != 0 {
            memory::write(error, if symbol.is_some() { 0 } else { ENOTSUP });
        }
        symbol.map_or(0, |symbol| symbol.address)
    }

    fn ddi_modclose(handle: u64) -> i32 {
        must_be_able_to_sleep("ddi_modclose");
        if !here().machine.handles.close(handle) {
            fault!("ddi_modclose: {handle:#x} is no open handle");
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::modinfo;

    #[test]
    fn the_entries_fill_struct_modinfo() {
        let end = modinfo::MI_MSINFO + 10 * modinfo::MSINFO_SIZE;
        assert_eq!(end as usize, modinfo::SIZE);
    }
}
