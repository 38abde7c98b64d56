// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a module leaves behind when it is unloaded.

use std::fmt;
use std::sync::atomic::Ordering;

use crate::machine::Machine;
use crate::record::Record;

/// One thing that was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leak {
    /// Memory that was not freed.
    Memory {
        /// Its size in bytes.
        size: usize,
        /// The place in the module that allocated it.
        allocated_by: String,
    },
    /// A kmem cache that was not destroyed, by its name.
    Cache(String),
    /// A lock that was not destroyed.
    Lock {
        /// `mutex` or `rwlock`.
        kind: &'static str,
        /// The variable it is in, or its address.
        name: String,
    },
    /// A kstat that was not deleted, as `module:instance:name`.
    Kstat(String),
    /// A task queue that was not destroyed, by its name.
    TaskQueue(String),
    /// A timeout that neither ran nor was cancelled.
    Timeout {
        /// The function that it would have called.
        function: String,
    },
    /// A thread that has not ended.
    Thread {
        /// Its first function.
        function: String,
    },
    /// A stack that was not given back by `netstack_rele`, by its id; once
    /// for each hold.
    Netstack(i32),
    /// A walk over the stacks without its `netstack_next_fini`.
    NetstackWalk {
        /// The place in the module that began it.
        begun_by: String,
    },
    /// A module that is still open through `ddi_modopen`.
    OpenModule(String),
    /// A minor node that was not removed, by its name.
    MinorNode(String),
    /// The operations of a driver that `mod_remove` was not called for.
    Operations(String),
    /// The linkage of a module without a driver that `mod_remove` was not called for,
    /// by the module's name.
    Linkage(String),
    /// A pollhead that somebody waits on.
    Pollhead(String),
    /// A kernel socket that was not closed.
    Socket,
    /// An `ldi_ident_t` that was not released.
    Ident,
    /// A device that is still open through `ldi_open_by_dev`, by its name.
    Layered(String),
    /// Calls that are still in the module's text.
    Inside(usize),
    /// Memory that was written to after it was freed, or around a block.
    Damage(String),
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { size, allocated_by } => {
                write!(f, "{size} bytes allocated by {allocated_by}")
            }
            Self::Cache(name) => write!(f, "kmem cache {name}"),
            Self::Lock { kind, name } => write!(f, "{kind} {name}"),
            Self::Kstat(name) => write!(f, "kstat {name}"),
            Self::TaskQueue(name) => write!(f, "task queue {name}"),
            Self::Timeout { function } => write!(f, "timeout of {function}"),
            Self::Thread { function } => write!(f, "thread in {function}"),
            Self::Netstack(id) => write!(f, "hold of netstack {id}"),
            Self::NetstackWalk { begun_by } => {
                write!(
                    f,
                    "netstack_next_init of {begun_by} without netstack_next_fini"
                )
            }
            Self::OpenModule(name) => write!(f, "open handle of {name}"),
            Self::MinorNode(name) => write!(f, "minor node {name}"),
            Self::Operations(name) => write!(f, "the installed driver {name}"),
            Self::Linkage(name) => write!(f, "the installed linkage of {name}"),
            Self::Pollhead(name) => write!(f, "pollhead {name} with somebody waiting on it"),
            Self::Socket => f.write_str("kernel socket"),
            Self::Ident => f.write_str("ldi ident"),
            Self::Layered(name) => write!(f, "layered open of {name}"),
            Self::Inside(calls) => write!(f, "{calls} calls still inside"),
            Self::Damage(what) => f.write_str(what),
        }
    }
}

/// All that one module left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaks(pub Vec<Leak>);

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(Leak::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

/// Takes everything of `record` out of `machine` and lists it.
pub(crate) fn collect(machine: &Machine, record: &Record) -> Leaks {
    let text = &record.text;
    let mut leaks = Vec::new();
    let inside = || record.inside.load(Ordering::Acquire);
    // Who ends soon does not end in time: the text goes now.
    let now = inside();
    machine.sched.settle(machine);
    match now.max(inside()) {
        0 => {}
        calls => leaks.push(Leak::Inside(calls)),
    }
    for (_, size, by) in machine.memory.take_of(text) {
        leaks.push(Leak::Memory {
            size,
            allocated_by: machine.place(by),
        });
    }
    for cache in machine.memory.take_caches_of(text) {
        machine.kstats.remove_of_kernel(&cache);
        leaks.push(Leak::Cache(cache));
    }
    for (address, live) in machine.locks.take_of(text) {
        leaks.push(Leak::Lock {
            kind: live.kind,
            name: machine.locks.name(machine, address),
        });
    }
    leaks.extend(machine.kstats.take_of(text).into_iter().map(Leak::Kstat));
    let queues = machine.task_queues.take_of(machine, text);
    leaks.extend(queues.into_iter().map(Leak::TaskQueue));
    for function in machine.sched.take_timeouts_of(text) {
        leaks.push(Leak::Timeout {
            function: machine.place(function),
        });
    }
    for function in machine.sched.threads_in(text) {
        leaks.push(Leak::Thread {
            function: machine.place(function),
        });
    }
    let (stacks, walks) = machine.netstacks.take_of(text);
    leaks.extend(stacks.into_iter().map(Leak::Netstack));
    leaks.extend(walks.into_iter().map(|by| Leak::NetstackWalk {
        begun_by: machine.place(by),
    }));
    leaks.extend(
        machine
            .handles
            .take_of(text)
            .into_iter()
            .map(Leak::OpenModule),
    );
    if let Some(nodes) = machine.devices.forget_operations(record.base_name()) {
        leaks.push(Leak::Operations(record.base_name().to_owned()));
        leaks.extend(nodes.into_iter().map(|node| Leak::MinorNode(node.name)));
    }
    for range in [text, &record.data] {
        machine.locks.forget_order(range);
    }
    if machine.linkages.forget(&record.data) {
        leaks.push(Leak::Linkage(record.base_name().to_owned()));
    }
    if let Some(pollhead) = machine.polls.take_within(&record.data) {
        let name = machine.variable_at(pollhead);
        leaks.push(Leak::Pollhead(
            name.unwrap_or_else(|| format!("{pollhead:#x}")),
        ));
    }
    let network = &machine.network;
    leaks.extend(network.sockets.take_of(text).iter().map(|_| Leak::Socket));
    let layered = network.layered.take_of(text);
    leaks.extend(
        layered
            .iter()
            .map(|open| Leak::Layered(open.name.to_owned())),
    );
    leaks.extend(network.idents.take_of(text).iter().map(|()| Leak::Ident));
    if let Err(complaint) = machine.memory.check(machine) {
        leaks.push(Leak::Damage(complaint));
    }
    Leaks(leaks)
}
