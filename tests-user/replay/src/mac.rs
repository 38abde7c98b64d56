// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! MAC addresses that are no machine's own.

/// A MAC address.
pub(crate) type Mac = [u8; 6];

/// What frames have on an interface without MAC addresses, the loopback one for
/// instance.
pub(crate) const NO_MAC: Mac = [0; 6];

/// Is it the address of a group, multicast or broadcast?
pub(crate) fn is_group(mac: Mac) -> bool {
    mac[0] & 1 != 0
}

/// Is it certainly not what tells a machine from others?
pub(crate) fn is_no_own(mac: Mac) -> bool {
    is_virtual(mac) || is_group(mac)
}

/// Is it an address that several machines may have in turn? Of VRRP and CARP
/// (RFC 9568 section 7.3), HSRP and GLBP.
fn is_virtual(mac: Mac) -> bool {
    matches!(
        mac,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x05, 0x73, 0xa0, 0x00..=0x0f, _]
            | [0x00, 0x07, 0xb4, 0x00, _, _]
    )
}
