// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calls that another thread makes while the next steps go on.

use super::steps::{done, sent};
use crate::error::Errno;
use crate::sockfs::CONNECT_PATIENCE;
use crate::trace::format::Step;
use crate::trace::play::{Background, CannotRun, Outcome, Player};

/// Milliseconds between two looks at a call that is waited for.
const MOMENT: u64 = 10;

impl<'a> Player<'a> {
    pub(super) fn begin_connect(
        &mut self,
        number: usize,
        step: &'a Step,
    ) -> Result<Option<Outcome>, CannotRun> {
        let (to, port) = self.destination(step)?.ok_or("it has no address")?;
        if let Err(errno) = self.slot(step)?.begin_connect(to, port) {
            return Ok(Some(Err(errno).into()));
        }
        Ok(self.wait_in_background(number, step, CONNECT_PATIENCE))
    }

    /// Leaves a call to the other thread.
    pub(super) fn wait_in_background(
        &mut self,
        number: usize,
        step: &'a Step,
        patience: u64,
    ) -> Option<Outcome> {
        let until = self.ip.now(0) + patience;
        let step_before = self.background.replace(Background {
            number,
            step,
            until,
        });
        if let Some(before) = step_before {
            let reason = "cannot run: it waits while another one begins to";
            self.differ(before.number, before.step, "a step", reason);
        }
        None
    }

    /// Ends the call in the background if it returns by now; `wait` waits for
    /// it.
    pub fn finish_background(&mut self, wait: bool) {
        let Some(background) = self.background.take() else {
            return;
        };
        let Background {
            number,
            step,
            until,
        } = background;
        let outcome = loop {
            self.ip.settle();
            let is_over = self.ip.now(0) >= until;
            match self.poll_background(step, is_over) {
                Some(outcome) => break outcome,
                None if wait => self.ip.advance(MOMENT),
                None => {
                    self.background = Some(background);
                    return;
                }
            }
        };
        self.compare_outcome(number, step, outcome);
    }

    /// What the call in the background returns, if it does.
    fn poll_background(&mut self, step: &Step, is_over: bool) -> Option<Outcome> {
        let Ok(socket) = self.slot(step) else {
            // It was closed meanwhile.
            return Some(Err(Errno::EBADF).into());
        };
        let result = match step.step.as_str() {
            "connect" if !is_over && !socket.is_resolved() => return None,
            "connect" => done(socket.finish_connect()),
            "recv" => sent(socket.receive()),
            _ => {
                let new = step.new.clone()?;
                socket.accept().map(|accepted| {
                    self.slots.insert(new, accepted);
                    0
                })
            }
        };
        (result != Err(Errno::EAGAIN) || is_over).then(|| result.into())
    }
}
