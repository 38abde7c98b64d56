// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Comparing the registry with ip's TCP connections, in the module's thread.
//!
//! * A connection that two audits in a row saw and the registry has not is
//!   added with one reference, unless another node owns it.
//! * An entry of TCP that came through ip's hooks, or from an audit, goes when two
//!   whole audits in a row did not see its connection. What is registered during
//!   an audit counts as seen by it.
//! * So one torn reading of a connection neither kills its entry nor makes a
//!   false one; and an audit that could not see every stack removes nothing.

use core::ffi::{c_int, c_void};

use super::ip::Walk;
use super::state;
use crate::audit::fingerprints::Fingerprints;
use crate::audit::walked::{self, WalkedConnection};
use crate::builtin;
use crate::flow::FiveTuple;
use crate::kernel::kmem::KmemSlice;
use crate::kernel::{netstack, probe, sys};
use crate::registry::hash::Secret;
use crate::registry::{Audit, Node, StackId};
use crate::stats::counters;

type Set = Fingerprints<KmemSlice<u64>>;

/// What one audit leaves to the next.
pub struct Auditor {
    /// Missing when the last audit looked.
    missed: Set,
    /// Missing now.
    missing: Set,
    /// Remote ends choose a part of what is hashed, and must not choose where
    /// it goes.
    secret: Option<Secret>,
}

impl Auditor {
    /// One that has seen nothing.
    pub const fn new() -> Self {
        Self {
            missed: Fingerprints::empty(),
            missing: Fingerprints::empty(),
            secret: None,
        }
    }

    /// The secret of its hash; without one no audit runs.
    pub fn set_secret(&mut self, secret: Secret) {
        self.secret = Some(secret);
    }

    /// Forgets what the last audit saw: the next is the first of a row.
    pub fn forget(&mut self) {
        self.missed.clear();
        self.missing.clear();
    }

    /// One audit. `time_wait`: ip tells the end of TIME_WAIT. Sleeps.
    pub fn run(&mut self, walk: Walk, time_wait: bool) {
        let Some(secret) = self.secret else {
            return;
        };
        builtin::audit_begin();
        let before = netstack::for_each(|_| {});
        let mut complete = true;
        let walked = netstack::for_each(|id| {
            complete &= id.is_some_and(|id| {
                let stack = id as StackId;
                let mut visit = Visit {
                    auditor: self,
                    secret: &secret,
                    stack,
                    time_wait,
                };
                let argument = core::ptr::from_mut(&mut visit).cast();
                // SAFETY: `look` takes a pointer to what `argument` is, which
                // lives until the walk is over.
                unsafe { walk.call(id, look, argument) }
            });
        });
        core::mem::swap(&mut self.missed, &mut self.missing);
        self.missing.clear();
        if complete && walked == before {
            builtin::audit_finish();
            state::AUDITS.bump();
        } else {
            state::AUDITS_INCOMPLETE.bump();
        }
    }
}

fn fingerprint(secret: &Secret, stack: StackId, tuple: &FiveTuple) -> u64 {
    let FiveTuple { local, foreign, .. } = tuple;
    let rest = u64::from(stack) << 32 | u64::from(local.port) << 16 | u64::from(foreign.port);
    let [high, low] = local.addr.words();
    let local = secret.hash(high, low, rest).bits();
    let [high, low] = foreign.addr.words();
    // Zero is an empty slot.
    secret.hash(high, low, local).bits() | 1
}

/// The walk through one stack.
struct Visit<'a> {
    auditor: &'a mut Auditor,
    secret: &'a Secret,
    stack: StackId,
    time_wait: bool,
}

impl Visit<'_> {
    fn look(&mut self, info: &sys::clinet_tcp_info_t) {
        match walked::read(info, self.time_wait) {
            WalkedConnection::Connection { tuple, settled } => {
                match builtin::audit_seen(self.stack, &tuple) {
                    Audit::Absent if settled => self.missing(&tuple),
                    Audit::OwnedBy(owner) if settled => self.conflict(&tuple, owner),
                    _ => {}
                }
            }
            WalkedConnection::Idle => {}
            WalkedConnection::Torn => state::AUDIT_TORN.bump(),
        }
    }

    /// The connection is another node's, or there is no room for it.
    fn conflict(&self, tuple: &FiveTuple, owner: Node) {
        counters().cs_audit_conflicts.bump();
        probe::audit_fix(tuple.as_probe(), self.stack, c"conflict", owner);
    }

    fn missing(&mut self, tuple: &FiveTuple) {
        let fingerprint = fingerprint(self.secret, self.stack, tuple);
        if self.auditor.missed.contains(fingerprint) {
            match builtin::audit_add(self.stack, tuple) {
                Audit::Added => probe::audit_fix(tuple.as_probe(), self.stack, c"added", 0),
                Audit::OwnedBy(owner) => self.conflict(tuple, owner),
                Audit::NoRoom => self.conflict(tuple, 0),
                // Somebody registered it meanwhile, or nobody looks at it now.
                Audit::Present | Audit::Absent | Audit::NotShared => {}
            }
        } else if !self
            .auditor
            .missing
            .insert(fingerprint, |places| KmemSlice::from_fn(places, |_| 0))
        {
            state::AUDIT_FORGOTTEN.bump();
        }
    }
}

/// What ip calls for each connection: with no lock held, and with a hold on
/// the connection, whose fields are copied to `info` one by one.
///
/// # Safety
///
/// `info` is readable during the call, and `visit` is the [`Visit`] that
/// [`Auditor::run`] passed to this walk.
unsafe extern "C" fn look(info: *mut sys::clinet_tcp_info_t, visit: *mut c_void) -> c_int {
    // SAFETY: by the contract of this function; ip calls it in the thread that
    // called the walk, so nobody else uses the visit.
    let (info, visit) = unsafe { (info.read_unaligned(), &mut *visit.cast::<Visit<'_>>()) };
    visit.look(&info);
    0
}
