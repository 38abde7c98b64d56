// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module is told, and what it has then.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clinet_control::{
    Control, Errno, Error, EventMask, EventType, FenceAction, FenceState, Grants, PortSet,
    Protocol, Space,
};
use clinet_slices::agent::{Command, Fence, Grants as Wanted, Module as Has};
use clinet_slices::names::{Protocol as Of, Range};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::system::Sockets;
use super::{News, PATIENCE, PAUSE, Runner};
use crate::metrics::{Metrics, Reading};
use crate::module::{Module, Role};
use crate::worker::Worker;

/// A fence takes a minute at most, and connections have to be ended besides.
const LONG: Duration = Duration::from_secs(120);

impl Runner {
    /// Has the module do something, and looks what it has then.
    pub(super) fn command(&mut self, command: Command) {
        self.commanding = true;
        let control = self.control.clone();
        let sockets = self.system.sockets();
        let (news, metrics) = (self.news.clone(), self.metrics.clone());
        tokio::spawn(async move {
            if may_begin(&command, &control, &sockets, &metrics).await {
                give(command, &control).await;
            }
            let _ = news.send(News::Commanded(first(&control).await));
        });
    }

    /// What the module has, where it is not about to say so anyway.
    pub(super) async fn look_at_module(&self) -> Option<Has> {
        if self.commanding {
            return None;
        }
        match self.control.run(PATIENCE, |module| module.with(has)).await {
            Ok(Ok(has)) => Some(has),
            _ => None,
        }
    }
}

