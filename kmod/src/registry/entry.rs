// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One entry: 24 bytes, of which 64 bits are packed.
//!
//! ```text
//! address   the foreign address, 16 bytes; of an endpoint: its counts
//! packed    0..16   local port      16      UDP
//!           17..33  foreign port    33..43  number of the local name
//!           43      endpoint, not 5-tuple
//!           44      ours
//!           45..64  TCP, ours:  outgoing 1, through ip's hooks 1, doubtful 1,
//!                               seen 1, missed 1, references 14
//!                   UDP, ours:  through ip's hooks 1, references 4, tick 6,
//!                               generation 8
//!                   not ours:   number of the owner's name 10, epoch 8
//! ```
//!
//! The lower 44 bits and the address are the key of a 5-tuple, the lower 44
//! bits alone that of an endpoint. A local name stands for an address and the
//! stack that it belongs to.

use super::Via;
use super::hash::{Hash, Secret};
use super::key::Key;
use crate::flow::{Direction, Protocol};

/// How many names of one kind an entry can tell apart.
pub const NAMES: usize = 1 << 10;

/// A field of the packed word.
pub(super) struct Field {
    pub(super) shift: u32,
    max: u64,
}

impl Field {
    const fn new(shift: u32, bits: u32) -> Self {
        Self {
            shift,
            max: (1 << bits) - 1,
        }
    }

    #[inline]
    pub(super) fn get(&self, packed: u64) -> u64 {
        (packed >> self.shift) & self.max
    }

    #[inline]
    fn set(&self, packed: &mut u64, value: u64) {
        *packed = (*packed & !(self.max << self.shift)) | ((value & self.max) << self.shift);
    }

    /// One more. A count that reached its end stays there: such an entry is
    /// never dropped too early.
    #[inline]
    fn increment(&self, packed: &mut u64) {
        if self.get(*packed) < self.max {
            *packed += 1 << self.shift;
        }
    }

    /// One less; true if it was the last one.
    #[inline]
    fn decrement(&self, packed: &mut u64) -> bool {
        match self.get(*packed) {
            count if count == self.max => false,
            0 => true,
            count => {
                *packed -= 1 << self.shift;
                count == 1
            }
        }
    }
}

pub(super) const KEY: u64 = (1 << 44) - 1;
pub(super) const LOCAL: Field = Field::new(33, 10);
pub(super) const UDP: u64 = 1 << 16;
/// Not at 16: of a port that is shifted there LLVM reads four bytes where two were
/// written, and the processor then waits for all stores before (measured, with names
/// that were put together in the same way: a lookup among a million 5-tuples took half as
/// long again).
pub(super) const FOREIGN_PORT: u32 = 17;
pub(super) const ENDPOINT: u64 = 1 << 43;
const OURS: u64 = 1 << 44;

const OUTGOING: u64 = 1 << 45;
const TCP_VIA_IP: u64 = 1 << 46;
const DOUBTFUL: u64 = 1 << 47;
const SEEN: u64 = 1 << 48;
const MISSED: u64 = 1 << 49;
const TCP_REFERENCES: Field = Field::new(50, 14);

const UDP_VIA_IP: u64 = 1 << 45;
const UDP_REFERENCES: Field = Field::new(46, 4);
const TICK: Field = Field::new(50, 6);
const GENERATION: Field = Field::new(56, 8);

const OWNER: Field = Field::new(45, 10);
const EPOCH: Field = Field::new(55, 8);

/// Ticks are counted modulo this.
pub const TICKS: u8 = 1 << 6;

#[inline]
fn flag(bit: u64, set: bool) -> u64 {
    if set { bit } else { 0 }
}

/// Whose a 5-tuple is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of TCP, this node's.
    Tcp,
    /// Of UDP, this node's.
    Udp,
    /// Another node's: the number of its name, and the epoch that it was named
    /// in.
    Other(u16, u8),
    /// Not a 5-tuple: a local UDP endpoint.
    Endpoint,
}

