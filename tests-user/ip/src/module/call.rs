// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One recorded call of the module's C interface.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use clinet_kernel::Context;

use crate::address::{AF_INET, AF_INET6, from_bytes};
use crate::lock;
use crate::module::types::{ClinetTcp, ClinetUdpAsk};

/// A call of a C function of the module, as seen by an observer after it
/// returned. What the function does not take, or what was NULL, is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name in C, such as `clinet_tcp_connect`.
    pub function: &'static str,
    /// What the caller was and held.
    pub context: Context,
    /// The protocol number.
    pub protocol: Option<u8>,
    /// Whether the connection is outgoing.
    pub outgoing: Option<bool>,
    /// The address family, in illumos's numbers.
    pub family: Option<u16>,
    /// The local address and port, as passed.
    pub local: Option<SocketAddr>,
    /// The foreign address and port, as passed.
    pub foreign: Option<SocketAddr>,
    /// What it returned; `None` for functions without a result.
    pub result: Option<i32>,
}

impl Call {
    /// Reads what the arguments point at.
    ///
    /// # Safety
    ///
    /// The words are the arguments of a call that is about to be made, under
    /// the names that they have in `clinet.h`; pointers are NULL or valid.
    pub(crate) unsafe fn decode(
        function: &'static str,
        context: &Context,
        names: &[&'static str],
        words: &[u64],
    ) -> Self {
        let arguments = Arguments { names, words };
        let mut call = Self {
            function,
            context: context.clone(),
            protocol: arguments.word("protocol").map(|word| word as u8),
            outgoing: arguments.word("is_outgoing").map(|word| word as i32 != 0),
            family: arguments.word("addr_family").map(|word| word as u16),
            local: None,
            foreign: None,
            result: None,
        };
        // SAFETY: passed on by the caller.
        unsafe {
            if let Some(family) = call.family {
                call.foreign = arguments.address(family, "faddrp", "fport");
                call.local = arguments.address(family, "laddrp", "lport");
            } else if let Some(ask) = arguments.read::<ClinetUdpAsk>("ask") {
                let (address, port) =
                    (ask.cua_dst.udp_cl_v6lastdst, ask.cua_dst.udp_cl_lastdstport);
                call.family = Some(ask.cua_family);
                call.foreign = in_v6_form(ask.cua_family, address, port);
                call.local = arguments.address(ask.cua_family, "laddrp", "lport");
            } else if let Some(ct) = arguments.read::<ClinetTcp>("ct").filter(ClinetTcp::is_open) {
                call.family = Some(ct.ct_family);
                call.local = in_v6_form(ct.ct_family, ct.ct_laddr, ct.ct_lport);
                call.foreign = in_v6_form(ct.ct_family, ct.ct_faddr, ct.ct_fport);
            }
        }
        call
    }
}

/// An address that is kept as sixteen bytes whatever its family.
fn in_v6_form(family: u16, bytes: [u8; 16], port: u16) -> Option<SocketAddr> {
    let address = from_bytes(AF_INET6, bytes)?;
    let address = match family {
        AF_INET => address.to_canonical(),
        _ => address,
    };
    Some(SocketAddr::new(address, u16::from_be(port)))
}

struct Arguments<'a> {
    names: &'a [&'static str],
    words: &'a [u64],
}

impl Arguments<'_> {
    fn word(&self, name: &str) -> Option<u64> {
        let index = self.names.iter().position(|other| *other == name)?;
        self.words.get(index).copied()
    }

    /// # Safety
    ///
    /// The argument is NULL or points at a `T`.
    unsafe fn read<T>(&self, name: &str) -> Option<T> {
        let pointer = self.word(name)? as *const T;
        // SAFETY: not NULL, so valid by the caller's guarantee; `T` is one of
        // the plain structures of `types`.
        (!pointer.is_null()).then(|| unsafe { pointer.read_unaligned() })
    }

    /// # Safety
    ///
    /// The address is NULL or points at as many bytes as the family has.
    unsafe fn address(&self, family: u16, address: &str, port: &str) -> Option<SocketAddr> {
        let port = u16::from_be(self.word(port)? as u16);
        let mut bytes = [0; 16];
        match family {
            AF_INET => {
                // SAFETY: passed on by the caller.
                let v4 = unsafe { self.read::<[u8; 4]>(address) };
                bytes[..4].copy_from_slice(&v4?);
            }
            // SAFETY: passed on by the caller.
            AF_INET6 => bytes = unsafe { self.read(address) }?,
            _ => return None,
        }
        Some(SocketAddr::new(from_bytes(family, bytes)?, port))
    }
}

/// Keeps all calls until they are taken.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Call>>>);

impl Recorder {
    pub(super) fn push(&self, call: Call) {
        lock(&self.0).push(call);
    }

    /// The calls since the last time, oldest first.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.0))
    }
}
