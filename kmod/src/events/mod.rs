// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What happens, for whoever looks on.
//!
//! Only what somebody wants is recorded: otherwise a call costs one load. What is
//! recorded goes into a ring of fixed size; the module's thread tells readers,
//! who have a cursor each: at once, and then every 10 ms at most, however many events
//! come.

pub mod ring;

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

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

/// What somebody wants, a bit for each kind of events.
static WANTED: AtomicU32 = AtomicU32::new(0);

/// The number of the next event while there is no ring.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Whether readers know of all events: one of the three below.
static NOTIFICATION: AtomicU8 = AtomicU8::new(IDLE);

/// They do, and the module's thread rests until it is woken.
const IDLE: u8 = 0;
/// They do, and the module's thread comes by soon, without being woken.
const NOTIFIED: u8 = 1;
/// They do not.
const PENDING: u8 = 2;

static RING: KMutex<Option<Ring<KmemSlice<Event>>>> = KMutex::new(None);

struct Readers {
    wake: Option<Wake>,
    /// How many want each kind of events.
    counts: [u32; u32::BITS as usize],
}

static READERS: KMutex<Readers> = KMutex::new(Readers {
    wake: None,
    counts: [0; u32::BITS as usize],
});

impl Readers {
    /// Changes the number of those who want what `mask` says; returns what somebody
    /// wants then.
    fn change(&mut self, mask: u32, change: impl Fn(u32) -> u32) -> u32 {
        let mut wanted = 0;
        for (kind, count) in self.counts.iter_mut().enumerate() {
            let bit = 1 << kind;
            if mask & bit != 0 {
                *count = change(*count);
            }
            if *count > 0 {
                wanted |= bit;
            }
        }
        WANTED.store(wanted, Ordering::Release);
        wanted
    }
}

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

/// The bit of a kind of events in a mask.
const fn bit(kind: u32) -> u32 {
    1_u32.wrapping_shl(kind)
}

/// Does anybody want events of this kind, `CLINETCTL_EVENT_REFUSED` and so on? One
/// load. Any context.
#[inline]
pub fn are_wanted(kind: u32) -> bool {
    WANTED.load(Ordering::Relaxed) & bit(kind) != 0
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
    if NOTIFICATION.swap(PENDING, Ordering::AcqRel) == IDLE {
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
    if are_wanted(kind) {
        record(Event {
            ev_type: kind,
            ev_value: value,
            ..NOTHING
        });
    }
}

/// Somebody wants the events of a mask from now on, is woken by `wake`, and begins
/// to read where this says. Sleeps.
///
/// # Errors
///
/// `EBUSY`: another one wakes. `ENOMEM`.
pub fn open(wake: Wake, mask: u32) -> Result<u64, Errno> {
    let mut readers = READERS.lock();
    match readers.wake {
        Some(other) if !core::ptr::fn_addr_eq(other, wake) => return Err(Errno::BUSY),
        Some(_) => {}
        None => {
            let slots = KmemSlice::from_fn(KEPT, |_| NOTHING).ok_or(Errno::NOMEM)?;
            *RING.lock() = Some(Ring::new(slots, NEXT.load(Ordering::Relaxed)));
            readers.wake = Some(wake);
        }
    }
    readers.change(mask, |count| count.saturating_add(1));
    Ok(next())
}

fn next() -> u64 {
    RING.lock().as_ref().map_or(0, Ring::next)
}

/// One of those who wanted the events of a mask does so no longer; after the last
/// one, nobody is woken any more. Sleeps.
pub fn close(mask: u32) {
    let mut readers = READERS.lock();
    let wanted = readers.change(mask, |count| count.saturating_sub(1));
    if wanted != 0 || readers.wake.is_none() {
        return;
    }
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
        Read::Event(event) => mask & bit(event.ev_type) == 0 || put(*event),
    });
}

/// Tells readers of new events. For the module's thread, which is to come by again
/// soon if this says so.
pub fn notify_readers() -> bool {
    if NOTIFICATION.swap(NOTIFIED, Ordering::AcqRel) != PENDING {
        // Who recorded something since has not woken the thread.
        return NOTIFICATION
            .compare_exchange(NOTIFIED, IDLE, Ordering::AcqRel, Ordering::Acquire)
            .is_err();
    }
    let readers = READERS.lock();
    if let Some(wake) = readers.wake {
        // SAFETY: whoever opened with it keeps it until its close, which waits for
        // this mutex.
        unsafe { wake() };
    }
    true
}
