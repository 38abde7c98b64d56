// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which local ports are this node's, and until when.
//!
//! For each protocol there is a port space, which the nodes of a pool divide
//! among themselves, and a bitmap of the ports that were granted to this node;
//! for both there is one deadline. Safe code that knows nobody: memory, locks
//! and the time come from the caller.
//!
//! # A question
//!
//! It takes no lock and reads no clock. The *gate* says whether the deadline
//! has passed; whoever looks after the grants shuts it in time
//! ([`Grants::heartbeat`], [`Grants::shut_if_due`]). The gate moves on with each
//! change, and is read before and after the rest: what was read in between
//! belongs together. A question that is overtaken by a change takes the lock
//! for a moment, so nobody spins, and nobody is refused because of a change. Who
//! registers reads the gate once more afterwards ([`Grants::generation`]): a thread may be
//! stopped in between for any time.
//!
//! # The deadline
//!
//! The gate is shut [`MARGIN`] before the deadline, so that a clock interrupt
//! that comes late still comes before it, and when nobody has looked after the
//! grants for [`HEARTBEAT_TIMEOUT`]: a thread that hangs could not take the addresses away
//! either. Only a change that holds the lock opens it, and only if nothing shut
//! it since before the change read the clock.

#![forbid(unsafe_code)]

pub mod rules;
mod terms;

use core::ops::Deref;

use crate::flow::Protocol;
use crate::registry::env::{Lock, Word};

pub use terms::{FOREVER, Refused, Snapshot, Space, Standing, Terms};

/// Words of a bitmap: a bit for each port.
pub const WORDS: usize = 1024;

/// So long before the deadline the gate is shut, in nanoseconds: two ticks of
/// the kernel's clock.
pub const MARGIN: u64 = 20_000_000;

/// So long the gate may stay open while nobody looks after the grants, in
/// nanoseconds.
pub const HEARTBEAT_TIMEOUT: u64 = 2_000_000_000;

/// How much earlier than asked for a clock interrupt may come, in nanoseconds:
/// one tick.
const EARLY: u64 = 10_000_000;

/// The gate: granted ports may be registered.
const OPEN: u64 = 1;
/// The gate: somebody changes the rest.
const CHANGING: u64 = 2;
/// The gate: one change more.
const CHANGE: u64 = 4;

/// Where grants live.
pub trait World {
    /// Atomic words.
    type Word: Word;
    /// Memory for words, handed in once.
    type Words: Deref<Target = [Self::Word]>;
    /// Locks.
    type Lock<T: Send + 'static>: Lock<T>;
}

/// What only changes look at.
struct State {
    epoch: u64,
    sequence: u64,
    granted: [u32; 2],
    /// The addresses are away, or on their way.
    fenced: bool,
}

/// The grants of one node.
pub struct Grants<W: World> {
    spaces: [W::Word; 2],
    gate: W::Word,
    deadline: W::Word,
    /// Until when the grants have been looked after.
    alive_until: W::Word,
    /// The bitmap of TCP, and that of UDP behind it.
    bits: W::Words,
    state: W::Lock<State>,
}

fn index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
    }
}

impl<W: World> Grants<W> {
    /// No port space and nothing granted, in memory of two bitmaps of zeros.
    #[inline]
    pub fn new(bits: W::Words) -> Self {
        Self {
            spaces: [W::Word::new(0), W::Word::new(0)],
            gate: W::Word::new(0),
            deadline: W::Word::new(0),
            alive_until: W::Word::new(0),
            bits,
            state: W::Lock::new(State {
                epoch: 0,
                sequence: 0,
                granted: [0; 2],
                fenced: false,
            }),
        }
    }

    #[inline]
    fn space(&self, protocol: Protocol) -> u64 {
        let [tcp, udp] = &self.spaces;
        match protocol {
            Protocol::Tcp => tcp.load(),
            Protocol::Udp => udp.load(),
        }
    }

    /// Is there a port space? One load.
    #[inline]
    pub fn has_space(&self, protocol: Protocol) -> bool {
        self.space(protocol) != 0
    }

