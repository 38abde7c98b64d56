// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a file may not say, though it is well formed.

use toml::de::{DeTable, DeValue};

use super::{By, Config, Etcd, Problem, Topology};

/// The line, from 1, of a byte of the text.
pub(super) fn line(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The line of a key as "etcd.endpoints", or of the last table on the way to it, or 0.
fn line_of(text: &str, key: &str) -> usize {
    let Ok(root) = DeTable::parse(text) else {
        return 0;
    };
    let mut table = root.get_ref();
    let mut found = 0;
    for part in key.split('.') {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == part) else {
            break;
        };
        found = line(text, name.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    found
}

struct Check<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Notes a problem with the key unless the rule holds.
    fn rule(&mut self, holds: bool, key: &str, reason: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(Problem {
                line: line_of(self.text, key),
                reason: format!("{key}: {}", reason()),
            });
        }
    }
}

/// All that is wrong with a configuration that was read from this text.
pub(super) fn problems(config: &Config, text: &str) -> Vec<Problem> {
    let mut check = Check {
        text,
        problems: Vec::new(),
    };
    metrics(config, &mut check);
    etcd(&config.etcd, &mut check);
    ports(config, &mut check);
    times(config, &mut check);
    addresses(config, &mut check);
    check.problems.sort_by_key(|problem| problem.line);
    check.problems
}

fn metrics(config: &Config, check: &mut Check<'_>) {
    check.rule(config.metrics.ip().is_loopback(), "metrics", || {
        format!(
            "{} is not an address of the loopback interface, and who reads metrics is not asked \
             who he is; use 127.0.0.1 and a collector on this machine",
            config.metrics.ip()
        )
    });
}

fn etcd(etcd: &Etcd, check: &mut Check<'_>) {
    check.rule(!etcd.endpoints.is_empty(), "etcd.endpoints", || {
        "there is none; name each member, as \"http://192.0.2.101:2379\"".into()
    });
    for endpoint in &etcd.endpoints {
        let https = endpoint.starts_with("https://");
        check.rule(
            https || endpoint.starts_with("http://"),
            "etcd.endpoints",
            || format!("{endpoint:?} begins with neither http:// nor https://"),
        );
        check.rule(!https || cfg!(feature = "tls"), "etcd.endpoints", || {
            format!(
                "{endpoint:?}: this clinetd was built without TLS; build it with --features tls"
            )
        });
    }
    let secure = etcd.endpoints.iter().filter(|e| e.starts_with("https://"));
    let secure = secure.count();
    check.rule(
        secure == 0 || secure == etcd.endpoints.len(),
        "etcd.endpoints",
        || "some members are reached by https and some are not".into(),
    );
    let files = [&etcd.ca_file, &etcd.certificate_file, &etcd.key_file];
    check.rule(
        secure > 0 || files.iter().all(|file| file.is_none()),
        "etcd.endpoints",
        || "certificates are named, but no member is reached by https".into(),
    );
    check.rule(
        etcd.certificate_file.is_some() == etcd.key_file.is_some(),
        "etcd.certificate-file",
        || "certificate-file and key-file belong together".into(),
    );
    check.rule(
        etcd.user.is_some() == etcd.password_file.is_some(),
        "etcd.user",
        || "user and password-file belong together".into(),
    );
    let named = [
        ("etcd.ca-file", &etcd.ca_file),
        ("etcd.certificate-file", &etcd.certificate_file),
        ("etcd.key-file", &etcd.key_file),
        ("etcd.password-file", &etcd.password_file),
    ];
    for (key, file) in named {
        if let Some(file) = file {
            let readable = std::fs::File::open(file);
            check.rule(readable.is_ok(), key, || {
                let error = readable.as_ref().err().map(ToString::to_string);
                format!("{}: {}", file.display(), error.unwrap_or_default())
            });
        }
    }
    check.rule(
        etcd.timeout.is_finite() && (0.05..=60.0).contains(&etcd.timeout),
        "etcd.timeout",
        || "seconds, from 0.05 to 60".into(),
    );
}

