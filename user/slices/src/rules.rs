// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The steps of the protocol: when each may be made, and its transaction.
//!
//! A transaction of a member compares two things first (`Standing::compares`): `conf` is what it
//! goes by, so that nobody acts in an incarnation that is over; and its node key is under its own
//! lease, so that nothing of an earlier session is done late. Then come the records, each at the
//! revision that the decision rests on.

use crate::directory::{Compare, MOST_COMPARISONS, Operation, Transaction, View};
use crate::names::{Identity, Key, Name};
use crate::records::{Conf, FIRST_INCARNATION, LeaseId, Node, Owner, Record, Tenure, Value};
use crate::time::Timing;

/// So many records fit into one transaction of a member.
pub const MOST_RECORDS: usize = MOST_COMPARISONS - 2;

/// How long to wait for a grant that was made by this timing: [`Timing::quarantine`].
pub type Wait = fn(&Timing) -> u64;

/// Whether a step may be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It may, by this transaction.
    Now(Transaction),
    /// Not before the agent's own clock says this.
    At(u64),
    /// Not as things are.
    No,
}

/// What a member of the cluster acts by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing<'a> {
    /// Who it is.
    pub identity: &'a Identity,
    /// The lease that its node key is under.
    pub lease: LeaseId,
    /// What the cluster goes by.
    pub conf: &'a Conf,
    /// The revision of `conf`.
    pub revision: u64,
    /// Since when this incarnation is known, by the agent's own clock.
    pub since: u64,
}

/// A record as a member knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen<'a> {
    /// Its key.
    pub key: &'a Key,
    /// What it says.
    pub record: &'a Record,
    /// Its revision.
    pub revision: u64,
    /// Since when it is known to be so, by the agent's own clock.
    pub since: u64,
}

impl Standing<'_> {
    fn compares(&self) -> Vec<Compare> {
        vec![
            Compare::Revision(Key::Conf, self.revision),
            Compare::Lease(Key::Node(self.identity.node.clone()), self.lease),
        ]
    }

    fn owner(&self) -> Owner {
        Owner {
            node: self.identity.node.clone(),
            machine: self.identity.machine,
            boot: self.identity.boot,
            epoch: self.lease,
        }
    }

    fn own(&self, last: u16, heir: Option<Name>) -> Record {
        Record {
            last,
            tenure: Tenure::Own(self.owner()),
            timing: self.conf.timing,
            incarnation: self.conf.incarnation,
            heir,
        }
    }
}

/// **Join**: the node's key is absent, or it is this very machine's and boot's; it is put under the
/// new lease. From then on nothing of an earlier session of this node can be done any more.
///
/// A key of another machine or boot is waited for: it goes when its lease ends (I7).
pub fn join(
    view: &View,
    identity: &Identity,
    lease: LeaseId,
    pool: &Name,
    version: &Name,
) -> Verdict {
    let key = Key::Node(identity.node.clone());
    let free = match view.entry(&key) {
        None => Compare::Absent(key.clone()),
        Some(entry) => match &entry.value {
            Value::Node(node) if (node.machine, node.boot) == (identity.machine, identity.boot) => {
                Compare::Revision(key.clone(), entry.revision)
            }
            _ => return Verdict::No,
        },
    };
    let node = Node {
        machine: identity.machine,
        boot: identity.boot,
        pool: pool.clone(),
        version: version.clone(),
    };
    Verdict::Now(Transaction {
        compares: vec![free],
        operations: vec![Operation::Put(key, Value::Node(node), Some(lease))],
    })
}

/// **Take** a slice that has no record.
///
/// In the first incarnation no record means that nobody has it. In a later one the directory may
/// have forgotten who has: whoever that is holds it for less than Q from when this incarnation was
/// first seen. So it is where a record was seen that has gone since (`gone`, by the own clock): its
/// owner left, or somebody meddled with the directory.
pub fn take(
    standing: &Standing,
    key: &Key,
    last: u16,
    gone: Option<u64>,
    own: u64,
    q: Wait,
) -> Verdict {
    let later = standing.conf.incarnation != FIRST_INCARNATION;
    let begin = gone.max(later.then_some(standing.since));
    let ready = begin.map_or(0, |begin| begin.saturating_add(q(&standing.conf.timing)));
    if own < ready {
        return Verdict::At(ready);
    }
    let mut compares = standing.compares();
    compares.push(Compare::Absent(key.clone()));
    let record = Value::Record(standing.own(last, None));
    Verdict::Now(Transaction {
        compares,
        operations: vec![Operation::Put(key.clone(), record, None)],
    })
}

