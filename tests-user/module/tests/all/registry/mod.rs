// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The registry in the released file: what C sees of it, memory that fails
//! while it grows, many threads, many entries.

use clinet_kernel::Context;
use clinet_module_tests::{ENXIO, Loaded, TCP, Tuple, ptr, ptr_mut};

mod counters;
mod full;
mod look;
mod memory;
mod threads;

const ENOENT: i32 = 2;
const EAGAIN: i32 = 11;
const EPROTONOSUPPORT: i32 = 120;

/// The reasons of `include/clinet.h`.
const FREE: u32 = 0;
const OURS: u32 = 1;
const OWNED: u32 = 2;
const FULL: u32 = 3;
const LATE: u32 = 4;
const NOT_SHARED: u32 = 5;
const NO_ADDRESS: u32 = 6;
const FULL_UDP: u32 = 7;

/// `clinet_answer_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answer {
    reason: u32,
    owner: u32,
    references: u32,
    pad: u32,
}

/// `clinet_cursor_t`.
#[repr(C)]
#[derive(Default)]
struct Cursor {
    shard: u32,
    fraction: u32,
}

/// `clinet_entry_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    laddr: [u8; 16],
    faddr: [u8; 16],
    lport: u16,
    fport: u16,
    protocol: u8,
    outgoing: u8,
    pad: u16,
    stack: u32,
    owner: u32,
    references: u32,
    age: u32,
}

fn args(tuple: &Tuple) -> [u64; 6] {
    [
        tuple.protocol.into(),
        tuple.family.into(),
        ptr(&tuple.laddr),
        tuple.lport.into(),
        ptr(&tuple.faddr),
        tuple.fport.into(),
    ]
}

fn query(loaded: &Loaded, tuple: &Tuple) -> (i32, Answer) {
    let mut answer = Answer::default();
    let [a, b, c, d, e, f] = args(tuple);
    let (to, size) = (ptr_mut(&mut answer), size_of::<Answer>() as u64);
    let error = loaded.call("clinet_query", &[a, b, c, d, e, f, to, size]);
    (error, answer)
}

fn reason(loaded: &Loaded, tuple: &Tuple) -> (i32, u32) {
    let (error, answer) = query(loaded, tuple);
    (error, answer.reason)
}

/// All entries, so many at a time.
fn list(loaded: &Loaded, room: usize) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut cursor = Cursor::default();
    let mut entries = vec![Entry::default(); room];
    loop {
        let mut count = room as u32;
        let to = entries.as_mut_ptr().expose_provenance() as u64;
        let size = size_of::<Entry>() as u64;
        let arguments = [ptr_mut(&mut cursor), to, ptr_mut(&mut count), size];
        let error = loaded.call_in(&Context::thread(), "clinet_list", &arguments);
        all.extend_from_slice(&entries[..count as usize]);
        match error {
            0 => {}
            ENOENT => return all,
            error => panic!("clinet_list answers {error}"),
        }
    }
}

fn sweep(loaded: &Loaded) {
    let _ = loaded.call_in(&Context::thread(), "clinet_sweep", &[]);
}

fn memory(loaded: &Loaded) -> u64 {
    let address = loaded.module.address("clinet_memory");
    // SAFETY: `uint64_t clinet_memory(void)`.
    unsafe { loaded.module.call(&Context::no_sleep(), address, &[]) }
}

/// Different for each number.
fn numbered(n: u32) -> Tuple {
    let mut tuple = Tuple::v6(TCP, (n / 50_000) as u16, (n % 50_000) as u16);
    tuple.faddr[12..].copy_from_slice(&n.to_be_bytes());
    tuple
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().expect("a number"))
}
