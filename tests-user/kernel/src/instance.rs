// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The instance of a driver: how it is attached and detached, and who does so
//! while the module is still in its `_init` or already in its `_fini`.
//!
//! The operations of a driver are all that a kernel looks for. They are there
//! when `mod_install` returns, and until `mod_remove` takes them away: whoever
//! looks a device up meanwhile attaches the instance and opens it. Here
//! somebody always does, at the worst of times.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::context::Context;
use crate::devices::{Stage, make_device};
use crate::driver::{Info, dev_ops};
use crate::fault::{self, Fault};
use crate::leak::{Leak, Leaks};
use crate::machine::Machine;
use crate::memory;
use crate::open_file::{OpenFile, OpenFlags};
use crate::together;
use crate::user::Cred;

const DDI_SUCCESS: i32 = 0;
const DDI_ATTACH: u64 = 0;
const DDI_DETACH: u64 = 0;
const DDI_SUSPEND: u64 = 1;
const DDI_RESUME: u64 = 1;
const POLLIN: i16 = 1;

/// Attaches the instance. `Ok(Err(..))` if the driver does not want to, with
/// what it left behind.
pub(crate) fn attach(machine: &Machine, major: u32) -> Result<Result<(), Leaks>, Fault> {
    let devices = &machine.devices;
    let dev_info = devices.begin_attach(major);
    let result = call(machine, major, dev_ops::ATTACH, &[dev_info, DDI_ATTACH])? as i32;
    if result == DDI_SUCCESS {
        devices.set_stage(dev_info, Stage::Attached);
        return Ok(Ok(()));
    }
    Ok(Err(remove(machine, dev_info)))
}

/// Detaches the instance, which is attached; returns what it left. `None`: the
/// driver does not agree.
pub(crate) fn detach(machine: &Machine, major: u32) -> Result<Option<Leaks>, Fault> {
    let devices = &machine.devices;
    let Some(dev_info) = devices.attached(major) else {
        return Ok(None);
    };
    devices.set_stage(dev_info, Stage::Detaching);
    let result = call(machine, major, dev_ops::DETACH, &[dev_info, DDI_DETACH])? as i32;
    if result != DDI_SUCCESS {
        devices.set_stage(dev_info, Stage::Attached);
        return Ok(None);
    }
    if devices.is_open(major) {
        let what = "it detached while a device of it is open";
        return Err(halt(machine, major, what));
    }
    Ok(Some(remove(machine, dev_info)))
}

/// What `getinfo` says of a minor number: `None` for `DDI_FAILURE`.
pub(crate) fn info(
    machine: &Machine,
    major: u32,
    what: Info,
    minor: u32,
) -> Result<Option<u64>, Fault> {
    let device = make_device(major, minor);
    let mut result = 0_u64;
    let command = match what {
        Info::DevInfo => 0,
        Info::Instance => 1,
    };
    // The dev_info_t is only good for instance numbers of old.
    let arguments = [0, command, device, (&raw mut result) as u64];
    let answer = call(machine, major, dev_ops::GETINFO, &arguments)?;
    Ok((answer as i32 == DDI_SUCCESS).then_some(result))
}

/// Somebody who waited for the driver comes, in a thread of its own: attaches the
/// instance and uses its device. Returns when that is done or waits for
/// something. For imports.
pub(crate) fn come(machine: &Machine, major: u32) {
    machine.devices.take_first(major);
    in_a_thread(machine, major, move |machine| {
        let attached = visit(machine, major)?;
        machine.devices.set_first(major, attached);
        Ok(())
    });
    machine.sched.settle(machine);
    if let Err(fault) = machine.check_running() {
        fault::throw(fault);
    }
}

/// What the first attach came to, which [`come`] began.
pub(crate) fn first(machine: &Machine, major: u32) -> Result<Result<(), Leaks>, Fault> {
    wait_until(machine, || machine.devices.has_first(major))?;
    Ok(machine.devices.take_first(major).unwrap_or(Ok(())))
}

/// Somebody comes just before the driver goes, and if he does not `stay` he
/// detaches the instance again. For imports.
pub(crate) fn come_late(machine: &Machine, major: u32, stay: bool) {
    let done = in_a_thread(machine, major, move |machine| {
        let attached = visit(machine, major)?;
        if attached.is_ok() && !stay {
            detach(machine, major)?;
        }
        Ok(())
    });
    if let Err(fault) = wait_until(machine, || done.load(Ordering::Acquire)) {
        fault::throw(fault);
    }
}

