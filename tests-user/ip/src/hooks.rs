// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The twelve hook variables of ip and what a call through one carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::address::family_of;
#[cfg(doc)]
use crate::address::{AF_INET, AF_INET6};

/// One of ip's hook variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// `cl_inet_listen`
    Listen,
    /// `cl_inet_unlisten`
    Unlisten,
    /// `cl_inet_connect2`
    Connect2,
    /// `cl_inet_disconnect`
    Disconnect,
    /// `cl_inet_bind`
    Bind,
    /// `cl_inet_unbind`
    Unbind,
    /// `cl_inet_isclusterwide`
    IsClusterwide,
    /// `cl_inet_ipident`
    Ipident,
    /// `cl_inet_getspi`, which no call site of this model uses.
    GetSpi,
    /// `cl_inet_checkspi`, which no call site of this model uses.
    CheckSpi,
    /// `cl_inet_deletespi`, which no call site of this model uses.
    DeleteSpi,
    /// `cl_inet_idlesa`, which no call site of this model uses.
    IdleSa,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Listen,
        Self::Unlisten,
        Self::Connect2,
        Self::Disconnect,
        Self::Bind,
        Self::Unbind,
        Self::IsClusterwide,
        Self::Ipident,
        Self::GetSpi,
        Self::CheckSpi,
        Self::DeleteSpi,
        Self::IdleSa,
    ];

    /// The name of the variable.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Listen => "cl_inet_listen",
            Self::Unlisten => "cl_inet_unlisten",
            Self::Connect2 => "cl_inet_connect2",
            Self::Disconnect => "cl_inet_disconnect",
            Self::Bind => "cl_inet_bind",
            Self::Unbind => "cl_inet_unbind",
            Self::IsClusterwide => "cl_inet_isclusterwide",
            Self::Ipident => "cl_inet_ipident",
            Self::GetSpi => "cl_inet_getspi",
            Self::CheckSpi => "cl_inet_checkspi",
            Self::DeleteSpi => "cl_inet_deletespi",
            Self::IdleSa => "cl_inet_idlesa",
        }
    }

    /// The name without `cl_inet_`.
    pub fn name(self) -> &'static str {
        &self.variable()["cl_inet_".len()..]
    }

    /// The hook of that short name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.name() == name)
    }
}

/// What a call site holds while it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing: UDP's bind, unbind and send.
    Nothing,
    /// No lock, but the conn's squeue.
    Squeue,
    /// The squeue and `connf_lock` of the bind hash: unlisten.
    ConnfLock,
    /// `uf_lock` of the port: UDP's connect.
    UfLock,
}

/// One call through a hook variable, before it is made. Ports are in host
/// order here and in network order on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCall {
    /// The variable.
    pub hook: Hook,
    /// The stack id.
    pub stack: i32,
    /// 6, 17, or 0 from `isclusterwide` and `ipident`.
    pub protocol: u8,
    /// Of connect2 only.
    pub outgoing: Option<bool>,
    /// The local address; its variant is the address family of the call.
    pub laddr: IpAddr,
    /// The local port, where the hook has one.
    pub lport: Option<u16>,
    /// The foreign address, where the hook has one.
    pub faddr: Option<IpAddr>,
    /// The foreign port, where the hook has one.
    pub fport: Option<u16>,
    /// What the caller holds.
    pub held: Held,
    /// Is the caller an interrupt thread?
    pub interrupt: bool,
}

impl HookCall {
    /// The local end, with port 0 where there is none.
    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.laddr, self.lport.unwrap_or(0))
    }

    /// The foreign end; the local address and port 0 where there is none.
    pub fn foreign(&self) -> SocketAddr {
        SocketAddr::new(self.faddr.unwrap_or(self.laddr), self.fport.unwrap_or(0))
    }

    /// The address family: [`AF_INET`] or [`AF_INET6`].
    pub fn family(&self) -> u16 {
        family_of(self.laddr)
    }
}

/// Who stands behind the hook variables: a module, or functions of a test.
pub trait Provider: Send + Sync {
    /// The variable: 0 is NULL.
    fn variable(&self, hook: Hook) -> &AtomicU64;

    /// Calls the function at `function`, which was read from the variable of
    /// `call`, and returns what it returned. Hooks without a result return 0.
    fn call(&self, function: u64, call: &HookCall) -> i32;

    /// ip is about to take its lock `name`.
    fn taking(&self, name: &'static str) {
        let _ = name;
    }
}

/// Calls a hook as every call site does: tests the variable, then reads it
/// again. `None` if it was NULL when tested.
pub(crate) fn call(provider: &dyn Provider, call: &HookCall) -> Option<i32> {
    let load = || provider.variable(call.hook).load(Ordering::Acquire);
    if load() == 0 {
        return None;
    }
    let function = load();
    Some(provider.call(function, call))
}