/// **Take over** a record that is in quarantine, or free.
///
/// The quarantine was written when the owner's session had ended, so that its last renewal was
/// before it; this node saw it later still, and since then waited for Q of the record's own T, F and
/// L (`q` answers it). Free is what nobody may use, unless that was said in an earlier incarnation:
/// then it waits as [`take`] does.
pub fn take_over(standing: &Standing, seen: &Seen, own: u64, q: Wait) -> Verdict {
    let begin = match &seen.record.tenure {
        Tenure::Own(_) => return Verdict::No,
        Tenure::Quarantine(_) => Some(seen.since),
        Tenure::Free if seen.record.incarnation == standing.conf.incarnation => None,
        Tenure::Free => Some(standing.since),
    };
    let ready = begin.map_or(0, |begin| begin.saturating_add(q(&seen.record.timing)));
    if own < ready {
        return Verdict::At(ready);
    }
    let mut compares = standing.compares();
    compares.push(Compare::Revision(seen.key.clone(), seen.revision));
    let record = standing.own(seen.record.last, seen.record.heir.clone());
    Verdict::Now(Transaction {
        compares,
        operations: vec![Operation::Put(
            seen.key.clone(),
            Value::Record(record),
            None,
        )],
    })
}

/// **Renew**: nothing is written. At the moment of the answer this node had its key under its lease,
/// and the records were at the revisions that it knows: so nobody else could have begun to wait.
/// The deadline is the module's clock as it was read before sending, and T of the record (I3).
pub fn renew(standing: &Standing, records: &[Seen]) -> Transaction {
    let mut compares = standing.compares();
    compares.extend(records.iter().map(at_revision));
    Transaction {
        compares,
        operations: Vec::new(),
    }
}

/// **Retake**: records of this machine and boot get the epoch of the new lease, at once. In
/// quarantine or not, they did not change hands: the module kept what it was granted.
pub fn retake(standing: &Standing, records: &[Seen]) -> Transaction {
    let mut transaction = renew(standing, records);
    transaction.operations = records
        .iter()
        .map(|seen| {
            let record = standing.own(seen.record.last, seen.record.heir.clone());
            Operation::Put(seen.key.clone(), Value::Record(record), None)
        })
        .collect();
    transaction
}

/// [`retake`] may be done with this record. One of an earlier incarnation may not: what the
/// directory says of it may have been true before, and no more.
pub fn may_retake(standing: &Standing, record: &Record) -> bool {
    record.is_of(standing.identity) && record.incarnation == standing.conf.incarnation
}

/// **Quarantine**: the owner's session has ended (its node key is absent, or it is another machine's
/// or boot's by now), and the record is as it was. Who was not heard of cannot renew any more; from
/// this revision on everybody may wait.
pub fn quarantine(standing: &Standing, view: &View, seen: &Seen) -> Verdict {
    let Tenure::Own(owner) = &seen.record.tenure else {
        return Verdict::No;
    };
    let key = Key::Node(owner.node.clone());
    let gone = match view.entry(&key) {
        None => Compare::Absent(key),
        Some(entry) => match &entry.value {
            Value::Node(node) if (node.machine, node.boot) != (owner.machine, owner.boot) => {
                Compare::Revision(key, entry.revision)
            }
            _ => return Verdict::No,
        },
    };
    let mut compares = standing.compares();
    compares.push(gone);
    compares.push(at_revision(seen));
    let record = Record {
        tenure: Tenure::Quarantine(owner.clone()),
        ..seen.record.clone()
    };
    Verdict::Now(Transaction {
        compares,
        operations: vec![Operation::Put(
            seen.key.clone(),
            Value::Record(record),
            None,
        )],
    })
}

/// **Leave**: the records go. To be sent only when the shared addresses are fenced, the module has no
/// grant, and the last packet has arrived; or for records that it never was granted. A reserved port
/// stays reserved.
pub fn leave(standing: &Standing, records: &[Seen]) -> Transaction {
    let mut transaction = renew(standing, records);
    transaction.operations = records
        .iter()
        .map(|seen| match &seen.record.heir {
            None => Operation::Delete(seen.key.clone()),
            Some(_) => {
                let record = Record {
                    tenure: Tenure::Free,
                    ..seen.record.clone()
                };
                Operation::Put(seen.key.clone(), Value::Record(record), None)
            }
        })
        .collect();
    transaction
}

fn at_revision(seen: &Seen) -> Compare {
    Compare::Revision(seen.key.clone(), seen.revision)
}
