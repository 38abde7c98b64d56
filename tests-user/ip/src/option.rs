// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Socket options by level and number: which protocol has them, what values
//! they take, and which of them make UDP forget the most recent destination.

use std::fmt;

use crate::release::Release;

/// A socket option.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketOption {
    /// `SOL_SOCKET` or the number of a protocol.
    pub level: i64,
    /// Its number on that level.
    pub number: i64,
}

/// What setting an option changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changes {
    /// `COA_ROUTE_CHANGED`: UDP forgets its most recent destination.
    Route,
    /// `COA_HEADER_CHANGED`: UDP forgets it unless it is connected.
    Header,
    Nothing,
}

/// What is given for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// An `int`, of these values.
    Int(i64, i64),
    /// An `int` that TCP compares with what others were set to.
    Tcp,
    /// The length of a buffer.
    Length,
    /// Bits of which some exclude each other.
    Preferences,
    /// The name of something; an `int` is none.
    Name,
    /// It is refused over loopback.
    ZeroCopy,
    /// A byte; an `int` is EINVAL.
    Byte,
    /// The index of an interface, or 0.
    Interface,
    /// A local IPv4 address as an `int` in network order, or 0.
    Address,
    /// A structure; an `int` is EINVAL.
    Structure,
}

const SOL_SOCKET: i64 = 0xffff;
const IPPROTO_IP: i64 = 0;
const IPPROTO_TCP: i64 = 6;
const IPPROTO_UDP: i64 = 17;
const IPPROTO_IPV6: i64 = 41;

const ANY: Argument = Argument::Int(i64::MIN, i64::MAX);

struct Known {
    option: SocketOption,
    name: &'static str,
    tcp: bool,
    udp: bool,
    changes: Changes,
    argument: Argument,
}

/// Does a protocol have an option of `TCP`, of `UDP`, or of `BOTH`?
macro_rules! has {
    (TCP TCP) => {
        true
    };
    (UDP UDP) => {
        true
    };
    ($one:ident BOTH) => {
        true
    };
    ($one:ident $other:ident) => {
        false
    };
}

macro_rules! options {
    ($($name:ident = $level:ident $number:literal, $who:ident, $changes:ident, $argument:expr;)*) => {
        #[expect(missing_docs, reason = "the names in the system headers")]
        impl SocketOption {
            $(pub const $name: Self = Self { level: $level, number: $number };)*

            /// All that the model knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        const KNOWN: &[Known] = &[$(Known {
            option: SocketOption::$name,
            name: stringify!($name),
            tcp: has!(TCP $who),
            udp: has!(UDP $who),
            changes: Changes::$changes,
            argument: $argument,
        }),*];
    };
}

