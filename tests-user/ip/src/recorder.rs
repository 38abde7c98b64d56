// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Recording hooks: they write down each call and answer as they are told.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::address::kept;
use crate::hooks::{Hook, HookCall, Provider};
use crate::lock;

/// Answers for connect2 calls that match, after some that are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Only outgoing calls, only incoming ones, or all.
    pub outgoing: Option<bool>,
    /// Only calls of this protocol.
    pub protocol: Option<u8>,
    /// Only calls with this local address.
    pub local: Option<IpAddr>,
    /// Only calls with this local port.
    pub local_port: Option<u16>,
    /// Only calls with this foreign address.
    pub foreign: Option<IpAddr>,
    /// Only calls with this foreign port.
    pub foreign_port: Option<u16>,
    /// So many matching calls are accepted first.
    pub skip: u64,
    /// Then so many get `value`; `None` is all of them.
    pub count: Option<u64>,
    /// The answer.
    pub value: i32,
}

impl Policy {
    fn matches(&self, call: &HookCall) -> bool {
        fn is<T: PartialEq>(wanted: Option<T>, got: Option<T>) -> bool {
            wanted.is_none() || wanted == got
        }
        is(self.outgoing, call.outgoing)
            && is(self.protocol, Some(call.protocol))
            && is(self.local.map(kept), Some(kept(call.laddr)))
            && is(self.local_port, call.lport)
            && is(self.foreign.map(kept), call.faddr.map(kept))
            && is(self.foreign_port, call.fport)
    }

    /// The answer to a matching call.
    fn answer(&mut self) -> i32 {
        if self.skip > 0 {
            self.skip -= 1;
            return 0;
        }
        match &mut self.count {
            Some(0) => 0,
            Some(left) => {
                *left -= 1;
                self.value
            }
            None => self.value,
        }
    }
}

/// A call and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The call.
    pub call: HookCall,
    /// What was answered; 0 from hooks without a result.
    pub answer: i32,
}

#[derive(Debug, Default)]
struct Record {
    calls: Vec<Recorded>,
    policy: Option<Policy>,
    answers: VecDeque<i32>,
}

/// Recording hooks.
#[derive(Debug, Default)]
pub struct HookRecorder {
    variables: [AtomicU64; 12],
    record: Mutex<Record>,
}

/// What a variable that is set holds: nobody calls it as an address.
const SET: u64 = 1;

impl HookRecorder {
    /// With all variables NULL.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes exactly these variables non-NULL.
    pub fn set(&self, hooks: &[Hook]) {
        for hook in Hook::ALL {
            let value = if hooks.contains(&hook) { SET } else { 0 };
            self.variables[hook as usize].store(value, Ordering::Release);
        }
    }

    /// How connect2 answers from now on; without a policy it accepts.
    pub fn set_policy(&self, policy: Option<Policy>) {
        lock(&self.record).policy = policy;
    }

    /// What `isclusterwide` and `ipident` answer, one after the other; then 0.
    pub fn set_answers(&self, answers: impl IntoIterator<Item = i32>) {
        lock(&self.record).answers = answers.into_iter().collect();
    }

    /// The last call since [`HookRecorder::take`].
    pub(crate) fn last_call(&self) -> Option<HookCall> {
        let record = lock(&self.record);
        record.calls.last().map(|recorded| recorded.call.clone())
    }

    /// The calls since this was asked last.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut lock(&self.record).calls)
    }
}

impl Provider for HookRecorder {
    fn variable(&self, hook: Hook) -> &AtomicU64 {
        &self.variables[hook as usize]
    }

    fn call(&self, _function: u64, call: &HookCall) -> i32 {
        let mut record = lock(&self.record);
        let answer = match call.hook {
            Hook::Connect2 => {
                let policy = record.policy.as_mut();
                policy
                    .filter(|policy| policy.matches(call))
                    .map_or(0, Policy::answer)
            }
            Hook::IsClusterwide | Hook::Ipident => record.answers.pop_front().unwrap_or(0),
            _ => 0,
        };
        record.calls.push(Recorded {
            call: call.clone(),
            answer,
        });
        answer
    }
}
