// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Times and counts that options set: TCP checks each by the others.

use crate::error::Errno;
use crate::option::SocketOption;
use crate::release::Release;

/// Of a conn; an accepted connection begins with its listener's. Times are
/// milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    least_rto: u32,
    most_rto: u32,
    /// TCP_ABORT_THRESHOLD and TCP_CONN_ABORT_THRESHOLD, which take anything.
    abort: i32,
    connect_abort: i32,
    keepalive_abort: u32,
    /// Between two probes, and how many of them; 0 if nobody said so.
    probe_interval: u32,
    probes: u32,
}

impl Default for Limits {
    /// The tunables of both kernels.
    fn default() -> Self {
        Self {
            least_rto: 400,
            most_rto: 60_000,
            abort: 300_000,
            connect_abort: 180_000,
            keepalive_abort: 480_000,
            probe_interval: 0,
            probes: 0,
        }
    }
}

/// The longest time of TCP_KEEPALIVE_THRESHOLD, TCP_RTO_INITIAL and the bounds
/// of RTO.
const MOST_KEEPALIVE: u32 = 10 * 24 * 3_600_000;
const MOST_INITIAL_RTO: u32 = 20_000;
const MOST_RTO_BOUND: u32 = 2 * 3_600_000;

impl Limits {
    /// `setsockopt`. Numbers are unsigned and overflow, as in the kernel.
    pub fn set(&mut self, option: SocketOption, value: i32, release: Release) -> Result<(), Errno> {
        let number = value as u32;
        let milliseconds = number.wrapping_mul(1000);
        match option {
            SocketOption::TCP_ABORT_THRESHOLD => self.abort = value,
            SocketOption::TCP_CONN_ABORT_THRESHOLD => self.connect_abort = value,
            SocketOption::TCP_KEEPIDLE => check_keepalive(milliseconds, release)?,
            SocketOption::TCP_KEEPALIVE_THRESHOLD => check_keepalive(number, release)?,
            SocketOption::TCP_KEEPALIVE_ABORT_THRESHOLD => {
                self.keepalive_abort = number;
                self.probe_interval = 0;
                self.probes = 0;
            }
            SocketOption::TCP_KEEPCNT => self.set_probes(number, release)?,
            SocketOption::TCP_KEEPINTVL => self.set_probe_interval(milliseconds)?,
            // 0 leaves them as they are.
            SocketOption::TCP_RTO_INITIAL if number != 0 => {
                is(self.is_rto(number)
                    && i64::from(number) <= i64::from(self.connect_abort)
                    && number <= MOST_INITIAL_RTO)?;
            }
            SocketOption::TCP_RTO_MIN if number != 0 => {
                is(number <= self.most_rto && number <= MOST_RTO_BOUND)?;
                self.least_rto = number;
            }
            SocketOption::TCP_RTO_MAX if number != 0 => {
                is(number >= self.least_rto
                    && i64::from(number) <= i64::from(self.abort)
                    && number <= MOST_RTO_BOUND)?;
                self.most_rto = number;
            }
            _ => {}
        }
        Ok(())
    }

    fn is_rto(&self, time: u32) -> bool {
        (self.least_rto..=self.most_rto).contains(&time)
    }

    /// Probes, their interval and when to give up belong together: of two that
    /// are known the third follows.
    fn set_probes(&mut self, probes: u32, release: Release) -> Result<(), Errno> {
        let each = self
            .keepalive_abort
            .checked_div(probes)
            .ok_or(Errno::EINVAL)?;
        if self.probe_interval != 0 {
            self.keepalive_abort = probes.wrapping_mul(self.probe_interval);
        } else if release.clamps_probe_interval() {
            self.probe_interval = each.max(self.least_rto).min(self.most_rto);
        } else {
            is(self.is_rto(each))?;
            self.probe_interval = each;
        }
        self.probes = probes;
        Ok(())
    }

    fn set_probe_interval(&mut self, interval: u32) -> Result<(), Errno> {
        is(self.is_rto(interval))?;
        if self.probes == 0 {
            self.probes = self.keepalive_abort / interval;
        } else {
            self.keepalive_abort = self.probes.wrapping_mul(interval);
        }
        self.probe_interval = interval;
        Ok(())
    }
}

fn check_keepalive(time: u32, release: Release) -> Result<(), Errno> {
    is((release.least_keepalive()..=MOST_KEEPALIVE).contains(&time))
}

fn is(in_range: bool) -> Result<(), Errno> {
    in_range.then_some(()).ok_or(Errno::EINVAL)
}
