// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The examples of rules and of a dashboard ask for metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use clinetd::config::Config;
use clinetd::directory::Observer;
use clinetd::metrics::{Metrics, Outcome, Protocol, Refusal, Slice};
use serde_json::Value;

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Metrics with at least one series each.
fn metrics() -> Metrics {
    let config = Config::parse(
        "cluster = \"c\"\npool = \"p\"\nnode = \"n\"\n[etcd]\nendpoints = [\"http://192.0.2.1:2379\"]\n\
         [addresses]\nshared = [\"192.0.2.10\"]\ntopology = \"router\"\n",
    );
    let metrics = Metrics::new(&config.unwrap());
    Metrics::state(&metrics.agent_state, &["stopped", "serving"], "serving");
    Metrics::state(&metrics.fence, &["unfenced", "fenced"], "unfenced");
    let protocol = Protocol {
        protocol: "tcp".into(),
    };
    metrics.slices_owned.get_or_create(&protocol).set(1);
    metrics.slices_free.get_or_create(&protocol).set(1);
    let slice = Slice {
        protocol: "tcp".into(),
        first: 32768,
    };
    metrics.slice_ports.get_or_create(&slice).set(2048);
    metrics.slice_ports_used.get_or_create(&slice).set(7);
    let refusal = Refusal {
        flow: "udp".into(),
        reason: "not-granted".into(),
    };
    metrics.refusals.get_or_create(&refusal).inc();
    metrics
        .renewals
        .get_or_create(&Outcome { result: "kept" })
        .inc();
    metrics.call("renew", Duration::from_millis(2), false);
    metrics
}

/// The words in a text that are names of our metrics.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("clinet_"));
    ours.map(str::to_owned).collect()
}

fn all_are_exported(asked: &BTreeSet<String>) {
    let text = metrics().text();
    let exported: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    let missing: Vec<&String> = asked.difference(&exported).collect();
    assert!(missing.is_empty(), "{missing:?} are not in\n{text}");
}

#[test]
fn labels_say_which_node() {
    let text = metrics().text();
    let node = "cluster=\"c\",pool=\"p\",node=\"n\"";
    for line in [
        format!("clinet_slice_ports_used{{{node},protocol=\"tcp\",first=\"32768\"}} 7"),
        format!("clinet_agent_state{{{node},state=\"serving\"}} 1"),
        format!("clinet_agent_state{{{node},state=\"stopped\"}} 0"),
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn rules_ask_for_what_there_is() {
    let rules = read("pkg/prometheus/rules.yml");
    let lines = rules.lines().filter(|line| !line.trim().starts_with('#'));
    let asked = names(&lines.collect::<Vec<&str>>().join("\n"));
    assert!(asked.contains("clinet_deadline_seconds"));
    assert!(asked.contains("clinet_slice_ports_used"));
    all_are_exported(&asked);
}

#[test]
fn rules_are_what_prometheus_reads() {
    let rules: Value = serde_norway::from_str(&read("pkg/prometheus/rules.yml")).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let mut alerts = BTreeSet::new();
    for rule in rules {
        let known = ["alert", "expr", "for", "labels", "annotations"];
        let members = rule.as_object().unwrap();
        assert!(
            members.keys().all(|key| known.contains(&key.as_str())),
            "{rule}"
        );
        let alert = rule["alert"].as_str().unwrap();
        assert!(alerts.insert(alert.to_owned()), "{alert} twice");
        assert!(
            rule["expr"].is_string() && rule["annotations"]["summary"].is_string(),
            "{rule}"
        );
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["page", "warn"].contains(&severity), "{rule}");
    }
    assert!(alerts.len() >= 10, "{alerts:?}");
    promtool();
}

/// Prometheus' own checker, where it is installed.
fn promtool() {
    let path = top().join("pkg/prometheus/rules.yml");
    let mut check = Command::new("promtool");
    check
        .args(["check", "rules"])
        .arg(path)
        .stdin(Stdio::null());
    if let Ok(output) = check.output() {
        let text = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&text)
        );
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let text = read("pkg/grafana/clinet.json");
    all_are_exported(&names(&text));
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["title"].is_string() && dashboard["schemaVersion"].is_u64());
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(
            panel["type"].is_string() && panel["title"].is_string(),
            "{panel}"
        );
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(places.insert((x, y)), "two panels at {x}, {y}");
            }
        }
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let open = query.matches(['(', '{', '[']).count();
            assert_eq!(open, query.matches([')', '}', ']']).count(), "{query}");
        }
    }
}
