// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What values options take, which depends on other options and on the kernel.

use crate::common::{LOCAL, Lab};
use clinet_ip::*;

const RELEASES: [Release; 2] = [Release::Y2015, Release::Y2021];

/// Sets options of a new TCP socket in turn.
fn set(release: Release, steps: &[(SocketOption, i64, Result<(), Errno>)]) {
    let socket = Lab::of_release(release).tcp();
    for &(option, value, expected) in steps {
        let result = socket.set_option(option, value);
        assert_eq!(result, expected, "{release}: {option:?} {value}");
    }
}

const OK: Result<(), Errno> = Ok(());
const EINVAL: Result<(), Errno> = Err(Errno::EINVAL);

#[test]
fn buffers_have_a_longest_length() {
    let lab = Lab::new();
    for (socket, most) in [(lab.tcp(), 1 << 20), (lab.udp(), 2 << 20)] {
        for option in [SocketOption::SO_SNDBUF, SocketOption::SO_RCVBUF] {
            for length in [0, 1, most] {
                assert_eq!(socket.set_option(option, length), OK);
            }
            for length in [-1, most + 1, i64::from(i32::MAX), i64::from(i32::MIN)] {
                let result = socket.set_option(option, length);
                assert_eq!(result, Err(Errno::ENOBUFS), "{option:?} {length}");
            }
        }
    }
    assert_eq!(Errno::ENOBUFS.0, 132);
}

#[test]
fn the_bounds_of_the_retransmission_time_bound_each_other() {
    use SocketOption as O;
    for release in RELEASES {
        set(
            release,
            &[
                (O::TCP_RTO_INITIAL, 399, EINVAL),
                (O::TCP_RTO_INITIAL, 400, OK),
                (O::TCP_RTO_INITIAL, 20_000, OK),
                (O::TCP_RTO_INITIAL, 20_001, EINVAL),
                (O::TCP_RTO_INITIAL, 0, OK),
                (O::TCP_RTO_INITIAL, -1, EINVAL),
                (O::TCP_CONN_ABORT_THRESHOLD, 5000, OK),
                (O::TCP_RTO_INITIAL, 5000, OK),
                (O::TCP_RTO_INITIAL, 5001, EINVAL),
                (O::TCP_CONN_ABORT_THRESHOLD, -1, OK),
                (O::TCP_RTO_INITIAL, 400, EINVAL),
                (O::TCP_RTO_MIN, 60_000, OK),
                (O::TCP_RTO_MIN, 60_001, EINVAL),
                (O::TCP_RTO_MAX, 59_999, EINVAL),
                (O::TCP_RTO_MAX, 300_000, OK),
                (O::TCP_RTO_MAX, 300_001, EINVAL),
                (O::TCP_ABORT_THRESHOLD, i64::from(i32::MAX), OK),
                (O::TCP_RTO_MAX, 7_200_000, OK),
                (O::TCP_RTO_MAX, 7_200_001, EINVAL),
                (O::TCP_RTO_MIN, 7_200_000, OK),
                (O::TCP_RTO_MIN, 0, OK),
                (O::TCP_RTO_MIN, 1, OK),
                (O::TCP_RTO_MAX, 1, OK),
                (O::TCP_RTO_MAX, 0, OK),
                (O::TCP_RTO_MIN, -1, EINVAL),
                (O::TCP_RTO_MAX, -1, EINVAL),
                (O::TCP_ABORT_THRESHOLD, 0, OK),
                (O::TCP_RTO_MAX, 1, EINVAL),
            ],
        );
    }
}

