// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which kernel the model is: what differs between two that were measured.

use std::fmt;
use std::str::FromStr;

/// The year of an illumos kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// January 2015.
    #[default]
    Y2015,
    /// July 2021.
    Y2021,
}

impl Release {
    /// A connection over loopback ends where TIME_WAIT would begin.
    pub(crate) fn loopback_skips_time_wait(self) -> bool {
        self == Self::Y2021
    }

    /// A call of a program drains the squeue before it returns
    /// (`squeue_try_drain_one`), so that a connect over loopback has ended by
    /// then.
    pub(crate) fn drains_squeue(self) -> bool {
        self == Self::Y2021
    }

    /// A socket of IPv6 takes some options of IPv4 while it sends IPv4.
    pub(crate) fn takes_ipv4_options_for_ipv6(self) -> bool {
        self == Self::Y2021
    }

    /// Are there the options that came after 2015?
    pub(crate) fn has_later_options(self) -> bool {
        self == Self::Y2021
    }

    /// The shortest time of TCP_KEEPALIVE_THRESHOLD, in milliseconds.
    pub(crate) fn least_keepalive(self) -> u32 {
        match self {
            Self::Y2015 => 10_000,
            Self::Y2021 => 1000,
        }
    }

    /// A number of probes whose interval would be out of range takes the nearest
    /// interval that is not.
    pub(crate) fn clamps_probe_interval(self) -> bool {
        self == Self::Y2021
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Y2015 => "2015",
            Self::Y2021 => "2021",
        })
    }
}

/// A release that the model does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no release {0:?} is known: 2015 and 2021 are")]
pub struct UnknownRelease(String);

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        match text {
            "2015" => Ok(Self::Y2015),
            "2021" => Ok(Self::Y2021),
            other => Err(UnknownRelease(other.to_owned())),
        }
    }
}