    /// Is the port granted, whether the deadline has passed or not?
    #[inline]
    pub fn is_granted(&self, protocol: Protocol, port: u16) -> bool {
        let words = self.bits.len() / 2;
        let place = index(protocol) * words + usize::from(port / 64);
        let word = self.bits.get(place).map_or(0, Word::load);
        word >> (port % 64) & 1 != 0
    }

    /// Another number after each change, and after the gate was shut. What was true of
    /// a port is so still if it was read in between.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.gate.load()
    }

    /// Is the port granted, and the gate open, if this is the [`Grants::generation`] now
    /// and still is afterwards? Quick, and false while the grants change.
    #[inline]
    pub fn is_open(&self, generation: u64, protocol: Protocol, port: u16) -> bool {
        generation & (OPEN | CHANGING) == OPEN && self.is_granted(protocol, port)
    }

    /// What is true of a local port, in host byte order. Any context; waits for
    /// nothing but, for a moment, the lock of a change.
    #[inline]
    pub fn standing(&self, protocol: Protocol, port: u16) -> Standing {
        if !self.has_space(protocol) {
            return Standing::NoSpace;
        }
        let gate = self.gate.load();
        if gate & CHANGING == 0 {
            let found = self.read(protocol, port, gate);
            if self.gate.load() == gate {
                return found;
            }
        }
        self.read_locked(protocol, port)
    }

    #[inline]
    fn read(&self, protocol: Protocol, port: u16, gate: u64) -> Standing {
        let space = self.space(protocol);
        if self.is_granted(protocol, port) && space != 0 {
            return match gate & OPEN {
                0 => Standing::Lapsed,
                _ => Standing::Granted,
            };
        }
        match Space::from_word(space) {
            space if !space.is_some() => Standing::NoSpace,
            space if space.contains(port) => Standing::NotGranted,
            _ => Standing::Explicit,
        }
    }

    #[cold]
    fn read_locked(&self, protocol: Protocol, port: u16) -> Standing {
        let _state = self.state.lock();
        self.read(protocol, port, self.gate.load())
    }

    /// When the gate with this deadline has to be shut unless something happens until
    /// then; `None`: it need not be.
    pub fn due(&self, deadline: u64) -> Option<u64> {
        due(deadline, self.alive_until.load())
    }

    /// Does the gate have to be shut at this time?
    fn is_due(&self, now: u64) -> bool {
        self.due(self.deadline.load()).is_some_and(|due| now >= due)
    }

    /// Shuts the gate if it is time. Takes no lock and waits for nobody: for an
    /// interrupt. It looks again only where a change was done meanwhile, which may
    /// have read the clock before.
    pub fn shut_if_due(&self, now: u64) {
        loop {
            let gate = self.gate.load();
            let soon = now.saturating_add(EARLY);
            if !self.is_due(soon) {
                return;
            }
            // Open or not: a change that is under way has to notice.
            if self.gate.replace(gate, gate.wrapping_add(CHANGE) & !OPEN) {
                return;
            }
        }
    }

    /// Opens or shuts the gate, as it has to be, and ends a change. The lock is held.
    fn settle(&self, state: &State, now: impl Fn() -> u64) {
        let mut gate = self.gate.load();
        // A second time if an interrupt shut it meanwhile, perhaps because of what
        // is changed here.
        for _ in 0..2 {
            let now = now();
            let next = gate.wrapping_add(CHANGE) & !(OPEN | CHANGING);
            let opens = !state.fenced && !self.is_due(now);
            let settled = if opens { next | OPEN } else { next };
            if self.gate.replace(gate, settled) {
                return;
            }
            gate = self.gate.load();
        }
        let shut = gate.wrapping_add(CHANGE) & !(OPEN | CHANGING);
        self.gate.store(shut);
    }

    /// Somebody who would take the addresses away looks after the grants.
    pub fn heartbeat(&self, now: impl Fn() -> u64) {
        let state = self.state.lock();
        self.alive_until
            .store(now().saturating_add(HEARTBEAT_TIMEOUT));
        self.settle(&state, now);
    }

    /// Replaces everything that is granted; `ports` are the bitmaps of TCP and UDP.
    ///
    /// # Errors
    ///
    /// Why not; nothing changed.
    pub fn replace(
        &self,
        terms: &Terms,
        ports: [&[u64]; 2],
        now: impl Fn() -> u64,
    ) -> Result<(), Refused> {
        let words = self.bits.len() / 2;
        let zero_is_granted = |bits: &&[u64]| bits.first().is_some_and(|word| word & 1 != 0);
        if !terms.spaces.into_iter().all(Space::is_valid)
            || ports.iter().any(|bits| bits.len() != words)
            || ports.iter().any(zero_is_granted)
        {
            return Err(Refused::Invalid);
        }
        let mut state = self.state.lock();
        if terms.sequence <= state.sequence {
            return Err(Refused::Stale);
        }
        let gate = self.gate.load();
        self.gate
            .swap((gate.wrapping_add(CHANGE) & !OPEN) | CHANGING);
        for (word, bits) in self.bits.iter().zip(ports.iter().copied().flatten()) {
            word.store(*bits);
        }
        for (word, space) in self.spaces.iter().zip(terms.spaces) {
            word.store(space.to_word());
        }
        self.deadline.store(terms.deadline);
        state.epoch = terms.epoch;
        state.sequence = terms.sequence;
        state.granted = ports.map(|bits| bits.iter().map(|word| word.count_ones()).sum());
        self.settle(&state, now);
        Ok(())
    }

    /// Moves the deadline.
    ///
    /// # Errors
    ///
    /// [`Refused::Stale`]; nothing changed.
    pub fn set_deadline(
        &self,
        epoch: u64,
        sequence: u64,
        deadline: u64,
        now: impl Fn() -> u64,
    ) -> Result<(), Refused> {
        let mut state = self.state.lock();
        state.go_on(epoch, sequence)?;
        self.deadline.store(deadline);
        self.settle(&state, now);
        Ok(())
    }

    /// Somebody wants the addresses back.
    ///
    /// # Errors
    ///
    /// [`Refused::Stale`] or [`Refused::Passed`]; nothing changed.
    pub fn may_unfence(&self, epoch: u64, sequence: u64, now: u64) -> Result<(), Refused> {
        let mut state = self.state.lock();
        let before = state.sequence;
        state.go_on(epoch, sequence)?;
        if now >= self.deadline.load() {
            state.sequence = before;
            return Err(Refused::Passed);
        }
        Ok(())
    }

    /// The deadline has passed, if it had not.
    pub fn lapse(&self, now: u64) {
        let state = self.state.lock();
        if now < self.deadline.load() {
            self.deadline.store(now);
        }
        self.settle(&state, || now);
    }

    /// The addresses go, or are back.
    pub fn set_fenced(&self, fenced: bool, now: impl Fn() -> u64) {
        let mut state = self.state.lock();
        state.fenced = fenced;
        self.settle(&state, now);
    }

    fn snapshot_of(&self, state: &State) -> Snapshot {
        Snapshot {
            terms: Terms {
                epoch: state.epoch,
                sequence: state.sequence,
                deadline: self.deadline.load(),
                spaces: self
                    .spaces
                    .each_ref()
                    .map(|word| Space::from_word(word.load())),
            },
            granted: state.granted,
            open: self.gate.load() & OPEN != 0,
        }
    }

    /// What there is.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_of(&self.state.lock())
    }

    /// What there is, with the bitmaps of TCP and UDP of the same moment.
    pub fn copy(&self, mut each: impl FnMut(Protocol, usize, u64)) -> Snapshot {
        let state = self.state.lock();
        let words = self.bits.len() / 2;
        for (place, word) in self.bits.iter().enumerate() {
            match place.checked_sub(words) {
                None => each(Protocol::Tcp, place, word.load()),
                Some(place) => each(Protocol::Udp, place, word.load()),
            }
        }
        self.snapshot_of(&state)
    }
}

impl State {
    /// Takes a newer sequence of the same epoch over.
    fn go_on(&mut self, epoch: u64, sequence: u64) -> Result<(), Refused> {
        if epoch != self.epoch || sequence <= self.sequence {
            return Err(Refused::Stale);
        }
        self.sequence = sequence;
        Ok(())
    }
}

/// When a gate with this deadline is shut, if nobody looks after it after
/// `alive_until`.
pub fn due(deadline: u64, alive_until: u64) -> Option<u64> {
    (deadline != FOREVER).then(|| deadline.saturating_sub(MARGIN).min(alive_until))
}

#[cfg(test)]
mod tests;
