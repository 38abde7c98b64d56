// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashMap;

use anyhow::bail;
use clinet_control::Protocol;

use super::{Illumos, Run, udp_socket};
use crate::platform::{Platform, UdpSocket};

/// ipadm as far as it is used, with the refusals of the real one.
#[derive(Default)]
struct Fake {
    properties: HashMap<String, u16>,
    addresses: String,
    sockets: String,
    calls: Vec<String>,
}

impl Run for &mut Fake {
    fn run(&mut self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        self.calls.push(arguments.join(" "));
        match arguments {
            ["show-prop", "-c", "-o", "current", "-p", name, protocol] => Ok(format!(
                "{}\n",
                self.properties[&format!("{protocol} {name}")]
            )),
            ["set-prop", "-t", "-p", setting, protocol] => {
                let (name, value) = setting.split_once('=').unwrap();
                let name = format!("{protocol} {name}");
                self.properties.insert(name, value.parse()?);
                let get = |name: &str| self.properties[&format!("{protocol} {name}")];
                if get("smallest_anon_port") > get("largest_anon_port") {
                    bail!("ERANGE");
                }
                Ok(String::new())
            }
            ["show-addr", "-p", "-o", "addrobj,state,addr"] => Ok(self.addresses.clone()),
            ["-anu", ..] if self.sockets.is_empty() => bail!("no such option"),
            ["-anu" | "-an", "-P", "udp"] => Ok(self.sockets.clone()),
            ["create-addr" | "up-addr" | "down-addr", ..] => Ok(String::new()),
            _ => bail!("{program} {arguments:?}"),
        }
    }
}

fn with_range(first: u16, last: u16) -> Fake {
    let mut fake = Fake::default();
    for protocol in ["tcp", "udp"] {
        let mut set = |name: &str, value| {
            fake.properties.insert(format!("{protocol} {name}"), value);
        };
        set("smallest_anon_port", first);
        set("largest_anon_port", last);
    }
    fake
}

#[test]
fn a_range_moves_without_passing_through_a_refused_one() {
    for (from, to) in [
        ((32768, 65535), (32768, 34815)),
        ((32768, 34815), (36864, 38911)),
        ((36864, 38911), (32768, 34815)),
        ((32768, 34815), (32768, 36863)),
        ((34816, 36863), (32768, 36863)),
    ] {
        let mut fake = with_range(from.0, from.1);
        let mut illumos = Illumos::new(&mut fake, "lo0".into());
        illumos.set_range(Protocol::Tcp, to.0..=to.1).unwrap();
        assert_eq!(fake.properties["tcp smallest_anon_port"], to.0);
        assert_eq!(fake.properties["tcp largest_anon_port"], to.1);
        assert_eq!(fake.properties["udp smallest_anon_port"], from.0);
    }
}

#[test]
fn a_range_that_is_set_is_not_set_again() {
    let mut fake = with_range(32768, 34815);
    let mut illumos = Illumos::new(&mut fake, "lo0".into());
    illumos.set_range(Protocol::Udp, 32768..=34815).unwrap();
    assert!(fake.calls.iter().all(|call| call.starts_with("show-prop")));
}

/// The last command for the address.
fn asked(listed: &str, address: &str, up: bool) -> String {
    let mut fake = Fake {
        addresses: listed.into(),
        ..Fake::default()
    };
    let mut illumos = Illumos::new(&mut fake, "lo0".into());
    let address = address.parse().unwrap();
    if up {
        illumos.up(address).unwrap();
    } else {
        illumos.down(address).unwrap();
    }
    fake.calls.pop().unwrap()
}

const LISTED: &str = "lo0/v4:ok:127.0.0.1/8\nlo0/shared:down:192.0.2.10/32\n\
    net0/other:ok:192.0.2.11/24\nlo0/six:ok:2001\\:db8\\:\\:10/128\n";

#[test]
fn an_address_is_made_or_brought_up() {
    let shown = "show-addr -p -o addrobj,state,addr";
    assert_eq!(asked(LISTED, "192.0.2.10", true), "up-addr -t lo0/shared");
    assert_eq!(asked(LISTED, "2001:db8::10", true), shown);
    assert_eq!(
        asked(LISTED, "192.0.2.11", true),
        "create-addr -t -T static -a local=192.0.2.11/32 lo0/clinet1"
    );
    assert_eq!(asked(LISTED, "2001:db8::10", false), "down-addr -t lo0/six");
    assert_eq!(asked(LISTED, "192.0.2.10", false), shown);
}

#[test]
fn netstat_names_programs() {
    let socket = |port, program: &str| {
        Some(UdpSocket {
            port,
            program: program.into(),
        })
    };
    assert_eq!(
        udp_socket("      *.123                    root        412 ntpd           Idle"),
        socket(123, "ntpd (process 412)")
    );
    assert_eq!(
        udp_socket("192.0.2.10.34816 198.51.100.7.53 1001 2345 resolver Connected"),
        socket(34816, "resolver (process 2345)")
    );
    assert_eq!(
        udp_socket("      *.68                                Idle"),
        socket(68, "a program that netstat does not name")
    );
    assert_eq!(udp_socket("UDP: IPv4"), None);
    assert_eq!(
        udp_socket("   Local Address        Remote Address      State"),
        None
    );
    assert_eq!(
        udp_socket("      *.*                                  Unbound"),
        None
    );
}

#[test]
fn sockets_come_from_an_old_netstat_too() {
    let mut fake = Fake {
        sockets: "*.123 Idle\n".into(),
        ..Fake::default()
    };
    let mut illumos = Illumos::new(&mut fake, "lo0".into());
    assert_eq!(illumos.udp_sockets().unwrap().len(), 1);
}
