// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kstats `clinet:0:attach` and `clinet:0:registry`.

use core::ffi::CStr;

use crate::attach::state::{self, AUDITS, PASSED};
use crate::kernel::kstat::{Kstat, Source, Value};
use crate::kernel::log;
use crate::kernel::mutex::KMutex;
use crate::{builtin, settings, stats};

/// The bond with ip.
struct Attach;

impl Source for Attach {
    const NAME: &'static CStr = c"attach";

    fn value(index: usize) -> Option<(&'static CStr, Value)> {
        use Value::{Number, String};
        Some(match index {
            0 => (c"state", String(state::get().name())),
            1 => (c"reason", String(state::reason())),
            2 => (c"mode", String(settings::mode().name())),
            3 => (c"provider", String(provider())),
            4 => (c"hooks", Number(state::hooks())),
            5 => (c"audits", Number(AUDITS.completed.get())),
            6 => (c"audits_incomplete", Number(AUDITS.incomplete.get())),
            7 => (c"audit_added", Number(AUDITS.added.get())),
            8 => (c"audit_removed", Number(AUDITS.removed.get())),
            9 => (c"audit_conflicts", Number(AUDITS.conflicts.get())),
            10 => (c"audit_torn", Number(AUDITS.torn.get())),
            11 => (c"audit_forgotten", Number(AUDITS.forgotten.get())),
            12 => (c"other_stack", Number(PASSED.other_stack.get())),
            13 => (c"foreign_observed", Number(PASSED.observed.get())),
            _ => return None,
        })
    }
}

fn provider() -> &'static CStr {
    if builtin::is_associated() {
        c"built-in"
    } else {
        c"foreign or none"
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

fn gauge(index: usize) -> Option<(&'static CStr, u64)> {
    let gauges = builtin::gauges();
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

#[derive(Default)]
struct Kstats {
    attach: Option<Kstat<Attach>>,
    registry: Option<Kstat<Registry>>,
}

static KSTATS: KMutex<Kstats> = KMutex::new(Kstats {
    attach: None,
    registry: None,
});

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
        registry: Kstat::create(),
    };
    if kstats.attach.is_none() || kstats.registry.is_none() {
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
    let kstats = core::mem::take(&mut *KSTATS.lock());
    drop(kstats);
    // SAFETY: nobody uses it any more.
    unsafe { KSTATS.destroy() };
}
