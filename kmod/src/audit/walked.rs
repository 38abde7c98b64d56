// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What `cl_tcp_walk_list` tells of one connection, and whether it is to be
//! believed: ip reads the fields one by one while the connection changes.

#![forbid(unsafe_code)]

use crate::flow::{Addr, FiveTuple, Protocol, SockAddr};
use crate::kernel::sys;

/// One connection of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkedConnection {
    /// Both ends are known. It was asked about when it began, or had to be.
    Connection {
        /// Its 5-tuple.
        tuple: FiveTuple,
        /// Is it one that ip would have asked about by now, and not one that
        /// waits for nobody to tell its end? Then the registry has to have it.
        settled: bool,
    },
    /// A listener, a bound or an idle socket, a refused connect().
    Idle,
    /// It makes no sense: it was changing, or is of an unknown version.
    Torn,
}

/// Makes sense of it. `time_wait`: ip tells the end of TIME_WAIT.
pub fn read(info: &sys::clinet_tcp_info_t, time_wait: bool) -> WalkedConnection {
    if u32::from(info.cti_version) != sys::CLINET_TCPI_VERSION {
        return WalkedConnection::Torn;
    }
    let began = info.cti_state >= sys::CLINET_TCPS_SYN_RCVD;
    let (Some(local), Some(foreign)) = (
        end(info.cti_ipversion, info.cti_laddr, info.cti_lport),
        end(info.cti_ipversion, info.cti_faddr, info.cti_fport),
    ) else {
        return if began {
            WalkedConnection::Torn
        } else {
            WalkedConnection::Idle
        };
    };
    let tuple = FiveTuple {
        protocol: Protocol::Tcp,
        local,
        foreign,
    };
    let ended = info.cti_state >= sys::CLINET_TCPS_TIME_WAIT as i32;
    WalkedConnection::Connection {
        tuple,
        settled: began && (time_wait || !ended),
    }
}

/// One end, if address and port are set and the address is of the version.
fn end(version: u16, addr: [u8; 16], port: sys::in_port_t) -> Option<SockAddr> {
    let addr = match version {
        4 => Addr::from_v6_form(crate::flow::Family::V4, addr)?,
        6 => Addr::v6(addr),
        _ => return None,
    };
    (!addr.is_unspecified() && port != 0).then_some(SockAddr { addr, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESTABLISHED: i32 = 0;
    const SYN_SENT: i32 = -2;
    const TIME_WAIT: i32 = 6;

    fn mapped(octets: [u8; 4]) -> [u8; 16] {
        Addr::v4(octets).v6_form()
    }

    fn info(state: i32) -> sys::clinet_tcp_info_t {
        sys::clinet_tcp_info_t {
            cti_version: 1,
            cti_ipversion: 4,
            cti_state: state,
            cti_lport: 80,
            cti_fport: 1024,
            cti_laddr: mapped([192, 0, 2, 10]),
            cti_faddr: mapped([198, 51, 100, 7]),
        }
    }

    fn settled(info: &sys::clinet_tcp_info_t, time_wait: bool) -> Option<bool> {
        match read(info, time_wait) {
            WalkedConnection::Connection { settled, .. } => Some(settled),
            _ => None,
        }
    }

    #[test]
    fn a_connection_is_settled_from_syn_rcvd_to_time_wait() {
        for state in -6..=SYN_SENT {
            assert_eq!(settled(&info(state), true), Some(false), "{state}");
        }
        for state in -1..TIME_WAIT {
            assert_eq!(settled(&info(state), false), Some(true), "{state}");
        }
        assert_eq!(settled(&info(TIME_WAIT), true), Some(true));
        assert_eq!(settled(&info(TIME_WAIT), false), Some(false));
    }

    #[test]
    fn the_five_tuple_is_in_the_family_of_the_connection() {
        let WalkedConnection::Connection { tuple, .. } = read(&info(ESTABLISHED), true) else {
            panic!("it is one");
        };
        assert_eq!(tuple.local.addr, Addr::v4([192, 0, 2, 10]));
        assert_eq!((tuple.local.port, tuple.foreign.port), (80, 1024));
        let mut six = info(ESTABLISHED);
        six.cti_ipversion = 6;
        six.cti_laddr = [0xfd; 16];
        six.cti_faddr = [0xfe; 16];
        let WalkedConnection::Connection { tuple, .. } = read(&six, true) else {
            panic!("it is one");
        };
        assert_eq!(tuple.foreign.addr, Addr::v6([0xfe; 16]));
    }

    /// A way in which one may be incomplete.
    type Change = fn(&mut sys::clinet_tcp_info_t);

    #[test]
    fn what_lacks_an_end_is_torn_or_idle_by_its_state() {
        let changes: [Change; 8] = [
            |info| info.cti_lport = 0,
            |info| info.cti_fport = 0,
            |info| info.cti_laddr = mapped([0; 4]),
            |info| info.cti_faddr = [0; 16],
            |info| info.cti_faddr = [0xfd; 16],
            |info| info.cti_laddr = [0xfd; 16],
            |info| info.cti_ipversion = 0,
            |info| info.cti_ipversion = 5,
        ];
        for (number, change) in changes.iter().enumerate() {
            for (state, expected) in [
                (ESTABLISHED, WalkedConnection::Torn),
                (-5, WalkedConnection::Idle),
            ] {
                let mut info = info(state);
                change(&mut info);
                assert_eq!(read(&info, true), expected, "change {number}");
            }
        }
        let mut other = info(ESTABLISHED);
        other.cti_version = 2;
        assert_eq!(read(&other, true), WalkedConnection::Torn);
    }
}
