// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `cl_tcp_walk_list`: every TCP conn of a stack.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::Errno;
use crate::ip::Ip;
use crate::stack::Stack;

/// `cl_tcp_info_t`, as the callback of a walk gets it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Of the structure: 1.
    pub version: u16,
    /// 4 or 6.
    pub ip_version: u16,
    /// The number of a [`TcpState`](crate::TcpState).
    pub state: i32,
    /// In network byte order.
    pub lport: [u8; 2],
    /// In network byte order.
    pub fport: [u8; 2],
    /// IPv4 as `::ffff:a.b.c.d`; `::` if unset.
    pub laddr: [u8; 16],
    /// As `laddr`.
    pub faddr: [u8; 16],
}

const _: () = assert!(size_of::<TcpInfo>() == 44);

impl TcpInfo {
    /// The local address.
    pub fn laddr(&self) -> Ipv6Addr {
        self.laddr.into()
    }

    /// The foreign address.
    pub fn faddr(&self) -> Ipv6Addr {
        self.faddr.into()
    }

    /// The local port in host order.
    pub fn lport(&self) -> u16 {
        u16::from_be_bytes(self.lport)
    }

    /// The foreign port in host order.
    pub fn fport(&self) -> u16 {
        u16::from_be_bytes(self.fport)
    }
}

/// Which entry of the walks is torn, if one is.
#[derive(Debug, Default)]
pub(crate) struct Torn {
    armed: AtomicBool,
    index: AtomicUsize,
}

impl Torn {
    /// Tears the `index`th established connection of the next walk.
    pub fn arm(&self, index: usize) {
        self.index.store(index, Ordering::Relaxed);
        self.armed.store(true, Ordering::Release);
    }

    fn apply(&self, infos: &mut [TcpInfo]) {
        if !self.armed.swap(false, Ordering::AcqRel) {
            return;
        }
        let index = self.index.load(Ordering::Relaxed);
        let connected = infos.iter_mut().filter(|info| info.state >= 0);
        if let Some(info) = connected.into_iter().nth(index) {
            // The state was read while the conn lived, the rest after it was
            // reused: no conn ever had these together.
            info.fport = [0, 0];
            info.faddr = [0; 16];
        }
    }
}

/// The conns of one stack as they are now.
fn snapshot(stack: &Stack) -> Vec<TcpInfo> {
    stack.sites.taking("connf_lock");
    let squeue = stack.enter();
    let conns = squeue.state.conns.values();
    conns
        .map(|conn| TcpInfo {
            version: 1,
            ip_version: conn.version.number(),
            state: conn.state as i32,
            lport: conn.lport.to_be_bytes(),
            fport: conn.fport.to_be_bytes(),
            laddr: conn.laddr.octets(),
            faddr: conn.faddr.octets(),
        })
        .collect()
}

impl Ip {
    /// `cl_tcp_walk_list`: calls `callback` for every TCP conn of a stack, of
    /// all for a negative id, with no lock held. Returns what ip's does: EINVAL
    /// for a stack that is not there, 1 if the callback stopped the (last)
    /// stack's walk by a result other than 0, else 0.
    pub fn walk(&self, stack: i32, mut callback: impl FnMut(&mut TcpInfo) -> i32) -> i32 {
        if stack >= 0 {
            return match self.stack(stack) {
                Some(stack) => self.walk_one(&stack, &mut callback),
                None => Errno::EINVAL.0,
            };
        }
        let mut result = 0;
        for stack in self.stacks() {
            result = self.walk_one(&stack, &mut callback);
        }
        result
    }

    fn walk_one(&self, stack: &Stack, callback: &mut impl FnMut(&mut TcpInfo) -> i32) -> i32 {
        let mut infos = snapshot(stack);
        self.torn.apply(&mut infos);
        for info in &mut infos {
            if callback(info) != 0 {
                return 1;
            }
        }
        0
    }

    /// Tears one entry of the next walk: the `index`th connection, from 0,
    /// comes with the state it had and without its foreign end.
    pub fn tear_walk_entry(&self, index: usize) {
        self.torn.arm(index);
    }
}
