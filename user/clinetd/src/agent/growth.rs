// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How many ports of the slices are in use, and whether there should be more slices.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use clinet_control::{Control, Error, Filter, PortSet, Protocol};
use clinet_slices::Agent;
use clinet_slices::agent::Event;
use clinet_slices::names::{Key, Protocol as Of};
use clinet_slices::records::{Tenure, Value};
use tokio::sync::{mpsc, watch};

use super::News;
use crate::metrics::{Metrics, Protocol as ProtocolLabel, Slice};
use crate::module::Module;
use crate::worker::Worker;

/// Slices by protocol and ports.
pub(super) type Slices = Vec<(Of, RangeInclusive<u16>)>;

/// Counting reads the whole table of the registry: after that it rests for so many times of what it
/// took, and for so long at least.
const REST: u32 = 1000;
const LEAST_REST: Duration = Duration::from_secs(10);
/// Counting ten million entries takes some seconds.
const LONG: Duration = Duration::from_secs(60);
/// In tenths: at so much in use another slice is wanted.
const FULL: u32 = 8;

/// The slices among the keys that the module is granted.
pub(super) fn slices(agent: &Agent, held: &[&Key]) -> Slices {
    let slices = held.iter().filter_map(|key| match key {
        Key::Slice(protocol, first) => match &agent.view().entry(key)?.value {
            Value::Record(record) => Some((*protocol, *first..=record.last)),
            _ => None,
        },
        _ => None,
    });
    slices.collect()
}

/// Brings the metrics of slices up to date.
pub(super) fn show(agent: &Agent, slices: &Slices, metrics: &Metrics) {
    metrics
        .grant_seconds
        .set(Duration::from_nanos(agent.timing().lifetime).as_secs_f64());
    for protocol in Of::ALL {
        let label = ProtocolLabel {
            protocol: protocol.to_string(),
        };
        let owned = slices.iter().filter(|(of, _)| *of == protocol).count();
        let owned = i64::try_from(owned).unwrap_or(i64::MAX);
        metrics.slices_owned.get_or_create(&label).set(owned);
        let Some(conf) = agent.conf() else {
            continue;
        };
        let taken = agent.view().records().filter(|(key, record, ..)| {
            matches!(key, Key::Slice(of, _) if *of == protocol) && record.tenure != Tenure::Free
        });
        let taken = i64::try_from(taken.count()).unwrap_or(i64::MAX);
        let free = i64::from(conf.slices(protocol)).saturating_sub(taken);
        metrics.slices_free.get_or_create(&label).set(free);
    }
    for (protocol, ports) in slices {
        let count = i64::from(*ports.end()) - i64::from(*ports.start()) + 1;
        let slice = metrics.slice_ports.get_or_create(&slice(*protocol, ports));
        slice.set(count);
    }
}

fn slice(protocol: Of, ports: &RangeInclusive<u16>) -> Slice {
    Slice {
        protocol: protocol.to_string(),
        first: u32::from(*ports.start()),
    }
}

/// Counts from time to time, until nobody listens.
pub(super) async fn watch(
    worker: Worker<Module>,
    mut seen: watch::Receiver<Slices>,
    metrics: Metrics,
    news: mpsc::UnboundedSender<News>,
) {
    let mut known = Slices::new();
    while !news.is_closed() {
        let slices = seen.borrow_and_update().clone();
        for (protocol, ports) in known.iter().filter(|old| !slices.contains(old)) {
            metrics.slice_ports.remove(&slice(*protocol, ports));
            metrics.slice_ports_used.remove(&slice(*protocol, ports));
        }
        known.clone_from(&slices);
        let began = Instant::now();
        if !slices.is_empty() {
            let counted = worker.run(LONG, move |module| {
                module.with(|control| in_use(control, &slices))
            });
            if let Ok(Ok(used)) = counted.await {
                tell(&known, &used, &metrics, &news);
            }
        }
        let rest = (began.elapsed() * REST).max(LEAST_REST);
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            changed = seen.changed(), if known.is_empty() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// The ports of each slice that have an entry.
fn in_use(control: &Control, slices: &Slices) -> Result<Vec<u32>, Error> {
    let [tcp, udp] = [
        ports_in_use(control, Protocol::Tcp, Of::Tcp, slices)?,
        ports_in_use(control, Protocol::Udp, Of::Udp, slices)?,
    ];
    let counts = slices.iter().map(|(of, ports)| match of {
        Of::Tcp => tcp.count(ports.clone()),
        Of::Udp => udp.count(ports.clone()),
    });
    Ok(counts.collect())
}

fn ports_in_use(
    control: &Control,
    protocol: Protocol,
    of: Of,
    slices: &Slices,
) -> Result<PortSet, Error> {
    let mut used = PortSet::default();
    let ranges = slices.iter().filter(|(other, _)| *other == of);
    let ends = ranges.map(|(_, ports)| (*ports.start(), *ports.end()));
    let Some((first, last)) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
        return Ok(used);
    };
    let filter = Filter {
        protocol: Some(protocol),
        lport: Some(first..=last),
        ..Filter::default()
    };
    for entry in control.list(&filter) {
        used.insert(entry?.tuple.local.port());
    }
    Ok(used)
}

/// Notes the counts, and asks for another slice where those that there are fill up.
fn tell(slices: &Slices, used: &[u32], metrics: &Metrics, news: &mpsc::UnboundedSender<News>) {
    for ((protocol, ports), used) in slices.iter().zip(used) {
        let gauge = metrics
            .slice_ports_used
            .get_or_create(&slice(*protocol, ports));
        gauge.set(i64::from(*used));
    }
    for protocol in Of::ALL {
        let of = slices
            .iter()
            .zip(used)
            .filter(|((of, _), _)| *of == protocol);
        let (mut count, mut all, mut taken) = (0, 0, 0);
        for ((_, ports), used) in of {
            count += 1;
            all += u32::from(*ports.end()) - u32::from(*ports.start()) + 1;
            taken += used;
        }
        if count > 0 {
            let full = u64::from(taken) * 10 >= u64::from(all) * u64::from(FULL);
            let wanted = count + u32::from(full);
            let _ = news.send(News::Event(Event::Want(protocol, wanted)));
        }
    }
}
