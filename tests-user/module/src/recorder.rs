// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Foreign modules that record their calls: `foreign/recorder.h`.

use std::fmt;

use clinet_kernel::Module;

use crate::{Tuple, c_string, read, variable};

/// What a recorded call was, as in `foreign/recorder.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `cl_inet_connect2`, with `is_outgoing`.
    Connect2(u32),
    /// `cl_inet_disconnect`.
    Disconnect,
    /// `cl_inet_listen`.
    Listen,
    /// `cl_inet_unlisten`.
    Unlisten,
    /// `cl_inet_bind`.
    Bind,
    /// `cl_inet_unbind`.
    Unbind,
}

/// One call of a recording provider. Calls for an endpoint have no foreign
/// address.
pub type Call = (What, Tuple);

/// `recorder_call_t` of `foreign/recorder.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawCall {
    what: u32,
    outgoing: u32,
    protocol: u8,
    pad: u8,
    family: u16,
    lport: u16,
    fport: u16,
    laddr: [u8; 16],
    faddr: [u8; 16],
}

/// A foreign module that records its calls.
pub struct Recorder {
    /// The module.
    pub module: Module,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.module.fmt(f)
    }
}

impl Recorder {
    fn pointer<T>(&self, name: &str) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.module.address(name) as usize)
    }

    /// Sets what connect2 answers.
    pub fn answer(&self, answer: i32) {
        // SAFETY: `int32_t recorder_answer`, which no other thread writes.
        unsafe {
            self.pointer::<i32>("recorder_answer")
                .write_volatile(answer)
        };
    }

    /// Sets what connect2 answers for one foreign port; 0 for others.
    pub fn answer_for(&self, fport: u16, answer: i32) {
        self.answer(answer);
        let port = self.pointer::<u32>("recorder_port");
        // SAFETY: `uint32_t recorder_port`, which no other thread writes.
        unsafe { port.write_volatile(u32::from(fport)) };
    }

    /// The version of the contract that it uses.
    #[must_use]
    pub fn version(&self) -> String {
        c_string(read(variable(&self.module, "recorder_version")))
    }

    /// The calls since the last time, oldest first.
    pub fn take(&self) -> Vec<Call> {
        let count = self.pointer::<u32>("recorder_count");
        // SAFETY: `uint32_t recorder_count`; the tests take it between calls.
        let calls = unsafe { count.read_volatile() } as usize;
        // SAFETY: as above.
        unsafe { count.write_volatile(0) };
        let first = self.pointer::<RawCall>("recorder_calls");
        (0..calls)
            .map(|index| {
                assert!(index < 4096, "more calls than the recorder keeps");
                // SAFETY: index is below the length of `recorder_calls`, and
                // RawCall has the layout of its elements.
                call(unsafe { first.add(index).read_volatile() })
            })
            .collect()
    }

    /// The questions since the last time; other calls are forgotten.
    pub fn questions(&self) -> usize {
        let calls = self.take();
        calls
            .iter()
            .filter(|(what, _)| matches!(what, What::Connect2(_)))
            .count()
    }
}

fn call(raw: RawCall) -> Call {
    let what = match raw.what {
        1 => What::Connect2(raw.outgoing),
        2 => What::Disconnect,
        3 => What::Listen,
        4 => What::Unlisten,
        5 => What::Bind,
        6 => What::Unbind,
        other => panic!("the recorder noted {other}"),
    };
    let tuple = Tuple {
        protocol: raw.protocol,
        family: raw.family,
        laddr: raw.laddr,
        lport: raw.lport,
        faddr: raw.faddr,
        fport: raw.fport,
    };
    (what, tuple)
}
