// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The call sites of a patched ip: those of `clinet.h`, and the directory that
//! learns what came of them.

use std::net::SocketAddr;
use std::sync::{LazyLock, Weak};

use clinet_kernel::Context;

use crate::address::FiveTuple;
use crate::directory::Directory;
use crate::error::Errno;
use crate::hooks::HookCall;
use crate::module::{Clinet, ClinetTcp, ClinetUdp, ClinetUdpAsk};
use crate::network::Network;
use crate::node::NodeId;

/// The contexts that ip calls in.
struct Contexts {
    /// Inside a squeue: no mutex, but nothing may wait. And a UDP send that has
    /// dropped its endpoint's lock.
    no_sleep: Context,
    /// The thread of a network interrupt, inside a squeue too.
    interrupt: Context,
    /// The endpoint's lock is held.
    conn_lock: Context,
    /// The lock of a UDP port's bucket is held.
    uf_lock: Context,
    /// The lock of a bucket of the bind hash is held, inside a squeue.
    connf_lock: Context,
}

static CONTEXTS: LazyLock<Contexts> = LazyLock::new(|| Contexts {
    no_sleep: Context::no_sleep(),
    interrupt: Context::interrupt(),
    conn_lock: Context::no_sleep().holding("conn_lock"),
    uf_lock: Context::no_sleep().holding("uf_lock"),
    connf_lock: Context::no_sleep().holding("connf_lock"),
});

fn squeue_of(call: &HookCall) -> &'static Context {
    if call.interrupt {
        &CONTEXTS.interrupt
    } else {
        &CONTEXTS.no_sleep
    }
}

/// The module of one node, as that node's ip calls it.
pub(crate) struct Contract {
    pub clinet: Clinet,
    pub node: NodeId,
    pub network: Weak<Network>,
}

impl Contract {
    /// Runs `told` with the directory and the modules of the other nodes.
    fn tell(&self, told: impl FnOnce(&Directory, &[&Clinet])) {
        let Some(network) = self.network.upgrade() else {
            return;
        };
        let nodes = network.nodes();
        let others = nodes.iter().filter(|node| node.id != self.node);
        let others: Vec<&Clinet> = others.filter_map(|node| node.clinet()).collect();
        told(&network.directory, &others);
    }

    /// A connection that is about to be: 0 if it may.
    pub fn tcp_ask(&self, call: &HookCall, ct: &mut ClinetTcp) -> i32 {
        let (local, foreign) = (call.local(), call.foreign());
        let outgoing = call.outgoing.unwrap_or(false);
        let asked = self
            .clinet
            .tcp_connect(squeue_of(call), ct, outgoing, local, foreign);
        if let Err(errno) = asked {
            return errno.0;
        }
        if let Some(tuple) = ct.tuple() {
            self.tell(|directory, others| directory.tcp_accepted(self.node, &tuple, others));
        }
        0
    }

    /// A connection, a listener or a bound endpoint is no more.
    pub fn tcp_end(&self, call: &HookCall, ct: &mut ClinetTcp) {
        let tuple = ct.tuple();
        self.clinet.tcp_disconnect(squeue_of(call), ct);
        if let Some(tuple) = tuple {
            self.tell(|directory, others| directory.tcp_ended(self.node, &tuple, others));
        }
    }

    pub fn listen(&self, call: &HookCall) {
        self.clinet.tcp_listen(squeue_of(call), call.local());
    }

    pub fn unlisten(&self, call: &HookCall) {
        self.clinet.tcp_unlisten(&CONTEXTS.connf_lock, call.local());
    }

    pub fn bind(&self, call: &HookCall, cu: &mut ClinetUdp) {
        let local = call.local();
        self.clinet.udp_bind(&CONTEXTS.conn_lock, cu, local);
        self.tell(|directory, others| directory.udp_bound(self.node, local, others));
    }

    pub fn unbind(&self, call: &HookCall, cu: &mut ClinetUdp) {
        let local = call.local();
        self.clinet.udp_unbind(&CONTEXTS.conn_lock, cu, local);
        self.tell(|directory, others| directory.udp_unbound(self.node, local, others));
    }

    pub fn reset(&self, cu: &mut ClinetUdp) {
        self.clinet.udp_reset(&CONTEXTS.conn_lock, cu);
    }

    /// `None` if `to` is the most recent destination.
    pub fn send_begin(
        &self,
        cu: &ClinetUdp,
        to: SocketAddr,
    ) -> Result<Option<ClinetUdpAsk>, Errno> {
        self.clinet.udp_send_begin(&CONTEXTS.conn_lock, cu, to)
    }

    pub fn send_ask(&self, call: &HookCall, ask: &ClinetUdpAsk) -> Result<(), Errno> {
        self.clinet
            .udp_send_ask(&CONTEXTS.no_sleep, ask, call.local())
    }

    pub fn send_end(&self, call: &HookCall, cu: &mut ClinetUdp, ask: &ClinetUdpAsk) {
        self.clinet.udp_send_end(&CONTEXTS.conn_lock, cu, ask);
        self.udp_accepted(call);
    }

    pub fn connect_begin(&self, cu: &mut ClinetUdp, to: SocketAddr) -> Result<ClinetUdpAsk, Errno> {
        self.clinet.udp_connect_begin(&CONTEXTS.conn_lock, cu, to)
    }

    pub fn connect_ask(&self, call: &HookCall, ask: &ClinetUdpAsk) -> Result<(), Errno> {
        self.clinet
            .udp_connect_ask(&CONTEXTS.uf_lock, ask, call.local())
    }

    pub fn connect_end(&self, call: &HookCall, cu: &mut ClinetUdp, ask: &ClinetUdpAsk) {
        self.clinet.udp_connect_end(&CONTEXTS.conn_lock, cu, ask);
        self.udp_accepted(call);
    }

    fn udp_accepted(&self, call: &HookCall) {
        let tuple = FiveTuple::udp(call.local(), call.foreign());
        self.tell(|directory, others| directory.udp_accepted(self.node, &tuple, others));
    }
}
