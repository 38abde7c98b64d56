// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What callers allege, right and wrong.

use super::*;

const V4: sys::sa_family_t = sys::AF_INET as sys::sa_family_t;
const V6: sys::sa_family_t = sys::AF_INET6 as sys::sa_family_t;

fn read(protocol: u8, family: u16, addr: *const u8) -> Result<Endpoint, Reject> {
    // SAFETY: the tests pass NULL or enough bytes for the family.
    unsafe { Endpoint::read(protocol, family, addr, 80) }
}

#[test]
fn an_ipv4_address_and_its_mapped_form_are_one_address() {
    let octets = [192, 0, 2, 10];
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 10];
    let four = read(6, V4, octets.as_ptr()).unwrap().addr;
    let six = read(6, V6, mapped.as_ptr()).unwrap().addr;
    assert_eq!(four.v6_form(), six.v6_form());
    assert_eq!(
        four.wire(),
        [192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(six.wire(), mapped);
    assert_eq!(Addr::from_words(six.words()), four);
    let own = Addr::v6([1; 16]);
    assert_eq!(Addr::from_words(own.words()), own);
}

#[test]
fn three_addresses_are_unspecified_and_others_are_not() {
    let mut mapped = [0; 16];
    mapped[10] = 0xff;
    mapped[11] = 0xff;
    assert!(Addr::v4([0; 4]).is_unspecified());
    assert!(Addr::v6([0; 16]).is_unspecified());
    assert!(Addr::v6(mapped).is_unspecified());
    let mut loopback = [0; 16];
    loopback[15] = 1;
    assert!(!Addr::v6(loopback).is_unspecified());
    assert!(!Addr::v4([0, 0, 0, 1]).is_unspecified());
    mapped[9] = 1;
    assert!(!Addr::v6(mapped).is_unspecified());
}

#[test]
fn pointers_come_before_the_family_and_that_before_the_protocol() {
    let bytes = [1; 16];
    assert_eq!(read(132, 99, core::ptr::null()), Err(Reject::Null));
    assert_eq!(read(132, 99, bytes.as_ptr()), Err(Reject::Family));
    // Linux's AF_INET6 is not illumos's.
    assert_eq!(read(6, 10, bytes.as_ptr()), Err(Reject::Family));
    assert_eq!(read(132, V6, bytes.as_ptr()), Err(Reject::Protocol));
    assert!(read(17, V6, bytes.as_ptr()).is_ok());
}

#[test]
fn a_five_tuple_needs_both_addresses() {
    let bytes = [1; 16];
    let null = core::ptr::null();
    for (local, foreign) in [(bytes.as_ptr(), null), (null, bytes.as_ptr())] {
        // SAFETY: NULL or sixteen bytes.
        let tuple = unsafe { FiveTuple::read(6, V6, (local, 1), (foreign, 2)) };
        assert_eq!(tuple, Err(Reject::Null));
    }
}
