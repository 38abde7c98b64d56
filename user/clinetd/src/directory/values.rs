// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Values of `clinet-slices` as etcd has them, and back.

use clinet_slices::directory::{Compare, Entry, Header, Operation, Transaction};
use clinet_slices::names::{Key, Names};
use clinet_slices::records::Value;
use etcd_client::{
    Compare as EtcdCompare, CompareOp, KeyValue, PutOptions, ResponseHeader, Txn, TxnOp,
    TxnOpResponse, TxnResponse,
};

use super::CallError;

/// Revisions are positive numbers of 63 bits.
fn revision(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn number(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// What an answer begins with.
pub(super) fn header(header: Option<&ResponseHeader>) -> Result<Header, CallError> {
    let header = header.ok_or_else(|| CallError::Unknown("an answer without a header".into()))?;
    Ok(Header {
        cluster: header.cluster_id(),
        revision: revision(header.revision()),
    })
}

/// A key with its value; nothing for what is no key of ours.
pub(super) fn entry(names: &Names, pair: &KeyValue) -> Option<(Key, Entry)> {
    let key = names.key(pair.key_str().ok()?)?;
    let entry = Entry {
        value: Value::parse(&key, pair.value()),
        revision: revision(pair.mod_revision()),
        lease: (pair.lease() != 0).then(|| pair.lease()),
    };
    Some((key, entry))
}

/// A transaction that answers where a comparison fails with what all compared keys have.
///
/// Without any read etcd takes a transaction that writes nothing for one that may be answered from
/// what a member happens to know, so that a member cut off from the others would renew for ever. A
/// get makes it linearizable; where nothing is compared, one is added.
pub(super) fn transaction(names: &Names, transaction: &Transaction) -> Txn {
    let compares: Vec<EtcdCompare> = transaction
        .compares
        .iter()
        .map(|compare| match compare {
            Compare::Absent(key) => {
                EtcdCompare::create_revision(names.path(key), CompareOp::Equal, 0)
            }
            Compare::Revision(key, at) => {
                EtcdCompare::mod_revision(names.path(key), CompareOp::Equal, number(*at))
            }
            Compare::Lease(key, lease) => {
                EtcdCompare::lease(names.path(key), CompareOp::Equal, *lease)
            }
        })
        .collect();
    let mut operations: Vec<TxnOp> = transaction
        .operations
        .iter()
        .map(|operation| match operation {
            Operation::Put(key, value, lease) => {
                let options = lease.map(|lease| PutOptions::new().with_lease(lease));
                TxnOp::put(names.path(key), value.text(), options)
            }
            Operation::Delete(key) => TxnOp::delete(names.path(key), None),
        })
        .collect();
    let reads = transaction.reads();
    let reads: Vec<TxnOp> = reads
        .into_iter()
        .map(|key| TxnOp::get(names.path(key), None))
        .collect();
    if operations.is_empty() && reads.is_empty() {
        operations.push(TxnOp::get(names.path(&Key::Conf), None));
    }
    Txn::new()
        .when(compares)
        .and_then(operations)
        .or_else(reads)
}

/// What the compared keys of a transaction have that failed.
pub(super) fn found(
    names: &Names,
    transaction: &Transaction,
    answer: &TxnResponse,
) -> Vec<(Key, Option<Entry>)> {
    let answers = answer.op_responses();
    let reads = transaction.reads().into_iter().zip(answers);
    let found = reads.filter_map(|(key, answer)| match answer {
        TxnOpResponse::Get(got) => {
            let pair = got.kvs().first();
            let entry = pair.and_then(|pair| entry(names, pair));
            Some((key.clone(), entry.map(|(_, entry)| entry)))
        }
        _ => None,
    });
    found.collect()
}
