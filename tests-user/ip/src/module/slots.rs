// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The slots of the contract, as another module sees them.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::module::Clinet;

/// A slot of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `cl_inet_connect2`
    Connect2,
    /// `cl_inet_disconnect`
    Disconnect,
    /// `cl_inet_listen`
    Listen,
    /// `cl_inet_unlisten`
    Unlisten,
    /// `cl_inet_bind`
    Bind,
    /// `cl_inet_unbind`
    Unbind,
}

impl Slot {
    /// All of them, in the order of `clinet_contract_t`.
    pub const ALL: [Self; 6] = [
        Self::Connect2,
        Self::Disconnect,
        Self::Listen,
        Self::Unlisten,
        Self::Bind,
        Self::Unbind,
    ];

    /// The name of the variable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect2 => "cl_inet_connect2",
            Self::Disconnect => "cl_inet_disconnect",
            Self::Listen => "cl_inet_listen",
            Self::Unlisten => "cl_inet_unlisten",
            Self::Bind => "cl_inet_bind",
            Self::Unbind => "cl_inet_unbind",
        }
    }
}

/// `cl_inet_connect2_fn`.
pub type Connect2Fn = unsafe extern "C" fn(u8, i32, u16, *const u8, u16, *const u8, u16) -> i32;
/// `cl_inet_endpoint_fn`.
pub type EndpointFn = unsafe extern "C" fn(u8, u16, *const u8, u16);
/// `cl_inet_disconnect_fn`.
pub type DisconnectFn = unsafe extern "C" fn(u8, u16, *const u8, u16, *const u8, u16);

/// Functions of the host in the place of another module's: a
/// `cl_inet_provider_t`. In [`Mode::Checked`](crate::Mode::Checked) they run on the small stack.
#[derive(Clone, Copy, Debug)]
pub struct HostProvider {
    /// Asked about each 5-tuple.
    pub connect2: Connect2Fn,
    /// Told of endings.
    pub disconnect: Option<DisconnectFn>,
    /// Told of listeners.
    pub listen: Option<EndpointFn>,
    /// Told of listeners that go.
    pub unlisten: Option<EndpointFn>,
    /// Told of bound UDP endpoints.
    pub bind: Option<EndpointFn>,
    /// Told of UDP endpoints that are bound no more.
    pub unbind: Option<EndpointFn>,
}

/// `clinet_contract`, as it is in the module's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// `cc_size`
    pub size: usize,
    /// What `cc_version` points at.
    pub version: String,
    /// The addresses of the slots, in the order of [`Slot::ALL`].
    pub slots: [u64; 6],
}

/// `clinet_contract_t`.
#[repr(C)]
struct RawContract {
    size: usize,
    version: *const core::ffi::c_char,
    slots: [u64; 6],
}

impl Clinet {
    /// A slot of this module, as any other module sees it.
    pub fn slot(&self, slot: Slot) -> &AtomicU64 {
        let address = self.module().address(slot.name());
        debug_assert!(self.image.data().contains(&address));
        // SAFETY: the symbol is an aligned pointer in the module's data, which
        // `image` keeps mapped; module and host access it atomically only.
        unsafe { &*(address as *const AtomicU64) }
    }

    /// Associates functions of the host: each from NULL by compare-and-swap,
    /// `connect2` last. False if a slot was taken; those before it are set.
    pub fn associate(&self, provider: &HostProvider) -> bool {
        let endpoint = |function: Option<EndpointFn>| function.map(|f| f as *const () as u64);
        let functions = [
            (
                Slot::Disconnect,
                provider.disconnect.map(|f| f as *const () as u64),
            ),
            (Slot::Unlisten, endpoint(provider.unlisten)),
            (Slot::Listen, endpoint(provider.listen)),
            (Slot::Unbind, endpoint(provider.unbind)),
            (Slot::Bind, endpoint(provider.bind)),
            (Slot::Connect2, Some(provider.connect2 as *const () as u64)),
        ];
        functions.into_iter().all(|(slot, function)| {
            function.is_none_or(|function| {
                self.slot(slot)
                    .compare_exchange(0, function, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
            })
        })
    }

    /// The string that `cluster_version_supported` points at.
    pub fn version(&self) -> String {
        let address = self.module().address("cluster_version_supported");
        // SAFETY: the symbol is a pointer to a string, both constants of the
        // module, whose memory `image` keeps mapped.
        let version = unsafe { CStr::from_ptr(*(address as *const *const _)) };
        version.to_string_lossy().into_owned()
    }

    /// What `clinet_contract` says.
    pub fn contract(&self) -> Contract {
        let address = self.module().address("clinet_contract");
        // SAFETY: the symbol is this structure, a constant of the module,
        // whose memory `image` keeps mapped.
        let raw = unsafe { &*(address as *const RawContract) };
        // SAFETY: the version is a string of the module.
        let version = unsafe { CStr::from_ptr(raw.version) };
        Contract {
            size: raw.size,
            version: version.to_string_lossy().into_owned(),
            slots: raw.slots,
        }
    }
}
