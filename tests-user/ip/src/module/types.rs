// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The structures that the module shares with its callers: twins of those in
//! `include/clinet.h`.

use std::net::{Ipv6Addr, SocketAddr};

use serde::Serialize;

use crate::address::FiveTuple;

/// `clinet_tcp_t`: one lives in each TCP connection. All zeros is a connection
/// that never asked; the members are the module's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ClinetTcp {
    pub(crate) ct_state: u32,
    pub(crate) ct_family: u16,
    pub(crate) ct_lport: u16,
    pub(crate) ct_fport: u16,
    pub(crate) ct_pad: u16,
    pub(crate) ct_laddr: [u8; 16],
    pub(crate) ct_faddr: [u8; 16],
}

impl ClinetTcp {
    /// Is an accepted question open?
    pub fn is_open(&self) -> bool {
        self.ct_state != 0
    }

    /// The 5-tuple of the open question.
    pub(crate) fn tuple(&self) -> Option<FiveTuple> {
        let end = |addr: [u8; 16], port: u16| {
            SocketAddr::new(Ipv6Addr::from(addr).into(), u16::from_be(port))
        };
        let local = end(self.ct_laddr, self.ct_lport);
        let foreign = end(self.ct_faddr, self.ct_fport);
        self.is_open().then(|| FiveTuple::tcp(local, foreign))
    }
}

/// `clinet_udp_t`: the most recent destination of a UDP endpoint, in the layout
/// that it has in a `udp_t`. All zeros is "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct ClinetUdp {
    /// IPv4 as `::ffff:a.b.c.d`.
    pub udp_cl_v6lastdst: [u8; 16],
    /// Network byte order.
    pub udp_cl_lastdstport: u16,
}

impl ClinetUdp {
    /// Is there no most recent destination?
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// `clinet_udp_ask_t`: a UDP question under way. The members are the module's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ClinetUdpAsk {
    pub(crate) cua_dst: ClinetUdp,
    pub(crate) cua_family: u16,
    pub(crate) cua_pad: u16,
    pub(crate) cua_seen: ClinetUdp,
    pub(crate) cua_generation: u32,
}

const _: () = {
    assert!(size_of::<ClinetTcp>() == 44);
    assert!(size_of::<ClinetUdp>() == 20);
    assert!(size_of::<ClinetUdpAsk>() == 48);
    assert!(size_of::<Stats>() == 87 * 8);
};

