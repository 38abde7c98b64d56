// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is open: each open(2) has a minor number of its own.

use crate::kernel::condvar::Condvar;
use crate::kernel::errno::Errno;
use crate::kernel::mutex::{Guard, KMutex};
use crate::kernel::poll::Pollhead;

/// So many may be open at once.
pub const MOST: usize = 256;

/// The minor number of the node; open files have those from 1 on.
pub const NODE: u32 = 0;

/// One open file.
#[derive(Clone, Copy)]
pub struct File {
    is_open: bool,
    /// There may be events that it has not looked for.
    pub is_ready: bool,
    /// The events that it wants, as bits; clinet records them on its account.
    pub mask: u32,
    /// Where it goes on to read.
    pub cursor: u64,
}

const CLOSED: File = File {
    is_open: false,
    is_ready: false,
    mask: 0,
    cursor: 0,
};

/// All of them.
pub struct Files {
    files: [File; MOST],
    /// Who has the control role; [`NODE`] is nobody.
    control: u32,
    /// Counts how often those who wait were woken.
    pub wakes: u64,
}

static FILES: KMutex<Files> = KMutex::new(Files {
    files: [CLOSED; MOST],
    control: NODE,
    wakes: 0,
});

/// Who waits in read(2).
pub static WOKEN: Condvar = Condvar::zeroed();

/// Who waits in poll(2), for each file by its place.
static POLLHEADS: [Pollhead; MOST] = [const { Pollhead::zeroed() }; MOST];

/// Sets them up.
///
/// # Safety
///
/// Nobody else is in the driver yet.
pub unsafe fn init() {
    // SAFETY: by the caller's promise nobody has locked it yet.
    unsafe { FILES.init() };
    // SAFETY: by the caller's promise nobody waits for it yet.
    unsafe { WOKEN.init() };
}

/// Takes them down.
///
/// # Safety
///
/// Nobody is in the driver, now or later.
pub unsafe fn fini() {
    // SAFETY: by the caller's promise nobody waits for it or will.
    unsafe { WOKEN.destroy() };
    // SAFETY: by the caller's promise nobody holds it or will.
    unsafe { FILES.destroy() };
}

impl Files {
    /// The open file of a minor number.
    ///
    /// # Errors
    ///
    /// [`Errno::NXIO`] if there is none.
    pub fn file(&mut self, minor: u32) -> Result<&mut File, Errno> {
        let file = place_of(minor).and_then(|place| self.files.get_mut(place));
        file.filter(|file| file.is_open).ok_or(Errno::NXIO)
    }

    /// All that are open.
    pub fn all(&mut self) -> impl Iterator<Item = &mut File> {
        self.files.iter_mut().filter(|file| file.is_open)
    }
}

/// Where what belongs to a minor number is.
fn place_of(minor: u32) -> Option<usize> {
    usize::try_from(minor).ok()?.checked_sub(1)
}

/// Who waits in poll(2) for the open file of a minor number.
pub fn pollhead(minor: u32) -> Option<&'static Pollhead> {
    POLLHEADS.get(place_of(minor)?)
}

/// Wakes who waits in poll(2) for a file that events are recorded for. No lock of
/// this driver may be held.
pub fn wake_pollers(events: i16) {
    for (minor, pollhead) in (1..).zip(&POLLHEADS) {
        let is_waiting = lock().file(minor).is_ok_and(|file| file.mask != 0);
        if is_waiting {
            pollhead.wake(events);
        }
    }
}

/// The open files, for a moment.
pub fn lock() -> Guard<'static, Files> {
    FILES.lock()
}

/// Opens one; returns its minor number.
///
/// # Errors
///
/// [`Errno::AGAIN`] if too many are open.
pub fn open() -> Result<u32, Errno> {
    let mut files = lock();
    for (minor, file) in (1..).zip(&mut files.files) {
        if !file.is_open {
            *file = File {
                is_open: true,
                ..CLOSED
            };
            return Ok(minor);
        }
    }
    Err(Errno::AGAIN)
}

/// Closes one, with the role that it has. Its events are stopped by now. Sleeps.
pub fn close(minor: u32) {
    // While the number is not given to another one.
    if let Some(pollhead) = pollhead(minor) {
        pollhead.clean();
    }
    let mut files = lock();
    if files.control == minor {
        files.control = NODE;
    }
    if let Ok(file) = files.file(minor) {
        *file = CLOSED;
    }
}

/// Is something open?
pub fn is_any_open() -> bool {
    lock().all().next().is_some()
}

/// Gives the control role to a file.
///
/// # Errors
///
/// [`Errno::BUSY`] while another one has it.
pub fn take_control(minor: u32) -> Result<(), Errno> {
    let mut files = lock();
    if ![NODE, minor].contains(&files.control) {
        return Err(Errno::BUSY);
    }
    files.control = minor;
    Ok(())
}

/// Takes the control role back.
///
/// # Errors
///
/// [`Errno::ACCES`] if the file does not have it.
pub fn release_control(minor: u32) -> Result<(), Errno> {
    let mut files = lock();
    if files.control != minor {
        return Err(Errno::ACCES);
    }
    files.control = NODE;
    Ok(())
}

/// # Errors
///
/// [`Errno::ACCES`] if the file does not have the control role.
pub fn has_control(minor: u32) -> Result<(), Errno> {
    match lock().control == minor {
        true => Ok(()),
        false => Err(Errno::ACCES),
    }
}
