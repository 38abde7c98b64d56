// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The hook variables of ip that are set: their names, what goes into them,
//! and in which order.
//!
//! ip has twelve. Six are set or can be:
//!
//! | variable | why | what it costs ip |
//! |---|---|---|
//! | `cl_inet_connect2` | the question | one call per connection or new UDP destination |
//! | `cl_inet_disconnect` | the end of a TCP connection | each connection at the end of TIME_WAIT is closed by its squeue's worker in place of the fast reclaim, after a detach too, since the variable is not NULL then; `clinet_hook_disconnect = 0` leaves it NULL |
//! | `cl_inet_bind`, `cl_inet_unbind` | the only ends that UDP has | one call per bind and unbind |
//! | `cl_inet_listen`, `cl_inet_unlisten` | only a foreign provider wants them: set if the built-in one is switched off | one call per listen; unlisten comes with `connf_lock` held |
//!
//! The others stay NULL: `cl_inet_isclusterwide` and `cl_inet_ipident` would be
//! called for every IPv4 packet, and the four of IPsec (`getspi`, `checkspi`,
//! `deletespi`, `idlesa`) are about security associations, which nobody here
//! shares.

use core::ffi::CStr;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::{adapters, pass};
use crate::kernel::sys;

/// What asks. The type of each member is the one that C holds against ip's
/// declaration of the variable of that name, so no function of another
/// signature can be here.
static ADAPTERS: sys::clinet_ip_hooks_t = sys::clinet_ip_hooks_t {
    cl_inet_connect2: Some(adapters::connect2),
    cl_inet_disconnect: Some(adapters::disconnect),
    cl_inet_listen: Some(adapters::listen),
    cl_inet_unlisten: Some(adapters::unlisten),
    cl_inet_bind: Some(adapters::bind),
    cl_inet_unbind: Some(adapters::unbind),
};

/// What accepts everything and touches nothing.
static PASS: sys::clinet_ip_hooks_t = sys::clinet_ip_hooks_t {
    cl_inet_connect2: Some(pass::connect2),
    cl_inet_disconnect: Some(pass::disconnect),
    cl_inet_listen: Some(pass::local),
    cl_inet_unlisten: Some(pass::local),
    cl_inet_bind: Some(pass::local),
    cl_inet_unbind: Some(pass::local),
};

/// A function of some type as the word that a variable holds.
macro_rules! word {
    ($function:expr) => {
        match $function {
            Some(function) => function as *mut (),
            None => core::ptr::null_mut(),
        }
    };
}

/// A C string from literals.
macro_rules! text {
    ($($part:expr),* $(,)?) => {
        const {
            match CStr::from_bytes_with_nul(concat!($($part,)* "\0").as_bytes()) {
                Ok(text) => text,
                Err(_) => c"",
            }
        }
    };
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $hook:ident = $variable:ident,)*) => {
        /// A hook of ip.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Hook {
            $($(#[$doc])* $hook,)*
        }

        impl Hook {
            /// In the order in which they are set: whatever ends a
            /// registration comes before what makes it.
            pub const ALL: [Self; 6] = [$(Self::$hook,)*];

            /// The name of ip's variable.
            pub fn name(self) -> &'static CStr {
                match self {
                    $(Self::$hook => text!(stringify!($variable)),)*
                }
            }

            /// The function that asks.
            fn adapter(self) -> *mut () {
                match self {
                    $(Self::$hook => word!(ADAPTERS.$variable),)*
                }
            }

            /// The function that accepts everything.
            fn pass(self) -> *mut () {
                match self {
                    $(Self::$hook => word!(PASS.$variable),)*
                }
            }

            /// What to say if ip has no such variable.
            pub fn missing(self) -> &'static CStr {
                match self {
                    $(Self::$hook => text!("clinet: not attached: ip has no variable ",
                        stringify!($variable), "; clinet does not know this kernel's ip"),)*
                }
            }

            /// What to say if somebody has set it.
            pub fn taken(self) -> &'static CStr {
                match self {
                    $(Self::$hook => text!("clinet: not attached: another module has set ",
                        stringify!($variable), "; boot without that module"),)*
                }
            }

            /// What to say if somebody set it between the check and the store.
            pub fn lost(self) -> &'static CStr {
                match self {
                    $(Self::$hook => text!("clinet: not attached, accepting all: another module ",
                        "has just set ", stringify!($variable), "; boot without that module"),)*
                }
            }

            /// What to say if somebody set it after us.
            pub fn replaced(self) -> &'static CStr {
                match self {
                    $(Self::$hook => text!("clinet: another module has replaced ",
                        stringify!($variable), ", which is not heard any more; boot without that module"),)*
                }
            }
        }
    };
}

hooks! {
    /// The end of a TCP connection.
    Disconnect = cl_inet_disconnect,
    /// The end of a UDP bind.
    Unbind = cl_inet_unbind,
    /// The end of listening.
    Unlisten = cl_inet_unlisten,
    /// A UDP bind.
    Bind = cl_inet_bind,
    /// The beginning of listening.
    Listen = cl_inet_listen,
    /// The question.
    Connect2 = cl_inet_connect2,
}

/// One hook with ip's variable for it.
///
/// # Invariants
///
/// `variable` is ip's eight-byte variable of this hook's name.
#[derive(Clone, Copy)]
pub struct Variable {
    hook: Hook,
    variable: &'static AtomicPtr<()>,
}

impl Variable {
    /// # Safety
    ///
    /// `address` is that of ip's variable of the hook's name, and ip stays
    /// loaded while this is used.
    pub unsafe fn new(hook: Hook, address: NonNull<()>) -> Self {
        Self {
            hook,
            // SAFETY: eight bytes, aligned as C aligns a pointer, which ip
            // reads as one word and nobody frees.
            variable: unsafe { address.cast().as_ref() },
        }
    }

    /// Whose it is.
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// Is it NULL, or a function of ours that may be replaced?
    pub fn is_free(&self) -> bool {
        let value = self.variable.load(Ordering::Acquire);
        value.is_null() || value == self.hook.pass()
    }

    /// Does ip ask through it?
    pub fn asks(&self) -> bool {
        self.variable.load(Ordering::Acquire) == self.hook.adapter()
    }

    /// Makes ip ask, if the variable is free. What was set up before is
    /// visible to whoever is called through it.
    pub fn set(&self) -> bool {
        [core::ptr::null_mut(), self.hook.pass()]
            .iter()
            .any(|free| self.exchange(*free, self.hook.adapter()))
    }

    /// Makes ip ask no more, if it does. The variable does not become NULL:
    /// ip tests it and then loads it again.
    pub fn pass(&self) -> bool {
        self.exchange(self.hook.adapter(), self.hook.pass())
    }

    fn exchange(&self, from: *mut (), to: *mut ()) -> bool {
        self.variable
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}
