// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an audit of ip's connections does to the registry; for the module's
//! thread.

use super::{BUILTIN, maintain, registry};
use crate::flow::FiveTuple;
use crate::registry::{Audit, Pass, StackId};
use crate::stats::counters;

/// An audit begins: what is registered from now on counts as seen by it.
pub fn audit_begin() {
    if let Ok(registry) = registry() {
        registry.audit_begin();
    }
}

/// An audit found the 5-tuple in a stack: what the registry knows of it.
pub fn audit_seen(stack: StackId, tuple: &FiveTuple) -> Audit {
    registry().map_or(Audit::NotShared, |registry| {
        registry.audit_seen(stack, tuple)
    })
}

/// Registers what two audits in a row found and the registry has not, with one
/// reference.
pub fn audit_add(stack: StackId, tuple: &FiveTuple) -> Audit {
    let Ok(registry) = registry() else {
        return Audit::NotShared;
    };
    let added = registry.audit_add(stack, tuple);
    if added == Audit::Added {
        counters().cs_audit_added.bump();
    }
    added
}

/// Ends an audit that saw every stack: entries that came through ip's hooks, and
/// neither it nor the one before saw, go.
pub fn audit_finish() {
    if let Some(builtin) = BUILTIN.get() {
        maintain::sweep_for(builtin, Pass::Audit);
    }
}
