// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Values of the directory, and their text: JSON.

use crate::names::{Identity, Key, Name, NodeId, Protocol, Range, Uuid};
use crate::time::{Timing, Unsafe};
use serde::{Deserialize, Serialize};

/// The id of a lease, never 0. A node's lease is its *epoch*.
pub type LeaseId = i64;

/// The first incarnation of a cluster: nothing was ever granted before it.
pub const FIRST_INCARNATION: u64 = 1;

/// The format of these values.
pub const FORMAT: u32 = 1;

/// What the whole cluster goes by. Port spaces, the size of slices and the timing change only while
/// no slice belongs to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conf {
    /// [`FORMAT`].
    pub format: u32,
    /// Grows when the directory is restored from a copy: see [`crate::operator::recover`].
    pub incarnation: u64,
    /// The id of the etcd cluster that this was written for.
    pub cluster: u64,
    /// The port space of TCP; none: TCP has no slices.
    pub tcp: Option<Range>,
    /// The port space of UDP.
    pub udp: Option<Range>,
    /// Ports in a slice, a power of two.
    pub slice: u16,
    /// T, F, L, e and a tick.
    pub timing: Timing,
}

/// Why a [`Conf`] is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadConf {
    /// Written by a newer clinet.
    #[error("its format is {0}, and this program knows {FORMAT}")]
    Format(u32),
    /// The promise would not hold.
    #[error(transparent)]
    Timing(#[from] Unsafe),
    /// Incarnations begin with 1.
    #[error("its incarnation is 0")]
    Incarnation,
    /// Not a power of two.
    #[error("slices of {0} ports: it has to be a power of two")]
    Slice(u16),
    /// Slices have to fill it.
    #[error("the port space {0} is not a whole number of slices from a multiple of their size")]
    Space(Range),
}

impl Conf {
    /// Refuses what nodes could not share by.
    pub fn check(&self) -> Result<(), BadConf> {
        if self.format != FORMAT {
            return Err(BadConf::Format(self.format));
        }
        if self.incarnation == 0 {
            return Err(BadConf::Incarnation);
        }
        self.timing.check()?;
        if !self.slice.is_power_of_two() {
            return Err(BadConf::Slice(self.slice));
        }
        let size = u32::from(self.slice);
        for space in [self.tcp, self.udp].into_iter().flatten() {
            let whole = space.first != 0
                && space.first <= space.last
                && u32::from(space.first) % size == 0
                && space.ports() % size == 0;
            if !whole {
                return Err(BadConf::Space(space));
            }
        }
        Ok(())
    }

    /// The port space of a protocol.
    pub fn space(&self, protocol: Protocol) -> Option<Range> {
        match protocol {
            Protocol::Tcp => self.tcp,
            Protocol::Udp => self.udp,
        }
    }

    /// How many slices a protocol has.
    pub fn slices(&self, protocol: Protocol) -> u32 {
        self.space(protocol)
            .map_or(0, |space| space.ports() / u32::from(self.slice))
    }

    /// The n-th slice of a protocol, if there is one.
    pub fn nth(&self, protocol: Protocol, n: u32) -> Option<Range> {
        let space = self.space(protocol)?;
        if n >= self.slices(protocol) {
            return None;
        }
        let first = u32::from(space.first) + n * u32::from(self.slice);
        let last = first + u32::from(self.slice) - 1;
        Some(Range {
            first: u16::try_from(first).ok()?,
            last: u16::try_from(last).ok()?,
        })
    }

    /// Which slice begins with this port, if one does.
    pub fn number(&self, protocol: Protocol, first: u16) -> Option<u32> {
        let space = self.space(protocol)?;
        let offset = u32::from(first.checked_sub(space.first)?);
        let size = u32::from(self.slice);
        (space.has(first) && offset.is_multiple_of(size)).then_some(offset / size)
    }
}

/// A node that lives: the value of its key, which is under its lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Its machine.
    pub machine: Uuid,
    /// Its boot.
    pub boot: Uuid,
    /// The pool that it is of.
    pub pool: Name,
    /// The version of its agent.
    pub version: Name,
}

/// Whose a record is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The node.
    pub node: NodeId,
    /// Its machine.
    pub machine: Uuid,
    /// Its boot.
    pub boot: Uuid,
    /// Its epoch: the lease that its key was under.
    pub epoch: LeaseId,
}

impl Owner {
    /// The owner is this node, this machine and this boot.
    pub fn is(&self, identity: &Identity) -> bool {
        self.node == identity.node && self.machine == identity.machine && self.boot == identity.boot
    }
}

