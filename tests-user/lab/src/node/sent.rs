// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What left the machine, by the host's clock.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use clinet_control::Protocol;
use clinet_control::machine::{MachineReply, SentPacket};
use clinet_ip::{Body, Sighting};
use rustix::time::{ClockId, clock_gettime};

/// So many packets are kept.
const MOST: usize = 1 << 20;
/// So many are in one answer, which has to fit into a frame.
const MOST_TOLD: usize = 1 << 14;

/// Nanoseconds of the host's CLOCK_MONOTONIC, which all processes share.
pub fn host_time() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[derive(Default)]
struct Log {
    /// The number of the first packet that is kept.
    first: u64,
    packets: VecDeque<SentPacket>,
    /// Has a line for each, which outlives the process.
    file: Option<File>,
}

/// The packets that left, the oldest forgotten.
pub struct Sent(Mutex<Log>);

impl Sent {
    /// Nothing yet. Each packet becomes a line of `file` before anybody gets it:
    /// nanoseconds of CLOCK_MONOTONIC, protocol, source and destination.
    pub fn new(file: Option<File>) -> Self {
        Self(Mutex::new(Log {
            file,
            ..Log::default()
        }))
    }

    /// Notes a packet that leaves now.
    pub fn note(&self, sighting: &Sighting) {
        let packet = SentPacket {
            time: host_time(),
            protocol: match sighting.body {
                Body::Tcp(_) | Body::TcpAnswer => Protocol::Tcp,
                Body::Udp(_) => Protocol::Udp,
            },
            local: sighting.from,
            foreign: sighting.to,
        };
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut log.file {
            let line = line_of(&packet);
            file.write_all(line.as_bytes())
                .expect("the file of --sent can be written");
        }
        if log.packets.len() == MOST {
            log.packets.pop_front();
            log.first += 1;
        }
        log.packets.push_back(packet);
    }

    /// The packets from number `since` on, as many as fit into an answer.
    pub fn since(&self, since: u64) -> MachineReply {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = since.max(log.first);
        let skip = usize::try_from(begin - log.first).unwrap_or(usize::MAX);
        let packets: Vec<SentPacket> = log
            .packets
            .iter()
            .skip(skip)
            .take(MOST_TOLD)
            .cloned()
            .collect();
        MachineReply::Sent {
            next: begin + packets.len() as u64,
            packets,
        }
    }
}

fn line_of(packet: &SentPacket) -> String {
    let SentPacket {
        time,
        protocol,
        local,
        foreign,
    } = packet;
    format!("{time} {protocol} {local} {foreign}\n")
}
