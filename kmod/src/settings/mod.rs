// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What `/etc/system` says, checked once when the module is loaded, and what
//! may change while it runs.
//!
//! `kmod/glue/clinet.c` has the variables and says what each means.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod list;
pub mod policy;
pub mod ports;

use core::ffi::CStr;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::kernel::sys;
use crate::registry::Node;

c_enum! {
    /// What the answer to a question does.
    pub enum Mode {
        /// Nobody is asked and nothing is registered.
        Off = 0, c"off";
        /// Questions are decided and counted, and none is refused.
        Observe = 1, c"observe";
        /// Refusals are refusals.
        Enforce = 2, c"enforce";
    }
}

static MODE: AtomicU32 = AtomicU32::new(Mode::Enforce as u32);

/// The mode now. Any context; one load of a word that hardly ever changes.
#[must_use]
pub fn mode() -> Mode {
    Mode::from_number(MODE.load(Ordering::Acquire)).unwrap_or(Mode::Enforce)
}

/// Changes the mode.
pub fn set_mode(mode: Mode) {
    MODE.store(mode as u32, Ordering::Release);
}

/// What was set at load, in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The built-in provider associates itself.
    pub provider: bool,
    /// ip's hooks are set at load, unless `detach` says otherwise.
    pub attach: bool,
    /// `clinet_detach` to begin with.
    pub detach: bool,
    /// ip's `cl_inet_disconnect` is among them.
    pub hook_disconnect: bool,
    /// The mode to begin with.
    pub mode: Mode,
    /// This node; not 0.
    pub node: Node,
    /// All local addresses but loopback are shared, whatever the list says.
    pub all_addresses: bool,
    /// Entries at most.
    pub max_tuples: u32,
    /// Hundredths of them that UDP may have.
    pub udp_share: u32,
    /// All memory for them at load.
    pub prealloc: bool,
    /// A full table refuses.
    pub full_refuses: bool,
    /// Seconds after which UDP entries are dropped; 0 is never.
    pub udp_age: u32,
    /// Seconds between audits; 0 is never.
    pub audit_period: u32,
    /// 1: an incoming connection to an explicit port is refused.
    pub incoming: u32,
    /// 1: other explicit ports are admitted.
    pub explicit: u32,
    /// 1: shared addresses of other stacks are admitted.
    pub other_stack: u32,
    /// What happens at the deadline: 0 down, 1 panic, 2 none.
    pub fence_action: u32,
    /// Seconds that this may take.
    pub fence_seconds: u32,
}

/// One tunable: what it may be, and what it is if it is not.
struct Number {
    valid: RangeInclusive<u32>,
    default: u32,
    message: &'static CStr,
}

impl Number {
    /// A tunable that is 0 or 1.
    const fn flag(default: u32, message: &'static CStr) -> Self {
        Self {
            valid: 0..=1,
            default,
            message,
        }
    }

    fn allows(&self, value: u32) -> bool {
        self.valid.contains(&value)
    }

    fn check(&self, value: u32, warn: &mut impl FnMut(&CStr)) -> u32 {
        if self.allows(value) {
            return value;
        }
        warn(self.message);
        self.default
    }

    /// The same for one that may also be 0, which is never.
    fn check_or_never(&self, value: u32, warn: &mut impl FnMut(&CStr)) -> u32 {
        match value {
            0 => 0,
            _ => self.check(value, warn),
        }
    }
}

const PROVIDER: Number = Number::flag(1, c"clinet: clinet_provider is not 0 or 1; using 1");
const ATTACH: Number = Number::flag(1, c"clinet: clinet_attach is not 0 or 1; using 1");
const HOOK_DISCONNECT: Number =
    Number::flag(1, c"clinet: clinet_hook_disconnect is not 0 or 1; using 1");
