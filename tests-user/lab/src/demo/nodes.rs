// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The two nodes and the host they talk to.

use std::net::{IpAddr, SocketAddr};

use clinet_ip::{Cluster, Errno, Node, Socket};

use crate::story::Story;

const SHARED4: &str = "192.0.2.10";
const SHARED6: &str = "2001:db8::10";
const HOST4: &str = "198.51.100.7";
const HOST6: &str = "2001:db8:7::7";

fn ip(text: &str) -> anyhow::Result<IpAddr> {
    Ok(text.parse()?)
}

fn end(text: &str) -> anyhow::Result<SocketAddr> {
    Ok(text.parse()?)
}

/// Sends one byte.
fn send(socket: &Socket, to: SocketAddr) -> Result<(), Errno> {
    socket.send_to(Some((to.ip(), to.port())), false, 1)?;
    Ok(())
}

fn said<T>(result: &Result<T, Errno>, success: &str) -> String {
    match result {
        Ok(_) => success.to_owned(),
        Err(error) => format!("the program sees {error}"),
    }
}

/// Tells it all; the cluster is left as it is then.
pub fn tell(story: &mut Story, module: &[u8]) -> anyhow::Result<Cluster> {
    let mut cluster = Cluster::new(module);
    cluster.replicate(true);
    let shared = [ip(SHARED4)?, ip(SHARED6)?];
    let a = cluster.add_node("node a", &shared)?;
    let b = cluster.add_node("node b", &shared)?;
    let host = cluster.add_host("host", &[ip(HOST4)?, ip(HOST6)?]);

    story.chapter("Two nodes share 192.0.2.10 and 2001:db8::10");
    for node in [&a, &b] {
        let what = format!("{}: modload misc/clinet", node.name());
        let info = &node.clinet().module().info().linkinfo;
        let expected = format!("\"{info}\", contract version 1.1");
        let result = format!("\"{info}\", contract version {}", node.clinet().version());
        story.step(&what, result, &expected);
    }
    let web4 = host.tcp_listen(end("198.51.100.7:80")?)?;
    let web6 = host.tcp_listen(end("[2001:db8:7::7]:80")?)?;
    let first = outgoing(story, &a)?;
    incoming(story, &b, &host)?;
    let served = web4.accept()?;
    refused(story, &cluster, &b, [first, served])?;
    datagrams(story, &a)?;
    for listener in [web4, web6] {
        listener.close();
    }
    Ok(cluster)
}

fn outgoing(story: &mut Story, a: &Node) -> anyhow::Result<Socket> {
    story.chapter("TCP out: connect() asks before the SYN leaves");
    let before = a.stats();
    let first = a.tcp_connect(Some(end("192.0.2.10:40000")?), end("198.51.100.7:80")?);
    story.step(
        "node a: connect 192.0.2.10:40000 to 198.51.100.7:80",
        said(&first, "connected"),
        "connected",
    );
    let second = a.tcp_connect(
        Some(end("[2001:db8::10]:40000")?),
        end("[2001:db8:7::7]:80")?,
    );
    story.step(
        "node a: connect [2001:db8::10]:40000 to [2001:db8:7::7]:80",
        said(&second, "connected"),
        "connected",
    );
    let asked = a.stats().since(&before);
    story.step(
        "questions on node a",
        format!(
            "{} asked, {} registered",
            asked.tcp_out_asked, asked.registered
        ),
        "2 asked, 2 registered",
    );
    second?.close();
    Ok(first?)
}

fn incoming(story: &mut Story, b: &Node, host: &Node) -> anyhow::Result<()> {
    story.chapter("TCP in: a SYN asks before its SYN-ACK leaves");
    let before = b.stats();
    let listener = b.tcp_listen(end("192.0.2.10:22")?)?;
    let client = host.tcp_connect(None, end("192.0.2.10:22")?);
    let accepted = listener.accept();
    let both = client.and_then(|client| Ok([client, accepted?]));
    story.step(
        "host: connect to 192.0.2.10:22, where node b listens",
        said(&both, "accepted"),
        "accepted",
    );
    let asked = b.stats().since(&before);
    story.step(
        "questions on node b",
        format!("{} asked", asked.tcp_in_asked),
        "1 asked",
    );
    for socket in both?.iter().chain([&listener]) {
        socket.close();
    }
    Ok(())
}

fn refused(
    story: &mut Story,
    cluster: &Cluster,
    b: &Node,
    connection: [Socket; 2],
) -> anyhow::Result<()> {
    story.chapter("One 5-tuple, one owner");
    let local = end("192.0.2.10:40000")?;
    let peer = end("198.51.100.7:80")?;
    let again = b.tcp_connect(Some(local), peer);
    story.step(
        "node b: connect 192.0.2.10:40000 to 198.51.100.7:80, which node a holds",
        said(&again, "connected"),
        "the program sees EADDRINUSE (125): address already in use",
    );
    let other = b.tcp_connect(Some(end("192.0.2.10:40001")?), peer);
    story.step(
        "node b: the same from port 40001, which is another 5-tuple",
        said(&other, "connected"),
        "connected",
    );
    other?.close();
    for end in connection {
        end.close();
    }
    cluster.advance(2 * clinet_ip::TIME_WAIT);
    let again = b.tcp_connect(Some(local), peer);
    story.step(
        "node a closes, TIME_WAIT ends; node b: connect from port 40000 again",
        said(&again, "connected"),
        "connected",
    );
    again?.close();
    Ok(())
}

fn datagrams(story: &mut Story, a: &Node) -> anyhow::Result<()> {
    story.chapter("UDP: one question for each new destination");
    let socket = a.udp_bind(end("192.0.2.10:40053")?)?;
    let before = a.stats();
    let dns = end("198.51.100.7:53")?;
    let mut result = Ok(());
    for _ in 0..1000 {
        result = result.and_then(|()| send(&socket, dns));
    }
    let asked = |story: &mut Story, what: &str, result, expected: &str| {
        let sent = said(&result, "sent");
        let asked = a.stats().since(&before).udp_asked;
        story.step(what, format!("{sent}, {asked} asked so far"), expected);
    };
    asked(
        story,
        "node a: a thousand datagrams to 198.51.100.7:53",
        result,
        "sent, 1 asked so far",
    );
    let result = send(&socket, end("198.51.100.7:123")?);
    asked(
        story,
        "node a: one to port 123",
        result,
        "sent, 2 asked so far",
    );
    let result = send(&socket, end("198.51.100.7:123")?);
    asked(
        story,
        "node a: and another one",
        result,
        "sent, 2 asked so far",
    );
    socket.close();
    Ok(())
}
