// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tunnels with a protocol number of IP.

use super::*;

fn gre(header: &[u8], payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(47, &[header, payload].concat()))
}

/// PPP in the GRE of PPTP, with a sequence number.
fn pptp(frame: &[u8]) -> Vec<u8> {
    let header = [0x30, 1, 0x88, 0x0b, 0, frame.len() as u8, 0, 9, 0, 0, 0, 1];
    gre(&header, frame)
}

#[test]
fn pptp_is_looked_into() {
    let ppp = |header: &[u8], packet: &[u8]| [header, packet].concat();
    assert_tunnel("PPTP", pptp(&ppp(&[0, 0x21], &inner())));
    assert_tunnel("PPTP", pptp(&ppp(&[0xff, 3, 0, 0x21], &inner())));
    assert_tunnel("PPTP", pptp(&ppp(&[0xff, 3, 0x57], &inner6())));
    let mpls = ppp(&[0x02, 0x81, 0, 2, 1, 64], &inner());
    assert_tunnel("PPTP", pptp(&mpls));
    // With an acknowledgement.
    let header = [0x30, 0x81, 0x88, 0x0b, 0, 42, 0, 9, 0, 0, 0, 1, 0, 0, 0, 7];
    assert_tunnel("PPTP", gre(&header, &ppp(&[0, 0x21], &inner())));
}

/// Without what PPTP changes of GRE.
#[test]
fn ppp_in_gre_is_looked_into() {
    let ppp = [&[0x21], &inner()[..]].concat();
    assert_tunnel("GRE", gre(&[0, 0, 0x88, 0x0b], &ppp));
    assert_closed("GRE", gre(&[0, 0, 0x88, 0x0b], &[]));
}

#[test]
fn pptp_may_be_encrypted_or_cut_or_carry_nothing() {
    assert_closed("PPTP", pptp(&[0, 0xfd, 0x90, 1, 2, 3]));
    assert_closed("PPTP", gre(&[0x30, 1, 0x88, 0x0b, 0, 42], &[]));
    // Without a key it is damaged.
    assert_closed("PPTP", gre(&[0x10, 1, 0x88, 0x0b, 0, 42, 0, 9], &[0; 8]));
    // Link control, and an acknowledgement alone.
    assert_none(pptp(&[0xff, 3, 0xc0, 0x21, 9, 0, 0, 4]));
    assert_none(gre(&[0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 9, 0, 0, 0, 7], &[]));
}

#[test]
fn erspan_is_looked_into() {
    let inside = ethernet(0x0800, &inner());
    let mirrored = |ether_type: u8, header: &[u8], inside: &[u8]| {
        let gre_header = [
            0x10,
            0,
            [0x88, 0x22][usize::from(ether_type == 0xeb)],
            ether_type,
        ];
        gre(&gre_header, &[&[0, 0, 0, 1], header, inside].concat())
    };
    assert_tunnel("ERSPAN", gre(&[0, 0, 0x88, 0xbe], &inside));
    let second = [0x10, 7, 0, 1, 0, 0, 0, 0];
    assert_tunnel("ERSPAN", mirrored(0xbe, &second, &inside));
    let mut third = [0x20, 7, 0, 1, 1, 2, 3, 4, 0, 0, 0x80, 0x06];
    assert_tunnel("ERSPAN", mirrored(0xeb, &third, &inside));
    assert_tunnel("ERSPAN", mirrored(0xbe, &third, &inside));
    third[11] |= 1;
    let with_platform = [&third[..], &[0xff; 8]].concat();
    assert_tunnel("ERSPAN", mirrored(0xeb, &with_platform, &inside));
    third[10] |= 2 << 2;
    let with_platform = [&third[..], &[0xff; 8]].concat();
    assert_tunnel("ERSPAN", mirrored(0xeb, &with_platform, &inner()));
    // A kind of frame that is not IP or Ethernet, another version, cut.
    third[10] |= 1 << 2;
    let with_platform = [&third[..], &[0xff; 8]].concat();
    assert_closed("ERSPAN", mirrored(0xeb, &with_platform, &inside));
    third[0] = 0x30;
    assert_closed("ERSPAN", mirrored(0xeb, &third, &inside));
    assert_closed("ERSPAN", mirrored(0xeb, &[0x20, 7], &[]));
    assert_closed("ERSPAN", mirrored(0xbe, &[], &[]));
}

