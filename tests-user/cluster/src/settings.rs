// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the nodes of the cluster share, and by which times.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clinet_slices::Timing;
use clinet_slices::names::{Name, Names, Range};
use clinet_slices::records::{Conf, FIRST_INCARNATION, FORMAT};

/// What an operator decides for a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the cluster.
    pub cluster: String,
    /// The name of the pool.
    pub pool: String,
    /// The shared addresses.
    pub addresses: Vec<IpAddr>,
    /// The port space of both protocols.
    pub ports: (u16, u16),
    /// Ports in a slice.
    pub slice: u16,
    /// T
    pub grant: Duration,
    /// F
    pub fence: Duration,
    /// L
    pub packet: Duration,
    /// e, in millionths.
    pub rate_ppm: u32,
    /// One tick of a clock.
    pub tick: Duration,
    /// The lease of a node's key.
    pub lease: Duration,
    /// How long a call of etcd may take.
    pub timeout: Duration,
}

impl Default for Settings {
    /// Times of seconds instead of minutes.
    fn default() -> Self {
        Self {
            cluster: "lab".to_owned(),
            pool: "web".to_owned(),
            addresses: vec![Ipv4Addr::new(192, 0, 2, 10).into()],
            ports: (32768, 65535),
            slice: 2048,
            grant: Duration::from_secs(6),
            fence: Duration::from_secs(1),
            packet: Duration::from_secs(2),
            rate_ppm: 1000,
            tick: Duration::from_millis(10),
            lease: Duration::from_secs(2),
            timeout: Duration::from_millis(1500),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Settings {
    /// The times that a cluster has at work.
    pub fn at_work(slice: u16) -> Self {
        Self {
            slice,
            grant: Duration::from_secs(300),
            fence: Duration::from_secs(5),
            packet: Duration::from_secs(60),
            lease: Duration::from_secs(15),
            timeout: Duration::from_secs(2),
            ..Self::default()
        }
    }

    /// The port space as a tunable and a configuration have it.
    pub fn space(&self) -> String {
        format!("{}-{}", self.ports.0, self.ports.1)
    }

    /// How many slices each protocol has.
    pub fn slices(&self) -> usize {
        let (first, last) = self.ports;
        (usize::from(last - first) + 1) / usize::from(self.slice)
    }

    /// T, F, L and e as the protocol has them.
    pub fn timing(&self) -> Timing {
        Timing {
            lifetime: nanoseconds(self.grant),
            fence: nanoseconds(self.fence),
            linger: nanoseconds(self.packet),
            rate_ppm: self.rate_ppm,
            tick: nanoseconds(self.tick),
        }
    }

    /// Q
    pub fn quarantine(&self) -> Duration {
        Duration::from_nanos(self.timing().quarantine())
    }

    /// What the directory has to say of the cluster.
    pub fn conf(&self, etcd_cluster: u64) -> Conf {
        let (first, last) = self.ports;
        let space = Some(Range { first, last });
        Conf {
            format: FORMAT,
            incarnation: FIRST_INCARNATION,
            cluster: etcd_cluster,
            tcp: space,
            udp: space,
            slice: self.slice,
            timing: self.timing(),
        }
    }

    /// Where the cluster is in the directory.
    ///
    /// # Errors
    ///
    /// A name that is none.
    pub fn names(&self) -> anyhow::Result<Names> {
        Ok(Names {
            cluster: Name::new(&self.cluster)?,
            pool: Name::new(&self.pool)?,
        })
    }
}
