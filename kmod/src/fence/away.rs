// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Both families together, and what is kept between calls.

use super::connections;
use super::family::Family;
use super::taken::Taken;
use crate::kernel::errno::Errno;
use crate::kernel::ksocket::{Ksocket, Ksockets};
use crate::kernel::mutex::KMutex;
use crate::kernel::sys;

/// What is known between calls. Nobody waits for the mutex, since one thread at a time
/// calls.
static STATE: KMutex<State> = KMutex::new(State {
    ksockets: None,
    taken: Taken::empty(),
    families: [const { Family::new() }; 2],
});

struct State {
    /// From the first use on.
    ksockets: Option<Ksockets>,
    taken: Taken,
    /// IPv4 and IPv6.
    families: [Family; 2],
}

impl State {
    /// Calls `each` for both families, whatever comes of the first.
    fn for_both(
        &mut self,
        mut each: impl FnMut(&mut Family, &Ksocket<'_>, &mut Taken) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let ksockets = match &mut self.ksockets {
            Some(ksockets) => ksockets,
            none => none.insert(Ksockets::open()?),
        };
        let mut result = Ok(());
        let numbers = [sys::AF_INET, sys::AF_INET6];
        for (family, number) in self.families.iter_mut().zip(numbers) {
            let socket = ksockets.datagram(number as sys::sa_family_t);
            let done = socket.and_then(|socket| each(family, &socket, &mut self.taken));
            result = result.and(done);
        }
        result
    }
}

/// Sets the fence up. Does not sleep.
///
/// # Safety
///
/// Called by `_init`, once, before anybody else is in the module.
pub unsafe fn init() {
    // SAFETY: nobody has locked it yet.
    unsafe { STATE.init() };
}

/// Frees what it has. Sleeps.
///
/// # Safety
///
/// Nobody else is in the module or will be.
pub unsafe fn fini() {
    STATE.lock().ksockets = None;
    // SAFETY: nobody uses it now or later, as the caller promises.
    unsafe { STATE.destroy() };
}

/// Takes every shared address away, on all interfaces that have it, and has all
/// senders know. Those that were up are remembered.
///
/// # Errors
///
/// Not all of them are away; as many as can be are.
pub fn take_down() -> Result<(), Errno> {
    STATE.lock().for_both(Family::take_down)
}

/// Brings back what [`take_down`] took away, and nothing else.
///
/// # Errors
///
/// Not all of them are back.
pub fn bring_up() -> Result<(), Errno> {
    let mut state = STATE.lock();
    state.for_both(Family::bring_up)?;
    // What is left was unplumbed meanwhile.
    state.taken.forget_all();
    Ok(())
}

/// Ends all TCP connections of the shared addresses, at this end: a peer is not
/// told. Sleeps until they are gone.
///
/// # Errors
///
/// `EAGAIN`: some have not ended yet. `ENOMEM`, `ENXIO` and others of the kernel.
pub fn abort_connections() -> Result<(), Errno> {
    let mut state = STATE.lock();
    let mut ending = connections::Ending::new()?;
    ending.end_listed()?;
    let mut number = 0;
    while let Some(entry) = state.taken.get(number) {
        ending.end(entry.address)?;
        number += 1;
    }
    state.for_both(|_, socket, _| ending.end_present(socket))
}