const SCOPE: Number = Number::flag(0, c"clinet: clinet_scope is not 0 or 1; using 0");
const PREALLOC: Number = Number::flag(0, c"clinet: clinet_prealloc is not 0 or 1; using 0");
const FULL_REFUSE: Number = Number::flag(0, c"clinet: clinet_full_refuse is not 0 or 1; using 0");
const DETACH: Number = Number::flag(0, c"clinet: clinet_detach is not 0 or 1; using 0");
const NODE_ID: Number = Number {
    valid: 1..=u32::MAX,
    default: 1,
    message: c"clinet: clinet_node_id is 0, which is no node; using 1",
};
const MAX_TUPLES: Number = Number {
    valid: 64..=1 << 24,
    default: 1 << 20,
    message: c"clinet: clinet_max_tuples is not 64 to 16777216; using 1048576",
};
const UDP_SHARE: Number = Number {
    valid: 1..=100,
    default: 25,
    message: c"clinet: clinet_udp_share is not 1 to 100; using 25",
};
const UDP_AGE: Number = Number {
    valid: 60..=604_800,
    default: 7200,
    message: c"clinet: clinet_udp_age is not 0 or 60 to 604800; using 7200",
};
const AUDIT_PERIOD: Number = Number {
    valid: 1..=86_400,
    default: 300,
    message: c"clinet: clinet_audit_period is not 0 to 86400; using 300",
};
const INCOMING: Number = Number::flag(0, c"clinet: clinet_incoming is not 0 or 1; using 0");
const EXPLICIT: Number = Number::flag(0, c"clinet: clinet_explicit is not 0 or 1; using 0");
const OTHER_STACK: Number = Number::flag(0, c"clinet: clinet_other_stack is not 0 or 1; using 0");
const FENCE: Number = Number {
    valid: 0..=2,
    default: 0,
    message: c"clinet: clinet_fence is not 0 (down), 1 (panic) or 2 (none); using 0",
};
const FENCE_SECONDS: Number = Number {
    valid: 1..=60,
    default: 5,
    message: c"clinet: clinet_fence_seconds is not 1 to 60; using 5",
};
const BAD_MODE: &CStr = c"clinet: clinet_mode is not 0 (off), 1 (observe) or 2 (enforce); using 2";

