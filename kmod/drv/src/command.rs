// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which command needs what, and who answers it.

#![forbid(unsafe_code)]

use crate::call::Call;
use crate::kernel::errno::Errno;
use crate::kernel::sys::clinetctl_command as command;
use crate::{change, control, events, list, look};

/// Does what an ioctl asks for.
///
/// # Errors
///
/// Those that `clinetctl.h` names.
pub fn run(call: &Call<'_>, number: u32) -> Result<(), Errno> {
    match number {
        command::GET_VERSION => look::version(call),
        command::GET_STATE => call.ask(look::state),
        command::GET_STATS => call.ask(look::stats),
        command::GET_CLOCK => call.ask(look::clock),

        command::LIST => call.observing()?.ask(list::list),
        command::QUERY => call.observing()?.ask(look::query),
        command::GET_GRANTS => call.observing()?.ask(look::grants),
        command::GET_ADDRS => call.observing()?.ask(look::addrs),
        command::EVENTS => call.observing()?.take(events::choose),

        command::SET => call.changing()?.take(change::set),
        command::SET_ADDRS => call.changing()?.take(change::set_addrs),
        command::ATTACH => call.changing()?.take(change::attach),
        command::DETACH => call.changing()?.take(change::detach),
        command::AUDIT => call.changing()?.take(change::audit),
        command::SWEEP => call.changing()?.take(change::sweep),
        command::INSTALL => call.changing()?.exchange(change::install),
        command::WITHDRAW => call.changing()?.exchange(change::withdraw),
        command::PURGE => call.changing()?.take(change::purge),
        command::RESYNC_BEGIN => call.changing()?.take(change::resync_begin),
        command::RESYNC_END => call.changing()?.take(change::resync_end),
        command::DELETE => call.changing()?.take(change::delete),
        command::FLUSH => call.changing()?.exchange(list::flush),

        command::CONTROL => call.changing()?.take(control::take),
        command::RELEASE => call.controlling()?.take(control::release),
        command::SET_GRANTS => call.controlling()?.exchange(control::set_grants),
        command::SET_DEADLINE => call.controlling()?.exchange(control::set_deadline),
        command::FENCE => call.controlling()?.take(control::fence),
        command::UNFENCE => call.controlling()?.take(control::unfence),

        _ => Err(Errno::NOTTY),
    }
}
