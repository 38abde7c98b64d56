// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The C functions of one loaded module, under their C names. Every call of
//! the module goes through [`Clinet::observe`].

use std::sync::atomic::Ordering;

use clinet_kernel::{Context, Module};

use crate::error::SetupError;
use crate::module::call::Call;
use crate::module::types::{ClinetTcp, ClinetUdp, ClinetUdpAsk, Stats};
use crate::module::{Clinet, Mode};

/// How a value travels in a register.
trait Word {
    fn word(self) -> u64;
}

macro_rules! words {
    ($($type:ty)*) => {
        $(impl Word for $type {
            fn word(self) -> u64 {
                self as u64
            }
        })*
    };
}

words!(u8 u16 u32 i32 usize);

impl<T> Word for *const T {
    fn word(self) -> u64 {
        self as u64
    }
}

impl<T> Word for *mut T {
    fn word(self) -> u64 {
        self as u64
    }
}

/// What a C function gives back.
pub(crate) trait Answer: Copy {
    fn from_word(word: u64) -> Self;
    fn number(self) -> Option<i32>;
}

impl Answer for () {
    fn from_word(_: u64) {}

    fn number(self) -> Option<i32> {
        None
    }
}

impl Answer for i32 {
    fn from_word(word: u64) -> Self {
        word as Self
    }

    fn number(self) -> Option<i32> {
        Some(self)
    }
}

macro_rules! entry_points {
    (@result) => { () };
    (@result $ret:ty) => { $ret };
    ($(fn $name:ident ($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)?;)*) => {
        /// The addresses of the C functions.
        #[derive(Debug)]
        pub(crate) struct EntryPoints {
            $($name: u64,)*
        }

        impl EntryPoints {
            pub(crate) fn of(module: &Module) -> Result<Self, SetupError> {
                let address = |name: &str| {
                    module
                        .symbol(name)
                        .map(|symbol| symbol.address)
                        .ok_or_else(|| SetupError::MissingSymbol(name.to_owned()))
                };
                Ok(Self { $($name: address(stringify!($name))?,)* })
            }
        }

        impl Clinet {
            $(
                /// The C function of this name; see `include/clinet.h`.
                ///
                /// # Safety
                ///
                /// Pointers are NULL or valid for what the header says: an
                /// address for as many bytes as the family has, a structure
                /// for reading and writing, and nobody else uses it meanwhile.
                #[allow(clippy::too_many_arguments, reason = "the contract's 5-tuple")]
                pub unsafe fn $name(&self, context: &Context, $($arg: $type),*) $(-> $ret)? {
                    let words = [$($arg.word()),*];
                    let call = || {
                        let address = self.entry_points.$name;
                        match self.mode() {
                            // SAFETY: the address is that of the function with
                            // these parameters; pointers as the caller says.
                            Mode::Checked => <entry_points!(@result $($ret)?)>::from_word(unsafe {
                                self.module().call(context, address, &words)
                            }),
                            Mode::Direct => self.module().enter(context, || {
                                // SAFETY: the address is that of the function
                                // with these parameters.
                                let function = unsafe {
                                    std::mem::transmute::<
                                        *const (),
                                        unsafe extern "C" fn($($type),*) $(-> $ret)?,
                                    >(address as *const ())
                                };
                                // SAFETY: pointers as the caller says.
                                unsafe { function($($arg),*) }
                            }),
                        }
                    };
                    // SAFETY: the words are the arguments, in their order.
                    unsafe {
                        self.observe(
                            stringify!($name),
                            context,
                            (&[$(stringify!($arg)),*], &words),
                            call,
                        )
                    }
                }
            )*
        }
    };
}

// The one list of them.
entry_points! {
    fn clinet_ask(
        protocol: u8, is_outgoing: i32, addr_family: u16,
        laddrp: *const u8, lport: u16, faddrp: *const u8, fport: u16,
    ) -> i32;
    fn clinet_end(
        protocol: u8, addr_family: u16,
        laddrp: *const u8, lport: u16, faddrp: *const u8, fport: u16,
    );
    fn clinet_tcp_connect(
        ct: *mut ClinetTcp, is_outgoing: i32, addr_family: u16,
        laddrp: *const u8, lport: u16, faddrp: *const u8, fport: u16,
    ) -> i32;
    fn clinet_tcp_disconnect(ct: *mut ClinetTcp);
    fn clinet_tcp_listen(addr_family: u16, laddrp: *const u8, lport: u16);
    fn clinet_tcp_unlisten(addr_family: u16, laddrp: *const u8, lport: u16);
    fn clinet_udp_send_begin(
        cu: *const ClinetUdp, ask: *mut ClinetUdpAsk, addr_family: u16,
        faddrp: *const u8, fport: u16,
    ) -> i32;
    fn clinet_udp_send_ask(ask: *const ClinetUdpAsk, laddrp: *const u8, lport: u16) -> i32;
    fn clinet_udp_send_end(cu: *mut ClinetUdp, ask: *const ClinetUdpAsk);
    fn clinet_udp_connect_begin(
        cu: *mut ClinetUdp, ask: *mut ClinetUdpAsk, addr_family: u16,
        faddrp: *const u8, fport: u16,
    ) -> i32;
    fn clinet_udp_connect_ask(ask: *const ClinetUdpAsk, laddrp: *const u8, lport: u16) -> i32;
    fn clinet_udp_connect_end(cu: *mut ClinetUdp, ask: *const ClinetUdpAsk);
    fn clinet_udp_reset(cu: *mut ClinetUdp);
    fn clinet_udp_bind(cu: *mut ClinetUdp, addr_family: u16, laddrp: *const u8, lport: u16);
    fn clinet_udp_unbind(cu: *mut ClinetUdp, addr_family: u16, laddrp: *const u8, lport: u16);
    fn clinet_install(
        owner: u32, protocol: u8, addr_family: u16,
        laddrp: *const u8, lport: u16, faddrp: *const u8, fport: u16,
    ) -> i32;
    fn clinet_withdraw(
        owner: u32, protocol: u8, addr_family: u16,
        laddrp: *const u8, lport: u16, faddrp: *const u8, fport: u16,
    ) -> i32;
    fn clinet_purge(owner: u32) -> i32;
    fn clinet_stats(cs: *mut Stats, size: usize) -> i32;
}

impl Clinet {
    /// Makes a call, and records it if that is wanted.
    ///
    /// # Safety
    ///
    /// As for [`Call::decode`].
    unsafe fn observe<R: Answer>(
        &self,
        function: &'static str,
        context: &Context,
        (names, words): (&[&'static str], &[u64]),
        call: impl FnOnce() -> R,
    ) -> R {
        if !self.is_recorded.load(Ordering::Relaxed) {
            return call();
        }
        // SAFETY: passed on by the caller.
        let mut record = unsafe { Call::decode(function, context, names, words) };
        let result = call();
        record.result = result.number();
        if let Some(recorder) = self.recorder() {
            recorder.push(record);
        }
        result
    }
}
