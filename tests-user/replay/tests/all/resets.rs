// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which RST ends a flow: RFC 9293 section 3.10.7, RFC 5961 section 3.

use crate::common::*;

const LOCAL: &str = "192.0.2.10:40000";
const FOREIGN: &str = "198.51.100.7:80";

fn talk() -> Talk {
    Talk::new(NODE_A, LOCAL, FOREIGN)
}

/// Connections out, connections in, and those left open.
fn flows(t: &Talk) -> (u64, u64, u64) {
    let t = replay_frames(&t.frames).totals;
    assert_eq!(t.tcp_midstream, 0);
    (t.tcp_out, t.tcp_in, t.tcp_open)
}

#[test]
fn a_blind_rst_ends_nothing() {
    // The window of the builder is 1000 bytes.
    for sequence in [99_999_999, 9001 + 1000, 9000, 0] {
        let mut t = talk();
        t.connect(1).back(RST, sequence, 0, b"");
        assert_eq!(flows(&t), (1, 0, 1), "{sequence}");
        t.back(ACK, 9001, 2, b"answer").close(1);
    }
    for sequence in [9001, 9001 + 999] {
        let mut t = talk();
        t.connect(1).back(RST, sequence, 0, b"");
        assert_eq!(flows(&t), (1, 0, 0), "{sequence}");
    }
}

#[test]
fn what_a_blind_rst_did_not_end_is_still_held() {
    let mut a = talk();
    a.connect(1)
        .back(RST, 1 << 31, 0, b"")
        .out(ACK, 2, 9001, b"x");
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.out(SYN, 7, 0, b"");
    let frames = [a.frames, b.frames].concat();
    let t = replay_frames(&frames).totals;
    assert_eq!((t.tcp_out, t.tcp_open, t.refused), (2, 1, 1));
}

#[test]
fn a_window_is_as_large_as_its_scale_says() {
    let scaled = |shift: u8| {
        let mut t = talk();
        t.connect(1);
        for syn in &mut t.frames[..2] {
            // Four bytes of options: a window scale and a blank.
            syn.extend([3, 3, shift, 1]);
            syn[17] += 4;
            syn[14 + 20 + 12] = 6 << 4;
        }
        t
    };
    let mut t = scaled(4);
    t.back(RST, 9001 + 15_999, 0, b"");
    assert_eq!(flows(&t), (1, 0, 0));
    let mut t = scaled(4);
    t.back(RST, 9001 + 16_000, 0, b"");
    assert_eq!(flows(&t), (1, 0, 1));
}

#[test]
fn windows_are_compared_across_the_wrap_of_sequence_numbers() {
    for (offset, open) in [(0, 0), (999, 0), (1000, 1), (u32::MAX, 1)] {
        let mut t = talk();
        t.out(SYN, 1, 0, b"").back(SYN | ACK, u32::MAX - 4, 2, b"");
        t.out(ACK, 2, u32::MAX - 3, b"");
        t.back(RST, (u32::MAX - 3).wrapping_add(offset), 0, b"");
        assert_eq!(flows(&t), (1, 0, open), "{offset}");
    }
}

#[test]
fn a_rst_to_a_syn_must_acknowledge_it() {
    for (flags, ack, open) in [
        (RST | ACK, 1001, 0),
        (RST | ACK, 1000, 1),
        (RST | ACK, 5, 1),
        (RST, 1001, 1),
    ] {
        let mut t = talk();
        t.out(SYN, 1000, 0, b"").back(flags, 0, ack, b"");
        assert_eq!(flows(&t), (1, 0, open), "{flags} {ack}");
        let mut t = talk();
        t.back(SYN, 1000, 0, b"").out(flags, 0, ack, b"");
        assert_eq!(flows(&t), (0, 1, open), "{flags} {ack}");
    }
}

/// The foreign end still has the connection of before a crash.
#[test]
fn a_half_open_connection_is_recovered() {
    let mut t = talk();
    t.out(SYN, 1000, 0, b"")
        .back(ACK, 777, 333, b"")
        .out(RST, 333, 0, b"")
        .out(SYN, 1000, 0, b"");
    assert_eq!(flows(&t), (1, 0, 1));
    t.back(SYN | ACK, 5000, 1001, b"")
        .out(ACK, 1001, 5001, b"hello");
    assert_eq!(flows(&t), (1, 0, 1));
    t.out(FIN | ACK, 1006, 5001, b"")
        .back(FIN | ACK, 5001, 1007, b"")
        .out(ACK, 1007, 5002, b"");
    assert_eq!(flows(&t), (1, 0, 0));
}

/// The same, when the crashed one is the foreign end.
#[test]
fn a_half_open_connection_is_recovered_from_outside() {
    let mut t = talk();
    t.back(SYN, 100, 0, b"")
        .out(SYN | ACK, 9000, 101, b"")
        .back(ACK, 101, 9001, b"")
        .back(SYN, 70_000, 0, b"")
        .out(ACK, 9001, 101, b"")
        .back(RST, 9001, 0, b"")
        .back(SYN, 70_000, 0, b"")
        .out(SYN | ACK, 12_000, 70_001, b"")
        .back(ACK, 70_001, 12_001, b"");
    assert_eq!(flows(&t), (0, 2, 1));
}

#[test]
fn a_rst_of_a_closed_socket_counts_though_data_were_lost() {
    let mut t = talk();
    t.connect(1).out(RST, 2 + 500, 0, b"");
    assert_eq!(flows(&t), (1, 0, 0));
    let mut t = talk();
    t.connect(1);
    for part in 0..3 {
        t.out(ACK, 2 + part * 900, 9001, &[0; 900]);
    }
    // Beyond the window of what was acknowledged, but not of what was sent.
    t.out(RST, 2 + 2700, 0, b"");
    assert_eq!(flows(&t), (1, 0, 0));
}
