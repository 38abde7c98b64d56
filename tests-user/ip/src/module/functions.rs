// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The functions of `clinet.h` with Rust types in place of pointers.
//!
//! Addresses are [`SocketAddr`]: the variant is the address family of the
//! call, ports are in host order and turned round on the way, and a non-zero
//! return value is an [`Errno`]. Callers with odd arguments use the C functions
//! themselves, which begin with `clinet_`.

use std::net::SocketAddr;

use clinet_kernel::Context;

use crate::address::{family_of, in_family, octets};
use crate::error::Errno;
use crate::module::Clinet;
use crate::module::types::{ClinetTcp, ClinetUdp, ClinetUdpAsk};

/// `clinet_udp_send_begin`: this destination has to be asked about.
const CLINET_UDP_ASK: i32 = -1;

/// The ends of a 5-tuple as arguments.
struct Ends {
    family: u16,
    local: [u8; 16],
    lport: u16,
    foreign: [u8; 16],
    fport: u16,
}

impl Ends {
    /// With one family for both: IPv6 if one of them is.
    fn new(local: SocketAddr, foreign: SocketAddr) -> Self {
        let family = family_of(local.ip()).max(family_of(foreign.ip()));
        let as_passed = |ip| octets(in_family(ip, family).unwrap_or(ip));
        Self {
            family,
            local: as_passed(local.ip()),
            lport: local.port().to_be(),
            foreign: as_passed(foreign.ip()),
            fport: foreign.port().to_be(),
        }
    }
}

/// Calls `$function` with a 5-tuple.
macro_rules! tuple_call {
    ($self:ident.$function:ident($context:expr $(, $before:expr)*; $local:ident, $foreign:ident)) => {{
        let ends = Ends::new($local, $foreign);
        // SAFETY: both addresses have sixteen bytes; a structure is borrowed
        // exclusively.
        unsafe {
            $self.$function(
                $context,
                $($before,)*
                ends.family,
                ends.local.as_ptr(),
                ends.lport,
                ends.foreign.as_ptr(),
                ends.fport,
            )
        }
    }};
}

/// Calls `$function` with one end of a 5-tuple.
macro_rules! end_call {
    ($self:ident.$function:ident($context:ident $(, $before:expr)*; $end:ident)) => {{
        let address = octets($end.ip());
        // SAFETY: the address has sixteen bytes; structures are borrowed, those
        // that are written exclusively.
        unsafe {
            $self.$function(
                $context,
                $($before,)*
                family_of($end.ip()),
                address.as_ptr(),
                $end.port().to_be(),
            )
        }
    }};
}

/// The contract, called through its slots.
impl Clinet {
    /// `clinet_ask`: asks about a 5-tuple.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn ask(
        &self,
        context: &Context,
        protocol: u8,
        outgoing: bool,
        local: SocketAddr,
        foreign: SocketAddr,
    ) -> Result<(), Errno> {
        Errno::check(
            tuple_call!(self.clinet_ask(context, protocol, i32::from(outgoing); local, foreign)),
        )
    }

    /// `clinet_end`: a 5-tuple is no longer in use.
    pub fn end(&self, context: &Context, protocol: u8, local: SocketAddr, foreign: SocketAddr) {
        tuple_call!(self.clinet_end(context, protocol; local, foreign));
    }
}

/// Local endpoints.
impl Clinet {
    /// `clinet_tcp_listen`
    pub fn tcp_listen(&self, context: &Context, local: SocketAddr) {
        end_call!(self.clinet_tcp_listen(context; local));
    }

    /// `clinet_tcp_unlisten`
    pub fn tcp_unlisten(&self, context: &Context, local: SocketAddr) {
        end_call!(self.clinet_tcp_unlisten(context; local));
    }

    /// `clinet_udp_bind`
    pub fn udp_bind(&self, context: &Context, cu: &mut ClinetUdp, local: SocketAddr) {
        end_call!(self.clinet_udp_bind(context, &raw mut *cu; local));
    }

    /// `clinet_udp_unbind`
    pub fn udp_unbind(&self, context: &Context, cu: &mut ClinetUdp, local: SocketAddr) {
        end_call!(self.clinet_udp_unbind(context, &raw mut *cu; local));
    }
}

/// TCP connections.
impl Clinet {
    /// `clinet_tcp_connect`: asks about a connection that is about to exist.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn tcp_connect(
        &self,
        context: &Context,
        ct: &mut ClinetTcp,
        outgoing: bool,
        local: SocketAddr,
        foreign: SocketAddr,
    ) -> Result<(), Errno> {
        Errno::check(
            tuple_call!(self.clinet_tcp_connect(context, ct, i32::from(outgoing); local, foreign)),
        )
    }

    /// `clinet_tcp_disconnect`: the connection is gone.
    pub fn tcp_disconnect(&self, context: &Context, ct: &mut ClinetTcp) {
        // SAFETY: ct is borrowed exclusively.
        unsafe { self.clinet_tcp_disconnect(context, ct) }
    }
}

