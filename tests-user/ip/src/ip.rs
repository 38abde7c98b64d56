// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! ip: its stacks, its time, and what a test may provoke.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

#[cfg(doc)]
use crate::address::{AF_INET, AF_INET6};
use crate::conn::Conn;
use crate::hooks::Provider;
use crate::raw::Raw;
use crate::release::Release;
use crate::sites::Sites;
use crate::socket::{Kind, Socket};
use crate::stack::{Groups, Provoked, Stack};
use crate::udp::Udp;
use crate::walk::Torn;

/// The stock ip of one machine, with stack 0 and the loopback addresses
/// 127.0.0.1, 127.0.0.2, 10.1.1.1, 10.1.1.2, ::1, fd00::1 and fd00::2 on each
/// stack. Its hooks are called through a [`Provider`].
pub struct Ip {
    provider: Arc<dyn Provider>,
    release: Release,
    stacks: RwLock<BTreeMap<i32, Arc<Stack>>>,
    pub(crate) torn: Torn,
}

impl Ip {
    /// The ip of 2015, with the global stack.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self::of_release(provider, Release::Y2015)
    }

    /// The ip of that kernel, with the global stack.
    pub fn of_release(provider: Arc<dyn Provider>, release: Release) -> Self {
        let stack = Stack::new(0, Sites::Hooks(provider.clone()), release);
        Self::with_stack(provider, Arc::new(stack))
    }

    /// The ip with this stack, whose call sites are those of the provider.
    pub(crate) fn with_stack(provider: Arc<dyn Provider>, stack: Arc<Stack>) -> Self {
        Self {
            provider,
            release: stack.release,
            stacks: RwLock::new(BTreeMap::from([(stack.id, stack)])),
            torn: Torn::default(),
        }
    }

    /// Adds a stack; one of that id is replaced, its sockets stay in the old.
    pub fn add_stack(&self, id: i32) {
        let stack = Arc::new(Stack::new(
            id,
            Sites::Hooks(self.provider.clone()),
            self.release,
        ));
        self.stacks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, stack);
    }

    /// Removes a stack; its sockets stay usable until they are dropped.
    pub fn remove_stack(&self, id: i32) {
        self.stacks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    pub(crate) fn stacks(&self) -> Vec<Arc<Stack>> {
        let stacks = self.stacks.read().unwrap_or_else(PoisonError::into_inner);
        stacks.values().cloned().collect()
    }

    pub(crate) fn stack(&self, id: i32) -> Option<Arc<Stack>> {
        let stacks = self.stacks.read().unwrap_or_else(PoisonError::into_inner);
        stacks.get(&id).cloned()
    }

    pub(crate) fn must_have(&self, id: i32) -> Arc<Stack> {
        self.stack(id)
            .unwrap_or_else(|| panic!("there is no stack {id}: add_stack makes one"))
    }

    /// A TCP socket of a stack; `family` is [`AF_INET`] or [`AF_INET6`].
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn tcp(&self, stack: i32, family: u16) -> Socket {
        tcp_socket(self.must_have(stack), family)
    }

    /// A UDP socket of a stack.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn udp(&self, stack: i32, family: u16) -> Socket {
        udp_socket(self.must_have(stack), family)
    }

    /// A raw socket of a stack, about which no hook is ever called.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn raw(&self, stack: i32, family: u16) -> Socket {
        Socket::new(self.must_have(stack), Kind::Raw(Raw::default()), family)
    }

    /// What becomes of IPv6 datagrams to groups; they are sent at first.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn set_groups(&self, stack: i32, groups: Groups) {
        self.must_have(stack).set_groups(groups);
    }

    /// Processes the packets that wait, as the squeue's worker does.
    pub fn settle(&self) {
        for stack in self.stacks() {
            stack.enter().settle();
        }
    }

    /// Lets time pass on all stacks: retransmissions, ends of TIME_WAIT.
    pub fn advance(&self, milliseconds: u64) {
        for stack in self.stacks() {
            let mut squeue = stack.enter();
            let time = squeue.state.now + milliseconds;
            squeue.advance_to(time);
        }
    }

    /// Milliseconds since the stack was made.
    pub(crate) fn now(&self, stack: i32) -> u64 {
        self.must_have(stack).enter().state.now
    }

    /// Lets time pass until no timer runs, and returns how many TCP conns are
    /// left: those of sockets that nobody closed.
    pub fn drain(&self) -> usize {
        let mut left = 0;
        for stack in self.stacks() {
            let mut squeue = stack.enter();
            squeue.settle();
            // A FIN to an address that is down is sent again for ever.
            for _ in 0..1000 {
                let Some(next) = squeue.next_timer() else {
                    break;
                };
                squeue.advance_to(next);
            }
            left += squeue.state.conns.len();
        }
        left
    }

    /// From now on, packets of the stack come as from a network card: what they
    /// cause is called by an interrupt thread. Or again as over loopback.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn set_interrupts(&self, stack: i32, interrupts: bool) {
        self.must_have(stack).enter().state.interrupts = interrupts;
    }

    /// The next incoming SYN of the stack that a hook accepts goes nowhere:
    /// no route back to the peer is found, so the connection is dropped and
    /// nobody is told.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn provoke_no_destination(&self, stack: i32) {
        self.must_have(stack).enter().state.provoked = Some(Provoked::NoDestination);
    }

    /// The next incoming SYN of the stack comes twice, the second copy before
    /// the first one is hashed: two questions, and one disconnect while the
    /// connection lives.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn provoke_duplicate_syn(&self, stack: i32) {
        self.must_have(stack).enter().state.provoked = Some(Provoked::Duplicate);
    }
}

pub(crate) fn tcp_socket(stack: Arc<Stack>, family: u16) -> Socket {
    let conn = Conn::new(family, stack.times.connect_abort);
    let id = stack.enter().add(conn);
    Socket::new(stack, Kind::Tcp(id), family)
}

pub(crate) fn udp_socket(stack: Arc<Stack>, family: u16) -> Socket {
    Socket::new(stack, Kind::Udp(Udp::new(family)), family)
}