/// What is left of an entry of this node after one of its uses ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// References.
    Some,
    /// A reference that may be that of the connection which just ended.
    Doubtful,
    /// Nothing: the entry goes.
    Nothing,
}

/// An entry, in use or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    pub(super) address: [u64; 2],
    packed: u64,
}

impl Entry {
    /// What a place has that was never in use.
    pub const EMPTY: Self = Self {
        address: [0; 2],
        packed: 0,
    };

    /// This node's, of TCP, with one reference. `audited`: an audit is under way,
    /// and takes it for seen.
    #[inline]
    pub fn tcp(key: &Key, direction: Direction, via: Via, audited: bool) -> Self {
        let mut flags = OURS | 1 << TCP_REFERENCES.shift;
        flags |= flag(OUTGOING, direction == Direction::Outgoing);
        flags |= flag(TCP_VIA_IP, via == Via::Ip);
        flags |= flag(SEEN, audited);
        // No key of TCP has the bits; said here, nothing behind has to look for them.
        Self {
            address: key.address,
            packed: key.packed & !(UDP | ENDPOINT) | flags,
        }
    }

    /// This node's, of UDP, with one reference.
    pub fn udp(key: &Key, via: Via, tick: u8, generation: u8) -> Self {
        let mut entry = Self::with(key, OURS | 1 << UDP_REFERENCES.shift);
        if via == Via::Ip {
            entry.packed |= UDP_VIA_IP;
        }
        TICK.set(&mut entry.packed, tick.into());
        GENERATION.set(&mut entry.packed, generation.into());
        entry
    }

    /// Another node's.
    pub fn other(key: &Key, owner: u16, epoch: u8) -> Self {
        let mut entry = Self::with(key, 0);
        OWNER.set(&mut entry.packed, owner.into());
        EPOCH.set(&mut entry.packed, epoch.into());
        entry
    }

    /// An endpoint, whose counts stand in the place of the address.
    pub fn endpoint(key: &Key, counts: [u64; 2]) -> Self {
        Self {
            address: counts,
            packed: key.packed,
        }
    }

    #[inline]
    fn with(key: &Key, flags: u64) -> Self {
        Self {
            address: key.address,
            packed: key.packed | flags,
        }
    }

    /// Is this the entry of the key?
    #[inline]
    pub fn is(&self, key: &Key) -> bool {
        let [a, b] = self.address;
        let [c, d] = key.address;
        let address = if key.packed & ENDPOINT == 0 {
            (a ^ c) | (b ^ d)
        } else {
            0
        };
        (address | ((self.packed ^ key.packed) & KEY)) == 0
    }

    /// What it is found by.
    #[inline]
    pub fn key(&self) -> Key {
        let is_tuple = self.packed & ENDPOINT == 0;
        Key {
            address: if is_tuple { self.address } else { [0; 2] },
            packed: self.packed & KEY,
        }
    }

    /// Where it belongs.
    #[inline]
    pub fn hash(&self, secret: &Secret) -> Hash {
        self.key().hash(secret)
    }

