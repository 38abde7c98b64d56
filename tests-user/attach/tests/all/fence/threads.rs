// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Eight threads that connect and send from shared addresses while the deadline
//! passes: nothing leaves after the fence.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clinet_ip::{Errno, Socket};
use clinet_kernel::together::{self, Over};
use clinet_module_tests::{Control, abi};

use super::node::{F, Node, OWN, SHARED, family};

/// What one thread uses.
struct Sender {
    from: IpAddr,
    to: IpAddr,
    port: u16,
    udp: Socket,
    receiver: Socket,
    client: Socket,
    server: Socket,
    listener: Socket,
    /// How often it tried.
    tries: AtomicU64,
}

impl Sender {
    fn new(node: &Node, number: u16) -> Self {
        let index = usize::from(number % 2);
        let (from, to) = (SHARED[index], OWN[index]);
        let port = 2000 + number * 100;
        let (client, server) = node.connection((from, port), (to, port + 1));
        let listener = node.ip().tcp(0, family(to));
        listener.bind(Some(to), port + 4).expect("a free port");
        listener.listen(8).expect("it is bound");
        Self {
            from,
            to,
            port,
            udp: node.udp(from, port + 2),
            receiver: node.udp(to, port + 3),
            client,
            server,
            listener,
            tries: AtomicU64::new(0),
        }
    }

    /// One try of each kind; says how much of it arrived.
    fn try_all(&self, node: &Node) -> usize {
        let _sent = self.udp.send_to(Some((self.to, self.port + 3)), false, 3);
        let _sent = self.client.send(4);
        let late = node.ip().udp(0, family(self.from));
        if late.bind(Some(self.from), 0).is_ok() {
            let _sent = late.send_to(Some((self.to, self.port + 3)), false, 3);
        }
        late.close();
        let late = node.ip().tcp(0, family(self.from));
        late.set_nonblocking(true);
        if late.bind(Some(self.from), 0).is_ok() {
            let _begun = late.connect(self.to, self.port + 4);
        }
        late.abort();
        self.received()
    }

    fn received(&self) -> usize {
        let datagrams = std::iter::from_fn(|| self.receiver.receive().ok());
        let connections = std::iter::from_fn(|| self.listener.accept().ok());
        let connections = connections.inspect(Socket::abort);
        datagrams.count() + connections.count() + self.server.receive().unwrap_or(0)
    }

    /// What it does while the addresses are there, and afterwards.
    fn run(&self, node: &Node, is_fenced: &Over) {
        let mut arrived = 0;
        while !is_fenced.is_set() {
            arrived += self.try_all(node);
            self.tries.fetch_add(1, Ordering::SeqCst);
        }
        assert!(arrived > 0);
        // The grace: what was past the check.
        self.received();
        for _ in 0..200 {
            assert_eq!(self.try_all(node), 0);
        }
        let to = Some((self.to, self.port + 3));
        assert_eq!(self.udp.send_to(to, true, 3), Err(Errno::ENETUNREACH));
        let late = node.ip().tcp(0, family(self.from));
        assert_eq!(late.bind(Some(self.from), 0), Err(Errno::EADDRNOTAVAIL));
    }
}

#[test]
fn nothing_leaves_after_the_fence_while_eight_threads_send() {
    let node = Node::new(&[]);
    node.grant(1, 10);
    let senders: Vec<Sender> = (0..8).map(|number| Sender::new(&node, number)).collect();
    together::scope(|threads| {
        let node = &node;
        for sender in &senders {
            threads.spawn(move |is_fenced| sender.run(node, is_fenced));
        }
        for sender in &senders {
            while sender.tries.load(Ordering::SeqCst) < 10 {
                thread::yield_now();
            }
        }
        let deadline = node.state().cst_deadline;
        while node.fence_state() != abi::CLINETCTL_FENCED {
            node.kernel().advance(Duration::from_millis(100));
            assert!(node.clock() <= deadline + F * 1_000_000_000);
        }
        assert!(node.clock() >= deadline);
    });
    for sender in &senders {
        assert_eq!(sender.received(), 0);
    }
}
