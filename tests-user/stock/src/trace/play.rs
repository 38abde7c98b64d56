// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Playing a scenario on the model.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::errno::{ECONNREFUSED, ETIMEDOUT, Errno};
use crate::hooks::{Hook, HookCall};
use crate::ip::Ip;
use crate::recorder::{Recorded, Recorder};
use crate::socket::Socket;
use crate::trace::Difference;
use crate::trace::compare::{
    Names, is_call, write_call, write_end_of, write_expected, write_shown,
};
use crate::trace::format::{Event, Expected, Port, Scenario, Shown, Step};

/// Why a step cannot be played.
pub(super) type CannotRun = String;

/// `ret` and `errno` of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub ret: i64,
    pub errno: Errno,
}

impl From<Result<i64, Errno>> for Outcome {
    fn from(result: Result<i64, Errno>) -> Self {
        match result {
            Ok(ret) => Self { ret, errno: 0 },
            Err(errno) => Self { ret: -1, errno },
        }
    }
}

/// A connect of another thread that has not returned.
pub(super) struct Background<'a> {
    pub number: usize,
    pub step: &'a Step,
    pub slot: String,
}

pub(super) struct Player<'a> {
    pub ip: &'a Ip,
    pub recorder: Arc<Recorder>,
    pub slots: BTreeMap<String, Socket>,
    pub names: Names,
    pub background: Option<Background<'a>>,
    differences: Vec<Difference>,
    /// Ends of TIME_WAIT may come at any place: expected and seen.
    expected_late: Vec<(usize, &'a Expected)>,
    seen_late: Vec<(usize, Recorded)>,
}

/// Plays a scenario on a new ip with recording hooks, and returns what
/// differs.
pub fn play(scenario: &Scenario) -> Vec<Difference> {
    let recorder = Arc::new(Recorder::new());
    play_on(scenario, &Ip::new(recorder.clone()), recorder)
}

/// Plays a scenario on this ip, whose hooks this recorder records.
pub(super) fn play_on(scenario: &Scenario, ip: &Ip, recorder: Arc<Recorder>) -> Vec<Difference> {
    recorder.set(&[
        Hook::Listen,
        Hook::Unlisten,
        Hook::Connect2,
        Hook::Disconnect,
        Hook::Bind,
        Hook::Unbind,
    ]);
    recorder.set_answers(other_answers(scenario));
    let mut player = Player {
        ip,
        recorder,
        slots: BTreeMap::new(),
        names: Names::default(),
        background: None,
        differences: Vec::new(),
        expected_late: Vec::new(),
        seen_late: Vec::new(),
    };
    for (index, (step, calls)) in steps(scenario).into_iter().enumerate() {
        player.play(index + 1, step, &calls);
    }
    player.compare_late();
    player.differences
}

/// What `isclusterwide` and `ipident` answered, which no step says.
fn other_answers(scenario: &Scenario) -> Vec<i32> {
    let hooks = scenario.events.iter().filter_map(|event| match event {
        Event::Hook(hook) if hook.hook != "connect2" => hook.answer,
        _ => None,
    });
    hooks.collect()
}

/// The steps, each with the calls that were seen before the next one.
fn steps(scenario: &Scenario) -> Vec<(&Step, Vec<&Expected>)> {
    let mut steps: Vec<(&Step, Vec<&Expected>)> = Vec::new();
    for event in &scenario.events {
        match (event, steps.last_mut()) {
            (Event::Step(step), _) => steps.push((step, Vec::new())),
            (Event::Hook(hook), Some((_, calls))) => calls.push(hook),
            (Event::Hook(_), None) => {}
        }
    }
    steps
}

