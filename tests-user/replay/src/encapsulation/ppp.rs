// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! PPP, which others carry.

use super::{IPV4, IPV6, Inside, MPLS, Tunnel};

/// What a frame of PPP carries under the name of what carries it; `None` if it
/// belongs to PPP itself.
pub(super) fn tunnel<'a>(name: &'static str, frame: &'a [u8]) -> Option<Tunnel<'a>> {
    // The address and control field, which need not be there, RFC 1661
    // section 6.6.
    let frame = frame.strip_prefix(&[0xff, 0x03]).unwrap_or(frame);
    // A protocol whose first byte is zero may be one byte, which is odd, section
    // 6.5; the first byte of two is even.
    let inside = match frame {
        [0x00, 0x21, packet @ ..] | [0x21, packet @ ..] => Some(Inside::Typed(IPV4, packet)),
        [0x00, 0x57, packet @ ..] | [0x57, packet @ ..] => Some(Inside::Typed(IPV6, packet)),
        [0x02, 0x81, packet @ ..] => Some(Inside::Typed(MPLS, packet)),
        [high, _, ..] if *high >= 0x80 && high % 2 == 0 => return None,
        _ => None,
    };
    Some(Tunnel { name, inside })
}