/// Attaches the instance, having asked which it is, opens its first node, polls and
/// closes it, and then the machine is suspended.
fn visit(machine: &Machine, major: u32) -> Result<Result<(), Leaks>, Fault> {
    info(machine, major, Info::Instance, 0)?;
    let attached = attach(machine, major)?;
    let dev_info = machine.devices.attached(major);
    let nodes = dev_info.map_or_else(Vec::new, |it| machine.devices.nodes(it));
    if let Some(node) = nodes.first() {
        let device = make_device(major, node.minor);
        let flags = OpenFlags::READ | OpenFlags::NDELAY | OpenFlags::NONBLOCK;
        // The driver may refuse both.
        if let Ok(file) = OpenFile::open(machine.shared(), device, Cred::root(), flags) {
            let _ = file.poll(POLLIN, Duration::ZERO);
        }
    }
    if let Some(dev_info) = dev_info {
        suspend(machine, major, dev_info)?;
    }
    Ok(attached)
}

/// Asks the instance to suspend, which is no detach: it refuses, or it can resume.
fn suspend(machine: &Machine, major: u32, dev_info: u64) -> Result<(), Fault> {
    let ask = |operation, command| {
        let result = call(machine, major, operation, &[dev_info, command])?;
        Ok(result as i32 == DDI_SUCCESS)
    };
    let nodes = machine.devices.nodes(dev_info);
    if ask(dev_ops::DETACH, DDI_SUSPEND)? && !ask(dev_ops::ATTACH, DDI_RESUME)? {
        return Err(halt(machine, major, "it suspends and does not resume"));
    }
    if machine.devices.nodes(dev_info) != nodes {
        return Err(halt(
            machine,
            major,
            "it changed its nodes when it was asked to suspend",
        ));
    }
    Ok(())
}

/// Runs `work` in a background thread; the flag says when it has ended.
fn in_a_thread(
    machine: &Machine,
    major: u32,
    work: impl FnOnce(&Machine) -> Result<(), Fault> + Send + 'static,
) -> Arc<AtomicBool> {
    let done = Arc::new(AtomicBool::new(false));
    let flag = done.clone();
    // Counts as in the driver, which must not go meanwhile.
    let function = operation(machine, major, dev_ops::ATTACH).unwrap_or(0);
    machine.sched.spawn(machine, function, move |machine| {
        // A fault is recorded in the machine, and an open file panics with it.
        let result = panic::catch_unwind(AssertUnwindSafe(|| work(machine)));
        if let Err(payload) = result
            && machine.check_running().is_ok()
        {
            let what = payload.downcast_ref::<String>();
            halt(machine, major, what.map_or("a panic", |it| it));
        }
        flag.store(true, Ordering::Release);
        machine.sched.notify();
    });
    done
}

/// Waits for a thread of ours.
fn wait_until(machine: &Machine, done: impl Fn() -> bool) -> Result<(), Fault> {
    if done() {
        return Ok(());
    }
    let _watched = together::watch(together::BOUND, || {
        together::give_up("who came to a driver has not gone again")
    });
    machine.as_kernel(&Context::thread(), || {
        machine.sched.wait_until(machine, |_| done());
    })
}

/// The address of one of the operations in `struct dev_ops`.
fn operation(machine: &Machine, major: u32, operation: u64) -> Option<u64> {
    let operations = machine.devices.operations(major)?;
    Some(memory::read(operations + operation))
}

/// Calls it.
fn call(machine: &Machine, major: u32, which: u64, arguments: &[u64]) -> Result<u64, Fault> {
    let function = operation(machine, major, which)
        .ok_or_else(|| halt(machine, major, "it is not installed"))?;
    // SAFETY: mod_install found the operations; they take these arguments.
    unsafe { machine.call(&Context::thread(), function, arguments) }
}

/// Takes the instance away; returns the minor nodes that it left.
fn remove(machine: &Machine, dev_info: u64) -> Leaks {
    let nodes = machine.devices.remove(dev_info).into_iter();
    Leaks(nodes.map(|node| Leak::MinorNode(node.name)).collect())
}

/// Halts the machine.
fn halt(machine: &Machine, major: u32, what: &str) -> Fault {
    let fault = Fault {
        message: format!("driver {major}: {what}"),
        context: String::new(),
        trace: Vec::new(),
    };
    machine.halt(&fault);
    fault
}
