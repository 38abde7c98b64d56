// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kstats `clinet:0:attach`, `clinet:0:grants` and `clinet:0:registry`.

use core::ffi::CStr;

use crate::attach::state;
use crate::builtin::Gauges;
use crate::grants::Snapshot;
use crate::kernel::kstat::{Kstat, Source, Value};
use crate::kernel::log;
use crate::kernel::mutex::KMutex;
use crate::stats::{self, sum};
use crate::{builtin, settings, watch};

/// A value's name, and what it is now.
type Named = (&'static CStr, fn() -> Value);

/// What the module has to do with ip.
struct Attach;

impl Source for Attach {
    const NAME: &'static CStr = c"attach";

    fn value(index: usize) -> Option<(&'static CStr, Value)> {
        use Value::{Number, String};
        const VALUES: [Named; 14] = [
            (c"state", || String(state::get().name())),
            (c"reason", || String(state::reason())),
            (c"mode", || String(settings::mode().name())),
            (c"provider", || String(provider())),
            (c"hooks", || Number(state::hooks())),
            (c"audits", || Number(state::AUDITS.get())),
            (c"audits_incomplete", || {
                Number(state::AUDITS_INCOMPLETE.get())
            }),
            (c"audit_added", || {
                Number(sum(|counters| &counters.cs_audit_added))
            }),
            (c"audit_removed", || {
                Number(sum(|counters| &counters.cs_audit_removed))
            }),
            (c"audit_conflicts", || {
                Number(sum(|counters| &counters.cs_audit_conflicts))
            }),
            (c"audit_torn", || Number(state::AUDIT_TORN.get())),
            (c"audit_forgotten", || Number(state::AUDIT_FORGOTTEN.get())),
            (c"other_stack", || Number(state::OTHER_STACK.get())),
            (c"foreign_observed", || Number(state::OBSERVED.get())),
        ];
        VALUES.get(index).map(|(name, value)| (*name, value()))
    }
}

fn provider() -> &'static CStr {
    if builtin::is_associated() {
        c"built-in"
    } else {
        c"foreign or none"
    }
}

/// Which ports are this node's, and what became of them.
struct Granted;

impl Source for Granted {
    const NAME: &'static CStr = c"grants";

    fn value(index: usize) -> Option<(&'static CStr, Value)> {
        use Value::{Number, String};
        let value = match index {
            0 => (c"fence", String(watch::fence().name())),
            1 => (c"clock", Number(watch::now())),
            2 => (c"lapses", Number(watch::LAPSES.get())),
            3 => (c"clock_jumps", Number(watch::JUMPS.get())),
            4 => (c"fences", Number(watch::FENCES.get())),
            5 => (c"fences_missed", Number(watch::FENCES_MISSED.get())),
            6 => (c"unfences", Number(watch::UNFENCES.get())),
            _ => {
                let (name, number) = term(index.checked_sub(7)?)?;
                (name, Number(number))
            }
        };
        Some(value)
    }
}

/// What is granted now; zeros without a provider.
fn term(index: usize) -> Option<(&'static CStr, u64)> {
    let snapshot = builtin::grants().map_or_else(Snapshot::default, |grants| grants.snapshot());
    let [tcp, udp] = snapshot.terms.spaces;
    let [tcp_granted, udp_granted] = snapshot.granted;
    match index {
        0 => Some((c"deadline", snapshot.terms.deadline)),
        1 => Some((c"sequence", snapshot.terms.sequence)),
        2 => Some((c"lapsed", snapshot.is_shut().into())),
        3 => Some((c"tcp_granted", tcp_granted.into())),
        4 => Some((c"tcp_first", tcp.first.into())),
        5 => Some((c"tcp_last", tcp.last.into())),
        6 => Some((c"udp_granted", udp_granted.into())),
        7 => Some((c"udp_first", udp.first.into())),
        8 => Some((c"udp_last", udp.last.into())),
        _ => None,
    }
}

/// The numbers of all kstats, one after the other.
pub fn stat(index: usize) -> Option<(&'static CStr, u64)> {
    let registry = GAUGES.saturating_add(stats::names());
    let Some(index) = index.checked_sub(registry) else {
        return Registry::value(index).and_then(number);
    };
    let attach = (0..).map_while(Attach::value);
    let granted = (0..).map_while(Granted::value);
    attach.chain(granted).filter_map(number).nth(index)
}

fn number((name, value): (&'static CStr, Value)) -> Option<(&'static CStr, u64)> {
    match value {
        Value::Number(number) => Some((name, number)),
        Value::String(_) => None,
    }
}

/// The built-in provider: every counter, then the gauges.
struct Registry;

const GAUGES: usize = 7;

impl Source for Registry {
    const NAME: &'static CStr = c"registry";

    fn value(index: usize) -> Option<(&'static CStr, Value)> {
        let named = match index.checked_sub(GAUGES) {
            Some(counter) => stats::named(counter)?,
            None => gauge(index)?,
        };
        Some((named.0, Value::Number(named.1)))
    }
}

/// With the first of them all are read: one look at the shards serves all.
fn gauge(index: usize) -> Option<(&'static CStr, u64)> {
    if index == 0 {
        let gauges = builtin::collect_counts();
        KSTATS.lock().gauges = Some(gauges);
    }
    let gauges = KSTATS.lock().gauges.unwrap_or_default();
    match index {
        0 => Some((c"tuples", gauges.tuples)),
        1 => Some((c"capacity", gauges.capacity)),
        2 => Some((c"endpoints", gauges.endpoints)),
        3 => Some((c"bytes", gauges.bytes)),
        4 => Some((c"udp_tuples", gauges.udp_tuples)),
        5 => Some((c"addresses", gauges.addresses)),
        6 => Some((c"nodes", gauges.nodes)),
        _ => None,
    }
}

struct Kstats {
    attach: Option<Kstat<Attach>>,
    granted: Option<Kstat<Granted>>,
    registry: Option<Kstat<Registry>>,
    /// As they were read.
    gauges: Option<Gauges>,
}

impl Kstats {
    const NONE: Self = Self {
        attach: None,
        granted: None,
        registry: None,
        gauges: None,
    };
}

static KSTATS: KMutex<Kstats> = KMutex::new(Kstats::NONE);

/// Creates them. The module does its work without them, too. Sleeps.
///
/// # Safety
///
/// Called by `_init`, once, before anybody else is in the module.
#[inline(never)]
pub unsafe fn init() {
    // SAFETY: nobody has used the mutex.
    unsafe { KSTATS.init() };
    let kstats = Kstats {
        attach: Kstat::create(),
        granted: Kstat::create(),
        registry: Kstat::create(),
        ..Kstats::NONE
    };
    if kstats.attach.is_none() || kstats.granted.is_none() || kstats.registry.is_none() {
        log::warn(c"clinet: no memory for the kstats, or others of their names; going on without");
    }
    *KSTATS.lock() = kstats;
}

/// Deletes them. Sleeps: a reader is waited for.
///
/// # Safety
///
/// Called by `_fini`, or an `_init` that fails, after nobody else is in the
/// module.
pub unsafe fn fini() {
    let kstats = core::mem::replace(&mut *KSTATS.lock(), Kstats::NONE);
    drop(kstats);
    // SAFETY: nobody uses it any more.
    unsafe { KSTATS.destroy() };
}
