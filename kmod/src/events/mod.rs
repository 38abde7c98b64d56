// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What happens, for whoever looks on.
//!
//! Nothing is recorded while nobody does: then a call costs one load. What is
//! recorded goes into a ring of fixed size; the module's thread tells readers,
//! who have a cursor each.
//!
//! Two mutexes: that of the ring is innermost and held for one record. That of
//! the readers comes before it and is taken by threads that may sleep.

pub mod ring;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::flow::{Direction, FiveTuple, Protocol};
use crate::kernel::errno::Errno;
use crate::kernel::kmem::KmemSlice;
use crate::kernel::mutex::KMutex;
use crate::kernel::sys;
use crate::registry::{Node, StackId};
use crate::{watch, work};
use ring::{Read, Ring};

/// Events that are kept.
const KEPT: usize = 1024;

type Event = sys::clinetctl_event_t;

/// What a reader is woken by.
pub type Wake = unsafe extern "C" fn();

/// Somebody looks on.
static WANTED: AtomicBool = AtomicBool::new(false);

/// The number of the next event while there is no ring.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// There are events that readers were not told of.
static UNTOLD: AtomicBool = AtomicBool::new(false);

static RING: KMutex<Option<Ring<KmemSlice<Event>>>> = KMutex::new(None);

struct Readers {
    wake: Option<Wake>,
    count: u32,
}

static READERS: KMutex<Readers> = KMutex::new(Readers {
    wake: None,
    count: 0,
});

/// Sets the mutexes up. Does not sleep.
///
/// # Safety
///
/// Called by `_init`, once, before anybody else is in the module.
pub unsafe fn init() {
    // SAFETY: nobody has used the mutexes.
    unsafe {
        RING.init();
        READERS.init();
    }
}

/// Frees the ring.
///
/// # Safety
///
/// Nobody else is in the module or will be.
pub unsafe fn fini() {
    drop(RING.lock().take());
    // SAFETY: nobody uses them any more.
    unsafe {
        READERS.destroy();
        RING.destroy();
    }
}

/// Does anybody look on? One load. Any context.
#[inline]
pub fn are_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

const NOTHING: Event = Event {
    ev_sequence: 0,
    ev_time: 0,
    ev_type: 0,
    ev_reason: 0,
    ev_tuple: sys::clinetctl_tuple_t {
        ct_laddr: [0; 16],
        ct_faddr: [0; 16],
        ct_lport: 0,
        ct_fport: 0,
        ct_protocol: 0,
        ct_pad: [0; 3],
    },
    ev_stack: 0,
    ev_owner: 0,
    ev_value: 0,
    ev_error: 0,
    ev_outgoing: 0,
    ev_enforced: 0,
    ev_pad: 0,
};

/// Records an event and has readers told. Any context, with any lock but those of
/// this file and of the module's thread.
fn record(event: Event) {
    let mut ring = RING.lock();
    let Some(ring) = ring.as_mut() else {
        return;
    };
    ring.push(Event {
        ev_sequence: ring.next(),
        ev_time: watch::now(),
        ..event
    });
    if !UNTOLD.swap(true, Ordering::AcqRel) {
        work::TASK.wake();
    }
}

fn tuple_of(tuple: &FiveTuple) -> sys::clinetctl_tuple_t {
    sys::clinetctl_tuple_t {
        ct_laddr: tuple.local.addr.v6_form(),
        ct_faddr: tuple.foreign.addr.v6_form(),
        ct_lport: tuple.local.port,
        ct_fport: tuple.foreign.port,
        ct_protocol: tuple.protocol.number(),
        ct_pad: [0; 3],
    }
}

