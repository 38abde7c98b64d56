// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! clinet: one 5-tuple, one owner, in a cluster whose nodes share addresses.
//!
//! # Map
//!
//! ```text
//! glue/clinet.c  _init, _info, _fini, tunables, variadic calls
//!   work         the module's thread: tunables that change, audits, memory
//!   report       the kstats
//!   attach       a stock ip: its nine-argument hooks, the audit
//!   watch        the deadline of the grants: a thread and a callout
//!     fence      takes the shared addresses away, and brings them back
//!   events       what happens, for whoever looks on
//!   entry        the C functions of include/clinet.h and clinet_control.h:
//!                pointers in, errno out
//!     tcp, udp   when the stack has to ask, and what the answer does
//!       contract the slots and the version; one load per question
//!     builtin    the provider that comes with the module
//!       grants   which local ports are this node's, and until when; safe,
//!                knows nobody
//!       registry who owns which 5-tuple; safe, knows nobody
//!       settings the tunables, in range; the mode; the list of shared addresses
//!       stats    what was counted
//!         flow   addresses, endpoints, 5-tuples; reads raw pointers
//!           kernel  what the kernel offers, as safe Rust
//! ```
//!
//! Dependencies point downwards only. `registry` knows neither `kernel` nor
//! `contract`, and `kernel` none of the others.
//!
//! # Locking
//!
//! *Who calls.* A question arrives in a system call, in a squeue worker, or
//! in an interrupt thread that has pinned another thread. The caller may hold
//! locks of ip: UDP's connect holds the bind bucket's `uf_lock`, the end of a
//! listener `connf_lock`. So nothing between an entry point and its return
//! may sleep or call back into ip, and memory is asked for with KM_NOSLEEP only.
//!
//! *What we lock.* The registry's table is in shards, at most 256, each with an
//! adaptive `kmutex_t`. A call holds one of them at a time, for a few cache lines (in
//! a shard that is full, for some fifty buckets at a time), and while it does no foreign
//! code is called; probes may fire. The memory of a
//! shard is only reached under its lock, so nobody can see it freed. The reserve of
//! free memory and the names of local addresses and of nodes, for changing them,
//! have a mutex each, which is taken for a moment with no shard locked; that of the
//! binds that found no room may be taken with one. All of them are innermost. An
//! adaptive mutex is right where a spin lock would be wrong: the interrupt thread
//! that wants it blocks and lends its priority to the owner, even if the owner is
//! the thread that it has pinned.
//!
//! *Maintenance.* One thread at a time sweeps or lists. A flag says whose turn it
//! is, and others who may sleep try again a tick later; no call of the stack looks
//! at it. Growth needs no turn: whoever inserts into a shard moves a few of its
//! entries under the same mutex.
//!
//! *What we do not lock.* The slots are single words: associated by one
//! compare-and-swap from NULL, loaded once per question, never cleared. A
//! caller that has loaded a slot may call it at any later time, which is why
//! `_fini` is EBUSY from the first association on. The mode is a single word, too.
//! What nearly every call comes to is counted in its shard, under the lock that it
//! takes anyway; other counters are relaxed atomics in stripes. They are added up
//! when they are read. The most
//! recent UDP destination belongs to the stack and is protected by the endpoint's
//! own lock, which is not held across a question; `udp` says how the gap is
//! closed. A `clinet_tcp_t` belongs to one connection, whose squeue serialises its
//! calls.
//!
//! *Attach and audit.* One mutex of `attach` serialises attach, detach and
//! audits. Of all but that of changes to the grants it comes first: only threads that may
//! sleep take it, and ip's functions are called under it. What a hook of ip reads of
//! the attachment is static and atomic. The mutex of the module's thread comes
//! last: a hook that wants work done takes it for the time of a signal.
//!
//! *The fence.* What it remembers has a mutex, which the one thread that takes
//! addresses away and brings them back holds while it asks ip. Nobody waits for it,
//! and no other of ours is taken with it but for a moment.
//!
//! *Grants.* A question reads them without a lock: a word that every change moves on
//! is read before and after. One that is overtaken takes the mutex of the grants for
//! a moment, which is innermost and whose holders never sleep. The mutex of the
//! callout that shuts the gate comes before it, and only threads that may sleep take
//! it; the callout itself takes none. Before both, and before that of `attach`, comes the
//! one that is held for a change that grants or disarms. The watching thread holds nothing
//! while it takes addresses away; whoever waits for that looks at a word, tick by tick.
//!
//! *Events.* While nobody looks on, one load. Else a record is written under the mutex
//! of the ring, which is held with that of the module's thread, to wake it; both are
//! innermost otherwise. The mutex of the readers is held while their function is
//! called, which must not open or close.
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

#[macro_use]
mod c_enum;

#[cfg(target_os = "illumos")]
mod attach;
pub mod audit;
#[cfg(target_os = "illumos")]
pub mod builtin;
pub mod contract;
#[cfg(target_os = "illumos")]
mod entry;
#[cfg(target_os = "illumos")]
mod events;
pub mod fence;
pub mod flow;
pub mod grants;
pub mod kernel;
pub mod registry;
#[cfg(target_os = "illumos")]
mod report;
pub mod settings;
pub mod stats;
pub mod tcp;
pub mod udp;
#[cfg(target_os = "illumos")]
mod watch;
#[cfg(target_os = "illumos")]
mod work;
