// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is measured, under the names that clinetd(8) lists.

mod module;
pub mod server;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::config::Config;
use crate::directory::Observer;

pub use module::Reading;

/// A gauge that may have a fraction.
type Seconds = Gauge<f64, AtomicU64>;

macro_rules! label_sets {
    ($($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $member:ident: $kind:ty,)* })*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
        pub struct $name {
            $($(#[$meaning])* pub $member: $kind,)*
        }
    )*};
}

label_sets! {
    /// One of several states.
    State {
        /// Its word.
        state: String,
    }
    /// A protocol.
    Protocol {
        /// tcp or udp.
        protocol: String,
    }
    /// A slice.
    Slice {
        /// tcp or udp.
        protocol: String,
        /// Its first port.
        first: u32,
    }
    /// A reason for which the module refuses.
    Refusal {
        /// tcp_out, tcp_in or udp.
        flow: String,
        /// The word that events and `clinetadm check` have.
        reason: String,
    }
    /// A kind of call of etcd.
    Call {
        /// watch, with the reading of all keys, renew, write, lease or keep.
        call: &'static str,
    }
    /// How something ended.
    Outcome {
        /// kept or failed.
        result: &'static str,
    }
}

fn histogram() -> Histogram {
    Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
}

/// All metrics. Clones are the same metrics.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Where the agent is; exactly one is 1.
    pub agent_state: Family<State, Gauge>,
    /// Where the fence is; exactly one is 1.
    pub fence: Family<State, Gauge>,
    /// Whether the module answers.
    pub module_up: Gauge,
    /// Slices of this node.
    pub slices_owned: Family<Protocol, Gauge>,
    /// Slices of nobody.
    pub slices_free: Family<Protocol, Gauge>,
    /// Ports of each slice of this node.
    pub slice_ports: Family<Slice, Gauge>,
    /// Those of them that have an entry in the registry.
    pub slice_ports_used: Family<Slice, Gauge>,
    /// T.
    pub grant_seconds: Seconds,
    /// Seconds to the deadline.
    pub deadline_seconds: Seconds,
    /// Questions that the module refused.
    pub refusals: Family<Refusal, Counter>,
    /// Renewals of all records.
    pub renewals: Family<Outcome, Counter>,
    /// UDP sockets that have to be closed before the fence is lifted.
    pub waiting_sockets: Gauge,
    /// Watches that broke.
    pub watch_restarts: Counter,
    etcd_seconds: Family<Call, Histogram, fn() -> Histogram>,
    etcd_failures: Family<Call, Counter>,
}

impl Metrics {
    /// Metrics of this node, all of them 0.
    pub fn new(config: &Config) -> Self {
        let label =
            |name: &'static str, value: &dyn ToString| (name.into(), value.to_string().into());
        let labels = [
            label("cluster", &config.cluster),
            label("pool", &config.pool),
            label("node", &config.node),
        ];
        let registry = Registry::with_prefix_and_labels("clinet", labels.into_iter());
        let mut metrics = Self {
            registry: Arc::default(),
            agent_state: Family::default(),
            fence: Family::default(),
            module_up: Gauge::default(),
            slices_owned: Family::default(),
            slices_free: Family::default(),
            slice_ports: Family::default(),
            slice_ports_used: Family::default(),
            grant_seconds: Seconds::default(),
            deadline_seconds: Seconds::default(),
            refusals: Family::default(),
            renewals: Family::default(),
            waiting_sockets: Gauge::default(),
            watch_restarts: Counter::default(),
            etcd_seconds: Family::new_with_constructor(histogram),
            etcd_failures: Family::default(),
        };
        metrics.registry = Arc::new(metrics.registered(registry));
        metrics
    }

    fn registered(&self, mut registry: Registry) -> Registry {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let info = prometheus_client::metrics::info::Info::new(version);
        registry.register("agent", "What runs here", info);
        macro_rules! register {
            ($($member:ident $help:literal)*) => {$(
                registry.register(stringify!($member), $help, self.$member.clone());
            )*};
        }
        register! {
            agent_state "Where the agent is"
            fence "Where the fence is"
            module_up "Whether the module answers"
            slices_owned "Slices of this node"
            slices_free "Slices of nobody"
            slice_ports "Ports of a slice of this node"
            slice_ports_used "Ports of a slice that have an entry in the registry"
            refusals "Questions that the module refused"
            renewals "Renewals of all that this node has"
            waiting_sockets "UDP sockets that have to be closed before the fence is lifted"
            watch_restarts "Watches that broke"
            etcd_failures "Calls of etcd without an answer"
        }
        let times = [
            ("grant", "How long a grant holds", &self.grant_seconds),
            ("deadline", "Time to the deadline", &self.deadline_seconds),
        ];
        for (name, help, metric) in times {
            registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        }
        let calls = self.etcd_seconds.clone();
        registry.register_with_unit("etcd", "How long calls of etcd take", Unit::Seconds, calls);
        registry
    }

    /// All metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// One of several states is the present one.
    pub fn state(family: &Family<State, Gauge>, words: &[&str], present: &str) {
        for word in words {
            let state = State {
                state: (*word).to_owned(),
            };
            family
                .get_or_create(&state)
                .set(i64::from(*word == present));
        }
    }
}

impl Observer for Metrics {
    fn call(&self, kind: &'static str, took: Duration, answered: bool) {
        let call = Call { call: kind };
        self.etcd_seconds
            .get_or_create(&call)
            .observe(took.as_secs_f64());
        let failures = self.etcd_failures.get_or_create(&call);
        if !answered {
            failures.inc();
        }
    }
}
