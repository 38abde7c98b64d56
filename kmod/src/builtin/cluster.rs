// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the cluster and its operators ask and say.

use super::{GLOBAL, registry};
use crate::events;
use crate::flow::{Direction, FiveTuple};
use crate::kernel::errno::Errno;
use crate::kernel::{probe, sys};
use crate::registry::{Full, Node, NotInstalled, Registry, TooMany};
use crate::stats::counters;

/// Records another node's 5-tuple.
///
/// # Errors
///
/// As `clinet_install` says.
pub fn install(owner: Node, tuple: &FiveTuple) -> Result<(), Errno> {
    match registry()?.install(owner, tuple) {
        Ok(()) => Ok(()),
        Err(NotInstalled::Invalid) => Err(Errno::INVAL),
        Err(NotInstalled::NotShared) => Err(Errno::ADDRNOTAVAIL),
        Err(NotInstalled::Full(full)) => {
            match full {
                Full::Addresses => counters().cs_addresses_full.bump(),
                Full::Nodes => counters().cs_nodes_full.bump(),
                Full::Tuples | Full::Udp => {}
            }
            no_room(owner, tuple, full.number(), Errno::NOSPC)
        }
        Err(NotInstalled::Late) => {
            counters().cs_install_late.bump();
            no_room(owner, tuple, sys::CLINET_LATE, Errno::AGAIN)
        }
        Err(NotInstalled::OwnedBy(holder)) => {
            counters().cs_conflicts.bump();
            let FiveTuple { local, foreign, .. } = tuple;
            probe::install_conflict(
                tuple.protocol.number(),
                &local.addr.v6_form(),
                local.port,
                &foreign.addr.v6_form(),
                foreign.port,
                holder,
            );
            if events::are_wanted(sys::CLINETCTL_EVENT_CONFLICT) {
                events::conflict(tuple, holder);
            }
            Err(Errno::ADDRINUSE)
        }
    }
}

/// There was no room for another node's 5-tuple. Who looks on is told of what.
#[cold]
fn no_room(owner: Node, tuple: &FiveTuple, reason: u32, errno: Errno) -> Result<(), Errno> {
    let answer = Err(errno);
    if events::are_wanted(sys::CLINETCTL_EVENT_REFUSED) {
        events::refused(
            (GLOBAL, tuple, Direction::Outgoing),
            (owner, reason),
            answer,
        );
    }
    answer
}

/// Takes another node's 5-tuple back.
///
/// # Errors
///
/// As `clinet_withdraw` says.
pub fn withdraw(owner: Node, tuple: &FiveTuple) -> Result<(), Errno> {
    match registry()?.withdraw(owner, tuple) {
        Some(true) => Ok(()),
        Some(false) => Err(Errno::NOENT),
        None => Err(Errno::INVAL),
    }
}

/// What became of something that is done to all entries of an owner.
fn done(result: Option<Result<(), TooMany>>) -> Result<(), Errno> {
    match result {
        Some(Ok(())) => Ok(()),
        Some(Err(TooMany)) => Err(Errno::AGAIN),
        None => Err(Errno::INVAL),
    }
}

/// Drops all that another node owns.
///
/// # Errors
///
/// As `clinet_purge` says.
pub fn purge(owner: Node) -> Result<(), Errno> {
    done(registry()?.purge(owner))?;
    counters().cs_purged.bump();
    Ok(())
}

/// All that another node owns will be named anew.
///
/// # Errors
///
/// As `clinet_resync_begin` says.
pub fn resync_begin(owner: Node) -> Result<(), Errno> {
    done(registry()?.resync_begin(owner))
}

/// It was: the rest goes.
///
/// # Errors
///
/// As `clinet_resync_end` says.
pub fn resync_end(owner: Node) -> Result<(), Errno> {
    done(registry()?.resync_end(owner))
}

/// This node; 0 without a provider.
pub fn node() -> Node {
    registry().map_or(0, Registry::node)
}

/// From now on these local addresses (in IPv6 form, as two words) are shared,
/// or, without a list, all unicast ones but loopback.
///
/// # Errors
///
/// `ENXIO` without a provider, `EINVAL` for more than 256 or one that is never
/// shared.
pub fn set_addresses(list: Option<&[[u64; 2]]>) -> Result<(), Errno> {
    let registry = registry()?;
    match list {
        Some(list) => registry.share(list).map_err(|_| Errno::INVAL)?,
        None => registry.share_all(),
    }
    Ok(())
}