impl<'a> Player<'a> {
    fn play(&mut self, number: usize, step: &'a Step, calls: &[&'a Expected]) {
        match self.run(number, step) {
            Ok(Some(outcome)) => self.compare_outcome(number, step, outcome),
            Ok(None) => {}
            Err(reason) => self.differ(number, step, "a step", format!("cannot run: {reason}")),
        }
        self.ip.settle();
        self.compare_calls(number, step, calls);
    }

    pub fn differ(
        &mut self,
        step: usize,
        what: &Step,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) {
        let socket = what.sock.as_deref().unwrap_or_default();
        self.differences.push(Difference {
            step,
            what: format!("{} {socket}", what.step).trim_end().to_owned(),
            expected: expected.into(),
            got: got.into(),
        });
    }

    pub fn compare_outcome(&mut self, number: usize, step: &Step, got: Outcome) {
        let expected = Outcome {
            ret: step.ret,
            errno: step.errno,
        };
        if got != expected {
            let write = |o: Outcome| format!("ret {} errno {}", o.ret, o.errno);
            self.differ(number, step, write(expected), write(got));
        }
        let slot = match (step.step.as_str(), &step.new) {
            ("accept", Some(new)) if got.ret == 0 => Some(new),
            _ => step.sock.as_ref(),
        };
        let Some(socket) = slot.and_then(|slot| self.slots.get(slot)) else {
            return;
        };
        let (name, peer) = (Some(socket.name()), socket.peer());
        if !self.is_name_of_ended(step) {
            self.compare_end(number, step, "name", step.name.as_ref(), name);
        }
        self.compare_end(number, step, "peer", step.peer.as_ref(), peer);
    }

    /// Does the step show the port of a connect that just failed? On two CPUs a
    /// program may look before the other CPU has cleared it.
    fn is_name_of_ended(&self, step: &Step) -> bool {
        let has_ended = step.step == "connect" && matches!(step.errno, ETIMEDOUT | ECONNREFUSED);
        let Some(Some((_, Port::Name(port)))) = &step.name else {
            return false;
        };
        let is_its_port = |last: &HookCall| {
            let known = self.names.get(port);
            last.hook == Hook::Disconnect && known.is_none_or(|port| last.lport == Some(port))
        };
        has_ended
            && self
                .recorder
                .last_call()
                .is_some_and(|last| is_its_port(&last))
    }

    fn compare_end(
        &mut self,
        number: usize,
        step: &Step,
        what: &str,
        expected: Option<&Option<Shown>>,
        got: Option<(IpAddr, u16)>,
    ) {
        let Some(expected) = expected else {
            return;
        };
        let is_same = match (expected, &got) {
            (Some(expected), Some(got)) => self.names.is_shown(expected, got),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let expected = format!("{what} {}", write_shown(expected.as_ref()));
            let got = format!("{what} {}", write_end_of(&self.names, got));
            self.differ(number, step, expected, got);
        }
    }

    fn compare_calls(&mut self, number: usize, step: &Step, calls: &[&'a Expected]) {
        let (late, expected): (Vec<&Expected>, Vec<&Expected>) =
            calls.iter().partition(|call| call.unordered);
        let late = late.into_iter().map(|call| (number, call));
        self.expected_late.extend(late);
        let (late, got): (Vec<Recorded>, Vec<Recorded>) = self
            .recorder
            .take()
            .into_iter()
            .partition(|recorded| recorded.call.time_wait_end);
        self.seen_late
            .extend(late.into_iter().map(|call| (number, call)));
        let is_same = expected.len() == got.len()
            && expected
                .iter()
                .zip(&got)
                .all(|(expected, got)| is_call(&mut self.names, expected, got));
        if !is_same {
            let expected = expected.iter().map(|call| write_expected(call));
            let got = got.iter().map(|call| write_call(&self.names, call));
            let (expected, got) = (list(expected), list(got));
            self.differ(number, step, expected, got);
        }
    }

    /// Ends of TIME_WAIT: the same ones, wherever they came.
    fn compare_late(&mut self) {
        for (number, expected) in std::mem::take(&mut self.expected_late) {
            let names = &mut self.names;
            let place = self
                .seen_late
                .iter()
                .position(|(_, got)| is_call(names, expected, got));
            if let Some(place) = place {
                self.seen_late.remove(place);
            } else {
                self.differences.push(Difference {
                    step: number,
                    what: "end of TIME_WAIT, here or later".to_owned(),
                    expected: write_expected(expected),
                    got: "no such call".to_owned(),
                });
            }
        }
        for (number, got) in std::mem::take(&mut self.seen_late) {
            self.differences.push(Difference {
                step: number,
                what: "end of TIME_WAIT".to_owned(),
                expected: "no such call".to_owned(),
                got: write_call(&self.names, &got),
            });
        }
    }
}

fn list(calls: impl Iterator<Item = String>) -> String {
    let calls: Vec<String> = calls.collect();
    if calls.is_empty() {
        "no call".to_owned()
    } else {
        calls.join("; ")
    }
}
