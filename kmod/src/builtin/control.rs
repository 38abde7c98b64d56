// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the operators of a node do.

use super::env::Kernel;
use super::{BUILTIN, registry};
use crate::flow::{Addr, FiveTuple, Protocol};
use crate::grants::Grants;
use crate::kernel::errno::Errno;
use crate::kernel::kmem::KmemSlice;
use crate::kernel::probe;
pub use crate::registry::Deleted;
use crate::registry::StackId;
use crate::settings::{addresses, policy};

/// What is granted to a node of this kernel.
pub type NodeGrants = Grants<Kernel>;

/// What is granted to this node. `None` without a provider.
pub fn grants() -> Option<&'static NodeGrants> {
    BUILTIN.get().map(|builtin| builtin.grants)
}

/// Does a full table refuse, for one protocol at least?
pub fn full_refuses() -> bool {
    let protocols = [Protocol::Tcp, Protocol::Udp];
    match BUILTIN.get() {
        Some(builtin) => protocols.into_iter().any(|of| builtin.full_refuses(of)),
        None => policy::FULL.is_set(),
    }
}

/// Deletes the entry of a 5-tuple, whoever owns it, or with `only_look` says what
/// would become of it. `force`: even a TCP connection of this node.
///
/// # Errors
///
/// `ENXIO` without a provider.
pub fn delete(
    stack: StackId,
    tuple: &FiveTuple,
    force: bool,
    only_look: bool,
) -> Result<Deleted, Errno> {
    let deleted = registry()?.delete(stack, tuple, force, only_look);
    if deleted == Deleted::Ours && !only_look {
        probe::remove(tuple.as_probe(), stack, c"deleted");
    }
    Ok(deleted)
}

/// Is the address shared? No if nobody knows.
pub fn is_shared(address: &Addr) -> bool {
    registry().is_ok_and(|registry| registry.is_shared(address))
}

/// Hands each shared address (in IPv6 form, as two words) to `each`, until it fails;
/// none if all but loopback are shared.
///
/// # Errors
///
/// `ENXIO` without a provider, `ENOMEM`, and that of `each`.
pub fn each_address(each: impl FnMut([u64; 2]) -> Result<(), Errno>) -> Result<(), Errno> {
    let registry = registry()?;
    let mut list = KmemSlice::from_fn(addresses::MAX, |_| [0; 2]).ok_or(Errno::NOMEM)?;
    let mut count = 0;
    registry.each_shared(|address| {
        if let Some(place) = list.get_mut(count) {
            *place = address;
            count += 1;
        }
    });
    list.iter().take(count).copied().try_for_each(each)
}