#[test]
fn the_shortest_idle_time_is_another_in_2021() {
    use SocketOption as O;
    for (release, least) in [(Release::Y2015, 10), (Release::Y2021, 1)] {
        set(
            release,
            &[
                (O::TCP_KEEPIDLE, least, OK),
                (O::TCP_KEEPIDLE, least - 1, EINVAL),
                (O::TCP_KEEPIDLE, 864_000, OK),
                (O::TCP_KEEPIDLE, 864_001, EINVAL),
                (O::TCP_KEEPIDLE, -1, EINVAL),
                (O::TCP_KEEPALIVE_THRESHOLD, least * 1000, OK),
                (O::TCP_KEEPALIVE_THRESHOLD, least * 1000 - 1, EINVAL),
                (O::TCP_KEEPALIVE_THRESHOLD, 864_000_000, OK),
                (O::TCP_KEEPALIVE_THRESHOLD, 864_000_001, EINVAL),
            ],
        );
    }
}

#[test]
fn a_number_of_probes_has_an_interval_that_2015_checks() {
    use SocketOption as O;
    let in_2021 = |release| {
        if release == Release::Y2021 {
            OK
        } else {
            EINVAL
        }
    };
    for release in RELEASES {
        let some = [
            (O::TCP_KEEPCNT, 0, EINVAL),
            (O::TCP_KEEPCNT, 8, OK),
            // Its interval is known now, and anything fits.
            (O::TCP_KEEPCNT, 1, OK),
            (O::TCP_KEEPCNT, -1, OK),
        ];
        set(release, &some);
        // 480 s in so many parts of 400 ms to 60 s.
        for (count, expected) in [
            (1200, OK),
            (1, in_2021(release)),
            (7, in_2021(release)),
            (1201, in_2021(release)),
            (-1, in_2021(release)),
        ] {
            set(release, &[(O::TCP_KEEPCNT, count, expected)]);
        }
        set(
            release,
            &[
                (O::TCP_KEEPINTVL, 0, EINVAL),
                (O::TCP_KEEPINTVL, 61, EINVAL),
                (O::TCP_KEEPINTVL, -1, EINVAL),
                (O::TCP_KEEPINTVL, 60, OK),
                (O::TCP_KEEPCNT, 1, OK),
                (O::TCP_KEEPINTVL, 1, OK),
                // What was known of probes is forgotten.
                (O::TCP_KEEPALIVE_ABORT_THRESHOLD, 399, OK),
                (O::TCP_KEEPCNT, 1, in_2021(release)),
                (O::TCP_KEEPALIVE_ABORT_THRESHOLD, 400, OK),
                (O::TCP_KEEPCNT, 1, OK),
                (O::TCP_KEEPALIVE_ABORT_THRESHOLD, -1, OK),
                (O::TCP_RTO_MIN, 2001, OK),
                (O::TCP_KEEPINTVL, 2, EINVAL),
                (O::TCP_KEEPINTVL, 3, OK),
            ],
        );
    }
}

#[test]
fn other_values_of_tcp_have_their_ranges() {
    use SocketOption as O;
    for release in RELEASES {
        set(
            release,
            &[
                (O::TCP_INIT_CWND, 0, OK),
                (O::TCP_INIT_CWND, 16, OK),
                (O::TCP_INIT_CWND, 17, EINVAL),
                (O::TCP_INIT_CWND, -1, EINVAL),
                (O::TCP_LINGER2, 0, OK),
                (O::TCP_LINGER2, 60, OK),
                (O::TCP_LINGER2, 61, EINVAL),
                (O::TCP_LINGER2, -1, EINVAL),
                (O::SO_SND_COPYAVOID, 1, Err(Errno::EOPNOTSUPP)),
                (O::TCP_RECVDSTADDR, 1, OK),
            ],
        );
    }
    let lab = Lab::new();
    let listener = lab.listener();
    let client = lab.tcp();
    client.connect(LOCAL, 5001).expect("a listener");
    assert_eq!(listener.set_option(O::TCP_RECVDSTADDR, 1), OK);
    let connected = client.set_option(O::TCP_RECVDSTADDR, 1);
    assert_eq!(connected, Err(Errno::EOPNOTSUPP));
}

