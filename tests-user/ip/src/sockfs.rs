// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! sockfs between a program and TCP: what a call waits for and which error
//! comes first.

use crate::conn::ConnId;
use crate::error::Errno;
use crate::stack::{Squeue, Stack};

/// Milliseconds that connect waits: longer than it is tried.
pub(crate) const CONNECT_PATIENCE: u64 = 600_000;

/// sockfs's own check: nothing is bound any more after the end of sending.
pub(crate) fn may_bind(squeue: &mut Squeue<'_>, id: ConnId) -> Result<(), Errno> {
    let sonode = squeue.conn(id).sonode.as_ref();
    if sonode.is_some_and(|so| so.cannot_send) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Waits until a connect is over, and says how it ended.
pub(crate) fn wait_connected(stack: &Stack, id: ConnId) -> Result<(), Errno> {
    stack.wait_until(CONNECT_PATIENCE, |squeue| {
        let conn = squeue.state.conns.get(&id);
        let sonode = conn.and_then(|conn| conn.sonode.as_ref());
        sonode.is_none_or(|so| so.resolved)
    });
    let mut squeue = stack.enter();
    let conn = squeue.state.conns.get_mut(&id);
    let Some(sonode) = conn.and_then(|conn| conn.sonode.as_mut()) else {
        return Err(Errno::ECONNREFUSED);
    };
    match sonode.take_error() {
        None if sonode.connected => Ok(()),
        None => Err(Errno::ECONNREFUSED),
        Some(error) => Err(error),
    }
}

/// What keeps a program from sending.
fn tcp_may_send(squeue: &mut Squeue<'_>, id: ConnId) -> Result<(), Errno> {
    squeue.settle();
    let Some(sonode) = &mut squeue.conn(id).sonode else {
        return Err(Errno::ENOTCONN);
    };
    if sonode.cannot_send {
        return Err(Errno::EPIPE);
    }
    if let Some(error) = sonode.take_error() {
        return Err(error);
    }
    if sonode.connected {
        Ok(())
    } else {
        Err(Errno::ENOTCONN)
    }
}

/// Sends; TCP takes no control data.
pub(crate) fn tcp_send(
    squeue: &mut Squeue<'_>,
    id: ConnId,
    control: bool,
    length: usize,
) -> Result<usize, Errno> {
    tcp_may_send(squeue, id)?;
    if control {
        return Err(Errno::EOPNOTSUPP);
    }
    squeue.on_squeue(id, |squeue| squeue.send_data(id, length));
    squeue.settle();
    Ok(length)
}

pub(crate) fn tcp_receive(squeue: &mut Squeue<'_>, id: ConnId) -> Result<usize, Errno> {
    squeue.settle();
    let Some(sonode) = &mut squeue.conn(id).sonode else {
        return Err(Errno::ENOTCONN);
    };
    if sonode.received > 0 {
        return Ok(std::mem::take(&mut sonode.received));
    }
    if let Some(error) = sonode.take_error() {
        return Err(error);
    }
    match (sonode.cannot_receive, sonode.connected) {
        (true, _) => Ok(0),
        (false, true) => Err(Errno::EAGAIN),
        (false, false) => Err(Errno::ENOTCONN),
    }
}
