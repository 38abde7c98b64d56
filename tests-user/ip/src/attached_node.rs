// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A machine with the model as its ip and the module attached to it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use clinet_kernel::{Context, Kernel, KstatValue};

use crate::address::IPPROTO_TCP;
use crate::attached::Attached;
use crate::error::{Errno, SetupError};
use crate::ip::Ip;
use crate::module::{Clinet, Tunables};

/// The local addresses of the model, as `clinet_addrs` names them.
pub const ADDRESSES: &str = "127.0.0.1,127.0.0.2,10.1.1.1,10.1.1.2,::1,fd00::1,fd00::2";

/// 5-tuples that a machine of the tests has room for.
const TUPLES: u64 = 4096;

/// `clinet_entry_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawEntry {
    laddr: [u8; 16],
    faddr: [u8; 16],
    lport: [u8; 2],
    fport: [u8; 2],
    protocol: u8,
    outgoing: u8,
    pad: u16,
    stack: u32,
    owner: u32,
    references: u32,
    age: u32,
}

const _: () = assert!(size_of::<RawEntry>() == 56);

/// An entry of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Entry {
    /// 6 or 17.
    pub protocol: u8,
    /// The stack.
    pub stack: u32,
    /// The node that owns it.
    pub owner: u32,
    /// The local end.
    pub local: SocketAddr,
    /// The foreign end.
    pub foreign: SocketAddr,
    /// References, if it is this node's.
    pub references: u32,
}

impl From<&RawEntry> for Entry {
    fn from(raw: &RawEntry) -> Self {
        let end = |addr: [u8; 16], port: [u8; 2]| {
            let address = IpAddr::from(Ipv6Addr::from(addr)).to_canonical();
            SocketAddr::new(address, u16::from_be_bytes(port))
        };
        Self {
            protocol: raw.protocol,
            stack: raw.stack,
            owner: raw.owner,
            references: raw.references,
            local: end(raw.laddr, raw.lport),
            foreign: end(raw.faddr, raw.fport),
        }
    }
}

/// A machine with the model as its ip and the module loaded; unless the
/// tunables say otherwise it is attached, and the model's addresses are
/// shared.
pub struct AttachedNode {
    attached: Attached,
    clinet: Arc<Clinet>,
}

impl AttachedNode {
    /// Loads the module `file` on a new machine.
    ///
    /// # Errors
    ///
    /// If it does not load.
    pub fn new(file: &[u8], tunables: Tunables) -> Result<Self, SetupError> {
        Self::on(Attached::new(Arc::new(Kernel::new())), file, tunables)
    }

    /// Loads the module on this machine.
    ///
    /// # Errors
    ///
    /// If it does not load.
    pub fn on(attached: Attached, file: &[u8], tunables: Tunables) -> Result<Self, SetupError> {
        let kernel = attached.kernel();
        let own = [
            ("clinet_max_tuples", TUPLES),
            ("clinet_addrs", kernel.string(ADDRESSES)),
        ];
        let clinet = Clinet::load(kernel.clone(), file, &[&own, tunables].concat())?;
        Ok(Self {
            attached,
            clinet: Arc::new(clinet),
        })
    }

    /// Its ip.
    pub fn ip(&self) -> &Ip {
        self.attached.ip()
    }

    /// The machine with its ip.
    pub fn attached(&self) -> &Attached {
        &self.attached
    }

    /// The module.
    pub fn clinet(&self) -> &Arc<Clinet> {
        &self.clinet
    }

    /// Calls a C function of the module in a thread that may sleep. Only with
    /// arguments that its header allows.
    pub fn call(&self, function: &str, args: &[u64]) -> i32 {
        let module = self.clinet.module();
        let address = module.address(function);
        // SAFETY: a C function of the module with arguments as its header
        // says.
        unsafe { module.call(&Context::thread(), address, args) as i32 }
    }

    /// Calls a C function that takes a string.
    pub fn call_with_text(&self, function: &str, text: &std::ffi::CStr) -> i32 {
        self.call(function, &[text.as_ptr() as u64])
    }

    /// Lets seconds pass for the module, one by one, until its thread is at
    /// rest. ip has a time of its own.
    pub fn seconds(&self, seconds: u64) {
        let kernel = self.attached.kernel();
        for _ in 0..seconds {
            kernel.advance(Duration::from_secs(1));
        }
        kernel.settle();
    }

    /// Has two audits run, and waits for them.
    ///
    /// # Panics
    ///
    /// If it is not attached.
    pub fn audit(&self) {
        assert_eq!(self.call("clinet_audit", &[]), 0, "clinet_audit");
        self.seconds(3);
    }

    /// The entries of the registry, after a sweep, in their order.
    ///
    /// # Panics
    ///
    /// If there is no built-in provider.
    pub fn entries(&self) -> Vec<Entry> {
        const ENOENT: i32 = Errno::ENOENT.0;
        const ROOM: usize = 256;
        self.attached.kernel().settle();
        self.call("clinet_sweep", &[]);
        let mut cursor = [0u32; 2];
        let mut all = Vec::new();
        loop {
            let mut raw = [RawEntry::default(); ROOM];
            let mut count = ROOM as u32;
            let args = [
                (&raw mut cursor) as u64,
                raw.as_mut_ptr() as u64,
                (&raw mut count) as u64,
                size_of::<RawEntry>() as u64,
            ];
            let result = self.call("clinet_list", &args);
            assert!(matches!(result, 0 | ENOENT), "clinet_list: {result}");
            all.extend(raw[..count as usize].iter().map(Entry::from));
            if result == ENOENT {
                break;
            }
        }
        all.sort_unstable();
        all
    }

    /// This node's entries of TCP.
    pub fn tcp_entries(&self) -> Vec<Entry> {
        let is_own = |entry: &Entry| entry.protocol == IPPROTO_TCP && entry.references > 0;
        self.entries().into_iter().filter(is_own).collect()
    }

    /// A number of the kstats `clinet:0:attach` or `clinet:0:registry`.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    pub fn kstat(&self, kstat: &str, name: &str) -> u64 {
        let values = self.attached.kernel().kstat("clinet", 0, kstat);
        let values = values.expect("the module has its kstats");
        match values.into_iter().find(|(other, _)| other == name) {
            Some((_, KstatValue::Uint64(number))) => number,
            other => panic!("clinet:0:{kstat}:{name}: {other:?}"),
        }
    }

    /// A four-byte tunable, to be written as `mdb -kw` does.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    pub fn tunable(&self, name: &str) -> &AtomicU32 {
        let symbol = self.clinet.module().symbol(name);
        let symbol = symbol.filter(|symbol| symbol.size == 4);
        let address = symbol.expect("a tunable of four bytes").address;
        let pointer = std::ptr::with_exposed_provenance::<AtomicU32>(address as usize);
        // SAFETY: four aligned bytes of the module's data, which stay mapped
        // while the module is borrowed.
        unsafe { &*pointer }
    }
}
