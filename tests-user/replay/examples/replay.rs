// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Replays a capture with the plain model instead of loaded modules:
//!
//! ```text
//! cargo run --release -p clinet-replay --example replay -- FILE ADDR...
//! ```
//!
//! The report goes to standard output as JSON, the speed to standard error.

use std::error::Error;
use std::fs::File;
use std::net::IpAddr;
use std::time::Instant;

use clinet_replay::{ModelStack, Options, replay};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("which file?")?;
    let shared: Result<Vec<IpAddr>, _> = arguments.map(|a| a.parse()).collect();
    let (mut bytes, mut packets) = (0, 0);
    let begin = Instant::now();
    let report = replay(
        File::open(file)?,
        &Options::new(shared?),
        &mut ModelStack::new(),
        &mut |b, p| (bytes, packets) = (b, p),
    )?;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{}", serde_json::to_string_pretty(&report)?);
    eprintln!(
        "{packets} packets, {bytes} bytes: {:.1} million packets/s, {:.0} MB/s",
        packets as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6
    );
    Ok(())
}
