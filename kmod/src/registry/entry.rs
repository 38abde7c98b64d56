// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One entry: 24 bytes, of which 64 bits are packed.
//!
//! ```text
//! address   the foreign address, 16 bytes; of an endpoint: its counts
//! packed    0..16   local port      16..32  foreign port
//!           32      UDP             33..43  number of the local name
//!           43      endpoint, not 5-tuple
//!           44      ours
//!           45..64  TCP, ours:   outgoing 1, audits missed 2, references 16
//!                   UDP, ours:   references 5, tick 6, generation 8
//!                   not ours:    number of the owner's name 10
//! ```
//!
//! The lower 44 bits and the address are the key of a 5-tuple, the lower 44
//! bits alone that of an endpoint. A local name stands for an address and the
//! stack that it belongs to.

use super::hash::{Hash, Secret};
use crate::flow::{Addr, Protocol};

/// How many names there may be of one kind.
pub const NAMES: usize = 1 << 10;

const KEY: u64 = (1 << 44) - 1;
const UDP: u64 = 1 << 32;
const ENDPOINT: u64 = 1 << 43;
const OURS: u64 = 1 << 44;

/// A field of the packed word.
struct Field {
    shift: u32,
    max: u64,
}

impl Field {
    const fn new(shift: u32, bits: u32) -> Self {
        Self {
            shift,
            max: (1 << bits) - 1,
        }
    }

    fn get(&self, packed: u64) -> u64 {
        (packed >> self.shift) & self.max
    }

    fn set(&self, packed: &mut u64, value: u64) {
        *packed = (*packed & !(self.max << self.shift)) | ((value & self.max) << self.shift);
    }
}

const LOCAL: Field = Field::new(33, 10);
const OWNER: Field = Field::new(45, 10);
const OUTGOING: Field = Field::new(45, 1);
const MISSED: Field = Field::new(46, 2);
const TCP_REFERENCES: Field = Field::new(48, 16);
const UDP_REFERENCES: Field = Field::new(45, 5);
const TICK: Field = Field::new(50, 6);
const GENERATION: Field = Field::new(56, 8);

/// Ticks are counted modulo this.
pub const TICKS: u8 = 1 << 6;

/// What an entry is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub(super) address: [u64; 2],
    pub(super) packed: u64,
}

impl Key {
    /// The key of a 5-tuple. Ports in network byte order.
    #[inline]
    pub fn tuple(protocol: Protocol, local: u16, lport: u16, faddr: &Addr, fport: u16) -> Self {
        let ports = u64::from(lport) | u64::from(fport) << 16;
        Self {
            address: faddr.words(),
            packed: udp(protocol) | u64::from(local) << LOCAL.shift | ports,
        }
    }

    /// The local port, network byte order.
    pub fn lport(&self) -> u16 {
        self.packed as u16
    }

    /// The key of an endpoint.
    #[inline]
    pub fn endpoint(protocol: Protocol, local: u16, lport: u16) -> Self {
        Self {
            address: [0; 2],
            packed: ENDPOINT | udp(protocol) | u64::from(local) << LOCAL.shift | u64::from(lport),
        }
    }
}

#[inline]
fn udp(protocol: Protocol) -> u64 {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => UDP,
    }
}

impl Key {
    /// Where its entry belongs.
    #[inline]
    pub fn hash(&self, secret: &Secret) -> Hash {
        let [a, b] = self.address;
        secret.hash(a, b, self.packed)
    }
}

/// An entry, in use or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    address: [u64; 2],
    packed: u64,
}

/// The packed word of an entry: all but the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Packed(u64);

impl Packed {
    /// Whose the entry is.
    #[inline]
    pub fn kind(self) -> Kind {
        if self.0 & ENDPOINT != 0 {
            Kind::Endpoint
        } else if self.0 & OURS == 0 {
            Kind::Other(OWNER.get(self.0) as u16)
        } else if self.0 & UDP == 0 {
            Kind::Tcp
        } else {
            Kind::Udp
        }
    }

    /// Of a 5-tuple: the number of the owner's name; `None` if it is ours.
    #[inline]
    pub fn owner(self) -> Option<u16> {
        (self.0 & OURS == 0).then_some(OWNER.get(self.0) as u16)
    }

    /// TCP, ours: its references.
    #[inline]
    pub fn tcp_references(self) -> u64 {
        TCP_REFERENCES.get(self.0)
    }

    /// UDP, ours: the generation of its endpoint.
    #[inline]
    pub fn generation(self) -> u8 {
        GENERATION.get(self.0) as u8
    }

