// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The keys of etcd, by its JSON gateway.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clinet_slices::names::{Key, Names};
use clinet_slices::records::Value;
use serde_json::{Value as Json, json};

use crate::etcd::Etcd;

/// A key as it is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub key: Key,
    /// What it says.
    pub value: Value,
    /// The revision of its last change.
    pub revision: u64,
    /// The lease that it is under, or 0.
    pub lease: u64,
}

/// Everything of a cluster at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// That revision.
    pub revision: u64,
    /// The keys, in their order.
    pub entries: Vec<Entry>,
}

fn coded(text: &str) -> String {
    STANDARD.encode(text)
}

/// A number, which the gateway writes as a string.
pub fn number(json: &Json) -> u64 {
    let text = json.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| json.as_u64()).unwrap_or(0)
}

fn decoded(json: &Json) -> Option<String> {
    let bytes = STANDARD.decode(json.as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

/// Puts a key that is not there; says whether that was so.
pub fn put_new(etcd: &Etcd, path: &str, text: &str) -> anyhow::Result<bool> {
    let (key, value) = (coded(path), coded(text));
    let answer = etcd.ask(
        "kv/txn",
        &json!({
            "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
            "success": [{"request_put": {"key": key, "value": value}}],
        }),
    )?;
    Ok(answer["succeeded"] == true)
}

/// Puts a key.
pub fn put(etcd: &Etcd, path: &str, text: &str) -> anyhow::Result<()> {
    let request = json!({"key": coded(path), "value": coded(text)});
    etcd.ask("kv/put", &request)?;
    Ok(())
}

/// Ends a lease, and what is under it.
pub fn revoke(etcd: &Etcd, lease: u64) -> anyhow::Result<()> {
    etcd.ask("kv/lease/revoke", &json!({"ID": lease.to_string()}))?;
    Ok(())
}

/// Reads all keys of a cluster from who answers at `url`.
pub fn read(url: &str, names: &Names) -> anyhow::Result<Directory> {
    let prefix = names.prefix();
    // The first path that does not begin so: `/` is followed by `0`.
    let end = format!("{}0", prefix.trim_end_matches('/'));
    let range = json!({"key": coded(&prefix), "range_end": coded(&end)});
    let answer = crate::etcd::ask(url, "kv/range", &range)?;
    let entry = |json: &Json| {
        let key = names.key(&decoded(&json["key"])?)?;
        let text = decoded(&json["value"]).unwrap_or_default();
        Some(Entry {
            value: Value::parse(&key, text.as_bytes()),
            key,
            revision: number(&json["mod_revision"]),
            lease: number(&json["lease"]),
        })
    };
    let entries = answer["kvs"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    Ok(Directory {
        revision: number(&answer["header"]["revision"]),
        entries: entries.iter().filter_map(entry).collect(),
    })
}