#[test]
fn an_accepted_connection_has_the_bounds_of_its_listener() {
    let lab = Lab::new();
    let listener = lab.listener();
    let most = SocketOption::TCP_RTO_MAX;
    listener.set_option(most, 1000).expect("it is in range");
    let client = lab.tcp();
    client.connect(LOCAL, 5001).expect("a listener");
    let server = listener.accept().expect("a connection");
    let least = SocketOption::TCP_RTO_MIN;
    assert_eq!(server.set_option(least, 1001), EINVAL);
    assert_eq!(client.set_option(least, 1001), OK);
}

/// The next connect of the socket is tried as long as any.
#[test]
fn what_options_set_of_tcp_ends_with_the_connection() {
    let lab = Lab::new();
    let socket = lab.tcp();
    let threshold = SocketOption::TCP_CONN_ABORT_THRESHOLD;
    socket.set_option(threshold, 7000).expect("it is set");
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::ECONNREFUSED));
    let _listener = lab.listener();
    lab.answer(Some(false), None, Errno::EACCES.0);
    lab.calls();
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::ETIMEDOUT));
    let calls = lab.calls();
    let asked = calls.iter().filter(|call| call.starts_with("connect2 in"));
    assert_eq!(asked.count(), 3);
}

#[test]
fn preferences_exclude_each_other() {
    let lab = Lab::new();
    let socket = lab.udp6();
    let option = SocketOption::IPV6_SRC_PREFERENCES;
    for bits in [0, 0x01, 0x02, 0x04, 0x08, 0x15, 0x2a] {
        assert_eq!(socket.set_option(option, bits), OK, "{bits:x}");
    }
    for bits in [0x03, 0x0c, 0x30, 0x40, -1] {
        assert_eq!(socket.set_option(option, bits), EINVAL, "{bits:x}");
    }
}

#[test]
fn some_options_came_after_2015() {
    use SocketOption as O;
    for release in RELEASES {
        let lab = Lab::of_release(release);
        let (tcp, udp) = (lab.tcp(), lab.udp());
        let none = Err(Errno::ENOPROTOOPT);
        for (socket, option, value, in_2021) in [
            (&tcp, O::SO_REUSEPORT, 1, OK),
            (&udp, O::SO_REUSEPORT, 1, none),
            (&udp, O::UDP_SRCPORT_HASH, 1, OK),
            (&udp, O::UDP_SRCPORT_HASH, 0, OK),
            (&udp, O::UDP_SRCPORT_HASH, 2, EINVAL),
            (&udp, O::UDP_SRCPORT_HASH, -1, EINVAL),
            (&tcp, O::UDP_SRCPORT_HASH, 1, none),
            (&udp, O::IP_RECVTOS, 1, OK),
            (&tcp, O::IP_RECVTOS, 1, OK),
            (&lab.udp6(), O::IP_RECVTOS, 1, EINVAL),
            (&tcp, O::TCP_CONGESTION, 1, Err(Errno::ENOENT)),
        ] {
            let expected = if release == Release::Y2021 {
                in_2021
            } else {
                none
            };
            let result = socket.set_option(option, value);
            assert_eq!(result, expected, "{release}: {option:?} {value}");
        }
        let named = tcp.set_structure(O::TCP_CONGESTION);
        assert_eq!(named.is_ok(), release == Release::Y2021);
    }
}

/// The port of what is sent may be another, but not what is asked about.
#[test]
fn a_hashed_source_port_changes_no_question() {
    let lab = Lab::of_release(Release::Y2021);
    let socket = lab.udp();
    socket.bind(Some(LOCAL), 7001).expect("the port is free");
    let hash = SocketOption::UDP_SRCPORT_HASH;
    let send = || {
        let to = Some((LOCAL, 7002));
        socket.send_to(to, false, 64).expect("accepted");
        lab.calls()
    };
    lab.calls();
    assert_eq!(send(), ["connect2 out 127.0.0.1:7001 127.0.0.1:7002"]);
    socket.set_option(hash, 1).expect("2021 has it");
    assert!(send().is_empty());
}
