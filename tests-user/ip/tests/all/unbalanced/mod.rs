// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calls of ip that do not balance, with the released module attached.
//!
//! | ip's call that has no counterpart | test |
//! |---|---|
//! | disconnect of listeners, of bound sockets, after a refused connect | `ends_of_what_was_never_registered_are_ignored` |
//! | no disconnect for an accepted SYN that goes nowhere | `an_accepted_syn_that_goes_nowhere_is_removed_by_audits` |
//! | two questions for two copies of a SYN, a disconnect while one lives | `a_duplicate_syn_costs_one_reference` |
//! | two disconnects with one 5-tuple | `a_second_disconnect_takes_nothing_from_another_node` |
//! | disconnect when a connection dies, and again when its socket is closed | `a_connection_that_dies_leaves_before_its_socket` |
//! | unbind of what was never bound, late failure of bind | `an_unbind_of_nothing_is_ignored` |
//! | nothing at the close of a connected UDP socket | `connected_udp_sockets_vanish_and_age` |
//! | unlisten only if listen was told | those of `clinet-attach-tests`: listeners are nothing to the built-in provider |
//! | sockets that were there before | `sockets_from_before_are_found_and_end` |
//! | bind and unbind in different families, of different addresses | `a_mapped_socket_is_bound_and_unbound_in_different_families`, `what_unbinds_its_chosen_source_was_never_bound_there` |
//! | a listener in another family than its connections | `a_mapped_listener_and_its_connections_are_of_one_address` |
//! | a question about a port that is never on the wire | `a_retry_on_a_refused_socket_leaves_nothing` |
//!
//! What a real kernel was seen to do beyond these:
//!
//! | surprise | test |
//! |---|---|
//! | 1 a refused socket is spoiled | `a_retry_on_a_refused_socket_leaves_nothing` |
//! | 2 one disconnect for several refusals | `ends_of_what_was_never_registered_are_ignored` |
//! | 3 4 EINPROGRESS and negative answers harm | `refusals.rs`: the one errno that the module gives; a foreign provider's in `clinet-attach-tests` |
//! | 5 listeners in mapped form | `a_mapped_listener_and_its_connections_are_of_one_address` |
//! | 6 unbind in another family | `a_mapped_socket_is_bound_and_unbound_in_different_families` |
//! | 7 a refused reconnect loses the connection | `refusals.rs`: `udp_connect_is_refused` |
//! | 8 full backlog, simultaneous open | `a_full_backlog_and_a_simultaneous_open_leave_nothing` |
//! | 9 each SYN asks again | `refusals.rs`: `an_incoming_syn_is_refused_until_the_owner_gives_up` |
//! | 10 reset before accept | `a_second_disconnect_takes_nothing_from_another_node`, `the_end_of_a_reset_connection_is_not_that_of_the_next_from_its_port` |
//! | 11 ends of TIME_WAIT, and a SYN for one | `time_wait_keeps_its_entry_and_a_new_syn_takes_it_over` |
//! | 12 listen twice | `listeners_are_nothing` |
//! | 13 unreachable, multicast and port 0 are asked about | `udp_destinations_of_every_kind_register` |
//! | 14 control data never asks | `control_data_registers_nothing` |
//! | 15 options forget the destination | `each_question_of_udp_is_a_reference` |
//! | 16 17 UDP connect, disconnect, implicit bind | `udp_disconnect_lets_close_tell`, `an_unbind_of_nothing_is_ignored` |
//! | 18 isclusterwide and ipident | `hooks_of_every_packet_are_left_alone` |
//! | 19 late attach | `sockets_from_before_are_found_and_end` |
//! | 20 what a walk shows | `listeners_are_nothing` |
//! | 21 an address goes down | `an_address_that_goes_down_changes_no_entry` |
//! | 22 raw sockets | `raw_sockets_are_nothing` |
//!
//! `scenarios.rs` plays the recordings of all of them.

mod connections;
mod datagrams;
mod others;

use crate::common::LOCAL;
use clinet_ip::*;

const NOTHING: [&str; 0] = [];

/// Seconds after which no end is in doubt any more.
const DOUBT: u64 = 12;

/// A connected pair over 127.0.0.1:5001.
fn connected(node: &AttachedNode, listener: &Socket) -> (Socket, Socket) {
    let client = node.ip().tcp(0, AF_INET);
    client.connect(LOCAL, 5001).expect("a listener");
    (client, listener.accept().expect("a connection"))
}

const PAIR: [&str; 2] = [
    "tcp 127.0.0.1:5001 127.0.0.1:p0 x1",
    "tcp 127.0.0.1:p0 127.0.0.1:5001 x1",
];

/// The same with a client that is bound to port 15001.
const BOUND_PAIR: [&str; 2] = [
    "tcp 127.0.0.1:5001 127.0.0.1:15001 x1",
    "tcp 127.0.0.1:15001 127.0.0.1:5001 x1",
];
