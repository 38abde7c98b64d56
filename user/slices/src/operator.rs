// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an operator says to all agents, as transactions that a tool executes.

use crate::directory::{Compare, Header, MOST_COMPARISONS, Operation, Transaction, View};
use crate::names::{Key, NodeId, Protocol};
use crate::records::{BadConf, Conf, FIRST_INCARNATION, FORMAT, Record, Tenure, Value};
use crate::rules::MOST_RECORDS;

/// Why an operator's word is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is a configuration: it would have to be recovered, or is fine.
    #[error("the cluster has a configuration already")]
    Founded,
    /// There is none, or none that can be read.
    #[error("the cluster has no configuration that can be read")]
    NoConf,
    /// Nodes could not share by it.
    #[error("the configuration would be refused by all nodes: {0}")]
    BadConf(#[from] BadConf),
    /// The number is not above the last one.
    #[error("the new incarnation has to be above {0}")]
    Incarnation(u64),
    /// A reserved port is outside the port space.
    #[error("port {0} is in the port space: its slice has an owner")]
    InSpace(u16),
    /// Nothing is reserved there.
    #[error("{0} port {1} is not reserved")]
    NotReserved(Protocol, u16),
    /// It has to be given up first.
    #[error("{0} port {1} is still node {2}'s: drain that node, or say that it is fenced")]
    Held(Protocol, u16, NodeId),
}

/// Founds a cluster in a directory that has none of its keys. For a directory that lost them use
/// [`recover`]: nodes may still hold what it no longer knows.
pub fn found(view: &View, header: Header, conf: Conf) -> Result<Transaction, Refused> {
    if view
        .known(&Key::Conf)
        .is_some_and(|known| known.entry.is_some())
    {
        return Err(Refused::Founded);
    }
    let conf = Conf {
        format: FORMAT,
        incarnation: FIRST_INCARNATION,
        cluster: header.cluster,
        ..conf
    };
    conf.check()?;
    Ok(Transaction {
        compares: vec![Compare::Absent(Key::Conf)],
        operations: vec![Operation::Put(Key::Conf, Value::Conf(conf), None)],
    })
}

/// Begins a new incarnation after the directory was restored from a copy, or began anew. Agents that
/// stopped because of it go on: what they held is fenced and given up, and nothing is taken before
/// Q is over.
///
/// `incarnation` has to be above any that there ever was, those that the copy does not know
/// included: seconds since 1970 are. `conf` is for a directory that has none.
pub fn recover(
    view: &View,
    header: Header,
    incarnation: u64,
    conf: Option<Conf>,
) -> Result<Transaction, Refused> {
    let entry = view.entry(&Key::Conf);
    let (old, compare) = match (view.conf(), entry) {
        (Some((old, _)), Some(entry)) => (*old, Compare::Revision(Key::Conf, entry.revision)),
        (None, None) => (conf.ok_or(Refused::NoConf)?, Compare::Absent(Key::Conf)),
        _ => return Err(Refused::NoConf),
    };
    let least = old.incarnation.max(FIRST_INCARNATION);
    if incarnation <= least {
        return Err(Refused::Incarnation(least));
    }
    let conf = Conf {
        format: FORMAT,
        incarnation,
        cluster: header.cluster,
        ..old
    };
    conf.check()?;
    Ok(Transaction {
        compares: vec![compare],
        operations: vec![Operation::Put(Key::Conf, Value::Conf(conf), None)],
    })
}

/// Has a node give up all it has: its agent fences the shared addresses and leaves. It takes nothing
/// until [`undrain`], whether it is there now or comes later.
pub fn drain(node: &NodeId) -> Transaction {
    let key = Key::Drain(node.clone());
    Transaction {
        compares: Vec::new(),
        operations: vec![Operation::Put(key, Value::There, None)],
    }
}

/// Lets a node take slices again.
pub fn undrain(node: &NodeId) -> Transaction {
    Transaction {
        compares: Vec::new(),
        operations: vec![Operation::Delete(Key::Drain(node.clone()))],
    }
}

/// The operator's word that a node's machine is off, or cut off from the network for good: its
/// records are free at once. If that is not so, two nodes may send from one port.
///
/// To be executed in their order; where one fails, with a new view.
pub fn fenced(view: &View, node: &NodeId) -> Result<Vec<Transaction>, Refused> {
    view.conf().ok_or(Refused::NoConf)?;
    let key = Key::Node(node.clone());
    let mut transactions = Vec::new();
    if let Some(entry) = view.entry(&key) {
        transactions.push(Transaction {
            compares: vec![Compare::Revision(key.clone(), entry.revision)],
            operations: vec![Operation::Delete(key.clone())],
        });
    }
    let held: Vec<_> = view
        .records()
        .filter(|(_, record, ..)| record.owner().is_some_and(|owner| owner.node == *node))
        .collect();
    for batch in held.chunks(MOST_RECORDS.min(MOST_COMPARISONS - 1)) {
        let mut transaction = Transaction {
            compares: vec![Compare::Absent(key.clone())],
            operations: Vec::new(),
        };
        for (key, record, revision, _) in batch {
            let record = Record {
                tenure: Tenure::Free,
                ..(*record).clone()
            };
            transaction
                .compares
                .push(Compare::Revision((*key).clone(), *revision));
            transaction.operations.push(Operation::Put(
                (*key).clone(),
                Value::Record(record),
                None,
            ));
        }
        transactions.push(transaction);
    }
    Ok(transactions)
}

