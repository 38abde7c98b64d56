// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! When TCP asks, and that each accepted question is ended exactly once.
//!
//! The state is a `clinet_tcp_t` inside the stack's own connection. It keeps
//! the 5-tuple of the question, because by the time a connection ends the
//! stack may have cleared or changed its own copy.

#![forbid(unsafe_code)]

use crate::contract::{self, Accepted};
use crate::flow::{FiveTuple, Protocol, SockAddr};
use crate::kernel::errno::Errno;
use crate::kernel::sys;

/// `ct_state` while an accepted question is open. Not a small number: memory
/// that nobody zeroed must not be taken for an open question.
const OPEN: u32 = 0x636c_4f50;

/// Asks about a connection that is about to exist. An earlier question that
/// is still open is ended first. Locks and context: as the provider's.
///
/// # Errors
///
/// The errno that the application's connect() fails with.
pub fn connect(ct: &mut sys::clinet_tcp_t, tuple: &FiveTuple, outgoing: bool) -> Result<(), Errno> {
    disconnect(ct);
    if contract::ask(tuple, outgoing)? == Accepted::Asked {
        *ct = open(tuple);
    }
    Ok(())
}

/// Ends the open question, if there is one.
pub fn disconnect(ct: &mut sys::clinet_tcp_t) {
    let tuple = asked(ct);
    ct.ct_state = 0;
    if let Some(tuple) = tuple {
        contract::end(&tuple);
    }
}

fn open(tuple: &FiveTuple) -> sys::clinet_tcp_t {
    sys::clinet_tcp_t {
        ct_state: OPEN,
        ct_family: tuple.local.addr.family().number(),
        ct_lport: tuple.local.port,
        ct_fport: tuple.foreign.port,
        ct_pad: 0,
        ct_laddr: tuple.local.addr.v6_form(),
        ct_faddr: tuple.foreign.addr.v6_form(),
    }
}

fn asked(ct: &sys::clinet_tcp_t) -> Option<FiveTuple> {
    if ct.ct_state != OPEN {
        return None;
    }
    Some(FiveTuple {
        protocol: Protocol::Tcp,
        local: SockAddr::from_v6_form(ct.ct_family, (ct.ct_laddr, ct.ct_lport))?,
        foreign: SockAddr::from_v6_form(ct.ct_family, (ct.ct_faddr, ct.ct_fport))?,
    })
}
