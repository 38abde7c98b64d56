// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the registry says to a question.

use super::Node;

/// What there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Full {
    /// 5-tuples.
    Tuples,
    /// 5-tuples of UDP, which have a share of the table.
    Udp,
    /// Local addresses.
    Addresses,
    /// Other nodes.
    Nodes,
}

/// What an answer rests on. Two whole words: one that is put together of bytes and read
/// as a word is a word that the processor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verdict {
    /// Accepted and registered.
    Registered,
    /// Accepted: ours already, one more reference.
    Repeated,
    /// Accepted and not registered: there is no local address.
    Unspecified,
    /// Accepted and not registered: the local address is not shared.
    NotShared,
    /// Refused: that node owns it.
    OwnedBy(Node),
    /// A limit is reached. Whether that refuses is the caller's policy.
    Full(Full),
    /// There is no room now: no memory, or growth that waits for a sweep, or numbers of
    /// addresses that are just being given back. The rest as for `Full`.
    Late,
}