/// Reserves a port outside the port space for a node, or keeps a reserved one for another node: that
/// one gets it when nobody has it any more. So after [`fenced`] it moves at once, and otherwise when
/// its owner has left, or is dead and Q is over.
pub fn reserve(
    view: &View,
    protocol: Protocol,
    port: u16,
    node: &NodeId,
) -> Result<Transaction, Refused> {
    let (conf, _) = view.conf().ok_or(Refused::NoConf)?;
    if conf.space(protocol).is_some_and(|space| space.has(port)) {
        return Err(Refused::InSpace(port));
    }
    let key = Key::Reserve(protocol, port);
    let (compare, record) = match view.entry(&key) {
        None => {
            // As old as can be: in a later incarnation the first to take it waits.
            let record = Record {
                last: port,
                tenure: Tenure::Free,
                timing: conf.timing,
                incarnation: FIRST_INCARNATION,
                heir: None,
            };
            (Compare::Absent(key.clone()), record)
        }
        Some(entry) => match &entry.value {
            Value::Record(record) => (
                Compare::Revision(key.clone(), entry.revision),
                record.clone(),
            ),
            _ => return Err(Refused::NotReserved(protocol, port)),
        },
    };
    let record = Record {
        heir: Some(node.clone()),
        ..record
    };
    Ok(Transaction {
        compares: vec![compare],
        operations: vec![Operation::Put(key, Value::Record(record), None)],
    })
}

/// Gives a reserved port up that nobody has.
pub fn unreserve(view: &View, protocol: Protocol, port: u16) -> Result<Transaction, Refused> {
    let key = Key::Reserve(protocol, port);
    let entry = view.entry(&key);
    let (record, revision) = match entry.map(|entry| (&entry.value, entry.revision)) {
        Some((Value::Record(record), revision)) => (record, revision),
        _ => return Err(Refused::NotReserved(protocol, port)),
    };
    if let Some(owner) = record.owner() {
        return Err(Refused::Held(protocol, port, owner.node.clone()));
    }
    Ok(Transaction {
        compares: vec![Compare::Revision(key.clone(), revision)],
        operations: vec![Operation::Delete(key)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Entry;
    use crate::names::{Range, Uuid};
    use crate::records::Owner;
    use crate::time::Timing;

    const HEADER: Header = Header {
        cluster: 7,
        revision: 9,
    };

    fn conf() -> Conf {
        Conf {
            format: FORMAT,
            incarnation: FIRST_INCARNATION,
            cluster: 0,
            tcp: Some(Range {
                first: 32768,
                last: 65535,
            }),
            udp: None,
            slice: 2048,
            timing: Timing::default(),
        }
    }

    fn view(entries: Vec<(Key, Value)>) -> View {
        let entry = |value| Entry {
            value,
            revision: 5,
            lease: None,
        };
        let entries = entries.into_iter().map(|(key, value)| (key, entry(value)));
        View::read(HEADER.revision, entries.collect(), 0)
    }

    fn written(transaction: &Transaction) -> &Value {
        match &transaction.operations[..] {
            [Operation::Put(_, value, None)] => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cluster_is_founded_once_and_recovered_with_a_higher_number() {
        let found = found(&view(Vec::new()), HEADER, conf()).unwrap();
        let Value::Conf(founded) = written(&found) else {
            panic!("{found:?}");
        };
        assert_eq!((founded.cluster, founded.incarnation), (7, 1));
        let known = view(vec![(Key::Conf, written(&found).clone())]);
        assert_eq!(super::found(&known, HEADER, conf()), Err(Refused::Founded));
        assert_eq!(
            recover(&known, HEADER, 1, None),
            Err(Refused::Incarnation(1))
        );
        let recovered = recover(&known, HEADER, 1000, None).unwrap();
        assert_eq!(recovered.compares, [Compare::Revision(Key::Conf, 5)]);
        assert_eq!(
            recover(&view(Vec::new()), HEADER, 1000, None),
            Err(Refused::NoConf)
        );
    }

    #[test]
    fn a_reserved_port_moves_after_the_word_that_its_node_is_off() {
        let (one, two) = (NodeId::new("one").unwrap(), NodeId::new("two").unwrap());
        let key = Key::Reserve(Protocol::Tcp, 443);
        let mut entries = vec![(Key::Conf, Value::Conf(conf()))];
        assert_eq!(
            reserve(&view(entries.clone()), Protocol::Tcp, 32768, &one),
            Err(Refused::InSpace(32768))
        );
        let reserved = reserve(&view(entries.clone()), Protocol::Tcp, 443, &one).unwrap();
        let Value::Record(mut record) = written(&reserved).clone() else {
            panic!("{reserved:?}");
        };
        assert_eq!(record.tenure, Tenure::Free);
        record.tenure = Tenure::Own(Owner {
            node: one.clone(),
            machine: Uuid(1),
            boot: Uuid(1),
            epoch: 1,
        });
        entries.push((key, Value::Record(record)));
        let held = view(entries);
        assert_eq!(
            unreserve(&held, Protocol::Tcp, 443),
            Err(Refused::Held(Protocol::Tcp, 443, one.clone()))
        );
        let words = fenced(&held, &one).unwrap();
        let Value::Record(free) = written(&words[0]) else {
            panic!("{words:?}");
        };
        assert_eq!(free.tenure, Tenure::Free);
        let moved = reserve(&held, Protocol::Tcp, 443, &two).unwrap();
        let Value::Record(moved) = written(&moved) else {
            panic!("{moved:?}");
        };
        assert_eq!(moved.heir, Some(two));
    }
}
