// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A way to etcd that can be cut.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

#[derive(Default)]
struct Shared {
    cut: bool,
    streams: Vec<TcpStream>,
}

/// Forwards connections to one address, unless it is cut.
pub struct Proxy {
    address: String,
    shared: Arc<Mutex<Shared>>,
}

impl Proxy {
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let (target, all) = (
            target.trim_start_matches("http://").to_owned(),
            shared.clone(),
        );
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who cannot be forwarded is hung up on.
                let _ = forward(stream, &target, &all);
            }
        });
        Self {
            address: format!("http://{address}"),
            shared,
        }
    }

    pub fn endpoint(&self) -> &str {
        &self.address
    }

    /// Ends all connections, and those that come; or lets them through again.
    pub fn cut(&self, cut: bool) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.cut = cut;
        for stream in shared.streams.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(near: TcpStream, target: &str, all: &Mutex<Shared>) -> io::Result<()> {
    let mut shared = all.lock().unwrap_or_else(PoisonError::into_inner);
    if shared.cut {
        return Ok(());
    }
    let far = TcpStream::connect(target)?;
    for (from, to) in [(&near, &far), (&far, &near)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            // Either end may hang up.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    shared.streams.extend([near, far]);
    Ok(())
}
