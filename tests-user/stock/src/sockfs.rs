// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! sockfs between a program and TCP: what a call waits for and which error
//! comes first.

use crate::conn::ConnId;
use crate::errno::{EAGAIN, ECONNREFUSED, EINVAL, ENOTCONN, EPIPE, Errno};
use crate::stack::Squeue;
use crate::tcp::Segment;

/// Milliseconds that connect waits: longer than it is tried.
const CONNECT_PATIENCE: u64 = 600_000;

/// Lets time pass for at most so many milliseconds, until `is_over`.
fn wait_until(
    squeue: &mut Squeue<'_>,
    milliseconds: u64,
    mut is_over: impl FnMut(&mut Squeue<'_>) -> bool,
) {
    let end = squeue.state.now + milliseconds;
    while !is_over(squeue) {
        match squeue.next_timer().filter(|&next| next <= end) {
            Some(next) => squeue.advance_to(next),
            None => {
                squeue.advance_to(end);
                return;
            }
        }
    }
}

/// sockfs's own check: nothing is bound any more after the end of sending.
pub(crate) fn may_bind(squeue: &mut Squeue<'_>, id: ConnId) -> Result<(), Errno> {
    let sonode = squeue.conn(id).sonode.as_ref();
    if sonode.is_some_and(|so| so.cannot_send) {
        return Err(EINVAL);
    }
    Ok(())
}

pub(crate) fn wait_connected(squeue: &mut Squeue<'_>, id: ConnId) -> Result<(), Errno> {
    squeue.settle();
    let is_resolved = |squeue: &mut Squeue<'_>| {
        let sonode = squeue.conn(id).sonode.as_ref();
        sonode.is_none_or(|so| so.resolved)
    };
    wait_until(squeue, CONNECT_PATIENCE, is_resolved);
    let Some(sonode) = &mut squeue.conn(id).sonode else {
        return Err(ECONNREFUSED);
    };
    match sonode.take_error() {
        0 if sonode.connected => Ok(()),
        0 => Err(ECONNREFUSED),
        error => Err(error),
    }
}

/// What keeps a program from sending.
pub(crate) fn tcp_may_send(squeue: &mut Squeue<'_>, id: ConnId) -> Result<(), Errno> {
    squeue.settle();
    let Some(sonode) = &mut squeue.conn(id).sonode else {
        return Err(ENOTCONN);
    };
    if sonode.cannot_send {
        return Err(EPIPE);
    }
    if sonode.error != 0 {
        return Err(sonode.take_error());
    }
    if sonode.connected {
        Ok(())
    } else {
        Err(ENOTCONN)
    }
}

pub(crate) fn tcp_send(squeue: &mut Squeue<'_>, id: ConnId, length: usize) -> Result<usize, Errno> {
    tcp_may_send(squeue, id)?;
    squeue.on_squeue(id, |squeue| squeue.send(id, Segment::Data(length)));
    squeue.settle();
    Ok(length)
}

pub(crate) fn tcp_receive(squeue: &mut Squeue<'_>, id: ConnId) -> Result<usize, Errno> {
    squeue.settle();
    let Some(sonode) = &mut squeue.conn(id).sonode else {
        return Err(ENOTCONN);
    };
    if sonode.received > 0 {
        return Ok(std::mem::take(&mut sonode.received));
    }
    if sonode.error != 0 {
        return Err(sonode.take_error());
    }
    match (sonode.cannot_receive, sonode.connected) {
        (true, _) => Ok(0),
        (false, true) => Err(EAGAIN),
        (false, false) => Err(ENOTCONN),
    }
}
