// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Recording hooks in front of a module's: who is asked or told at all, and
//! what ip gets as an answer, is as the recorder says.
//!
//! A question that the recorder refuses is one that the module is to refuse:
//! another node owns the 5-tuple while the module is asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::attached::Machine;
use crate::error::Errno;
use crate::hooks::{Hook, HookCall, Provider};
use crate::lock;
use crate::module::Clinet;
use crate::recorder::HookRecorder;

/// The node that owns what is refused.
const OWNER: u32 = 2;

/// The recorder, and the module behind it.
pub(crate) struct Beside {
    variables: Arc<Machine>,
    recorder: Arc<HookRecorder>,
    module: OnceLock<Module>,
    /// Answers of the module that it should not have given.
    wrong: Mutex<Vec<String>>,
    questions: AtomicU64,
    refusals: AtomicU64,
}

struct Module {
    clinet: Arc<Clinet>,
    /// Its answer about another node's 5-tuple.
    refusal: i32,
}

impl Beside {
    pub fn new(variables: Arc<Machine>, recorder: Arc<HookRecorder>) -> Self {
        Self {
            variables,
            recorder,
            module: OnceLock::new(),
            wrong: Mutex::default(),
            questions: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// How often the module was asked, and how often about what another node
    /// owned.
    pub fn questions(&self) -> (u64, u64) {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (number(&self.questions), number(&self.refusals))
    }

    /// From now on the module is called, if it has set the variables.
    pub fn add(&self, clinet: Arc<Clinet>, refusal: i32) {
        let set = self.module.set(Module { clinet, refusal });
        assert!(set.is_ok(), "there is one module");
    }

    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.wrong))
    }

    fn expect(&self, call: &HookCall, function: u64, expected: i32) {
        let answer = self.variables.call(function, call);
        if call.hook != Hook::Connect2 {
            // It has no result.
            return;
        }
        self.questions.fetch_add(1, Ordering::Relaxed);
        if answer != expected {
            let text = format!("{call:?}: {answer} instead of {expected}");
            lock(&self.wrong).push(text);
        }
    }

    /// Asks the module about what another node owns.
    fn refuse(&self, module: &Module, call: &HookCall, function: u64) {
        let (local, foreign) = (call.local(), call.foreign());
        let clinet = &module.clinet;
        match clinet.install(OWNER, call.protocol, local, foreign) {
            Ok(()) => {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                self.expect(call, function, module.refusal);
                let withdrawn = clinet.withdraw(OWNER, call.protocol, local, foreign);
                withdrawn.expect("it was installed, and nobody changed that");
            }
            // This node has it, so the module would not refuse.
            Err(Errno::EADDRINUSE) => {}
            // Nobody can own it: its local address is none or not shared.
            Err(_) => self.expect(call, function, 0),
        }
    }
}

impl Provider for Beside {
    fn variable(&self, hook: Hook) -> &AtomicU64 {
        self.recorder.variable(hook)
    }

    fn call(&self, function: u64, call: &HookCall) -> i32 {
        let answer = self.recorder.call(function, call);
        let function = self.variables.variable(call.hook).load(Ordering::Acquire);
        let Some(module) = self.module.get().filter(|_| function != 0) else {
            return answer;
        };
        if call.hook == Hook::Connect2 && answer != 0 {
            self.refuse(module, call, function);
        } else {
            self.expect(call, function, 0);
        }
        answer
    }

    fn taking(&self, name: &'static str) {
        self.variables.taking(name);
    }
}
