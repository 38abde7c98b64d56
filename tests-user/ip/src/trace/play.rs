// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Playing a scenario on the model.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::error::Errno;
use crate::hooks::{Hook, HookCall};
use crate::ip::Ip;
use crate::recorder::{HookRecorder, Recorded};
use crate::socket::Socket;
use crate::stack::Groups;
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
            Ok(ret) => Self {
                ret,
                errno: Errno(0),
            },
            Err(errno) => Self { ret: -1, errno },
        }
    }
}

/// A call of another thread that has not returned.
pub(super) struct Background<'a> {
    pub number: usize,
    pub step: &'a Step,
    /// The model's time at which it gives up.
    pub until: u64,
}

/// A call of a hook with the step that it was seen at.
struct At<T> {
    step: usize,
    call: T,
}

pub(super) struct Player<'a> {
    pub ip: &'a Ip,
    pub recorder: Arc<HookRecorder>,
    pub slots: BTreeMap<String, Socket>,
    pub names: Names,
    pub background: Option<Background<'a>>,
    differences: Vec<Difference>,
    /// Calls that were expected and did not come with their step, but may come
    /// with another one.
    missing: Vec<At<&'a Expected>>,
    /// Calls that were not expected with the step they came with.
    extra: Vec<At<Recorded>>,
}

/// Plays a scenario on a new ip of its kernel with recording hooks, and returns
/// what differs.
pub fn play(scenario: &Scenario) -> Vec<Difference> {
    let recorder = Arc::new(HookRecorder::new());
    let ip = Ip::of_release(recorder.clone(), scenario.release);
    play_on(scenario, &ip, recorder)
}

/// Plays a scenario on this ip, whose hooks this recorder records.
pub(super) fn play_on(
    scenario: &Scenario,
    ip: &Ip,
    recorder: Arc<HookRecorder>,
) -> Vec<Difference> {
    recorder.set(&[
        Hook::Listen,
        Hook::Unlisten,
        Hook::Connect2,
        Hook::Disconnect,
        Hook::Bind,
        Hook::Unbind,
    ]);
    recorder.set_answers(other_answers(scenario));
    let steps = steps(scenario);
    ip.set_groups(0, groups(&steps));
    let mut player = Player {
        ip,
        recorder,
        slots: BTreeMap::new(),
        names: Names::default(),
        background: None,
        differences: Vec::new(),
        missing: Vec::new(),
        extra: Vec::new(),
    };
    for (index, (step, calls)) in steps.into_iter().enumerate() {
        player.play(index + 1, step, &calls);
    }
    player.compare_rest();
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

/// What became of IPv6 datagrams to groups: whether the machine had an interface
/// for them is not for the kernel to say, but the first step with one shows it.
fn groups(steps: &[(&Step, Vec<&Expected>)]) -> Groups {
    let is_to_group = |step: &Step| {
        let address = step.addr.as_deref().and_then(|text| text.parse().ok());
        let sends = matches!(step.step.as_str(), "sendto" | "sendmsg" | "connect");
        sends && address.is_some_and(|address: Ipv6Addr| address.is_multicast())
    };
    let first = steps.iter().find(|(step, _)| is_to_group(step));
    let Some((step, calls)) = first.filter(|(step, _)| step.ret < 0) else {
        return Groups::Sent;
    };
    match calls.iter().find_map(|call| call.answer) {
        None => Groups::NoInterface(step.errno),
        Some(0) => Groups::Rejected(step.errno),
        Some(_) => Groups::Sent,
    }
}

impl<'a> Player<'a> {
    fn play(&mut self, number: usize, step: &'a Step, calls: &[&'a Expected]) {
        match self.run(number, step) {
            Ok(Some(outcome)) => self.compare_outcome(number, step, outcome),
            Ok(None) => {}
            Err(reason) => self.differ(number, step, "a step", format!("cannot run: {reason}")),
        }
        self.ip.settle();
        self.finish_background(false);
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
        let what = format!("{} {socket}", what.step);
        self.differ_later(step, what.trim_end(), expected, got);
    }

    pub fn compare_outcome(&mut self, number: usize, step: &Step, got: Outcome) {
        let expected = Outcome {
            ret: step.ret,
            errno: step.errno,
        };
        if got != expected {
            let write = |o: Outcome| format!("ret {} errno {}", o.ret, o.errno.0);
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
        let has_ended =
            step.step == "connect" && matches!(step.errno, Errno::ETIMEDOUT | Errno::ECONNREFUSED);
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

    /// The calls of one thread came in this order. Those of another may come
    /// anywhere among them; what is missing or too much is looked at in the end.
    fn compare_calls(&mut self, number: usize, step: &Step, expected: &[&'a Expected]) {
        let got = self.recorder.take();
        let mut is_found = vec![false; got.len()];
        let mut next = 0;
        let mut is_same = true;
        for call in expected {
            if let Some(name) = call.unknown.keys().next() {
                let reason = format!("cannot compare: the argument {name} is not known");
                self.differ(number, step, write_expected(call), reason);
            }
            let may_float = call.is_unordered() || call.is_of_another_thread();
            let from = if may_float { 0 } else { next };
            let place = (from..got.len())
                .find(|&place| !is_found[place] && is_call(&mut self.names, call, &got[place]));
            match place {
                Some(place) => {
                    is_found[place] = true;
                    next = if may_float { next } else { place + 1 };
                }
                None if may_float => self.missing.push(At { step: number, call }),
                None => is_same = false,
            }
        }
        if !is_same {
            let expected = expected.iter().map(|call| write_expected(call));
            let got = got.iter().map(|call| write_call(&self.names, call));
            let (expected, got) = (list(expected), list(got));
            self.differ(number, step, expected, got);
            return;
        }
        let rest = got.into_iter().zip(is_found).filter(|(_, found)| !found);
        self.extra
            .extend(rest.map(|(call, _)| At { step: number, call }));
    }

    /// What is missing at one step came at another: what is unordered at any
    /// later one, a call of another thread at the one before or after.
    fn compare_rest(&mut self) {
        for At { step, call } in std::mem::take(&mut self.missing) {
            let names = &mut self.names;
            let place = self.extra.iter().position(|got| {
                (call.is_unordered() && got.step >= step || got.step.abs_diff(step) <= 1)
                    && is_call(names, call, &got.call)
            });
            if let Some(place) = place {
                self.extra.remove(place);
            } else {
                let expected = write_expected(call);
                self.differ_later(step, "a call, here or later", expected, "no such call");
            }
        }
        for At { step, call } in std::mem::take(&mut self.extra) {
            let got = write_call(&self.names, &call);
            self.differ_later(step, "a call", "no such call", got);
        }
    }

    fn differ_later(
        &mut self,
        step: usize,
        what: &str,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) {
        self.differences.push(Difference {
            step,
            what: what.to_owned(),
            expected: expected.into(),
            got: got.into(),
        });
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