    /// Whose it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        if self.packed & ENDPOINT != 0 {
            Kind::Endpoint
        } else if self.packed & OURS == 0 {
            Kind::Other(OWNER.get(self.packed) as u16, EPOCH.get(self.packed) as u8)
        } else if self.packed & UDP == 0 {
            Kind::Tcp
        } else {
            Kind::Udp
        }
    }

    /// Its protocol.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.key().protocol()
    }

    /// The number of its local name.
    #[inline]
    pub fn local(&self) -> u16 {
        LOCAL.get(self.packed) as u16
    }

    /// Local and foreign port, network byte order.
    pub fn ports(&self) -> (u16, u16) {
        (self.packed as u16, (self.packed >> FOREIGN_PORT) as u16)
    }

    /// Ours: did it come through ip's hooks, or from an audit?
    pub fn via_ip(&self) -> bool {
        match self.kind() {
            Kind::Tcp => self.packed & TCP_VIA_IP != 0,
            Kind::Udp => self.packed & UDP_VIA_IP != 0,
            Kind::Other(..) | Kind::Endpoint => false,
        }
    }

    /// References of an entry that is ours.
    #[inline]
    pub fn references(&self) -> u64 {
        match self.kind() {
            Kind::Tcp => TCP_REFERENCES.get(self.packed),
            Kind::Udp => UDP_REFERENCES.get(self.packed),
            Kind::Other(..) | Kind::Endpoint => 0,
        }
    }

    /// When it was last used, if it ages.
    pub fn ages(&self) -> Option<u8> {
        match self.kind() {
            Kind::Udp => Some(self.tick()),
            Kind::Endpoint => Some(self.address[1] as u8),
            Kind::Tcp | Kind::Other(..) => None,
        }
    }

    /// It was last used at this tick, if it ages.
    pub fn set_tick(&mut self, tick: u8) {
        match self.kind() {
            Kind::Udp => TICK.set(&mut self.packed, tick.into()),
            Kind::Endpoint => self.address[1] = self.address[1] & !0xff | u64::from(tick),
            Kind::Tcp | Kind::Other(..) => {}
        }
    }

    /// One use of an entry of this node less.
    #[inline]
    pub fn release(&mut self) -> Left {
        let last = match self.kind() {
            Kind::Tcp => TCP_REFERENCES.decrement(&mut self.packed),
            Kind::Udp => UDP_REFERENCES.decrement(&mut self.packed),
            Kind::Other(..) | Kind::Endpoint => false,
        };
        match last {
            true => Left::Nothing,
            false if self.is_doubtful() => Left::Doubtful,
            false => Left::Some,
        }
    }
}

/// TCP, ours.
impl Entry {
    /// Is it known to be an outgoing connection?
    pub fn outgoing(&self) -> bool {
        self.packed & OUTGOING != 0
    }

    /// One more reference. What audits did not see so far was something else of
    /// the same 5-tuple.
    #[inline]
    pub fn retain(&mut self, audited: bool) {
        TCP_REFERENCES.increment(&mut self.packed);
        self.packed &= !MISSED;
        if audited {
            self.packed |= SEEN;
        }
    }

    /// The end of an earlier connection of this 5-tuple may still be told, as
    /// ip does twice of one that was reset before accept().
    pub fn set_doubtful(&mut self) {
        self.packed |= DOUBTFUL;
    }

    /// May the next end be that of an earlier connection?
    #[inline]
    pub fn is_doubtful(&self) -> bool {
        self.packed & (OURS | UDP | DOUBTFUL) == OURS | DOUBTFUL
    }

    /// One that came through ip's hooks, or from an audit, and may be incoming?
    #[inline]
    pub fn is_incoming_via_ip(&self) -> bool {
        self.packed & (OURS | UDP | ENDPOINT | OUTGOING | TCP_VIA_IP) == OURS | TCP_VIA_IP
    }

    /// An audit sees it. With one reference left the end that was told was that
    /// of an earlier connection: no doubt is left.
    pub fn set_seen(&mut self) {
        self.packed |= SEEN;
        if TCP_REFERENCES.get(self.packed) <= 1 {
            self.packed &= !DOUBTFUL;
        }
    }

    /// An audit ends. True if neither it nor the one before saw the entry.
    pub fn end_audit(&mut self) -> bool {
        if self.packed & SEEN != 0 {
            self.packed &= !(SEEN | MISSED);
            return false;
        }
        let twice = self.packed & MISSED != 0;
        self.packed |= MISSED;
        twice
    }
}

/// UDP, ours.
impl Entry {
    /// When it was last asked about.
    #[inline]
    pub fn tick(&self) -> u8 {
        TICK.get(self.packed) as u8
    }

    /// The generation of its endpoint when it was registered.
    #[inline]
    pub fn generation(&self) -> u8 {
        GENERATION.get(self.packed) as u8
    }

    /// It is asked about again at this tick: one more reference.
    #[inline]
    pub fn ask_again(&mut self, tick: u8) {
        UDP_REFERENCES.increment(&mut self.packed);
        TICK.set(&mut self.packed, tick.into());
    }
}