    /// Ours: its references.
    #[inline]
    pub fn references(self) -> u64 {
        match self.kind() {
            Kind::Tcp => TCP_REFERENCES.get(self.0),
            Kind::Udp => UDP_REFERENCES.get(self.0),
            Kind::Other(_) | Kind::Endpoint => 0,
        }
    }

    /// One more reference. A count that reached its end stays there: such an
    /// entry is never dropped too early.
    #[inline]
    fn retain(&mut self, field: &Field) {
        let references = field.get(self.0);
        if references < field.max {
            field.set(&mut self.0, references + 1);
        }
    }

    /// One reference less; true if it was the last one.
    #[inline]
    fn release(&mut self, field: &Field) -> bool {
        let references = field.get(self.0);
        if references == field.max {
            return false;
        }
        field.set(&mut self.0, references.saturating_sub(1));
        references <= 1
    }
}

/// Whose a 5-tuple is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of TCP, this node's.
    Tcp,
    /// Of UDP, this node's.
    Udp,
    /// Another node's; the number of its name.
    Other(u16),
    /// Not a 5-tuple: a local UDP endpoint.
    Endpoint,
}

impl Entry {
    /// This node's, of TCP, with one reference.
    #[inline]
    pub fn tcp(key: &Key, outgoing: bool) -> Self {
        let flags = OURS | u64::from(outgoing) << OUTGOING.shift | 1 << TCP_REFERENCES.shift;
        Self::with(key, flags)
    }

    /// This node's, of UDP, with one reference.
    pub fn udp(key: &Key, tick: u8, generation: u8) -> Self {
        let mut entry = Self::with(key, OURS);
        UDP_REFERENCES.set(&mut entry.packed, 1);
        TICK.set(&mut entry.packed, tick.into());
        GENERATION.set(&mut entry.packed, generation.into());
        entry
    }

    /// Another node's.
    pub fn other(key: &Key, owner: u16) -> Self {
        let mut entry = Self::with(key, 0);
        OWNER.set(&mut entry.packed, owner.into());
        entry
    }

    #[inline]
    fn with(key: &Key, flags: u64) -> Self {
        Self {
            address: key.address,
            packed: key.packed | flags,
        }
    }

    /// Is this the 5-tuple of the key?
    #[inline]
    pub fn is(&self, key: &Key) -> bool {
        let [a, b] = self.address;
        let [c, d] = key.address;
        ((a ^ c) | (b ^ d) | ((self.packed ^ key.packed) & KEY)) == 0
    }

    /// Is this the endpoint of the key?
    pub fn is_endpoint(&self, key: &Key) -> bool {
        (self.packed ^ key.packed) & KEY == 0
    }

    /// What it was found by; an endpoint's has no address.
    pub fn key(&self) -> Key {
        Key {
            address: if self.packed & ENDPOINT == 0 {
                self.address
            } else {
                [0; 2]
            },
            packed: self.packed & KEY,
        }
    }

    /// Where it belongs.
    #[inline]
    pub fn hash(&self, secret: &Secret) -> Hash {
        self.key().hash(secret)
    }

    /// All but the address.
    #[inline]
    pub fn packed(&self) -> Packed {
        Packed(self.packed)
    }