fn ports(config: &Config, check: &mut Check<'_>) {
    let ports = &config.ports;
    let slice = u32::from(ports.slice);
    let power = slice.is_power_of_two() && slice >= 16;
    check.rule(power, "ports.slice", || {
        format!("{slice} is not a power of two from 16 to 32768")
    });
    if !power {
        return;
    }
    for (key, space) in [("ports.tcp", ports.tcp), ("ports.udp", ports.udp)] {
        check.rule(space.first >= 1024, key, || {
            format!("{space} has ports below 1024, which are for privileged programs")
        });
        let whole = u32::from(space.first) % slice == 0 && space.ports() % slice == 0;
        check.rule(whole, key, || {
            format!(
                "{space} does not begin and end at multiples of the slice, {slice} ports; \
                 32768-65535 does"
            )
        });
        let slices = space.ports() / slice;
        check.rule(
            slices >= 2 && ports.slices >= 1 && ports.slices <= slices / 2,
            "ports.slices",
            || {
                format!(
                    "from 1 to half of the {slices} slices in {space}, since the other half is for \
                     nodes that come back after a reboot"
                )
            },
        );
    }
}

fn times(config: &Config, check: &mut Check<'_>) {
    let times = &config.times;
    let all = [
        ("times.grant", times.grant),
        ("times.fence", times.fence),
        ("times.packet", times.packet),
        ("times.lease", times.lease),
    ];
    for (key, seconds) in all {
        check.rule(
            seconds.is_finite() && (0.1..=86400.0).contains(&seconds),
            key,
            || format!("{seconds} is not a number of seconds from 0.1 to 86400"),
        );
    }
    check.rule(
        times.fence.fract() == 0.0 && (1.0..=60.0).contains(&times.fence),
        "times.fence",
        || "whole seconds from 1 to 60, as clinet_fence_seconds of the module".into(),
    );
    check.rule(
        times.rate_error.is_finite() && (1e-6..=0.1).contains(&times.rate_error),
        "times.rate-error",
        || "a fraction from 0.000001 to 0.1; 0.001 is ten times what a bad clock does".into(),
    );
    check.rule(times.lease >= 2.0, "times.lease", || {
        "etcd knows no shorter lease than 2 seconds".into()
    });
    check.rule(
        times.grant >= 3.0 * config.etcd.timeout,
        "times.grant",
        || {
            format!(
                "a renewal that is tried at a third of it has to be able to fail twice: at least \
                 three times etcd.timeout, {} seconds",
                3.0 * config.etcd.timeout
            )
        },
    );
}

fn addresses(config: &Config, check: &mut Check<'_>) {
    let addresses = &config.addresses;
    check.rule(!addresses.shared.is_empty(), "addresses.shared", || {
        "there is none; name what clinet_addrs in /etc/system has".into()
    });
    for address in &addresses.shared {
        let strange = address.is_loopback() || address.is_multicast() || address.is_unspecified();
        check.rule(!strange, "addresses.shared", || {
            format!("{address} cannot be shared")
        });
    }
    check.rule(
        addresses.topology != Topology::SharedLink,
        "addresses.topology",
        || {
            "nodes that have one address on one link find each other by duplicate address \
             detection, and one of them loses it; put the address on lo0 or a vni of every node and \
             let a router steer by destination port (\"router\"), or a node (\"forwarding-node\"): \
             see clinet-cluster(7)"
                .into()
        },
    );
    let interface = addresses.interface.as_str();
    let virtual_one = interface == "lo0"
        || interface
            .strip_prefix("vni")
            .is_some_and(|unit| !unit.is_empty() && unit.bytes().all(|b| b.is_ascii_digit()));
    check.rule(virtual_one, "addresses.interface", || {
        format!(
            "{interface} is a link, where duplicate address detection would take a shared address \
             away; use lo0 or a vni, as \"vni0\""
        )
    });
    check.rule(
        (addresses.by == By::Script) == addresses.script.is_some(),
        "addresses.by",
        || "by = \"script\" and script = \"/path\" belong together".into(),
    );
    if let Some(script) = &addresses.script {
        check.rule(script.is_absolute(), "addresses.script", || {
            format!("{} is not an absolute path", script.display())
        });
        check.rule(script.is_file(), "addresses.script", || {
            format!("{} is no file", script.display())
        });
    }
}