macro_rules! flow_stats {
    (
        $(#[$struct_doc:meta])* $struct:ident;
        $($(#[$doc:meta])* $name:ident,)*
    ) => {
        $(#[$struct_doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[repr(C)]
        pub struct $struct {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl $struct {
            fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.wrapping_sub(earlier.$name),)* }
            }
        }
    };
}

flow_stats! {
    /// `clinet_flow_stats_t`: what the built-in provider answered.
    FlowStats;
    /// Questions.
    asked,
    /// New 5-tuples.
    registered,
    /// This node's already.
    repeated,
    /// Another node's.
    owned,
    /// No room: the limit was reached.
    full,
    /// No room: there was no memory.
    late,
    /// There is no local address.
    no_address,
    /// The local address is not shared.
    not_shared,
    /// Let through in spite of the decision: the mode is to observe.
    observed,
    /// No room: UDP's share was reached.
    udp_full,
    /// No room: there were too many local addresses.
    addresses_full,
}

flow_stats! {
    /// `clinet_flow_grants_t`: what a port space made of the questions.
    FlowGrants;
    /// Granted, and the deadline had passed.
    lapsed,
    /// In the port space, and not granted.
    not_granted,
    /// Outside the port space, and not reserved.
    explicit,
    /// In another stack than the global one.
    other_stack,
    /// As `explicit`, but let through by a policy.
    explicit_admitted,
    /// As `other_stack`, but let through by a policy.
    other_stack_admitted,
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*; $($(#[$last_doc:meta])* $last:ident,)*) => {
        /// `clinet_stats_t`: the counters of one module since it was loaded,
        /// without the prefix that they have in C.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[repr(C)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Of the built-in provider: outgoing TCP connections.
            pub tcp_out: FlowStats,
            /// As `tcp_out`, of incoming ones.
            pub tcp_in: FlowStats,
            /// As `tcp_out`, of UDP destinations.
            pub udp: FlowStats,
            $($(#[$last_doc])* pub $last: u64,)*
            /// With a port space: outgoing TCP connections.
            pub tcp_out_grants: FlowGrants,
            /// As `tcp_out_grants`, of incoming ones.
            pub tcp_in_grants: FlowGrants,
            /// As `tcp_out_grants`, of UDP destinations.
            pub udp_grants: FlowGrants,
        }

        impl Stats {
            /// The counters of the module as a whole, in the order of the header.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [
                    $((stringify!($name), self.$name),)*
                    $((stringify!($last), self.$last),)*
                ]
                .into_iter()
            }

            /// What happened since `earlier`; the two gauges stay as they are.
            #[must_use]
            pub fn since(&self, earlier: &Self) -> Self {
                Self {
                    tuples: self.tuples,
                    capacity: self.capacity,
                    ..Self {
                        $($name: self.$name.wrapping_sub(earlier.$name),)*
                        $($last: self.$last.wrapping_sub(earlier.$last),)*
                        tcp_out: self.tcp_out.since(&earlier.tcp_out),
                        tcp_in: self.tcp_in.since(&earlier.tcp_in),
                        udp: self.udp.since(&earlier.udp),
                        tcp_out_grants: self.tcp_out_grants.since(&earlier.tcp_out_grants),
                        tcp_in_grants: self.tcp_in_grants.since(&earlier.tcp_in_grants),
                        udp_grants: self.udp_grants.since(&earlier.udp_grants),
                    }
                }
            }
        }
    };
}

stats! {
    /// Outgoing TCP connections that the provider was asked about.
    tcp_out_asked,
    /// Incoming TCP connections that the provider was asked about.
    tcp_in_asked,
    /// UDP destinations that the provider was asked about.
    udp_asked,
    /// Outgoing TCP connections that it refused.
    tcp_out_refused,
    /// Incoming TCP connections that it refused.
    tcp_in_refused,
    /// UDP destinations that it refused.
    udp_refused,
    /// Accepted, since there was no provider.
    no_provider,
    /// TCP with an unspecified local address: accepted without a question.
    no_laddr,
    /// Neither TCP nor UDP: accepted without a question.
    other_protocol,
    /// Calls with a NULL pointer or an unknown address family.
    bad_argument,
    /// Negative answers and EINPROGRESS, which became EADDRNOTAVAIL.
    bad_answer,
    /// Endings that the provider was told of.
    ended,
    /// Accepted UDP questions whose endpoint had gone on meanwhile.
    udp_overtaken,
    /// New 5-tuples of this node.
    registered,
    /// Questions about 5-tuples that were this node's already.
    repeated,
    /// Questions about 5-tuples of other nodes: refused.
    owned_elsewhere,
    /// Let through though there was no room.
    full_admitted,
    /// Refused since there was no room.
    full_refused,
    /// 5-tuples whose last reference was dropped.
    removed,
    /// Endings of what was not registered.
    unknown,
    /// UDP questions with an unspecified local address.
    unspecified,
    /// Installations of what another node holds.
    conflicts,
    /// Entries in use, now.
    tuples,
    /// Entries at most.
    capacity,
    /// UDP binds that found no room to be counted.
    binds_uncounted,
    /// Calls with an unknown address family.
    other_family,
    /// UDP entries that were too old.
    aged,
    /// Entries swept after their endpoint or owner was gone.
    dropped,
    /// Purges of a node.
    purged,
    /// 5-tuples that an audit found in the stack only.
    audit_added,
    /// Entries that audits did not find in the stack.
    audit_removed,
    /// 5-tuples of the stack that another node owns.
    audit_conflicts,
    /// Entries of this node that an attach or a detach forgot.
    cleared,
    ;
    /// Installations that found too many local addresses.
    addresses_full,
    /// Installations that found too many nodes.
    nodes_full,
    /// Installations that found no memory.
    install_late,
}
