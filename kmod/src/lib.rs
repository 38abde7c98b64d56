// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! clinet: one 5-tuple, one owner, in a cluster whose nodes share addresses.
//!
//! # Map
//!
//! ```text
//! glue/clinet.c  _init, _info, _fini, tunables, variadic calls
//!   settings     the tunables, in range; the list of shared addresses
//!   work         the module's thread: tunables that change, audits, memory
//!   report       the kstats
//!   attach       a stock ip: its nine-argument hooks, the audit
//!   entry        the C functions of include/clinet.h: pointers in, errno out
//!     tcp, udp   when the stack has to ask, and what the answer does
//!       contract the slots and the version; one load per question
//!     builtin    the provider that comes with the module
//!       registry who owns which 5-tuple; safe, knows nobody
//!       stats    what was counted
//!         flow   addresses, endpoints, 5-tuples; reads raw pointers
//!           kernel  what the kernel offers, as safe Rust
//! ```
//!
//! Dependencies point downwards only. `registry` knows neither `kernel` nor
//! `contract`.
//!
//! # Locking
//!
//! *Who calls.* A question arrives in a system call, in a squeue worker, or
//! in an interrupt thread that has pinned another thread. The caller may hold
//! locks of ip: UDP's connect holds the bind bucket's `uf_lock`, the end of a
//! listener `connf_lock`. So nothing between an entry point and its return
//! may sleep, allocate, or call back into ip.
//!
//! *What we lock.* Each region of the registry, about a thousand, has an
//! adaptive `kmutex_t`. A call takes one region's at a time, for a few cache
//! lines. It is innermost: while it is held no other lock is taken and no
//! foreign code is called; probes may fire. Memory for entries is only ever
//! reached under the mutex of its region and taken away under it, so that no
//! thread can see it freed, however long it is inside. A new local address or
//! node takes the mutex of the names for a moment, with no region locked. An
//! adaptive mutex is right where a spin lock would be wrong: the interrupt
//! thread that wants it blocks and lends its priority to the owner, even if
//! the owner is the thread that it has pinned.
//!
//! *Maintenance.* One thread at a time exchanges memory, moves entries, sweeps or
//! lists. A flag says whose turn it is, and others who may sleep try again a
//! tick later; no call of the stack looks at it. A call that inserts into a
//! region whose entries are moving moves a few of them, under the same mutex as
//! its insertion, so that growth keeps up with those who insert. A sweep's notes
//! have a mutex of their own, which is taken before a region's.
//!
//! *What we do not lock.* The slots are single words: associated by one
//! compare-and-swap from NULL, loaded once per question, never cleared. A
//! caller that has loaded a slot may call it at any later time, which is why
//! `_fini` is EBUSY from the first association on. Counters are relaxed
//! atomics; those of every call are not even added to atomically, in stripes
//! that belong to a page of one stack each (`stats`). The most recent UDP destination belongs to the stack and is
//! protected by the endpoint's own lock, which is not held across a question;
//! `udp` says how the gap is closed. A `clinet_tcp_t` belongs to one
//! connection, whose squeue serialises its calls.
//!
//! *Attach and audit.* One mutex of `attach` serialises attach, detach and
//! audits. It comes first of all: only threads that may sleep and hold nothing
//! take it, and ip's functions are called under it. What a hook of ip reads of
//! the bond is static and atomic. The mutex of the module's thread comes last:
//! a hook that wants work done takes it for the time of a signal.
//!
//! *Setting up and tearing down.* `clinet_module_init` and
//! `clinet_module_fini` run in `_init` and `_fini`, where nobody else is
//! inside; they may sleep.

#![no_std]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    expect(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a test may panic"
    )
)]

#[cfg(test)]
extern crate std;

#[cfg(target_os = "illumos")]
mod attach;
pub mod audit;
#[cfg(target_os = "illumos")]
pub mod builtin;
pub mod contract;
#[cfg(target_os = "illumos")]
mod entry;
pub mod flow;
pub mod kernel;
pub mod registry;
#[cfg(target_os = "illumos")]
mod report;
pub mod settings;
pub mod stats;
pub mod tcp;
pub mod udp;
#[cfg(target_os = "illumos")]
mod work;