// Facts of <sys/socket.h>, <netinet/in.h>, <netinet/tcp.h> and <netinet/udp.h>
// of 2015, and of how ip treats them. What can only be read is not here.
options! {
    SO_DEBUG = SOL_SOCKET 0x1, BOTH, Nothing, ANY;
    SO_REUSEADDR = SOL_SOCKET 0x4, BOTH, Nothing, ANY;
    SO_KEEPALIVE = SOL_SOCKET 0x8, TCP, Nothing, ANY;
    SO_DONTROUTE = SOL_SOCKET 0x10, BOTH, Route, ANY;
    SO_BROADCAST = SOL_SOCKET 0x20, BOTH, Nothing, ANY;
    SO_USELOOPBACK = SOL_SOCKET 0x40, BOTH, Nothing, ANY;
    SO_LINGER = SOL_SOCKET 0x80, TCP, Nothing, Argument::Structure;
    SO_OOBINLINE = SOL_SOCKET 0x100, TCP, Nothing, ANY;
    SO_DGRAM_ERRIND = SOL_SOCKET 0x200, BOTH, Nothing, ANY;
    SO_RECVUCRED = SOL_SOCKET 0x400, UDP, Nothing, ANY;
    SO_SND_COPYAVOID = SOL_SOCKET 0x800, TCP, Nothing, Argument::ZeroCopy;
    SO_SNDBUF = SOL_SOCKET 0x1001, BOTH, Nothing, Argument::Length;
    SO_RCVBUF = SOL_SOCKET 0x1002, BOTH, Nothing, Argument::Length;
    SO_SNDTIMEO = SOL_SOCKET 0x1005, BOTH, Nothing, Argument::Structure;
    SO_RCVTIMEO = SOL_SOCKET 0x1006, BOTH, Nothing, Argument::Structure;
    SO_ANON_MLP = SOL_SOCKET 0x100a, BOTH, Nothing, ANY;
    SO_MAC_EXEMPT = SOL_SOCKET 0x100b, BOTH, Nothing, ANY;
    SO_TIMESTAMP = SOL_SOCKET 0x1013, UDP, Nothing, ANY;
    SO_ALLZONES = SOL_SOCKET 0x1014, BOTH, Route, ANY;
    SO_EXCLBIND = SOL_SOCKET 0x1015, BOTH, Nothing, ANY;
    SO_MAC_IMPLICIT = SOL_SOCKET 0x1016, BOTH, Nothing, ANY;
    SO_VRRP = SOL_SOCKET 0x1017, UDP, Nothing, ANY;
    // Of 2021 only.
    SO_REUSEPORT = SOL_SOCKET 0x2004, TCP, Nothing, ANY;
    IP_OPTIONS = IPPROTO_IP 0x1, BOTH, Header, ANY;
    IP_TOS = IPPROTO_IP 0x3, BOTH, Header, ANY;
    IP_TTL = IPPROTO_IP 0x4, BOTH, Header, Argument::Int(1, 255);
    IP_RECVOPTS = IPPROTO_IP 0x5, UDP, Nothing, ANY;
    IP_RECVDSTADDR = IPPROTO_IP 0x7, UDP, Nothing, ANY;
    IP_RECVIF = IPPROTO_IP 0x9, UDP, Nothing, ANY;
    IP_RECVSLLA = IPPROTO_IP 0xa, UDP, Nothing, ANY;
    IP_RECVTTL = IPPROTO_IP 0xb, UDP, Nothing, ANY;
    // Of 2021 only.
    IP_RECVTOS = IPPROTO_IP 0xc, BOTH, Nothing, ANY;
    IP_MULTICAST_IF = IPPROTO_IP 0x10, UDP, Route, Argument::Address;
    IP_MULTICAST_TTL = IPPROTO_IP 0x11, UDP, Nothing, Argument::Byte;
    IP_MULTICAST_LOOP = IPPROTO_IP 0x12, UDP, Nothing, Argument::Byte;
    IP_ADD_MEMBERSHIP = IPPROTO_IP 0x13, UDP, Nothing, Argument::Structure;
    IP_DROP_MEMBERSHIP = IPPROTO_IP 0x14, UDP, Nothing, Argument::Structure;
    IP_BLOCK_SOURCE = IPPROTO_IP 0x15, UDP, Nothing, Argument::Structure;
    IP_UNBLOCK_SOURCE = IPPROTO_IP 0x16, UDP, Nothing, Argument::Structure;
    IP_ADD_SOURCE_MEMBERSHIP = IPPROTO_IP 0x17, UDP, Nothing, Argument::Structure;
    IP_DROP_SOURCE_MEMBERSHIP = IPPROTO_IP 0x18, UDP, Nothing, Argument::Structure;
    IP_NEXTHOP = IPPROTO_IP 0x19, BOTH, Route, Argument::Address;
    // Given as an `int` it asks for what comes with a datagram.
    IP_PKTINFO = IPPROTO_IP 0x1a, UDP, Nothing, ANY;
    IP_DONTFRAG = IPPROTO_IP 0x1b, BOTH, Route, ANY;
    IP_SEC_OPT = IPPROTO_IP 0x22, BOTH, Route, Argument::Structure;
    MCAST_JOIN_GROUP = IPPROTO_IP 0x29, UDP, Nothing, Argument::Structure;
    MCAST_LEAVE_GROUP = IPPROTO_IP 0x2a, UDP, Nothing, Argument::Structure;
    MCAST_BLOCK_SOURCE = IPPROTO_IP 0x2b, UDP, Nothing, Argument::Structure;
    MCAST_UNBLOCK_SOURCE = IPPROTO_IP 0x2c, UDP, Nothing, Argument::Structure;
    MCAST_JOIN_SOURCE_GROUP = IPPROTO_IP 0x2d, UDP, Nothing, Argument::Structure;
    MCAST_LEAVE_SOURCE_GROUP = IPPROTO_IP 0x2e, UDP, Nothing, Argument::Structure;
    IP_BOUND_IF = IPPROTO_IP 0x41, BOTH, Route, Argument::Interface;
    IP_UNSPEC_SRC = IPPROTO_IP 0x42, BOTH, Nothing, ANY;
    IP_BROADCAST_TTL = IPPROTO_IP 0x43, UDP, Nothing, Argument::Byte;
    IP_DHCPINIT_IF = IPPROTO_IP 0x45, UDP, Nothing, Argument::Interface;
    TCP_NODELAY = IPPROTO_TCP 0x1, TCP, Nothing, ANY;
    TCP_NOTIFY_THRESHOLD = IPPROTO_TCP 0x10, TCP, Nothing, ANY;
    TCP_ABORT_THRESHOLD = IPPROTO_TCP 0x11, TCP, Nothing, Argument::Tcp;
    TCP_CONN_NOTIFY_THRESHOLD = IPPROTO_TCP 0x12, TCP, Nothing, ANY;
    TCP_CONN_ABORT_THRESHOLD = IPPROTO_TCP 0x13, TCP, Nothing, Argument::Tcp;
    TCP_RECVDSTADDR = IPPROTO_TCP 0x14, TCP, Nothing, ANY;
    // Segments, with the privilege that the kernel has.
    TCP_INIT_CWND = IPPROTO_TCP 0x15, TCP, Nothing, Argument::Int(0, 16);
    TCP_KEEPALIVE_THRESHOLD = IPPROTO_TCP 0x16, TCP, Nothing, Argument::Tcp;
    TCP_KEEPALIVE_ABORT_THRESHOLD = IPPROTO_TCP 0x17, TCP, Nothing, Argument::Tcp;
    TCP_CORK = IPPROTO_TCP 0x18, TCP, Nothing, ANY;
    TCP_RTO_INITIAL = IPPROTO_TCP 0x19, TCP, Nothing, Argument::Tcp;
    TCP_RTO_MIN = IPPROTO_TCP 0x1a, TCP, Nothing, Argument::Tcp;
    TCP_RTO_MAX = IPPROTO_TCP 0x1b, TCP, Nothing, Argument::Tcp;
    // Seconds, and not more than the tunable that it is instead of.
    TCP_LINGER2 = IPPROTO_TCP 0x1c, TCP, Nothing, Argument::Int(0, 60);
    TCP_ANONPRIVBIND = IPPROTO_TCP 0x20, TCP, Nothing, ANY;
    TCP_EXCLBIND = IPPROTO_TCP 0x21, TCP, Nothing, ANY;
    TCP_KEEPIDLE = IPPROTO_TCP 0x22, TCP, Nothing, Argument::Tcp;
    TCP_KEEPCNT = IPPROTO_TCP 0x23, TCP, Nothing, Argument::Tcp;
    TCP_KEEPINTVL = IPPROTO_TCP 0x24, TCP, Nothing, Argument::Tcp;
    // Of 2021 only.
    TCP_CONGESTION = IPPROTO_TCP 0x25, TCP, Nothing, Argument::Name;
    UDP_ANONPRIVBIND = IPPROTO_UDP 0x100, UDP, Nothing, ANY;
    UDP_EXCLBIND = IPPROTO_UDP 0x101, UDP, Nothing, ANY;
    UDP_RCVHDR = IPPROTO_UDP 0x102, UDP, Nothing, ANY;
    UDP_NAT_T_ENDPOINT = IPPROTO_UDP 0x103, UDP, Header, ANY;
    // These two of 2021 only.
    UDP_SRCPORT_HASH = IPPROTO_UDP 0x104, UDP, Nothing, Argument::Int(0, 1);
    UDP_SND_TO_CONNECTED = IPPROTO_UDP 0x105, UDP, Nothing, ANY;
    IPV6_UNICAST_HOPS = IPPROTO_IPV6 0x5, BOTH, Header, Argument::Int(-1, 255);
    IPV6_MULTICAST_IF = IPPROTO_IPV6 0x6, UDP, Route, Argument::Interface;
    IPV6_MULTICAST_HOPS = IPPROTO_IPV6 0x7, UDP, Nothing, Argument::Int(-1, 255);
    IPV6_MULTICAST_LOOP = IPPROTO_IPV6 0x8, UDP, Nothing, Argument::Int(0, 1);
    IPV6_JOIN_GROUP = IPPROTO_IPV6 0x9, UDP, Nothing, Argument::Structure;
    IPV6_LEAVE_GROUP = IPPROTO_IPV6 0xa, UDP, Nothing, Argument::Structure;
    IPV6_PKTINFO = IPPROTO_IPV6 0xb, BOTH, Route, Argument::Structure;
    IPV6_HOPLIMIT = IPPROTO_IPV6 0xc, UDP, Header, Argument::Structure;
    IPV6_NEXTHOP = IPPROTO_IPV6 0xd, BOTH, Route, Argument::Structure;
    IPV6_HOPOPTS = IPPROTO_IPV6 0xe, BOTH, Header, Argument::Structure;
    IPV6_DSTOPTS = IPPROTO_IPV6 0xf, BOTH, Header, Argument::Structure;
    IPV6_RTHDR = IPPROTO_IPV6 0x10, BOTH, Header, Argument::Structure;
    IPV6_RTHDRDSTOPTS = IPPROTO_IPV6 0x11, BOTH, Header, Argument::Structure;
    IPV6_RECVPKTINFO = IPPROTO_IPV6 0x12, BOTH, Nothing, ANY;
    IPV6_RECVHOPLIMIT = IPPROTO_IPV6 0x13, BOTH, Nothing, ANY;
    IPV6_RECVHOPOPTS = IPPROTO_IPV6 0x14, BOTH, Nothing, ANY;
    _OLD_IPV6_RECVDSTOPTS = IPPROTO_IPV6 0x15, BOTH, Nothing, ANY;
    IPV6_RECVRTHDR = IPPROTO_IPV6 0x16, BOTH, Nothing, ANY;
    IPV6_RECVRTHDRDSTOPTS = IPPROTO_IPV6 0x17, BOTH, Nothing, ANY;
    IPV6_RECVTCLASS = IPPROTO_IPV6 0x19, BOTH, Nothing, ANY;
    IPV6_USE_MIN_MTU = IPPROTO_IPV6 0x20, BOTH, Route, Argument::Int(-1, 1);
    IPV6_DONTFRAG = IPPROTO_IPV6 0x21, BOTH, Route, ANY;
    IPV6_SEC_OPT = IPPROTO_IPV6 0x22, BOTH, Route, Argument::Structure;
    IPV6_SRC_PREFERENCES = IPPROTO_IPV6 0x23, BOTH, Nothing, Argument::Preferences;
    IPV6_RECVPATHMTU = IPPROTO_IPV6 0x24, UDP, Nothing, ANY;
    IPV6_PATHMTU = IPPROTO_IPV6 0x25, BOTH, Nothing, Argument::Structure;
    IPV6_TCLASS = IPPROTO_IPV6 0x26, BOTH, Header, Argument::Int(-1, 255);
    IPV6_V6ONLY = IPPROTO_IPV6 0x27, BOTH, Nothing, Argument::Int(0, 1);
    IPV6_RECVDSTOPTS = IPPROTO_IPV6 0x28, BOTH, Nothing, ANY;
    IPV6_BOUND_IF = IPPROTO_IPV6 0x41, BOTH, Route, Argument::Interface;
    IPV6_UNSPEC_SRC = IPPROTO_IPV6 0x42, BOTH, Nothing, ANY;
}