/// What the module has, as soon as it says so. This also takes the control role, and so waits for
/// another agent to end.
pub(super) async fn first(control: &Worker<Module>) -> Has {
    let mut told = String::new();
    loop {
        let reason = match control.run(PATIENCE, |module| module.with(has)).await {
            Ok(Ok(has)) => return has,
            Ok(Err(error)) if error.errno() == Some(Errno::EBUSY) => {
                "another program has the control role of the device; is a second clinetd running?"
                    .to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        if reason != told {
            error!("the module: {reason}");
            told = reason;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Before addresses come up again whose connections may be another node's by now, no UDP socket may
/// be left on a lost port. The state machine asks again.
async fn may_begin(
    command: &Command,
    control: &Worker<Module>,
    sockets: &Sockets,
    metrics: &Metrics,
) -> bool {
    let Command::Unfence { kept: false, .. } = command else {
        metrics.waiting_sockets.set(0);
        return true;
    };
    let Ok(Ok(has)) = control.run(PATIENCE, |module| module.with(has)).await else {
        return false;
    };
    let left = match sockets.bound().await {
        Ok(sockets) => sockets,
        Err(error) => {
            error!("stays fenced, since nobody tells which UDP sockets there are: {error:#}");
            return false;
        }
    };
    let lost = |port: u16| {
        let [_, space] = has.grants.space;
        let [_, granted] = &has.grants.ports;
        space.is_some_and(|space| space.has(port)) && !granted.iter().any(|range| range.has(port))
    };
    let names = left.iter().filter(|socket| lost(socket.port));
    let names: Vec<String> = names.map(ToString::to_string).collect();
    let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
    let before = metrics.waiting_sockets.set(count);
    if names.is_empty() {
        return true;
    }
    if before != count {
        warn!(
            "stays fenced until these close their sockets, whose ports this node has lost: {}",
            names.join(", ")
        );
    }
    tokio::time::sleep(PAUSE).await;
    false
}

async fn give(command: Command, control: &Worker<Module>) {
    let what = describe(&command);
    let quiet = matches!(command, Command::Deadline { .. });
    let done = control.run(LONG, move |module| {
        module.with(|control| execute(control, &command))
    });
    match done.await {
        Ok(Ok(())) if quiet => debug!("the module has {what}"),
        Ok(Ok(())) => info!("the module has {what}"),
        Ok(Err(error)) => warn!("the module refuses {what}: {error}"),
        Err(late) => error!("the module: {what}: {late}"),
    }
}

fn execute(control: &Control, command: &Command) -> Result<(), Error> {
    match command {
        Command::Grants(wanted) => control.set_grants(&Grants {
            epoch: wanted.epoch,
            sequence: wanted.sequence,
            deadline: Some(wanted.deadline),
            tcp: space(wanted, Of::Tcp),
            udp: space(wanted, Of::Udp),
        }),
        Command::Deadline {
            epoch,
            sequence,
            deadline,
        } => control.set_deadline(*epoch, *sequence, Some(*deadline)),
        Command::Fence => {
            let grants = control.grants()?.grants;
            control.fence(grants.epoch, grants.sequence.saturating_add(1))
        }
        Command::Unfence {
            epoch,
            sequence,
            kept,
        } => control.unfence(*epoch, *sequence, *kept),
    }
}

fn space(wanted: &Wanted, protocol: Of) -> Space {
    let at = protocol as usize;
    let space = wanted.space.get(at).copied().flatten();
    let ports = wanted.ports.get(at).map_or(&[][..], Vec::as_slice);
    Space {
        ports: space.map(|range| range.first..=range.last),
        granted: ports
            .iter()
            .map(|range| range.first..=range.last)
            .collect::<PortSet>(),
    }
}

/// What the module has. Grants without a deadline are not the agent's: they count as lapsed.
fn has(control: &Control) -> Result<Has, Error> {
    let state = control.state()?;
    let present = control.grants()?;
    let spaces = [Protocol::Tcp, Protocol::Udp].map(|of| present.grants.space(of));
    let range = |range: &std::ops::RangeInclusive<u16>| Range {
        first: *range.start(),
        last: *range.end(),
    };
    Ok(Has {
        grants: Wanted {
            epoch: present.grants.epoch,
            sequence: present.grants.sequence,
            deadline: present.grants.deadline.unwrap_or(0),
            space: spaces.map(|space| space.ports.as_ref().map(range)),
            ports: spaces.map(|space| space.granted.ranges().iter().map(range).collect()),
        },
        fence: fence(state.fence_action, present.fence),
        fence_time: u64::from(state.fence_seconds) * 1_000_000_000,
    })
}

fn fence(action: FenceAction, state: FenceState) -> Fence {
    match (action, state) {
        (FenceAction::None, FenceState::Unfenced) => Fence::Never,
        (_, FenceState::Unfenced) => Fence::Open,
        (_, FenceState::Fenced) => Fence::Closed,
        _ => Fence::Moving,
    }
}

fn describe(command: &Command) -> String {
    match command {
        Command::Grants(grants) => {
            let words = [("tcp", &grants.ports[0]), ("udp", &grants.ports[1])];
            let ports = words.into_iter().flat_map(|(protocol, ranges)| {
                ranges
                    .iter()
                    .map(move |range| format!("{protocol} {range}"))
            });
            let ports: Vec<String> = ports.collect();
            match ports.is_empty() {
                true => "no grants".into(),
                false => format!("grants: {}", ports.join(", ")),
            }
        }
        Command::Deadline { deadline, .. } => format!("the deadline {deadline}"),
        Command::Fence => "its fence closed".into(),
        Command::Unfence { kept: true, .. } => "its fence open; connections go on".into(),
        Command::Unfence { kept: false, .. } => {
            "its fence open, after the end of old connections".into()
        }
    }
}

/// Tells when the module changes by itself, in a thread that waits for nothing else.
pub(super) fn follow(device: PathBuf, news: mpsc::UnboundedSender<News>) -> std::io::Result<()> {
    let builder = thread::Builder::new()
        .name("events".into())
        .stack_size(256 << 10);
    builder.spawn(move || {
        let mut module = Module::new(device, Role::Observer);
        while !news.is_closed() {
            // The device is gone, or a driver is being replaced: what happened meanwhile is seen
            // after the next command.
            let _ = module.with(|control| tell(control, &news));
            thread::sleep(PATIENCE);
        }
    })?;
    Ok(())
}

/// Until the device fails, or nobody listens.
fn tell(control: &Control, news: &mpsc::UnboundedSender<News>) -> Result<(), Error> {
    let types = [EventType::Lapsed, EventType::Fenced];
    let mut events = control.events(EventMask::from_iter(types))?;
    // The end of the program is noticed then; an event is delivered at once.
    let pause = Duration::from_secs(60);
    while !news.is_closed() {
        if events.next(Some(pause))?.is_some() && news.send(News::ModuleChanged).is_err() {
            break;
        }
    }
    Ok(())
}

/// All metrics, with those that the module tells at this moment.
pub(super) async fn metrics(metrics: Metrics, observer: Worker<Module>) -> String {
    match observer
        .run(PATIENCE, |module| module.with(Reading::take))
        .await
    {
        Ok(Ok(reading)) => reading.put(&metrics),
        _ => {
            metrics.module_up.set(0);
        }
    }
    metrics.text()
}
