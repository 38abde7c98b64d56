// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What people type: 5-tuples, filters, ranges of ports.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use anyhow::{Context, bail};
use clinet_control::{Filter, Protocol, Tuple};
use ipnet::IpNet;

/// What filters can say, for help texts.
pub const FILTERS: &str = "\
Filters, of which all have to fit:
  proto=tcp|udp           the protocol
  local=ADDRESS[/BITS]    local addresses
  foreign=ADDRESS[/BITS]  foreign addresses
  lport=PORT[-PORT]       local ports
  fport=PORT[-PORT]       foreign ports
  owner=NODE              the node that owns it
  stack=NUMBER            the IP stack
  age>SECONDS             UDP: nobody has asked for so long (also <, =)
  dir=out                 TCP of this node: from connect()
  dir=in                  the others";

/// What somebody typed is of no use, and why.
#[derive(Debug)]
pub struct Unusable(pub String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unusable {}

/// A 5-tuple as arguments.
#[derive(clap::Args)]
pub struct TupleArguments {
    /// tcp or udp
    protocol: Protocol,
    /// Local address and port, as in `192.0.2.10:33000` or `[2001:db8::10]:33000`
    #[arg(value_parser = end)]
    local: SocketAddr,
    /// Foreign address and port
    #[arg(value_parser = end)]
    foreign: SocketAddr,
}

impl TupleArguments {
    /// The 5-tuple.
    pub fn tuple(&self) -> anyhow::Result<Tuple> {
        of_one_family(Tuple {
            protocol: self.protocol,
            local: self.local,
            foreign: self.foreign,
        })
    }
}

/// No connection is between an IPv4 and an IPv6 address.
fn of_one_family(tuple: Tuple) -> anyhow::Result<Tuple> {
    let is_v4 = |end: SocketAddr| end.ip().to_canonical().is_ipv4();
    if is_v4(tuple.local) != is_v4(tuple.foreign) {
        bail!("{tuple}: one end is IPv4 and the other IPv6");
    }
    Ok(tuple)
}

fn end(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().ok().with_context(|| {
        format!(
            "{text:?} is no address with a port, such as 192.0.2.10:33000 or [2001:db8::10]:33000"
        )
    })
}

/// A 5-tuple in one line, as `list -p -o tuple` writes it.
pub fn tuple(line: &str) -> anyhow::Result<Tuple> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [protocol, local, foreign] = words[..] else {
        bail!("{line:?} is no 5-tuple such as \"tcp 192.0.2.10:33000 198.51.100.7:443\"");
    };
    of_one_family(Tuple {
        protocol: protocol.parse()?,
        local: end(local)?,
        foreign: end(foreign)?,
    })
}

/// A filter of these words.
pub fn filter(words: &[String]) -> anyhow::Result<Filter> {
    let mut filter = Filter::default();
    for word in words {
        add(&mut filter, word).with_context(|| format!("the filter {word:?}"))?;
    }
    Ok(filter)
}

fn add(filter: &mut Filter, word: &str) -> anyhow::Result<()> {
    let Some(at) = word.find(['=', '<', '>']) else {
        bail!("a filter is COLUMN=VALUE, as in proto=tcp: clinetadm help list");
    };
    let (name, rest) = word.split_at(at);
    let (operator, value) = rest.split_at(1);
    if name == "age" {
        filter.age = Some(ages(operator, value)?);
        return Ok(());
    }
    if operator != "=" {
        bail!("only age can be compared with {operator}");
    }
    match name {
        "proto" => filter.protocol = Some(value.parse()?),
        "local" => filter.local = Some(network(value)?),
        "foreign" => filter.foreign = Some(network(value)?),
        "lport" => filter.lport = Some(ports(value)?),
        "fport" => filter.fport = Some(ports(value)?),
        "owner" => filter.owner = Some(number(value)?),
        "stack" => filter.stack = Some(number(value)?),
        "dir" => {
            filter.outgoing = Some(match value {
                "out" => true,
                "in" => false,
                _ => bail!("a direction is in or out"),
            });
        }
        _ => bail!("no such column: proto, local, foreign, lport, fport, owner, stack, age, dir"),
    }
    Ok(())
}

fn number(text: &str) -> anyhow::Result<u32> {
    text.parse()
        .with_context(|| format!("{text:?} is no number up to {}", u32::MAX))
}

fn ages(operator: &str, value: &str) -> anyhow::Result<RangeInclusive<u32>> {
    let seconds = number(value)?;
    let none = || format!("no age is {operator} {seconds}");
    Ok(match operator {
        ">" => seconds.checked_add(1).with_context(none)?..=u32::MAX,
        "<" => 0..=seconds.checked_sub(1).with_context(none)?,
        _ => seconds..=seconds,
    })
}

/// An address is the network of one address.
fn network(text: &str) -> anyhow::Result<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    text.parse()
        .with_context(|| format!("{text:?} is no address such as 192.0.2.10 or 2001:db8::/32"))
}

/// One port or a range, as in `80` and `32768-36863`.
pub fn ports(text: &str) -> anyhow::Result<RangeInclusive<u16>> {
    let port = |port: &str| {
        port.parse::<u16>()
            .with_context(|| format!("{port:?} is no port"))
    };
    let range = match text.split_once('-') {
        None => port(text)?..=port(text)?,
        Some((first, last)) => port(first)?..=port(last)?,
    };
    if range.is_empty() {
        bail!("{text:?} ends before it begins");
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> anyhow::Result<Filter> {
        filter(&words.iter().map(|&word| word.into()).collect::<Vec<_>>())
    }

    #[test]
    fn a_filter_has_what_its_words_say() {
        let filter = of(&[
            "proto=tcp",
            "local=192.0.2.10",
            "foreign=198.51.100.0/24",
            "lport=32768-36863",
            "owner=2",
            "age>600",
            "dir=out",
        ]);
        let wanted = Filter {
            protocol: Some(Protocol::Tcp),
            local: "192.0.2.10/32".parse().ok(),
            foreign: "198.51.100.0/24".parse().ok(),
            lport: Some(32768..=36863),
            owner: Some(2),
            age: Some(601..=u32::MAX),
            outgoing: Some(true),
            ..Default::default()
        };
        assert_eq!(filter.expect("a filter"), wanted);
        assert_eq!(of(&["age<1"]).expect("a filter").age, Some(0..=0));
        assert_eq!(of(&["fport=443"]).expect("one").fport, Some(443..=443));
        assert_eq!(of(&[]).expect("all"), Filter::default());
    }

    #[test]
    fn what_is_no_filter_is_named() {
        for (word, reason) in [
            ("proto", "COLUMN=VALUE"),
            ("port=5", "no such column"),
            ("owner>2", "only age"),
            ("local=localhost", "no address"),
            ("lport=5-4", "ends before it begins"),
            ("lport=65536", "no port"),
            ("age<0", "no age is < 0"),
            ("proto=sctp", "none of tcp, udp"),
            ("dir=up", "in or out"),
        ] {
            let error = format!("{:#}", of(&[word]).expect_err(word));
            assert!(error.contains(word) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_line_is_a_tuple() {
        let line = "udp [2001:db8::10]:33000 [2001:db8::1]:53";
        assert_eq!(tuple(line).expect("a 5-tuple").to_string(), line);
        for line in [
            "",
            "tcp 192.0.2.10:1",
            "tcp 192.0.2.10 198.51.100.7:443",
            "tcp 192.0.2.10:33000 [2001:db8::1]:443",
            "6 a b",
        ] {
            tuple(line).expect_err(line);
        }
    }
}