impl SocketOption {
    fn known(self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.option == self)
    }

    /// The option of that name.
    pub fn named(name: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.name == name)?;
        Some(known.option)
    }

    /// Its name, if the model knows it.
    pub fn name(self) -> Option<&'static str> {
        Some(self.known()?.name)
    }

    /// Does a socket of TCP, or else of UDP, have it in that kernel?
    pub(crate) fn is_of(self, tcp: bool, release: Release) -> bool {
        let is_there = !self.is_later() || release.has_later_options();
        let has = |known: &Known| if tcp { known.tcp } else { known.udp };
        is_there && self.known().is_some_and(has)
    }

    /// Did it come after 2015?
    fn is_later(self) -> bool {
        matches!(
            self,
            Self::SO_REUSEPORT
                | Self::IP_RECVTOS
                | Self::TCP_CONGESTION
                | Self::UDP_SRCPORT_HASH
                | Self::UDP_SND_TO_CONNECTED
        )
    }

    /// What is given for it.
    pub(crate) fn argument(self) -> Argument {
        self.known().map_or(ANY, |known| known.argument)
    }

    /// Is it one for IPv4 alone?
    pub(crate) fn is_ipv4(self) -> bool {
        self.level == IPPROTO_IP
    }

    /// Is it one for IPv4 that a socket of IPv6 may have too?
    pub(crate) fn is_ipv4_for_ipv6(self) -> bool {
        matches!(self, Self::IP_TOS | Self::IP_TTL | Self::IP_DONTFRAG)
    }

    /// Is it one for IPv6 alone?
    pub(crate) fn is_ipv6(self) -> bool {
        self.level == IPPROTO_IPV6
    }

    fn changes(self) -> Changes {
        self.known().map_or(Changes::Nothing, |known| known.changes)
    }

    /// Does setting it make an endpoint of UDP forget its most recent
    /// destination? A connected one forgets it only if routes change.
    pub fn forgets_destination(self, is_connected: bool) -> bool {
        match self.changes() {
            Changes::Route => true,
            Changes::Header => !is_connected,
            Changes::Nothing => false,
        }
    }
}

impl fmt::Debug for SocketOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "option {} of level {}", self.number, self.level),
        }
    }
}
