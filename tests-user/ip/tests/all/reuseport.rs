// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! SO_REUSEPORT, which TCP of 2021 has.

use crate::common::{LOCAL, Lab, OTHER};
use clinet_ip::*;

fn lab() -> Lab {
    Lab::of_release(Release::Y2021)
}

fn set(socket: &Socket, on: bool) {
    let set = socket.set_option(SocketOption::SO_REUSEPORT, on.into());
    set.expect("2021 has it");
}

/// A new socket with the option.
fn sharing(lab: &Lab) -> Socket {
    let socket = lab.tcp();
    set(&socket, true);
    socket
}

fn bind(socket: &Socket) -> Result<(), Errno> {
    socket.bind(Some(LOCAL), 5001)
}

const IN_USE: Result<(), Errno> = Err(Errno::EADDRINUSE);

#[test]
fn a_port_is_shared_if_both_have_the_option() {
    let lab = lab();
    let (first, second, plain) = (sharing(&lab), sharing(&lab), lab.tcp());
    assert_eq!(bind(&first), Ok(()));
    assert_eq!(bind(&second), Ok(()));
    first.listen(5).expect("it is bound");
    second.listen(5).expect("it is bound");
    assert_eq!(bind(&sharing(&lab)), Ok(()), "with whoever listens");
    assert_eq!(bind(&plain), IN_USE);
    let told = ["listen 127.0.0.1:5001", "listen 127.0.0.1:5001"];
    assert_eq!(lab.calls(), told);
    let reusing = lab.tcp();
    let reuse = SocketOption::SO_REUSEADDR;
    reusing.set_option(reuse, 1).expect("it is set");
    assert_eq!(bind(&reusing), IN_USE);
}

#[test]
fn a_port_is_not_shared_with_who_has_it_without_the_option() {
    let lab = lab();
    let _plain = lab.bound(LOCAL, 5001);
    assert_eq!(bind(&sharing(&lab)), IN_USE);
}

/// The address has to be the same.
#[test]
fn a_wildcard_is_not_shared_with_an_address() {
    let lab = lab();
    let first = sharing(&lab);
    assert_eq!(first.bind(None, 5001), Ok(()));
    assert_eq!(bind(&sharing(&lab)), IN_USE);
    assert_eq!(sharing(&lab).bind(None, 5001), Ok(()));
    assert_eq!(sharing(&lab).bind(Some(OTHER), 5002), Ok(()));
    assert_eq!(sharing(&lab).bind(Some(LOCAL), 5002), Ok(()));
}

#[test]
fn an_exclusive_bind_shares_with_nobody() {
    let lab = lab();
    let first = sharing(&lab);
    let alone = SocketOption::SO_EXCLBIND;
    first.set_option(alone, 1).expect("it is set");
    assert_eq!(bind(&first), Ok(()));
    assert_eq!(bind(&sharing(&lab)), IN_USE);
}

/// Whether others may share counts when the port is taken, whether one may
/// share when one wants it.
#[test]
fn the_option_counts_when_a_port_is_bound() {
    let lab = lab();
    let (before, after) = (sharing(&lab), sharing(&lab));
    set(&before, false);
    assert_eq!(bind(&before), Ok(()));
    assert_eq!(bind(&sharing(&lab)), IN_USE);
    before.close();
    assert_eq!(bind(&after), Ok(()));
    set(&after, false);
    assert_eq!(bind(&sharing(&lab)), Ok(()));
    let changed = sharing(&lab);
    set(&changed, false);
    assert_eq!(bind(&changed), IN_USE);
}

/// Set later, it lets others in.
#[test]
fn who_is_bound_may_begin_to_share() {
    let lab = lab();
    let first = lab.bound(LOCAL, 5001);
    set(&first, true);
    assert_eq!(bind(&sharing(&lab)), Ok(()));
}

#[test]
fn the_last_one_that_began_to_listen_gets_the_connections() {
    let lab = lab();
    let (first, second) = (sharing(&lab), sharing(&lab));
    for listener in [&first, &second] {
        bind(listener).expect("they share it");
        listener.listen(5).expect("it is bound");
    }
    let connect = || {
        let client = lab.tcp();
        client.connect(LOCAL, 5001).expect("a listener");
        (first.is_acceptable(), second.is_acceptable())
    };
    assert_eq!(connect(), (false, true));
    second.accept().expect("a connection");
    first.listen(5).expect("it listens again");
    assert_eq!(connect(), (true, false));
    first.accept().expect("a connection");
    first.close();
    let client = lab.tcp();
    client.connect(LOCAL, 5001).expect("the other listener");
    second.accept().expect("a connection");
}

/// An accepted connection has no address of its own for a bind, which looks at it
/// before those at the wildcard, but after those at an address.
#[test]
fn a_connection_keeps_a_wildcard_from_being_shared() {
    for (address, bound) in [(None, IN_USE), (Some(LOCAL), Ok(()))] {
        let lab = lab();
        let listener = sharing(&lab);
        listener.bind(address, 5001).expect("the port is free");
        listener.listen(5).expect("it is bound");
        lab.tcp().connect(LOCAL, 5001).expect("a listener");
        assert_eq!(sharing(&lab).bind(address, 5001), bound, "{address:?}");
        let reusing = sharing(&lab);
        let reuse = SocketOption::SO_REUSEADDR;
        reusing.set_option(reuse, 1).expect("it is set");
        assert_eq!(reusing.bind(address, 5001), Ok(()), "{address:?}");
    }
}

#[test]
fn a_port_has_room_for_64() {
    let lab = lab();
    let mut sockets: Vec<Socket> = (0..64).map(|_| sharing(&lab)).collect();
    for socket in &sockets {
        assert_eq!(bind(socket), Ok(()));
    }
    assert_eq!(bind(&sharing(&lab)), IN_USE);
    // A place that becomes free, be it that of the first.
    sockets.swap_remove(0).close();
    assert_eq!(bind(&sharing(&lab)), Ok(()));
    assert_eq!(bind(&sharing(&lab)), IN_USE);
    sockets[7].bind_null().expect("it is bound");
    assert_eq!(bind(&sharing(&lab)), Ok(()));
}