#[test]
fn ethernet_and_mpls_in_ip_are_looked_into() {
    let inside = ethernet(0x0800, &inner());
    let ether_ip = [&[0x30, 0], &inside[..]].concat();
    assert_tunnel("EtherIP", ethernet(0x0800, &ipv4(97, &ether_ip)));
    assert_tunnel("EtherIP", ethernet(0x86dd, &ipv6(97, &ether_ip)));
    assert_closed("EtherIP", ethernet(0x0800, &ipv4(97, &[0x40, 0])));
    let mpls = [&[0, 2, 1, 64], &inner()[..]].concat();
    assert_tunnel("MPLS", ethernet(0x0800, &ipv4(137, &mpls)));
    assert_tunnel("MPLS", ethernet(0x86dd, &ipv6(137, &mpls)));
    assert_closed("MPLS", ethernet(0x0800, &ipv4(137, &[0, 2, 0, 64])));
}

#[test]
fn version_3_of_l2tp_is_closed() {
    assert_closed("L2TP", ethernet(0x0800, &ipv4(115, &[0, 0, 0, 9, 1, 2])));
    // Its control.
    assert_none(ethernet(0x0800, &ipv4(115, &[0; 24])));
}

/// What AH signs is looked at without being asked for, in both versions of IP.
#[test]
fn ah_is_no_tunnel() {
    let ah = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let sum = [9; 12];
    let syn = inner();
    let signed = [&ah, &sum, &syn[20..]].concat();
    let mut packet = ipv4(51, &signed);
    packet[12..20].copy_from_slice(&syn[12..20]);
    let report = replay_one(ethernet(0x0800, &packet), false);
    assert_eq!(report.totals.tcp_out, 1);
    // In tunnel mode a whole packet is behind it.
    let tunnel = [&[4, 4], &ah[2..], &sum, &syn].concat();
    assert_tunnel("IP-in-IP", ethernet(0x0800, &ipv4(51, &tunnel)));
    assert_tunnel("IP-in-IP", ethernet(0x86dd, &ipv6(51, &tunnel)));
}

/// A fragment that is not the first begins anywhere.
#[test]
fn a_later_fragment_is_counted_by_its_protocol() {
    for (protocol, name) in [(47, "GRE"), (4, "IP-in-IP"), (97, "EtherIP"), (115, "L2TP")] {
        let mut packet = ipv4(protocol, &[0; 16]);
        packet[7] = 9;
        assert_closed(name, ethernet(0x0800, &packet));
    }
}

/// Their ports are not asked about.
#[test]
fn other_transports_of_shared_addresses_are_counted_by_name() {
    let ports = [0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut frames = Vec::new();
    for protocol in [132, 132, 33, 136, 1] {
        let mut packet = ipv4(protocol, &ports);
        frames.push(ethernet(0x0800, &packet));
        packet[12..16].copy_from_slice(&[192, 0, 2, 10]);
        frames.push(ethernet(0x0800, &packet));
    }
    let report = replay_frames(&frames);
    let count: Vec<_> = report.other_transports.iter().collect();
    let expected = [("DCCP", 1), ("SCTP", 2), ("UDP-Lite", 1)];
    assert!(
        count
            .into_iter()
            .map(|(name, n)| (name.as_str(), *n))
            .eq(expected)
    );
    assert!(report.not_looked_into.is_empty());
    let t = &report.totals;
    assert_eq!((t.packets, t.not_shared, t.udp_sends), (10, 5, 0));
    assert_eq!(report.nodes[0].counters.packets, 5);
}
