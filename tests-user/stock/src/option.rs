// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Socket options, and which of them make UDP forget the most recent
//! destination.

/// A socket option that the model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the names in the system headers")]
#[expect(missing_docs, reason = "the names in the system headers")]
pub enum SocketOption {
    IP_TTL,
    IP_TOS,
    IP_OPTIONS,
    IP_DONTFRAG,
    SO_DONTROUTE,
    IP_NEXTHOP,
    IP_BOUND_IF,
    IPV6_UNICAST_HOPS,
    IPV6_TCLASS,
    IPV6_USE_MIN_MTU,
    IPV6_BOUND_IF,
    SO_BROADCAST,
    SO_SNDBUF,
    SO_RCVBUF,
    SO_REUSEADDR,
    SO_LINGER,
    IP_RECVDSTADDR,
    IP_UNSPEC_SRC,
    IPV6_V6ONLY,
    IPV6_RECVPKTINFO,
    TCP_CONN_ABORT_THRESHOLD,
}

impl SocketOption {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::IP_TTL,
        Self::IP_TOS,
        Self::IP_OPTIONS,
        Self::IP_DONTFRAG,
        Self::SO_DONTROUTE,
        Self::IP_NEXTHOP,
        Self::IP_BOUND_IF,
        Self::IPV6_UNICAST_HOPS,
        Self::IPV6_TCLASS,
        Self::IPV6_USE_MIN_MTU,
        Self::IPV6_BOUND_IF,
        Self::SO_BROADCAST,
        Self::SO_SNDBUF,
        Self::SO_RCVBUF,
        Self::SO_REUSEADDR,
        Self::SO_LINGER,
        Self::IP_RECVDSTADDR,
        Self::IP_UNSPEC_SRC,
        Self::IPV6_V6ONLY,
        Self::IPV6_RECVPKTINFO,
        Self::TCP_CONN_ABORT_THRESHOLD,
    ];

    /// The option of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|option| format!("{option:?}") == name)
    }

    /// Is the value one that the option may have?
    pub fn accepts(self, value: i64) -> bool {
        match self {
            Self::IP_TTL | Self::IP_TOS => (0..=255).contains(&value),
            Self::IPV6_UNICAST_HOPS | Self::IPV6_TCLASS => (-1..=255).contains(&value),
            _ => true,
        }
    }

    /// Does it change routes or headers?
    pub fn forgets_destination(self) -> bool {
        matches!(
            self,
            Self::IP_TTL
                | Self::IP_TOS
                | Self::IP_OPTIONS
                | Self::IP_DONTFRAG
                | Self::SO_DONTROUTE
                | Self::IP_NEXTHOP
                | Self::IP_BOUND_IF
                | Self::IPV6_UNICAST_HOPS
                | Self::IPV6_TCLASS
                | Self::IPV6_USE_MIN_MTU
                | Self::IPV6_BOUND_IF
        )
    }
}
