// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An open file of the control device: what came over the socket is put to the
//! driver's entry points, byte for byte.

use std::time::{Duration, Instant};

use clinet_control::Errno;
use clinet_control::wire::{MOST_BYTES, Reply, SentRegion};
use clinet_kernel::{Model, OpenFile, UserMemory};

/// `POLLIN` of illumos.
const POLLIN: i16 = 0x1;
/// A thread that waits looks so often whether its program is still there.
const LOOK: Duration = Duration::from_millis(50);

fn reply(result: Result<(i32, Vec<u8>), i32>) -> Reply {
    match result {
        Ok((result, bytes)) => Reply {
            errno: 0,
            result,
            bytes,
        },
        Err(errno) => refusal(errno),
    }
}

/// A call that failed.
pub fn refusal(errno: i32) -> Reply {
    Reply {
        errno,
        ..Reply::default()
    }
}

/// ioctl(2) with an argument at `address`.
pub fn ioctl(
    file: &OpenFile,
    command: u32,
    address: u64,
    argument: Vec<u8>,
    regions: Vec<SentRegion>,
) -> Reply {
    let argument = SentRegion {
        address,
        writable: true,
        bytes: argument,
    };
    let mut mapped: Vec<&SentRegion> = std::iter::once(&argument).chain(&regions).collect();
    let shown: Vec<&SentRegion> = mapped.iter().copied().filter(|one| one.writable).collect();
    mapped.retain(|one| !one.bytes.is_empty());
    let Some(mut memory) = map(&mut mapped) else {
        return refusal(Errno::EFAULT.0);
    };
    let result = file.ioctl(command, address, &mut memory, Model::Lp64);
    let left = shown
        .iter()
        .filter_map(|one| memory.read(one.address, one.bytes.len()));
    Reply {
        errno: result.err().unwrap_or(0),
        result: result.unwrap_or(0),
        bytes: left.flatten().collect(),
    }
}

/// The memory of a program that has these regions; `None` if they overlap.
fn map(regions: &mut [&SentRegion]) -> Option<UserMemory> {
    regions.sort_unstable_by_key(|one| one.address);
    let mut memory = UserMemory::new();
    let mut free = 0;
    for one in regions {
        if one.address < free {
            return None;
        }
        free = one.address.checked_add(one.bytes.len() as u64)?;
        memory.map(one.address, &one.bytes);
        if !one.writable {
            memory.protect(one.address);
        }
    }
    Some(memory)
}

/// read(2). A thread that has to wait does so until there is something or
/// `is_gone` says that nobody waits for it.
pub fn read(file: &OpenFile, length: u32, nonblocking: bool, is_gone: impl Fn() -> bool) -> Reply {
    let length = (length as usize).min(MOST_BYTES / 2);
    loop {
        let read = file.read(length, true);
        if nonblocking || read != Err(Errno::EAGAIN.0) {
            return reply(read.map(|bytes| (0, bytes)));
        }
        let waited = wait(file, None, &is_gone);
        if waited.errno != 0 {
            return waited;
        }
    }
}

/// poll(2) for something to read.
pub fn poll(file: &OpenFile, timeout: Option<Duration>, is_gone: impl Fn() -> bool) -> Reply {
    wait(file, timeout, &is_gone)
}

fn wait(file: &OpenFile, timeout: Option<Duration>, is_gone: &impl Fn() -> bool) -> Reply {
    let begin = Instant::now();
    loop {
        let left = timeout.map(|timeout| timeout.saturating_sub(begin.elapsed()));
        let come = file.poll(POLLIN, left.unwrap_or(LOOK).min(LOOK));
        match come {
            Ok(0) if is_gone() => return refusal(Errno::EINTR.0),
            Ok(0) if left.is_none_or(|left| left > Duration::ZERO) => {}
            come => return reply(come.map(|come| ((come != 0).into(), Vec::new()))),
        }
    }
}
