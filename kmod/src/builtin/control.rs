// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the operators of a node do.

use super::BUILTIN;
use super::env::Kernel;
use crate::flow::{Addr, FiveTuple, Protocol};
use crate::grants::Grants;
use crate::kernel::errno::Errno;
use crate::kernel::probe;
pub use crate::registry::Deleted;
use crate::registry::StackId;
use crate::settings::policy;

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
    let builtin = BUILTIN.get().ok_or(Errno::NXIO)?;
    let deleted = builtin.registry.delete(stack, tuple, force, only_look);
    if deleted == Deleted::Ours && !only_look {
        probe::remove(tuple.as_probe(), stack, c"deleted");
    }
    Ok(deleted)
}

/// Is the address shared? No if nobody knows.
pub fn is_shared(address: &Addr) -> bool {
    BUILTIN
        .get()
        .is_some_and(|builtin| builtin.registry.is_shared(address))
}

/// Hands each shared address (in IPv6 form, as two words) to `each`, with a lock
/// held that no question takes; none if all but loopback are shared.
///
/// # Errors
///
/// `ENXIO` without a provider.
pub fn each_address(each: impl FnMut([u64; 2])) -> Result<(), Errno> {
    let builtin = BUILTIN.get().ok_or(Errno::NXIO)?;
    builtin.registry.each_shared(each);
    Ok(())
}
