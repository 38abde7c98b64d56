// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names of things: nodes, machines, protocols, ranges of ports, and the keys of the directory.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A name in a key of the directory: a letter or digit, then letters, digits, `.`, `-` and `_`, 63
/// characters at most.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// The name that the operator gave a node.
pub type NodeId = Name;

/// Not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no name: letters, digits, '.', '-' and '_', 63 at most, the first no sign")]
pub struct BadName(String);

impl Name {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Name, BadName> {
        let first = name.bytes().next();
        let good = name.len() <= 63
            && first.is_some_and(|byte| byte.is_ascii_alphanumeric())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if good {
            Ok(Name(name.into()))
        } else {
            Err(BadName(name.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(name: String) -> Result<Self, BadName> {
        Name::new(&name)
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        Name::new(name)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.to_string()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 128 bits that tell one machine, or one boot of it, from all others. Written as 32 hexadecimal
/// digits, as in `/etc/machine-id`; dashes of a UUID are accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(pub u128);

impl std::str::FromStr for Uuid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        match u128::from_str_radix(&digits, 16) {
            Ok(bits) if digits.len() == 32 && !digits.starts_with('+') => Ok(Uuid(bits)),
            _ => Err(format!("\"{text}\" is not 32 hexadecimal digits")),
        }
    }
}

impl TryFrom<String> for Uuid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> String {
        uuid.to_string()
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Who a node is: its name, its machine, and the boot of that machine.
///
/// A record is mine only if all three are (I7: one node name, one machine and boot). A machine id can
/// be cloned with a disk image, so that a rebooted machine is a stranger to what it held before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The operator's name for it.
    pub node: NodeId,
    /// The machine.
    pub machine: Uuid,
    /// The boot: it changes with each one.
    pub boot: Uuid,
}

/// The protocols that have slices. `as usize` is the index that the module's tables have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
}

impl Protocol {
    /// Both, in the order of the module's tables.
    pub const ALL: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

    /// As in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            _ => Err(format!("\"{text}\" is neither tcp nor udp")),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ports from `first` to `last`, both included, in host byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first port.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
}

impl Range {
    /// How many ports.
    pub fn ports(self) -> u32 {
        u32::from(self.last) + 1 - u32::from(self.first)
    }

    /// The port is one of them.
    pub fn has(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Sorts ranges and joins neighbours, so that equal sets of ports have equal ranges.
    pub fn join(mut ranges: Vec<Range>) -> Vec<Range> {
        ranges.sort_unstable();
        let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(end) if u32::from(range.first) <= u32::from(end.last) + 1 => {
                    end.last = end.last.max(range.last);
                }
                _ => joined.push(range),
            }
        }
        joined
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A key of the directory, below the prefix that [`Names`] knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// What the whole cluster goes by.
    Conf,
    /// A node lives: under a lease of that node.
    Node(NodeId),
    /// The operator wants that node to give up all it has.
    Drain(NodeId),
    /// The slice that begins with this port.
    Slice(Protocol, u16),
    /// A port outside the port space, kept for one node.
    Reserve(Protocol, u16),
    /// A shared address and its policies; the protocol itself has no use for it.
    Addr(std::net::IpAddr),
}

impl Key {
    /// A slice or a reserved port: what has an owner.
    pub fn is_record(&self) -> bool {
        matches!(self, Key::Slice(..) | Key::Reserve(..))
    }

    /// The protocol of a slice or a reserved port.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Key::Slice(protocol, _) | Key::Reserve(protocol, _) => Some(*protocol),
            _ => None,
        }
    }
}

/// Where a cluster and one of its pools are in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The cluster.
    pub cluster: Name,
    /// The pool.
    pub pool: Name,
}

impl Names {
    /// What all keys of the cluster begin with: to be read and watched.
    pub fn prefix(&self) -> String {
        format!("/clinet/1/{}/", self.cluster)
    }