/// UDP endpoints.
impl Clinet {
    /// `clinet_udp_send_begin`: a question if `to` is not the most recent
    /// destination, else `None`.
    ///
    /// # Errors
    ///
    /// What the module says of the arguments.
    pub fn udp_send_begin(
        &self,
        context: &Context,
        cu: &ClinetUdp,
        to: SocketAddr,
    ) -> Result<Option<ClinetUdpAsk>, Errno> {
        let mut ask = ClinetUdpAsk::default();
        match end_call!(self.clinet_udp_send_begin(context, cu, &mut ask; to)) {
            CLINET_UDP_ASK => Ok(Some(ask)),
            answer => Errno::check(answer).map(|()| None),
        }
    }

    /// `clinet_udp_send_ask`
    ///
    /// # Errors
    ///
    /// `EHOSTUNREACH` if it is refused.
    pub fn udp_send_ask(
        &self,
        context: &Context,
        ask: &ClinetUdpAsk,
        local: SocketAddr,
    ) -> Result<(), Errno> {
        let address = octets(in_family(local.ip(), ask.cua_family)?);
        // SAFETY: the address has sixteen bytes; ask is borrowed.
        Errno::check(unsafe {
            self.clinet_udp_send_ask(context, ask, address.as_ptr(), local.port().to_be())
        })
    }

    /// `clinet_udp_send_end`
    pub fn udp_send_end(&self, context: &Context, cu: &mut ClinetUdp, ask: &ClinetUdpAsk) {
        // SAFETY: both are borrowed.
        unsafe { self.clinet_udp_send_end(context, cu, ask) }
    }

    /// `clinet_udp_connect_begin`
    ///
    /// # Errors
    ///
    /// What the module says of the arguments.
    pub fn udp_connect_begin(
        &self,
        context: &Context,
        cu: &mut ClinetUdp,
        to: SocketAddr,
    ) -> Result<ClinetUdpAsk, Errno> {
        let mut ask = ClinetUdpAsk::default();
        let answer = end_call!(self.clinet_udp_connect_begin(context, cu, &mut ask; to));
        Errno::check(answer).map(|()| ask)
    }

    /// `clinet_udp_connect_ask`
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL` if it is refused.
    pub fn udp_connect_ask(
        &self,
        context: &Context,
        ask: &ClinetUdpAsk,
        local: SocketAddr,
    ) -> Result<(), Errno> {
        let address = octets(in_family(local.ip(), ask.cua_family)?);
        // SAFETY: the address has sixteen bytes; ask is borrowed.
        Errno::check(unsafe {
            self.clinet_udp_connect_ask(context, ask, address.as_ptr(), local.port().to_be())
        })
    }

    /// `clinet_udp_connect_end`
    pub fn udp_connect_end(&self, context: &Context, cu: &mut ClinetUdp, ask: &ClinetUdpAsk) {
        // SAFETY: both are borrowed.
        unsafe { self.clinet_udp_connect_end(context, cu, ask) }
    }

    /// `clinet_udp_reset`: forgets the most recent destination.
    pub fn udp_reset(&self, context: &Context, cu: &mut ClinetUdp) {
        // SAFETY: cu is borrowed exclusively.
        unsafe { self.clinet_udp_reset(context, cu) }
    }
}

/// The cluster's side of the built-in provider.
impl Clinet {
    /// `clinet_install`: `owner` owns the 5-tuple.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` if somebody else does, and the others of the header.
    pub fn install(
        &self,
        owner: u32,
        protocol: u8,
        local: SocketAddr,
        foreign: SocketAddr,
    ) -> Result<(), Errno> {
        Errno::check(
            tuple_call!(self.clinet_install(&Context::thread(), owner, protocol; local, foreign)),
        )
    }

    /// `clinet_withdraw`: `owner` gives the 5-tuple up.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it did not own it, and the others of the header.
    pub fn withdraw(
        &self,
        owner: u32,
        protocol: u8,
        local: SocketAddr,
        foreign: SocketAddr,
    ) -> Result<(), Errno> {
        Errno::check(
            tuple_call!(self.clinet_withdraw(&Context::thread(), owner, protocol; local, foreign)),
        )
    }

    /// `clinet_purge`: drops all that `owner` owns.
    ///
    /// # Errors
    ///
    /// `EINVAL` for 0 and this node.
    pub fn purge(&self, owner: u32) -> Result<(), Errno> {
        // SAFETY: there are no pointers.
        Errno::check(unsafe { self.clinet_purge(&Context::thread(), owner) })
    }
}
