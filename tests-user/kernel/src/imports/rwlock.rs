// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `rw_*`: reader/writer locks in the eight bytes of a `krwlock_t`.
//!
//! The word is 0 when free, the owner while written, else the number of
//! readers times [`READER`]; [`WRITER_WAITS`] keeps new readers out. It only
//! changes under the lock's queue.

use super::imports;
use crate::context::here;
use crate::fault::fault;
use crate::locks::{self, Hold, current_thread};
use crate::memory;

const RW_WRITER: i32 = 0;
const RW_READER: i32 = 1;
const RW_DRIVER: i32 = 2;
const RW_DEFAULT: i32 = 4;

const WRITER_WAITS: u64 = 1;
const READER: u64 = 2;
const MANY_READERS: u64 = 1 << 20;
/// The word of a destroyed lock.
const DEAD: u64 = 0xdead_0000_0000_dead;

/// What a lock's word says.
enum State {
    Free,
    Written,
    Read,
}

fn name(address: u64) -> String {
    let machine = here().machine;
    machine.locks.name(machine, address)
}

fn load(what: &str, address: u64) -> (State, u64) {
    if address == 0 || !address.is_multiple_of(8) {
        fault!("{what}: {address:#x} is no address of an aligned 8-byte word");
    }
    let word: u64 = memory::read(address);
    let state = match word & !WRITER_WAITS {
        0 => State::Free,
        owner if locks::is_thread(owner) => State::Written,
        readers if readers < MANY_READERS => State::Read,
        _ if word == DEAD => fault!("{what}: {} is destroyed", name(address)),
        _ => fault!("{what}: {} is no rwlock: {word:#018x}", name(address)),
    };
    (state, word)
}

/// Takes the lock if it is to be had now.
fn try_take(what: &str, address: u64, writer: bool, waiting: bool) -> bool {
    let (state, word) = load(what, address);
    match (state, writer) {
        (State::Free, true) => memory::write(address, current_thread()),
        (State::Free, false) => memory::write(address, READER),
        (State::Read, false) if word & WRITER_WAITS == 0 => {
            memory::write(address, word + READER);
        }
        (State::Read | State::Written, true) if waiting => {
            memory::write(address, word | WRITER_WAITS);
            return false;
        }
        _ => return false,
    }
    true
}

fn is_writer(what: &str, kind: i32) -> bool {
    match kind {
        RW_WRITER => true,
        RW_READER => false,
        _ => fault!("{what}: {kind} is neither RW_READER nor RW_WRITER"),
    }
}

fn hold(writer: bool) -> Hold {
    if writer { Hold::Writer } else { Hold::Reader }
}

imports! {
    fn rw_init(rwlock: u64, _name: u64, kind: i32, _argument: u64) {
        let machine = here().machine;
        if ![RW_DRIVER, RW_DEFAULT].contains(&kind) {
            fault!("rw_init: type {kind} is neither RW_DEFAULT nor RW_DRIVER");
        }
        machine.locks.add(machine, rwlock, "rwlock");
        memory::write(rwlock, 0u64);
    }

    fn rw_destroy(rwlock: u64) {
        if !matches!(load("rw_destroy", rwlock).0, State::Free) {
            fault!("rw_destroy: {} is held", name(rwlock));
        }
        memory::write(rwlock, DEAD);
        if !here().machine.locks.remove(rwlock) {
            fault!("rw_destroy: {} was never initialised", name(rwlock));
        }
    }

    fn rw_enter(rwlock: u64, kind: i32) {
        let frame = here();
        let machine = frame.machine;
        let writer = is_writer("rw_enter", kind);
        if locks::holds(rwlock).is_some() {
            fault!("rw_enter: recursive: this thread holds {} already", name(rwlock));
        }
        machine.locks.check_order(frame, rwlock);
        machine.locks.wait(machine, rwlock, || {
            try_take("rw_enter", rwlock, writer, true).then_some(())
        });
        locks::took(frame, rwlock, hold(writer));
    }

    fn rw_tryenter(rwlock: u64, kind: i32) -> i32 {
        let frame = here();
        let writer = is_writer("rw_tryenter", kind);
        let taken = frame.machine.locks.wake(frame.machine, rwlock, || {
            try_take("rw_tryenter", rwlock, writer, false)
        });
        if taken {
            locks::took(frame, rwlock, hold(writer));
        }
        i32::from(taken)
    }

    fn rw_exit(rwlock: u64) {
        let Some(hold) = locks::holds(rwlock) else {
            fault!("rw_exit: {} is not held by this thread", name(rwlock));
        };
        here().machine.locks.wake(here().machine, rwlock, || {
            let (_, word) = load("rw_exit", rwlock);
            let left = match hold {
                Hold::Reader if word & !WRITER_WAITS > READER => word - READER,
                // Writers that wait mark the lock again.
                _ => 0,
            };
            memory::write(rwlock, left);
        });
        locks::gave_back(rwlock);
    }

    fn rw_downgrade(rwlock: u64) {
        if locks::holds(rwlock) != Some(Hold::Writer) {
            fault!("rw_downgrade: {} is not written by this thread", name(rwlock));
        }
        here().machine.locks.wake(here().machine, rwlock, || memory::write(rwlock, READER));
        locks::now_holds(rwlock, Hold::Reader);
    }

    fn rw_tryupgrade(rwlock: u64) -> i32 {
        if locks::holds(rwlock) != Some(Hold::Reader) {
            fault!("rw_tryupgrade: {} is not read by this thread", name(rwlock));
        }
        let alone = here().machine.locks.wake(here().machine, rwlock, || {
            let alone = load("rw_tryupgrade", rwlock).1 == READER;
            if alone {
                memory::write(rwlock, current_thread());
            }
            alone
        });
        if alone {
            locks::now_holds(rwlock, Hold::Writer);
        }
        i32::from(alone)
    }

    fn rw_read_held(rwlock: u64) -> i32 {
        i32::from(matches!(load("rw_read_held", rwlock).0, State::Read))
    }

    fn rw_write_held(rwlock: u64) -> i32 {
        i32::from(locks::holds(rwlock) == Some(Hold::Writer))
    }

    fn rw_lock_held(rwlock: u64) -> i32 {
        i32::from(!matches!(load("rw_lock_held", rwlock).0, State::Free))
    }
}