    /// The key as the directory has it.
    pub fn path(&self, key: &Key) -> String {
        let (prefix, pool) = (self.prefix(), &self.pool);
        match key {
            Key::Conf => format!("{prefix}conf"),
            Key::Node(node) => format!("{prefix}node/{node}"),
            Key::Drain(node) => format!("{prefix}drain/{node}"),
            Key::Slice(protocol, first) => format!("{prefix}pool/{pool}/slice/{protocol}/{first}"),
            Key::Reserve(protocol, port) => {
                format!("{prefix}pool/{pool}/reserve/{protocol}/{port}")
            }
            Key::Addr(address) => format!("{prefix}pool/{pool}/addr/{address}"),
        }
    }

    /// The key of a path; nothing for other pools and for what is no key of ours.
    pub fn key(&self, path: &str) -> Option<Key> {
        let parts: Vec<&str> = path.strip_prefix(&self.prefix())?.split('/').collect();
        let key = match parts[..] {
            ["conf"] => Key::Conf,
            ["node", node] => Key::Node(node.parse().ok()?),
            ["drain", node] => Key::Drain(node.parse().ok()?),
            ["pool", pool, kind, ref rest @ ..] if pool == self.pool.as_str() => match (kind, rest)
            {
                ("slice", [protocol, first]) => {
                    Key::Slice(protocol.parse().ok()?, first.parse().ok()?)
                }
                ("reserve", [protocol, port]) => {
                    Key::Reserve(protocol.parse().ok()?, port.parse().ok()?)
                }
                ("addr", [address]) => Key::Addr(address.parse().ok()?),
                _ => return None,
            },
            _ => return None,
        };
        (self.path(&key) == path).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_paths() {
        let names = Names {
            cluster: Name::new("c").unwrap(),
            pool: Name::new("p").unwrap(),
        };
        let node = Name::new("n-1").unwrap();
        for (key, path) in [
            (Key::Conf, "/clinet/1/c/conf"),
            (Key::Node(node.clone()), "/clinet/1/c/node/n-1"),
            (Key::Drain(node), "/clinet/1/c/drain/n-1"),
            (
                Key::Slice(Protocol::Tcp, 32768),
                "/clinet/1/c/pool/p/slice/tcp/32768",
            ),
            (
                Key::Reserve(Protocol::Udp, 53),
                "/clinet/1/c/pool/p/reserve/udp/53",
            ),
            (
                Key::Addr("2001:db8::1".parse().unwrap()),
                "/clinet/1/c/pool/p/addr/2001:db8::1",
            ),
        ] {
            assert_eq!(names.path(&key), path);
            assert_eq!(names.key(path), Some(key));
        }
        for strange in [
            "/clinet/1/d/conf",
            "/clinet/1/c/pool/q/slice/tcp/32768",
            "/clinet/1/c/pool/p/slice/tcp/032768",
            "/clinet/1/c/pool/p/slice/sctp/32768",
            "/clinet/1/c/node/",
            "/clinet/1/c/other",
        ] {
            assert_eq!(names.key(strange), None, "{strange}");
        }
    }

    #[test]
    fn names_are_checked() {
        for good in ["a", "node-1.example_x", &"x".repeat(63)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a/b", "a b", &"x".repeat(64), "é"] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_join() {
        let range = |first, last| Range { first, last };
        assert_eq!(
            Range::join(vec![
                range(20, 29),
                range(65535, 65535),
                range(10, 19),
                range(40, 40)
            ]),
            [range(10, 29), range(40, 40), range(65535, 65535)]
        );
        assert_eq!(range(0, 65535).ports(), 65536);
    }

    #[test]
    fn ids_of_machines() {
        let uuid: Uuid = "00000000-0000-0000-0000-0000000000ff".parse().unwrap();
        assert_eq!(uuid, Uuid(255));
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
        assert!("ff".parse::<Uuid>().is_err());
    }
}
