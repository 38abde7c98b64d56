// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Socket options, and which of them change what a send has to ask.

/// An option that a program may set. Those that change routes or headers make
/// the endpoint forget its most recent destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the names in <netinet/in.h>")]
#[expect(missing_docs, reason = "the names in <netinet/in.h>")]
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
    IP_RECVDSTADDR,
    IP_UNSPEC_SRC,
    IPV6_V6ONLY,
    IPV6_RECVPKTINFO,
}

impl SocketOption {
    /// All of them.
    pub const ALL: [Self; 19] = [
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
        Self::IP_RECVDSTADDR,
        Self::IP_UNSPEC_SRC,
        Self::IPV6_V6ONLY,
        Self::IPV6_RECVPKTINFO,
    ];

    /// Does it change routes or headers?
    pub fn resets(self) -> bool {
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