/// A question was refused, or would have been: because of an owner, or 0, for a
/// reason, `CLINET_OWNED` and so on.
#[cold]
#[inline(never)]
pub fn refused(
    (stack, tuple, direction): (StackId, &FiveTuple, Direction),
    (owner, reason): (Node, u32),
    answer: Result<(), Errno>,
) {
    let outgoing = tuple.protocol == Protocol::Udp || direction == Direction::Outgoing;
    record(Event {
        ev_type: sys::CLINETCTL_EVENT_REFUSED,
        ev_reason: reason,
        ev_tuple: tuple_of(tuple),
        ev_stack: stack,
        ev_owner: owner,
        ev_error: answer.map_or_else(Errno::number, |()| 0),
        ev_outgoing: outgoing.into(),
        ev_enforced: answer.is_err().into(),
        ..NOTHING
    });
}

/// Another node wants a 5-tuple that `holder` has.
#[cold]
pub fn conflict(tuple: &FiveTuple, holder: Node) {
    record(Event {
        ev_type: sys::CLINETCTL_EVENT_CONFLICT,
        ev_reason: sys::CLINET_OWNED,
        ev_tuple: tuple_of(tuple),
        ev_owner: holder,
        ev_error: Errno::ADDRINUSE.number(),
        ev_enforced: 1,
        ..NOTHING
    });
}

/// Something else happened: one of `CLINETCTL_EVENT_LAPSED` and so on, and what
/// belongs to it.
pub fn happened(kind: u32, value: u64) {
    if are_wanted() {
        record(Event {
            ev_type: kind,
            ev_value: value,
            ..NOTHING
        });
    }
}

/// Somebody looks on from now, is woken by `wake`, and begins to read where this
/// says. Sleeps.
///
/// # Errors
///
/// `EBUSY`: another one wakes. `ENOMEM`.
pub fn open(wake: Wake) -> Result<u64, Errno> {
    let mut readers = READERS.lock();
    match readers.wake {
        Some(other) if !core::ptr::fn_addr_eq(other, wake) => return Err(Errno::BUSY),
        Some(_) => {
            readers.count = readers.count.saturating_add(1);
            return Ok(next());
        }
        None => {}
    }
    let slots = KmemSlice::from_fn(KEPT, |_| NOTHING).ok_or(Errno::NOMEM)?;
    *RING.lock() = Some(Ring::new(slots, NEXT.load(Ordering::Relaxed)));
    readers.wake = Some(wake);
    readers.count = 1;
    WANTED.store(true, Ordering::Release);
    Ok(next())
}

fn next() -> u64 {
    RING.lock().as_ref().map_or(0, Ring::next)
}

/// One of those who look on does so no longer; after the last one, nobody is woken
/// any more. Sleeps.
pub fn close() {
    let mut readers = READERS.lock();
    readers.count = readers.count.saturating_sub(1);
    if readers.count > 0 || readers.wake.is_none() {
        return;
    }
    WANTED.store(false, Ordering::Release);
    readers.wake = None;
    let ring = RING.lock().take();
    if let Some(ring) = ring {
        NEXT.store(ring.next(), Ordering::Relaxed);
    }
}

/// Hands to `put` what a mask wants, from the cursor on, until `put` says that
/// there is no more room.
pub fn read(cursor: &mut u64, mask: u32, mut put: impl FnMut(Event) -> bool) {
    let ring = RING.lock();
    let Some(ring) = ring.as_ref() else {
        return;
    };
    let from = *cursor;
    ring.read(cursor, |read| match read {
        Read::Lost(count) => put(Event {
            // That of the first one that is lost.
            ev_sequence: from,
            ev_time: watch::now(),
            ev_type: sys::CLINETCTL_EVENT_LOST,
            ev_value: count,
            ..NOTHING
        }),
        Read::Event(event) => {
            let bit = 1_u32.checked_shl(event.ev_type).unwrap_or(0);
            mask & bit == 0 || put(*event)
        }
    });
}

/// Tells readers of new events. For the module's thread.
pub fn tell() {
    if !UNTOLD.swap(false, Ordering::AcqRel) {
        return;
    }
    let readers = READERS.lock();
    if let Some(wake) = readers.wake {
        // SAFETY: whoever opened with it keeps it until its close, which waits for
        // this mutex.
        unsafe { wake() };
    }
}
