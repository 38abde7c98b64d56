// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a reader of a kstat gets.

use super::{
    DATA_STRING, FLAG_VAR_SIZE, KS_DATA, KS_DATA_SIZE, KS_FLAGS, KS_LOCK, KS_NDATA, KS_UPDATE,
    NAMED_SIZE, NAMED_STRING_LENGTH, NAMED_TYPE, NAMED_VALUE, STRLEN,
};
use crate::context::Context;
use crate::fault::{self, fault};
use crate::imports::mutex;
use crate::machine::Machine;
use crate::memory;

const KSTAT_READ: u64 = 0;
const DATA_CHAR: u8 = 0;
const DATA_INT32: u8 = 1;
const DATA_UINT32: u8 = 2;
const DATA_INT64: u8 = 3;
const DATA_UINT64: u8 = 4;

/// One value of a named kstat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KstatValue {
    /// `KSTAT_DATA_CHAR`: up to 16 bytes, the part before the first NUL.
    Char(String),
    /// `KSTAT_DATA_INT32`.
    Int32(i32),
    /// `KSTAT_DATA_UINT32`.
    Uint32(u32),
    /// `KSTAT_DATA_INT64` and `KSTAT_DATA_LONG`.
    Int64(i64),
    /// `KSTAT_DATA_UINT64` and `KSTAT_DATA_ULONG`.
    Uint64(u64),
    /// `KSTAT_DATA_STRING`; `None` if nothing was set.
    String(Option<String>),
}

/// Why a kstat cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KstatError {
    /// Nobody created one of that name.
    #[error("there is no such kstat")]
    Absent,
    /// It is created but not installed.
    #[error("the kstat is not installed")]
    NotInstalled,
    /// Its `ks_update` returned this errno.
    #[error("ks_update refused with errno {0}")]
    Update(i32),
}

fn update(machine: &Machine, kstat: u64) -> Result<(), KstatError> {
    let function: u64 = memory::read(kstat + KS_UPDATE);
    if function == 0 {
        return Ok(());
    }
    // SAFETY: ks_update takes a kstat and a direction.
    let result = unsafe { machine.call(&Context::thread(), function, &[kstat, KSTAT_READ]) };
    match result.unwrap_or_else(|fault| fault::throw(fault)) as i32 {
        0 => Ok(()),
        errno => Err(KstatError::Update(errno)),
    }
}

/// Reads a kstat that this thread holds: the room for a reader, whose size is
/// `ks_data_size`, is made before the update unless the size may vary.
pub(super) fn read(machine: &Machine, kstat: u64) -> Result<Vec<(String, KstatValue)>, KstatError> {
    let lock: u64 = memory::read(kstat + KS_LOCK);
    let room: u64 = memory::read(kstat + KS_DATA_SIZE);
    if lock != 0 {
        mutex::enter(lock);
    }
    let values = update(machine, kstat).map(|()| {
        let flags: u8 = memory::read(kstat + KS_FLAGS);
        let size: u64 = memory::read(kstat + KS_DATA_SIZE);
        if size != room && flags & FLAG_VAR_SIZE == 0 {
            let name = machine.kstats.name(kstat);
            fault!(
                "the ks_update of {name} made it {size} bytes from {room}: no KSTAT_FLAG_VAR_SIZE"
            );
        }
        snapshot(machine, kstat, size)
    });
    if lock != 0 {
        mutex::exit(lock);
    }
    values
}

/// Copies the values and behind them the strings into `size` bytes.
fn snapshot(machine: &Machine, kstat: u64, size: u64) -> Vec<(String, KstatValue)> {
    let data: u64 = memory::read(kstat + KS_DATA);
    let count: u32 = memory::read(kstat + KS_NDATA);
    let mut used = u64::from(count) * NAMED_SIZE as u64;
    let mut values = Vec::new();
    for index in 0..u64::from(count) {
        let at = data + index * NAMED_SIZE as u64;
        let (name, value) = named(at);
        if let KstatValue::String(Some(_)) = value {
            used += u64::from(memory::read::<u32>(at + NAMED_STRING_LENGTH));
        }
        values.push((name, value));
    }
    if used > size {
        let name = machine.kstats.name(kstat);
        fault!(
            "the values and strings of {name} have {used} bytes, and its ks_data_size is {size}"
        );
    }
    values
}

fn named(at: u64) -> (String, KstatValue) {
    let value = at + NAMED_VALUE;
    let read = match memory::read::<u8>(at + NAMED_TYPE) {
        DATA_CHAR => KstatValue::Char(text_field(value, 16)),
        DATA_INT32 => KstatValue::Int32(memory::read(value)),
        DATA_UINT32 => KstatValue::Uint32(memory::read(value)),
        DATA_INT64 | 7 => KstatValue::Int64(memory::read(value)),
        DATA_UINT64 | 8 => KstatValue::Uint64(memory::read(value)),
        DATA_STRING => {
            let text: u64 = memory::read(value);
            let length: u32 = memory::read(at + NAMED_STRING_LENGTH);
            KstatValue::String((text != 0).then(|| string(text, length as usize)))
        }
        other => fault!("a named kstat holds a value of unknown type {other}"),
    };
    (text_field(at, STRLEN), read)
}

/// The string of `length` bytes, its NUL the last, that kstat_named_setstr set.
fn string(at: u64, length: usize) -> String {
    let bytes = memory::bytes(at, length);
    match bytes.split_last() {
        Some((0, text)) => String::from_utf8_lossy(text).into_owned(),
        _ => {
            fault!("a string of a kstat has changed since kstat_named_setstr, or is not from there")
        }
    }
}

/// The text in a field of `size` bytes.
fn text_field(at: u64, size: usize) -> String {
    let bytes = memory::bytes(at, size);
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
