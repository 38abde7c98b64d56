// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where ip asks and tells: the hooks of a stock ip, or the contract of a
//! patched one. The stack is the same for both.

use std::net::Ipv6Addr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use crate::contract::Contract;
use crate::error::Errno;
use crate::hooks::{Hook, HookCall, Provider, call};
use crate::module::{ClinetTcp, ClinetUdpAsk};
use crate::udp::Endpoint;

/// The call sites of a stack.
#[derive(Clone)]
pub(crate) enum Sites {
    /// Stock ip's hook variables.
    Hooks(Arc<dyn Provider>),
    /// `clinet.h`
    Contract(Arc<Contract>),
    /// Nobody is asked or told.
    Nobody,
}

/// A question of UDP that is under way.
pub(crate) struct Question {
    pub call: HookCall,
    /// The contract's part of it.
    pub ask: ClinetUdpAsk,
}

impl Sites {
    /// ip is about to take its lock `name`.
    pub fn taking(&self, name: &'static str) {
        if let Self::Hooks(provider) = self {
            provider.taking(name);
        }
    }

    /// Is the hook variable set?
    pub fn is_set(&self, hook: Hook) -> bool {
        let Self::Hooks(provider) = self else {
            return false;
        };
        provider.variable(hook).load(Ordering::Acquire) != 0
    }

    /// A call through a hook variable; `None` if there is nobody behind it.
    pub fn hook(&self, made: &HookCall) -> Option<i32> {
        match self {
            Self::Hooks(provider) => call(&**provider, made),
            _ => None,
        }
    }

    /// May the connection be? 0 if so. Stock ip asks nobody about an
    /// unspecified local address.
    pub fn tcp_ask(&self, call: &HookCall, ct: &mut ClinetTcp) -> i32 {
        match self {
            Self::Contract(contract) => contract.tcp_ask(call, ct),
            _ if call.laddr.is_unspecified() => 0,
            _ => self.hook(call).unwrap_or(0),
        }
    }

    pub fn tcp_end(&self, call: &HookCall, ct: &mut ClinetTcp) {
        match self {
            Self::Contract(contract) => contract.tcp_end(call, ct),
            _ if call.laddr.is_unspecified() => {}
            _ => drop(self.hook(call)),
        }
    }

    /// Says whether anybody was told: only then an unlisten is.
    pub fn listen(&self, call: &HookCall) -> bool {
        match self {
            Self::Contract(contract) => {
                contract.listen(call);
                true
            }
            _ => self.hook(call).is_some(),
        }
    }

    pub fn unlisten(&self, call: &HookCall) {
        match self {
            Self::Contract(contract) => contract.unlisten(call),
            _ => drop(self.hook(call)),
        }
    }

    /// The contract is told with the endpoint's lock held, a hook without.
    pub fn bind(&self, call: &HookCall, mut conn: MutexGuard<'_, Endpoint>) {
        if let Self::Contract(contract) = self {
            contract.bind(call, &mut conn.cu);
        }
        drop(conn);
        self.hook(call);
    }

    pub fn unbind(&self, call: &HookCall, mut conn: MutexGuard<'_, Endpoint>) {
        if let Self::Contract(contract) = self {
            contract.unbind(call, &mut conn.cu);
        }
        drop(conn);
        self.hook(call);
    }

    /// The endpoint forgets its most recent destination.
    pub fn reset(&self, conn: &mut Endpoint) {
        conn.forget_last();
        if let Self::Contract(contract) = self {
            contract.reset(&mut conn.cu);
        }
    }

    /// Does a datagram with control data ask as others do? In stock ip it never
    /// does.
    pub fn asks_about_control_data(&self) -> bool {
        matches!(self, Self::Contract(_))
    }

    /// A question unless this is the most recent destination.
    pub fn send_begin(
        &self,
        conn: &Endpoint,
        to: (Ipv6Addr, u16),
        call: HookCall,
    ) -> Result<Option<Question>, Errno> {
        let ask = match self {
            Self::Contract(contract) => contract.send_begin(&conn.cu, call.foreign())?,
            _ => (!conn.has_last(to)).then(ClinetUdpAsk::default),
        };
        Ok(ask.map(|ask| Question { call, ask }))
    }

    /// Any refusal of a hook is EHOSTUNREACH.
    pub fn send_ask(&self, Question { call, ask }: &Question) -> Result<(), Errno> {
        match self {
            Self::Contract(contract) => contract.send_ask(call, ask),
            _ if self.hook(call).unwrap_or(0) != 0 => Err(Errno::EHOSTUNREACH),
            _ => Ok(()),
        }
    }

    pub fn send_end(&self, conn: &mut Endpoint, to: (Ipv6Addr, u16), question: &Question) {
        conn.last = to;
        if let Self::Contract(contract) = self {
            contract.send_end(&question.call, &mut conn.cu, &question.ask);
        }
    }

    /// The endpoint forgets its most recent destination, and will ask.
    pub fn connect_begin(
        &self,
        conn: &mut Endpoint,
        call: &HookCall,
    ) -> Result<ClinetUdpAsk, Errno> {
        conn.forget_last();
        match self {
            Self::Contract(contract) => contract.connect_begin(&mut conn.cu, call.foreign()),
            _ => Ok(ClinetUdpAsk::default()),
        }
    }

    /// Any refusal of a hook is EADDRNOTAVAIL.
    pub fn connect_ask(&self, Question { call, ask }: &Question) -> Result<(), Errno> {
        match self {
            Self::Contract(contract) => contract.connect_ask(call, ask),
            _ if self.hook(call).unwrap_or(0) != 0 => Err(Errno::EADDRNOTAVAIL),
            _ => Ok(()),
        }
    }

    pub fn connect_end(&self, conn: &mut Endpoint, question: &Question) {
        if let Self::Contract(contract) = self {
            contract.connect_end(&question.call, &mut conn.cu, &question.ask);
        }
    }
}