impl Settings {
    /// Checks the tunables; `warn` gets one message for each that is out of
    /// range, which is replaced by its default.
    #[inline(never)]
    pub fn check(tunables: &sys::clinet_tunables_t, mut warn: impl FnMut(&CStr)) -> Self {
        let warn = &mut warn;
        let mode = Mode::from_number(tunables.ct_mode).unwrap_or_else(|| {
            warn(BAD_MODE);
            Mode::Enforce
        });
        Self {
            provider: PROVIDER.check(tunables.ct_provider, warn) != 0,
            attach: ATTACH.check(tunables.ct_attach, warn) != 0,
            detach: DETACH.check(tunables.ct_detach, warn) != 0,
            hook_disconnect: HOOK_DISCONNECT.check(tunables.ct_hook_disconnect, warn) != 0,
            mode,
            node: NODE_ID.check(tunables.ct_node_id, warn),
            all_addresses: SCOPE.check(tunables.ct_scope, warn) != 0,
            max_tuples: MAX_TUPLES.check(tunables.ct_max_tuples, warn),
            udp_share: UDP_SHARE.check(tunables.ct_udp_share, warn),
            prealloc: PREALLOC.check(tunables.ct_prealloc, warn) != 0,
            full_refuses: FULL_REFUSE.check(tunables.ct_full_refuse, warn) != 0,
            udp_age: UDP_AGE.check_or_never(tunables.ct_udp_age, warn),
            audit_period: AUDIT_PERIOD.check_or_never(tunables.ct_audit_period, warn),
            incoming: INCOMING.check(tunables.ct_incoming, warn),
            explicit: EXPLICIT.check(tunables.ct_explicit, warn),
            other_stack: OTHER_STACK.check(tunables.ct_other_stack, warn),
            fence_action: FENCE.check(tunables.ct_fence, warn),
            fence_seconds: FENCE_SECONDS.check(tunables.ct_fence_seconds, warn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn defaults() -> sys::clinet_tunables_t {
        sys::clinet_tunables_t {
            ct_provider: 1,
            ct_attach: 1,
            ct_hook_disconnect: 1,
            ct_mode: 2,
            ct_detach: 0,
            ct_node_id: 1,
            ct_scope: 0,
            ct_max_tuples: 1 << 20,
            ct_udp_share: 25,
            ct_prealloc: 0,
            ct_full_refuse: 0,
            ct_udp_age: 7200,
            ct_audit_period: 300,
            ct_incoming: 0,
            ct_explicit: 0,
            ct_other_stack: 0,
            ct_fence: 0,
            ct_fence_seconds: 5,
            ct_addrs: core::ptr::null(),
            ct_port_space: core::ptr::null(),
            ct_grants: core::ptr::null(),
        }
    }

    fn check(tunables: &sys::clinet_tunables_t) -> (Settings, Vec<String>) {
        let mut warnings = Vec::new();
        let settings = Settings::check(tunables, |message| {
            warnings.push(message.to_str().unwrap().into());
        });
        (settings, warnings)
    }

    #[test]
    fn the_defaults_are_in_range() {
        let (settings, warnings) = check(&defaults());
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(settings.provider && settings.attach && settings.hook_disconnect);
        assert!(!settings.detach);
        assert!(!settings.all_addresses && !settings.prealloc && !settings.full_refuses);
        assert_eq!(settings.mode, Mode::Enforce);
    }

    /// Sets one member.
    type Set = fn(&mut sys::clinet_tunables_t, u32);

    #[test]
    fn what_is_out_of_range_is_replaced_with_one_warning_that_names_it() {
        let cases: [(&str, Set, &[u32], &[u32]); 18] = [
            ("clinet_provider", |t, v| t.ct_provider = v, &[0, 1], &[2]),
            ("clinet_attach", |t, v| t.ct_attach = v, &[0, 1], &[2]),
            (
                "clinet_hook_disconnect",
                |t, v| t.ct_hook_disconnect = v,
                &[0, 1],
                &[2],
            ),
            ("clinet_mode", |t, v| t.ct_mode = v, &[0, 1, 2], &[3]),
            ("clinet_detach", |t, v| t.ct_detach = v, &[0, 1], &[2]),
            (
                "clinet_node_id",
                |t, v| t.ct_node_id = v,
                &[1, u32::MAX],
                &[0],
            ),
            ("clinet_scope", |t, v| t.ct_scope = v, &[0, 1], &[2]),
            (
                "clinet_max_tuples",
                |t, v| t.ct_max_tuples = v,
                &[64, 1 << 24],
                &[63, (1 << 24) + 1, u32::MAX],
            ),
            (
                "clinet_udp_share",
                |t, v| t.ct_udp_share = v,
                &[1, 100],
                &[0, 101],
            ),
            ("clinet_prealloc", |t, v| t.ct_prealloc = v, &[0, 1], &[2]),
            (
                "clinet_full_refuse",
                |t, v| t.ct_full_refuse = v,
                &[0, 1],
                &[2],
            ),
            (
                "clinet_udp_age",
                |t, v| t.ct_udp_age = v,
                &[0, 60, 604_800],
                &[1, 59, 604_801],
            ),
            (
                "clinet_audit_period",
                |t, v| t.ct_audit_period = v,
                &[0, 1, 86_400],
                &[86_401],
            ),
            ("clinet_incoming", |t, v| t.ct_incoming = v, &[0, 1], &[2]),
            ("clinet_explicit", |t, v| t.ct_explicit = v, &[0, 1], &[2]),
            (
                "clinet_other_stack",
                |t, v| t.ct_other_stack = v,
                &[0, 1],
                &[2],
            ),
            ("clinet_fence", |t, v| t.ct_fence = v, &[0, 2], &[3]),
            (
                "clinet_fence_seconds",
                |t, v| t.ct_fence_seconds = v,
                &[1, 60],
                &[0, 61],
            ),
        ];
        let (expected, _) = check(&defaults());
        for (name, set, good, bad) in cases {
            for value in good {
                let mut tunables = defaults();
                set(&mut tunables, *value);
                assert!(check(&tunables).1.is_empty(), "{name} = {value}");
            }
            for value in bad {
                let mut tunables = defaults();
                set(&mut tunables, *value);
                let (settings, warnings) = check(&tunables);
                assert_eq!(settings, expected, "{name} = {value}");
                let [warning] = &warnings[..] else {
                    panic!("{name} = {value}: {warnings:?}");
                };
                assert!(warning.starts_with(&std::format!("clinet: {name} is ")));
            }
        }
    }
}
