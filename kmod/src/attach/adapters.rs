// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What ip calls: nine arguments in, one question, an errno out.
//!
//! All are of one shape. The pointers become a value that owns its bytes, the
//! provider is looked up once, and it is told or asked. `args` is always NULL
//! and is ignored. None sleeps, allocates, or calls ip.

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering;

use super::state;
use crate::builtin;
use crate::contract::{self, LocalEvent};
use crate::flow::{Direction, Endpoint, FiveTuple, Reject};
use crate::kernel::errno::{self, Errno};
use crate::kernel::slot::Provider;
use crate::kernel::sys::{boolean_t, in_port_t, netstackid_t, sa_family_t};
use crate::registry::{Ended, StackId, Via};
use crate::settings::{self, Mode};
use crate::stats::{counters, rejected};

/// Whom a call of ip is for.
enum To {
    /// The provider that comes with the module.
    BuiltIn,
    /// A provider of version 1.1, on the global stack.
    Foreign(Provider),
}

/// The provider for calls of this stack; loads the slot once. `None`: the mode
/// is off; or, which is counted, there is none, or one that does not know the
/// stack.
fn provider(stack: StackId) -> Option<To> {
    if settings::mode() == Mode::Off {
        return None;
    }
    match contract::cl_inet_connect2.provider() {
        Some(provider) if builtin::is_built_in(provider) => Some(To::BuiltIn),
        Some(provider) if stack == builtin::GLOBAL => Some(To::Foreign(provider)),
        Some(_) => {
            state::OTHER_STACK.bump();
            None
        }
        None => {
            counters().cs_no_provider.bump();
            None
        }
    }
}

fn ask(stack: StackId, tuple: &FiveTuple, direction: Direction) -> Result<(), Errno> {
    match provider(stack) {
        Some(To::BuiltIn) if builtin::ignores(&tuple.endpoint(), direction) => Ok(()),
        Some(To::BuiltIn) => {
            let answer = builtin::connect(stack, tuple, direction, Via::Ip);
            state::clear_if_detached();
            answer
        }
        Some(To::Foreign(provider)) => ask_foreign(provider, tuple, direction),
        None => Ok(()),
    }
}

fn ask_foreign(provider: Provider, tuple: &FiveTuple, direction: Direction) -> Result<(), Errno> {
    let answer = contract::ask_provider(provider, tuple, direction == Direction::Outgoing);
    if settings::mode() == Mode::Observe && answer.is_err() {
        state::OBSERVED.bump();
        return Ok(());
    }
    answer
}

fn end(stack: StackId, tuple: &FiveTuple) {
    match provider(stack) {
        Some(To::BuiltIn) => {
            if builtin::disconnect(stack, tuple) == Ended::Doubtful {
                state::DOUBT.store(true, Ordering::Release);
            }
        }
        Some(To::Foreign(_)) => contract::end(tuple),
        None => {}
    }
}

fn notify(stack: StackId, event: LocalEvent, endpoint: &Endpoint) {
    match (provider(stack), event) {
        (Some(To::BuiltIn), LocalEvent::Bind) => {
            builtin::bind(stack, endpoint, Via::Ip);
            state::clear_if_detached();
        }
        (Some(To::BuiltIn), LocalEvent::Unbind) => builtin::unbind(stack, endpoint, Via::Ip),
        (Some(To::BuiltIn), LocalEvent::Listen | LocalEvent::Unlisten) | (None, _) => {}
        (Some(To::Foreign(_)), event) => contract::notify(event, endpoint),
    }
}

/// What makes no sense is counted; ip is never told so where it does not ask.
fn usable<T>(read: Result<T, Reject>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(reject) => {
            let _ = rejected(reject);
            None
        }
    }
}

/// `cl_inet_connect2`: may this connection be?
///
/// # Safety
///
/// Called by ip: `tcp_do_connect` (connect(), in the squeue, no mutex),
/// `tcp_input_listener` (a SYN, in the listener's squeue, possibly an interrupt
/// thread), `udp_do_connect` (**`uf_lock` held**) and `udp_output_newdst`
/// (sender's thread, nothing held). Both addresses are readable for as many
/// bytes as `family` has and are not written during the call.
pub unsafe extern "C" fn connect2(
    stack: netstackid_t,
    protocol: u8,
    is_outgoing: boolean_t,
    family: sa_family_t,
    laddr: *mut u8,
    lport: in_port_t,
    faddr: *mut u8,
    fport: in_port_t,
    _args: *mut c_void,
) -> c_int {
    // SAFETY: the caller promises of the pointers all that this asks for.
    let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
    let direction = Direction::of(is_outgoing);
    errno::to_c(match tuple {
        Ok(tuple) => ask(stack as StackId, &tuple, direction),
        Err(reject) => rejected(reject),
    })
}

/// `cl_inet_disconnect`: a TCP endpoint is gone, whether it was ever asked
/// about or not, and possibly a second time.
///
/// # Safety
///
/// Called by ip: `tcp_closei_local` and `tcp_reinit`, in the connection's
/// squeue, any thread, no mutex. Addresses as for [`connect2`].
pub unsafe extern "C" fn disconnect(
    stack: netstackid_t,
    protocol: u8,
    family: sa_family_t,
    laddr: *mut u8,
    lport: in_port_t,
    faddr: *mut u8,
    fport: in_port_t,
    _args: *mut c_void,
) {
    // SAFETY: the caller promises of the pointers all that this asks for.
    let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
    if let Some(tuple) = usable(tuple) {
        end(stack as StackId, &tuple);
    }
}

macro_rules! local {
    ($(#[$doc:meta])* $name:ident, $event:ident) => {
        $(#[$doc])*
        pub unsafe extern "C" fn $name(
            stack: netstackid_t,
            protocol: u8,
            family: sa_family_t,
            laddr: *mut u8,
            lport: in_port_t,
            _args: *mut c_void,
        ) {
            // SAFETY: the caller promises of the pointers all that this asks for.
            if let Some(endpoint) = usable(unsafe {
                Endpoint::read(protocol, family, laddr, lport)
            }) {
                notify(stack as StackId, LocalEvent::$event, &endpoint);
            }
        }
    };
}

local! {
    /// `cl_inet_listen`: a TCP endpoint listens, again on every further
    /// listen().
    ///
    /// # Safety
    ///
    /// Called by ip: `ipcl_bind_insert_v4` and `_v6`, in the squeue, no mutex.
    /// The address as for [`connect2`].
    listen, Listen
}

local! {
    /// `cl_inet_unlisten`: it no longer does.
    ///
    /// # Safety
    ///
    /// Called by ip: `ipcl_conn_unlisten`, in the squeue with **`connf_lock`
    /// held**, which every packet wants. The address as for [`connect2`].
    unlisten, Unlisten
}

local! {
    /// `cl_inet_bind`: a UDP endpoint is bound, explicitly or not.
    ///
    /// # Safety
    ///
    /// Called by ip: `udp_do_bind`, no lock held. The address as for
    /// [`connect2`].
    bind, Bind
}

local! {
    /// `cl_inet_unbind`: it no longer is; perhaps it never was, or by another
    /// address or family.
    ///
    /// # Safety
    ///
    /// Called by ip: `udp_do_close` and `udp_do_unbind`, no lock held. The
    /// address as for [`connect2`].
    unbind, Unbind
}
