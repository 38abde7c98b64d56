// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Frames of the socket: what is sent arrives, and what is no frame is refused.

use std::io::{self, Cursor};
use std::time::Duration;

use clinet_control::Protocol;
use clinet_control::machine::{MachineReply, MachineRequest};
use clinet_control::wire::{self, MOST_BYTES, Reply, Request, SentRegion, WireError};
use proptest::prelude::*;

fn region() -> impl Strategy<Value = SentRegion> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..100);
    (any::<u64>(), any::<bool>(), bytes).prop_map(|(address, writable, bytes)| SentRegion {
        address,
        writable,
        bytes,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..100);
    let regions = proptest::collection::vec(region(), 0..4);
    prop_oneof![
        (any::<u32>(), any::<u64>(), bytes, regions).prop_map(
            |(command, address, argument, regions)| Request::Ioctl {
                command,
                address,
                argument,
                regions,
            }
        ),
        (any::<u32>(), any::<bool>()).prop_map(|(length, nonblocking)| Request::Read {
            length,
            nonblocking,
        }),
        proptest::option::of(0..=i32::MAX as u64).prop_map(|time| Request::Poll {
            timeout: time.map(Duration::from_millis),
        }),
        any::<String>().prop_map(Request::Machine),
    ]
}

proptest! {
    #[test]
    fn requests_arrive_as_they_were_sent(sent in request()) {
        prop_assert_eq!(Request::decode(&sent.encode()), Ok(sent));
    }

    #[test]
    fn replies_arrive_as_they_were_sent(
        errno: i32, result: i32, bytes in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let sent = Reply { errno, result, bytes };
        prop_assert_eq!(Reply::decode(&sent.encode()), Ok(sent));
    }

    #[test]
    fn a_cut_request_is_refused(sent in request(), cut: prop::sample::Index) {
        let body = sent.encode();
        let body = &body[..cut.index(body.len())];
        // A shorter text is a text, unless it ends within a letter.
        if !matches!(sent, Request::Machine(_)) || body.is_empty() {
            prop_assert_eq!(Request::decode(body), Err(WireError::Short));
        }
    }

    #[test]
    fn any_bytes_are_a_request_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = Request::decode(&body) {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_description() {
    let ioctl = Request::Ioctl {
        command: 0x0102_0304,
        address: 0x1000,
        argument: vec![9, 8],
        regions: vec![SentRegion {
            address: 0x2000,
            writable: true,
            bytes: vec![7],
        }],
    };
    let wanted = [
        &[1][..],
        &[4, 3, 2, 1],
        &[0, 0x10, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 9, 8],
        &[1, 0, 0, 0],
        &[0, 0x20, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 1, 7],
    ];
    assert_eq!(ioctl.encode(), wanted.concat());
    let read = Request::Read {
        length: 258,
        nonblocking: true,
    };
    assert_eq!(read.encode(), [2, 2, 1, 0, 0, 1]);
    let poll = Request::Poll { timeout: None };
    assert_eq!(poll.encode(), [3, 255, 255, 255, 255]);
}

#[test]
fn bytes_too_many_and_values_that_are_none_are_refused() {
    assert_eq!(
        Request::decode(&[3, 0, 0, 0, 0, 0]),
        Err(WireError::Long(1))
    );
    assert_eq!(Request::decode(&[2, 0, 0, 0, 0, 2]), Err(WireError::Value));
    assert_eq!(
        Request::decode(&[3, 254, 255, 255, 255]),
        Err(WireError::Value)
    );
    assert_eq!(Request::decode(&[4]), Err(WireError::Unknown(4)));
}

#[test]
fn a_frame_that_is_too_long_is_neither_sent_nor_received() {
    let mut sent = Vec::new();
    let error = wire::write_frame(&mut sent, &vec![0; MOST_BYTES + 1]).expect_err("too long");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(sent.is_empty());
    let length = (MOST_BYTES as u32 + 1).to_le_bytes();
    let error = wire::read_frame(&mut Cursor::new(length)).expect_err("too long");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_connection_that_closes_within_a_frame_is_an_error_and_between_two_is_not() {
    let mut frame = Vec::new();
    wire::write_frame(&mut frame, b"body").expect("memory takes all");
    let all = |length: usize| wire::read_frame(&mut Cursor::new(&frame[..length]));
    assert_eq!(all(8).expect("a whole frame"), Some(b"body".to_vec()));
    assert_eq!(all(0).expect("an end"), None);
    for length in 1..8 {
        let error = all(length).expect_err("a cut frame");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn requests_of_the_machine_are_readable_json() {
    let request = MachineRequest::SetEphemeralRange {
        protocol: Protocol::Tcp,
        first: 32768,
        last: 36863,
    };
    let json = serde_json::to_string(&request).expect("it has no odd keys");
    assert_eq!(
        json,
        r#"{"do":"set-ephemeral-range","protocol":"tcp","first":32768,"last":36863}"#
    );
    let reply: MachineReply = serde_json::from_str(r#"{"is":"done"}"#).expect("a reply");
    assert_eq!(reply, MachineReply::Done);
}
