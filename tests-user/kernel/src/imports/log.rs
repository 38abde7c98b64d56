// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `cmn_err` and the `printf` family.

use std::ffi::c_void;
use std::sync::Mutex;

use libc::c_char;

use super::{Import, imports};
use crate::context::here;
use crate::fault::fault;
use crate::locks::lock;
use crate::memory;

/// How serious a message is: `CE_CONT` to `CE_WARN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Continues the message before.
    Continue,
    /// `NOTICE: `.
    Note,
    /// `WARNING: `.
    Warning,
    /// Counted for nothing and shown nowhere.
    Ignore,
}

/// Where a message goes, by the first character of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Log and console: no such character.
    Everywhere,
    /// `!`: the log only.
    Log,
    /// `^`: the console only.
    Console,
    /// `?`: the log, and the console of a verbose boot.
    Verbose,
}

/// One message of `cmn_err`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How serious it is.
    pub level: Level,
    /// Where it goes.
    pub destination: Destination,
    /// What it says, without the character for its destination.
    pub text: String,
}

/// The messages of one machine.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<Message>>);

impl Log {
    /// Adds a message.
    pub fn push(&self, message: Message) {
        lock(&self.0).push(message);
    }

    /// All messages so far.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.0).clone()
    }

    /// Forgets them.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }
}

unsafe extern "C" {
    fn clinet_kernel_cmn_err(level: i32, format: *const c_char, ...);
    fn clinet_kernel_snprintf(
        buffer: *mut c_char,
        size: usize,
        format: *const c_char,
        ...
    ) -> usize;
    // A va_list is passed as a pointer on this architecture.
    fn vsnprintf(
        buffer: *mut c_char,
        size: usize,
        format: *const c_char,
        arguments: *mut c_void,
    ) -> i32;
}

/// The longest message; the kernel's log has about this much for one.
const LONGEST: usize = 1024;

/// Reads a format, which must be a literal and use what the kernel's `printf`
/// knows.
fn checked_format(what: &str, format: u64) -> String {
    if here().machine.image_at(format).is_none() {
        fault!("{what}: the format at {format:#x} is no literal of a module");
    }
    let text = memory::string(format);
    if let Some(conversion) = unknown_conversion(&text) {
        fault!("{what}: the kernel's printf does not know {conversion} in {text:?}");
    }
    text
}

fn unknown_conversion(format: &str) -> Option<String> {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let spec = &rest[at + 1..];
        let length = spec.find(|c: char| !"-+ #0*.123456789lhzj".contains(c));
        let letter = length.and_then(|length| spec[length..].chars().next());
        match letter {
            Some(c) if "diuxXocsp%".contains(c) => {
                rest = &spec[length.unwrap_or(0) + c.len_utf8()..];
            }
            Some(c) => return Some(format!("%{}{c}", &spec[..length.unwrap_or(0)])),
            None => return Some(format!("%{spec}")),
        }
    }
    None
}

/// Formats into `size` bytes at `buffer`; returns the length of the whole.
fn format_into(buffer: u64, size: usize, format: u64, arguments: u64) -> usize {
    // SAFETY: the format is checked to be a literal with integer and string
    // conversions; the module answers for the arguments and the buffer, and
    // a bad address traps.
    let length = memory::touching(|| unsafe {
        vsnprintf(
            buffer as *mut c_char,
            size,
            format as *const c_char,
            arguments as *mut c_void,
        )
    });
    usize::try_from(length).unwrap_or(0)
}

fn log(level: i32, format: u64, arguments: u64) {
    const CE_PANIC: i32 = 3;
    checked_format("cmn_err", format);
    let mut buffer = [0u8; LONGEST];
    let length = format_into(buffer.as_mut_ptr() as u64, LONGEST, format, arguments);
    let text = String::from_utf8_lossy(&buffer[..length.min(LONGEST - 1)]).into_owned();
    let level = match level {
        0 => Level::Continue,
        1 => Level::Note,
        2 => Level::Warning,
        CE_PANIC => fault!("{text}"),
        4 => Level::Ignore,
        _ => fault!("cmn_err: unknown level {level}"),
    };
    let (destination, text) = match text.chars().next() {
        Some('!') => (Destination::Log, &text[1..]),
        Some('^') => (Destination::Console, &text[1..]),
        Some('?') => (Destination::Verbose, &text[1..]),
        _ => (Destination::Everywhere, &text[..]),
    };
    here().machine.log.push(Message {
        level,
        destination,
        text: text.to_owned(),
    });
}

imports! {
    #[unsafe(export_name = "clinet_kernel_vcmn_err")]
    fn vcmn_err(level: i32, format: u64, arguments: u64) {
        log(level, format, arguments);
    }

    #[unsafe(export_name = "clinet_kernel_vsnprintf")]
    fn vsnprintf(buffer: u64, size: usize, format: u64, arguments: u64) -> usize {
        checked_format("snprintf", format);
        format_into(buffer, size, format, arguments)
    }
}

/// The imports of this file with the variadic ones.
pub(crate) fn all() -> Vec<Import> {
    // More than any message of a module has.
    const ARGUMENTS: usize = 38;
    let mut all = table();
    all.push(Import::new(
        "cmn_err",
        clinet_kernel_cmn_err as *const (),
        ARGUMENTS,
    ));
    all.push(Import::new(
        "snprintf",
        clinet_kernel_snprintf as *const (),
        ARGUMENTS,
    ));
    all
}
