// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The calls that ip makes through its hooks.

use clinet_kernel::Context;
use clinet_module_tests::{Tuple, ptr};

use super::Machine;

impl Machine {
    /// Calls a hook as ip does; `None` if it is NULL.
    pub fn through(&self, name: &str, context: &Context, args: &[u64]) -> Option<i32> {
        (self.hook(name) != 0).then(|| self.call_hook(self.hook(name), context, args))
    }

    /// Calls what a hook variable held.
    #[must_use]
    pub fn call_hook(&self, function: u64, context: &Context, args: &[u64]) -> i32 {
        // SAFETY: a value of a hook variable, with arguments for it.
        unsafe { self.kernel.call(context, function, args) as i32 }
    }

    /// `cl_inet_connect2`, outgoing; what ip makes of a NULL hook is 0.
    #[must_use]
    pub fn connect(&self, stack: i32, tuple: &Tuple) -> i32 {
        let args = connect_arguments(stack, true, tuple);
        self.through("cl_inet_connect2", &Context::no_sleep(), &args)
            .unwrap_or(0)
    }

    /// `cl_inet_connect2`, incoming.
    #[must_use]
    pub fn connect_in(&self, stack: i32, tuple: &Tuple) -> i32 {
        let args = connect_arguments(stack, false, tuple);
        self.through("cl_inet_connect2", &Context::interrupt(), &args)
            .unwrap_or(0)
    }

    /// `cl_inet_disconnect`.
    pub fn disconnect(&self, stack: i32, tuple: &Tuple) {
        let args = [
            stack as u64,
            tuple.protocol.into(),
            tuple.family.into(),
            ptr(&tuple.laddr),
            tuple.lport.into(),
            ptr(&tuple.faddr),
            tuple.fport.into(),
            0,
        ];
        self.through("cl_inet_disconnect", &Context::no_sleep(), &args);
    }

    /// One of the four with a local endpoint, in the context in which ip calls
    /// it.
    pub fn local(&self, name: &str, stack: i32, tuple: &Tuple) {
        let context = match name {
            "cl_inet_unlisten" => Context::no_sleep().holding("connf_lock"),
            _ => Context::no_sleep(),
        };
        let args = [
            stack as u64,
            tuple.protocol.into(),
            tuple.family.into(),
            ptr(&tuple.laddr),
            tuple.lport.into(),
            0,
        ];
        self.through(name, &context, &args);
    }
}

/// The nine arguments of `cl_inet_connect2`.
#[must_use]
pub fn connect_arguments(stack: i32, outgoing: bool, tuple: &Tuple) -> [u64; 9] {
    [
        stack as u64,
        tuple.protocol.into(),
        outgoing.into(),
        tuple.family.into(),
        ptr(&tuple.laddr),
        tuple.lport.into(),
        ptr(&tuple.faddr),
        tuple.fport.into(),
        0,
    ]
}
