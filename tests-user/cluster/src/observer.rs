// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the machines' modules said of their grants, and when.

use std::path::PathBuf;
use std::time::Duration;

use clinet_control::{Control, FenceState};

use crate::clock::now;
use crate::watching::Watching;

/// How often a module is asked.
pub const LOOK: Duration = Duration::from_millis(50);

/// What a module said.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When it was asked.
    pub before: u64,
    /// When it had answered.
    pub after: u64,
    /// Nanoseconds of its clock that were left to the deadline; negative after it.
    /// `None`: nothing is granted until any time.
    pub left: Option<i64>,
    /// Where the fence was.
    pub fence: FenceState,
    /// The epoch of the grants.
    pub epoch: u64,
    /// Their sequence.
    pub sequence: u64,
    /// The granted ports, of both protocols.
    pub granted: u32,
}

/// Watches the module behind a control device, through all its boots.
pub fn watch(socket: PathBuf) -> Watching<Seen> {
    let mut control: Option<Control> = None;
    Watching::start(LOOK, move || {
        let before = now();
        let device = control.take().or_else(|| Control::open(&socket).ok());
        let Some(device) = device else {
            return Vec::new();
        };
        let Ok(state) = device.state() else {
            return Vec::new();
        };
        control = Some(device);
        let left = |deadline: u64| i64::try_from(i128::from(deadline) - i128::from(state.now));
        vec![Seen {
            before,
            after: now(),
            left: state.deadline.and_then(|deadline| left(deadline).ok()),
            fence: state.fence,
            epoch: state.epoch,
            sequence: state.sequence,
            granted: state.tcp.granted + state.udp.granted,
        }]
    })
}