    /// Whose it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.packed().kind()
    }

    /// Its protocol.
    pub fn protocol(&self) -> Protocol {
        if self.packed & UDP == 0 {
            Protocol::Tcp
        } else {
            Protocol::Udp
        }
    }

    /// The number of its local name.
    pub fn local(&self) -> u16 {
        LOCAL.get(self.packed) as u16
    }

    /// Local and foreign port, network byte order.
    pub fn ports(&self) -> (u16, u16) {
        (self.packed as u16, (self.packed >> 16) as u16)
    }

    /// The foreign address in IPv6 form.
    pub fn foreign(&self) -> [u64; 2] {
        self.address
    }

    /// TCP, ours: was it an outgoing connection?
    pub fn outgoing(&self) -> bool {
        OUTGOING.get(self.packed) != 0
    }

    /// References of an entry that is ours.
    pub fn references(&self) -> u64 {
        self.packed().references()
    }

    /// One more reference to an entry that is ours. What audits did not see so
    /// far was something else of the same 5-tuple.
    #[inline]
    pub fn retain(&mut self) {
        let mut packed = self.packed();
        match packed.kind() {
            Kind::Tcp => return self.retain_tcp(),
            Kind::Udp => packed.retain(&UDP_REFERENCES),
            Kind::Other(_) | Kind::Endpoint => {}
        }
        self.packed = packed.0;
    }

    /// One reference to an entry that is ours less; true if it was the last.
    #[inline]
    pub fn release(&mut self) -> bool {
        let mut packed = self.packed();
        let last = match packed.kind() {
            Kind::Tcp => packed.release(&TCP_REFERENCES),
            Kind::Udp => packed.release(&UDP_REFERENCES),
            Kind::Other(_) | Kind::Endpoint => false,
        };
        self.packed = packed.0;
        last
    }

    /// TCP, ours: as [`Entry::retain`].
    #[inline]
    pub fn retain_tcp(&mut self) {
        let mut packed = self.packed();
        packed.retain(&TCP_REFERENCES);
        MISSED.set(&mut packed.0, 0);
        self.packed = packed.0;
    }

    /// TCP, ours: is there one reference, so that the next release takes the
    /// last one?
    #[inline]
    pub fn is_last_tcp(&self) -> bool {
        TCP_REFERENCES.get(self.packed) <= 1
    }

    /// TCP, ours, with more than one reference: one less.
    #[inline]
    pub fn release_tcp(&mut self) {
        let mut packed = self.packed();
        packed.release(&TCP_REFERENCES);
        self.packed = packed.0;
    }

    /// When it was last used, if it ages.
    pub fn ages(&self) -> Option<u8> {
        match self.kind() {
            Kind::Udp => Some(self.tick()),
            Kind::Endpoint => Some(Bound::from(self).tick),
            Kind::Tcp | Kind::Other(_) => None,
        }
    }

    /// UDP, ours: when it was last asked about.
    pub fn tick(&self) -> u8 {
        TICK.get(self.packed) as u8
    }

    /// UDP, ours: it is asked about again by what would otherwise be `new`. False:
    /// it is of another generation, and nothing was changed.
    #[inline]
    pub fn use_again(&mut self, new: &Self, tick: u8) -> bool {
        if self.generation() != new.generation() {
            return false;
        }
        let mut packed = self.packed();
        packed.retain(&UDP_REFERENCES);
        TICK.set(&mut packed.0, tick.into());
        self.packed = packed.0;
        true
    }

    /// UDP, ours: it is asked about now.
    pub fn touch(&mut self, tick: u8) {
        TICK.set(&mut self.packed, tick.into());
    }

    /// UDP, ours: the generation of its endpoint.
    pub fn generation(&self) -> u8 {
        self.packed().generation()
    }

    /// TCP, ours: how many audits in a row did not see it.
    pub fn missed(&self) -> u8 {
        MISSED.get(self.packed) as u8
    }

    /// TCP, ours: an audit saw it (0), or did not.
    pub fn set_missed(&mut self, audits: u8) {
        MISSED.set(&mut self.packed, audits.into());
    }
}

/// What is kept of a local UDP endpoint, in the place of the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Sockets bound to it, as far as is known.
    pub binds: u32,
    /// The tick when it was last used.
    pub tick: u8,
    /// Entries of this generation count.
    pub generation: u8,
    /// No entry of a generation before this one is left in the table.
    pub oldest: u8,
    /// The generation at some time ...
    pub mark: u8,
    /// ... and the sweeps begun by then.
    pub pass: u32,
    /// No entry was registered in this generation.
    pub empty: bool,
}

impl Bound {
    /// The entry that keeps it.
    pub fn entry(&self, key: &Key) -> Entry {
        Entry {
            address: [
                u64::from(self.binds) | u64::from(self.pass) << 32,
                u64::from(self.tick)
                    | u64::from(self.generation) << 8
                    | u64::from(self.oldest) << 16
                    | u64::from(self.mark) << 24
                    | u64::from(self.empty) << 32,
            ],
            packed: key.packed,
        }
    }
}

impl Bound {
    /// `begun` and `done` sweeps of the whole table have been, whatever became
    /// stale before one began is gone when it is done.
    pub fn swept(&mut self, begun: u32, done: u32) {
        if done.wrapping_sub(self.pass).cast_signed() > 0 {
            self.oldest = self.mark;
            self.mark = self.generation;
            self.pass = begun;
        }
    }

    /// Drops all entries. False: generations have run out until a sweep is
    /// done.
    #[must_use]
    pub fn drop_entries(&mut self) -> bool {
        if self.empty {
            return true;
        }
        let next = self.generation.wrapping_add(1);
        if next == self.oldest {
            return false;
        }
        self.generation = next;
        self.empty = true;
        true
    }

    /// Is no entry of an older generation left?
    pub fn is_settled(&self) -> bool {
        self.oldest == self.generation
    }
}

impl From<&Entry> for Bound {
    fn from(entry: &Entry) -> Self {
        let [counts, rest] = entry.address;
        Self {
            binds: counts as u32,
            pass: (counts >> 32) as u32,
            tick: rest as u8,
            generation: (rest >> 8) as u8,
            oldest: (rest >> 16) as u8,
            mark: (rest >> 24) as u8,
            empty: rest >> 32 != 0,
        }
    }
}
