// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The contract, version 1.1: the slots, the version, and one question.
//!
//! `include/cl_inet.h` is the same for C, where it has the documentation.
//! Nothing here sleeps or takes a lock; what the provider does behind its
//! slot is bound by the same rules.

use crate::flow::{Endpoint, FiveTuple, Protocol};
use crate::kernel::constant::Constant;
use crate::kernel::errno::Errno;
use crate::kernel::slot::{Connect, Disconnect, End, Local, Provider, Slot};
use crate::kernel::sys;
use crate::stats;

/// Asks whether a 5-tuple is unique in the cluster.
#[unsafe(no_mangle)]
pub static cl_inet_connect2: Slot<Connect> = Slot::empty();
/// Tells that an accepted 5-tuple is no longer in use.
#[unsafe(no_mangle)]
pub static cl_inet_disconnect: Slot<Disconnect> = Slot::empty();
/// Tells that an endpoint listens.
#[unsafe(no_mangle)]
pub static cl_inet_listen: Slot<Local> = Slot::empty();
/// Tells that an endpoint no longer listens.
#[unsafe(no_mangle)]
pub static cl_inet_unlisten: Slot<Local> = Slot::empty();
/// Tells that a UDP endpoint is bound.
#[unsafe(no_mangle)]
pub static cl_inet_bind: Slot<Local> = Slot::empty();
/// Tells that a UDP endpoint is no longer bound.
#[unsafe(no_mangle)]
pub static cl_inet_unbind: Slot<Local> = Slot::empty();

/// The version as C wants it.
const VERSION: *const core::ffi::c_char = sys::CL_INET_VERSION.as_ptr().cast();

/// The version of the contract that this module speaks.
#[unsafe(no_mangle)]
pub static cluster_version_supported: Constant<*const core::ffi::c_char> =
    Constant::version(VERSION);

/// Where the slots of *this* module are: ip has variables of the same names.
#[unsafe(no_mangle)]
pub static clinet_contract: Constant<sys::clinet_contract_t> =
    Constant::contract(sys::clinet_contract_t {
        cc_size: size_of::<sys::clinet_contract_t>(),
        cc_version: VERSION,
        cc_connect2: (&raw const cl_inet_connect2).cast_mut().cast(),
        cc_disconnect: (&raw const cl_inet_disconnect).cast_mut().cast(),
        cc_listen: (&raw const cl_inet_listen).cast_mut().cast(),
        cc_unlisten: (&raw const cl_inet_unlisten).cast_mut().cast(),
        cc_bind: (&raw const cl_inet_bind).cast_mut().cast(),
        cc_unbind: (&raw const cl_inet_unbind).cast_mut().cast(),
    });

/// Has anybody associated a function? Then text of a provider may be running.
pub fn is_associated() -> bool {
    cl_inet_connect2.is_set()
        || cl_inet_disconnect.is_set()
        || cl_inet_listen.is_set()
        || cl_inet_unlisten.is_set()
        || cl_inet_bind.is_set()
        || cl_inet_unbind.is_set()
}

/// The ends of a 5-tuple, copied for a provider that may write into them.
struct Ends {
    protocol: u8,
    family: sys::sa_family_t,
    local: ([u8; 16], sys::in_port_t),
    foreign: ([u8; 16], sys::in_port_t),
}

impl Ends {
    fn of(tuple: &FiveTuple) -> Self {
        Self {
            protocol: tuple.protocol.number(),
            family: tuple.local.addr.family().number(),
            local: (tuple.local.addr.wire(), tuple.local.port),
            foreign: (tuple.foreign.addr.wire(), tuple.foreign.port),
        }
    }

    fn each(&mut self) -> (End<'_>, End<'_>) {
        (
            (&mut self.local.0, self.local.1),
            (&mut self.foreign.0, self.foreign.1),
        )
    }
}

/// A question that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The provider said yes: it wants to learn of the end.
    Asked,
    /// Nobody was asked.
    Unasked,
}

/// Puts the question to the provider.
///
/// TCP with an unspecified local address is accepted without a question; UDP
/// is asked about, as stock illumos does.
///
/// # Errors
///
/// The provider's errno, or `EADDRNOTAVAIL` in place of an answer that would
/// harm the stack.
pub fn ask(tuple: &FiveTuple, outgoing: bool) -> Result<Accepted, Errno> {
    if tuple.protocol == Protocol::Tcp && tuple.local.addr.is_unspecified() {
        stats::counters().cs_no_laddr.bump();
        return Ok(Accepted::Unasked);
    }
    match cl_inet_connect2.provider() {
        Some(provider) => ask_provider(provider, tuple, outgoing).map(|()| Accepted::Asked),
        None => {
            stats::counters().cs_no_provider.bump();
            Ok(Accepted::Unasked)
        }
    }
}

/// Puts the question to a provider that was loaded from the slot.
///
/// # Errors
///
/// As for [`ask`].
pub fn ask_provider(provider: Provider, tuple: &FiveTuple, outgoing: bool) -> Result<(), Errno> {
    let mut ends = Ends::of(tuple);
    let (protocol, family) = (ends.protocol, ends.family);
    let (local, foreign) = ends.each();
    let answer = provider.ask(protocol, outgoing, family, local, foreign);
    let counters = stats::counters();
    let (asked, refused) = match (tuple.protocol, outgoing) {
        (Protocol::Tcp, true) => (&counters.cs_tcp_out_asked, &counters.cs_tcp_out_refused),
        (Protocol::Tcp, false) => (&counters.cs_tcp_in_asked, &counters.cs_tcp_in_refused),
        (Protocol::Udp, _) => (&counters.cs_udp_asked, &counters.cs_udp_refused),
    };
    asked.bump();
    if answer == 0 {
        return Ok(());
    }
    refused.bump();
    Err(Errno::from_answer(answer).unwrap_or_else(|| {
        stats::counters().cs_bad_answer.bump();
        Errno::ADDRNOTAVAIL
    }))
}

/// Tells the provider that a 5-tuple is no longer in use. As with questions,
/// TCP without a local address is nobody's business.
pub fn end(tuple: &FiveTuple) {
    if tuple.protocol == Protocol::Tcp && tuple.local.addr.is_unspecified() {
        return;
    }
    let mut ends = Ends::of(tuple);
    let (protocol, family) = (ends.protocol, ends.family);
    let (local, foreign) = ends.each();
    if cl_inet_disconnect.notify(protocol, family, local, foreign) {
        stats::counters().cs_ended.bump();
    }
}

/// What happens to a local endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalEvent {
    /// It listens.
    Listen,
    /// It no longer listens.
    Unlisten,
    /// It is bound.
    Bind,
    /// It is no longer bound.
    Unbind,
}

/// Tells the provider what happens to a local endpoint.
pub fn notify(event: LocalEvent, endpoint: &Endpoint) {
    let slot = match event {
        LocalEvent::Listen => &cl_inet_listen,
        LocalEvent::Unlisten => &cl_inet_unlisten,
        LocalEvent::Bind => &cl_inet_bind,
        LocalEvent::Unbind => &cl_inet_unbind,
    };
    let mut addr = endpoint.addr.wire();
    slot.notify(
        endpoint.protocol.number(),
        endpoint.addr.family().number(),
        (&mut addr, endpoint.port),
    );
}
