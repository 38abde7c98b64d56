// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Counters, one for each member of `clinet_stats_t`.

#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use crate::flow::Reject;
use crate::kernel::errno::Errno;
use crate::kernel::sys;

/// A number of events since the module was loaded.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more. Relaxed: counters order nothing.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident)*) => {
        /// All counters, under the names they have in `include/clinet.h`.
        #[derive(Debug)]
        #[expect(missing_docs, reason = "described in include/clinet.h")]
        pub struct Counters {
            $(pub $name: Counter,)*
        }

        impl Counters {
            const fn new() -> Self {
                Self { $($name: Counter::new(),)* }
            }

            /// The C structure; the gauges come from the registry.
            #[must_use]
            pub fn snapshot(&self, (cs_tuples, cs_capacity): (u64, u64)) -> sys::clinet_stats_t {
                sys::clinet_stats_t {
                    $($name: self.$name.get(),)*
                    cs_tuples,
                    cs_capacity,
                }
            }
        }

        /// Name and counter.
        static NAMED: &[(&core::ffi::CStr, &Counter)] = &[
            $((
                const {
                    match core::ffi::CStr::from_bytes_with_nul(
                        concat!(stringify!($name), "\0").as_bytes(),
                    ) {
                        Ok(name) => name,
                        Err(_) => c"",
                    }
                },
                &COUNTERS.$name,
            ),)*
        ];
    };
}

counters! {
    cs_tcp_out_asked
    cs_tcp_in_asked
    cs_udp_asked
    cs_tcp_out_refused
    cs_tcp_in_refused
    cs_udp_refused
    cs_no_provider
    cs_no_laddr
    cs_other_protocol
    cs_bad_argument
    cs_bad_answer
    cs_ended
    cs_udp_overtaken
    cs_registered
    cs_repeated
    cs_owned_elsewhere
    cs_full_admitted
    cs_full_refused
    cs_removed
    cs_unknown
    cs_unspecified
    cs_conflicts
    cs_binds_uncounted
}

/// The module's counters.
pub static COUNTERS: Counters = Counters::new();

/// Every counter by index.
#[must_use]
pub fn named(index: usize) -> Option<(&'static core::ffi::CStr, u64)> {
    let (name, counter) = NAMED.get(index)?;
    Some((name, counter.get()))
}

/// Counts a call that said nothing usable.
///
/// # Errors
///
/// The errno for it, unless it was about another protocol, which is no error.
pub fn rejected(reject: Reject) -> Result<(), Errno> {
    match reject.errno() {
        Some(errno) => {
            COUNTERS.cs_bad_argument.bump();
            Err(errno)
        }
        None => {
            COUNTERS.cs_other_protocol.bump();
            Ok(())
        }
    }
}