/// Whether anybody may send from the ports of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Tenure {
    /// Its owner may, until the deadline of the last renewal.
    Own(Owner),
    /// The owner's session ended before this revision. Nobody renews it, but it may be used until
    /// the deadline, and its packets may be on their way after that.
    Quarantine(Owner),
    /// Nobody may: the operator said so, or it was given back.
    Free,
}

/// A slice, or a reserved port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The last port; the first is in the key.
    pub last: u16,
    /// Whose it is.
    pub tenure: Tenure,
    /// What its owner goes by.
    pub timing: Timing,
    /// In which incarnation the owner took it. One of an earlier incarnation may not be true.
    pub incarnation: u64,
    /// For which node the operator keeps a reserved port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heir: Option<NodeId>,
}

impl Record {
    /// Who may use it, or might.
    pub fn owner(&self) -> Option<&Owner> {
        match &self.tenure {
            Tenure::Own(owner) | Tenure::Quarantine(owner) => Some(owner),
            Tenure::Free => None,
        }
    }

    /// It is this node's, of this machine and boot; perhaps in quarantine.
    pub fn is_of(&self, identity: &Identity) -> bool {
        self.owner().is_some_and(|owner| owner.is(identity))
    }
}

/// Any value of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Of [`Key::Conf`].
    Conf(Conf),
    /// Of [`Key::Node`].
    Node(Node),
    /// Of [`Key::Slice`] and [`Key::Reserve`].
    Record(Record),
    /// Of [`Key::Drain`] and [`Key::Addr`]: that it is there is all that counts here.
    There,
    /// What cannot be read: it is left alone and never taken for free.
    Unreadable,
}

impl Value {
    /// Reads the text of a key's value.
    pub fn parse(key: &Key, text: &[u8]) -> Value {
        let value = match key {
            Key::Conf => serde_json::from_slice(text).map(Value::Conf),
            Key::Node(_) => serde_json::from_slice(text).map(Value::Node),
            Key::Slice(..) | Key::Reserve(..) => serde_json::from_slice(text).map(Value::Record),
            Key::Drain(_) | Key::Addr(_) => Ok(Value::There),
        };
        value.unwrap_or(Value::Unreadable)
    }

    /// The text to store.
    pub fn text(&self) -> String {
        let text = match self {
            Value::Conf(conf) => serde_json::to_string(conf),
            Value::Node(node) => serde_json::to_string(node),
            Value::Record(record) => serde_json::to_string(record),
            Value::There | Value::Unreadable => Ok(String::from("{}")),
        };
        text.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf() -> Conf {
        Conf {
            format: FORMAT,
            incarnation: FIRST_INCARNATION,
            cluster: 7,
            tcp: Some(Range {
                first: 32768,
                last: 65535,
            }),
            udp: None,
            slice: 2048,
            timing: Timing::default(),
        }
    }

    #[test]
    fn slices_fill_the_space() {
        let conf = conf();
        assert_eq!(conf.check(), Ok(()));
        assert_eq!(conf.slices(Protocol::Tcp), 16);
        assert_eq!(conf.slices(Protocol::Udp), 0);
        let last = conf.nth(Protocol::Tcp, 15).unwrap();
        assert_eq!((last.first, last.last), (63488, 65535));
        assert_eq!(conf.nth(Protocol::Tcp, 16), None);
        assert_eq!(conf.number(Protocol::Tcp, 63488), Some(15));
        assert_eq!(conf.number(Protocol::Tcp, 63489), None);
        assert_eq!(conf.number(Protocol::Udp, 63488), None);
        let odd = Conf {
            slice: 1000,
            ..conf
        };
        assert_eq!(odd.check(), Err(BadConf::Slice(1000)));
        let space = Range {
            first: 32768,
            last: 65534,
        };
        let short = Conf {
            tcp: Some(space),
            ..conf
        };
        assert_eq!(short.check(), Err(BadConf::Space(space)));
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        let node = Name::new("a").unwrap();
        let owner = Owner {
            node: node.clone(),
            machine: Uuid(1),
            boot: Uuid(u128::MAX),
            epoch: 42,
        };
        let record = |tenure| {
            Value::Record(Record {
                last: 34815,
                tenure,
                timing: Timing::default(),
                incarnation: 1,
                heir: None,
            })
        };
        let slice = Key::Slice(Protocol::Tcp, 32768);
        for (key, value) in [
            (Key::Conf, Value::Conf(conf())),
            (slice.clone(), record(Tenure::Own(owner.clone()))),
            (slice.clone(), record(Tenure::Quarantine(owner))),
            (slice.clone(), record(Tenure::Free)),
            (Key::Drain(node), Value::There),
        ] {
            assert_eq!(Value::parse(&key, value.text().as_bytes()), value);
        }
        assert_eq!(Value::parse(&slice, b"{}"), Value::Unreadable);
    }
}
