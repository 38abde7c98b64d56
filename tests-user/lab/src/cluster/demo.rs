// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab cluster`: three nodes, their agents and an etcd, step by step.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clinet_cluster::traffic::connect;
use clinet_cluster::{Cluster, Member, Run, Settings};
use clinet_control::{Errno, FenceState, Protocol};
use serde::Serialize;

use super::programs;
use crate::story::{Chapter, Story};
use crate::{Outcome, fatal, files, print_json, signals};

const EXAMPLES: &str = "\
Examples:
  lab cluster
  lab cluster --nodes 3 --json

Exit status: 0 if all went as told, 1 if something did not, 2 if the cluster does
not start.";

/// Shows a cluster of nodes that share an address: who dies, what becomes of its
/// ports, and what an outage of the directory does.
///
/// Machines, agents and three members of etcd are processes of their own on
/// loopback ports, which end with this. The times are seconds, where a cluster at
/// work has minutes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// How many nodes, 2 to 6
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=6))]
    nodes: u8,
    #[command(flatten)]
    programs: programs::Files,
    /// clinetadm [default: clinetadm beside this tool]
    #[arg(long, value_name = "FILE")]
    clinetadm: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Nothing that is waited for takes as long.
const PATIENCE: Duration = Duration::from_secs(45);
/// Ports in a slice: as many slices as there are nodes fit into the port space.
const SLICE: u16 = 4096;
/// Connections that each node makes.
const CONNECTIONS: usize = 20;
/// Outside the port space.
const RESERVED: u16 = 443;

#[derive(Serialize)]
struct Output {
    passed: bool,
    chapters: Vec<Chapter>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    fatal::no_module_here();
    let mut story = Story::new(!arguments.json);
    let clinetadm = files::program(arguments.clinetadm.as_deref(), "clinetadm")?;
    let programs = arguments.programs.find()?;
    let nodes = arguments.nodes;
    let settings = Settings {
        slice: SLICE,
        ports: (32768, 32767 + SLICE * u16::from(nodes)),
        ..Settings::default()
    };
    signals::before_the_end(clinet_cluster::end_all)?;
    let cluster = Cluster::start(&programs, settings, nodes.into())?;
    let mut told = Told {
        story: &mut story,
        clinetadm,
        run: None,
    };
    told.beginning(cluster)?;
    told.death()?;
    told.outages()?;
    told.reserved_port()?;
    drop(told);
    let output = Output {
        passed: story.passed(),
        chapters: story.into_chapters(),
    };
    if arguments.json {
        print_json(&output)?;
    } else if !output.passed {
        eprintln!("lab: something did not go as told: see the lines with UNEXPECTED");
    }
    Ok(if output.passed {
        Outcome::Done
    } else {
        Outcome::FoundWrong
    })
}

/// The story, and the cluster that it is about.
struct Told<'a> {
    story: &'a mut Story,
    clinetadm: PathBuf,
    run: Option<Run>,
}

impl Told<'_> {
    fn run(&mut self) -> anyhow::Result<&mut Run> {
        self.run.as_mut().context("the cluster has been started")
    }

    /// `clinetadm cluster ...` by the configuration of a node; what came of it.
    fn operator(&self, member: &Member, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.clinetadm);
        command
            .args(["cluster", "--config"])
            .arg(member.configuration());
        let output = command.args(words).output()?;
        Ok(match output.status.success() {
            true => "done".to_owned(),
            false => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn beginning(&mut self, cluster: Cluster) -> anyhow::Result<()> {
        let settings = &cluster.settings;
        let (t, f, l) = (settings.grant, settings.fence, settings.packet);
        let title = format!(
            "{} nodes share 192.0.2.10 (T {} s, F {} s, L {} s, so Q {:.1} s; at work T is 300 s)",
            cluster.members.len(),
            t.as_secs(),
            f.as_secs(),
            l.as_secs(),
            settings.quarantine().as_secs_f64()
        );
        self.story.chapter(&title);
        let found = self.operator(&cluster.members[0], &["found"])?;
        self.story.step("clinetadm cluster found", found, "done");
        let run = Run::start(cluster)?;
        run.wait_for_service(PATIENCE)?;
        let own = (0..run.cluster.members.len()).map(|member| ports_of(&run, member));
        let own = own.collect::<anyhow::Result<Vec<_>>>()?;
        let counts: Vec<String> = own.iter().map(|ports| ports.len().to_string()).collect();
        let expected = vec![SLICE.to_string(); own.len()];
        self.story.step(
            "each agent joins and takes a slice; TCP ports that each node has",
            counts.join(", "),
            &expected.join(", "),
        );
        let used = connect_all(&run)?;
        let is_own = |(member, port): &(usize, u16)| own[*member].contains(port);
        let mut ports: Vec<u16> = used.iter().map(|(_, port)| *port).collect();
        ports.sort_unstable();
        ports.dedup();
        self.story.step(
            "each connects to 198.51.100.7:443, twenty times, all at once",
            format!(
                "{} connections from {} ports, {} of them its own",
                used.len(),
                ports.len(),
                used.iter().filter(|one| is_own(one)).count()
            ),
            &{
                let all = own.len() * CONNECTIONS;
                format!("{all} connections from {all} ports, {all} of them its own")
            },
        );
        let other = own[1].first().copied().unwrap_or(0);
        let refused = connect_from(&run, 0, other)?;
        self.story.step(
            "node-1 connects from a port of node-2",
            said(refused),
            "refused: EADDRINUSE",
        );
        self.run = Some(run);
        Ok(())
    }

    fn death(&mut self) -> anyhow::Result<()> {
        self.story
            .chapter("A node dies: kill -9 of the machine and of its agent");
        let run = self.run()?;
        let quarantine = run.cluster.settings.quarantine();
        let last = run.cluster.members.len() - 1;
        let ports = ports_of(run, last)?;
        run.cluster.members[last].kill();
        let killed = Instant::now();
        let heir = run.add_member()?;
        wait(|| run.serves(heir))?;
        let waited = killed.elapsed();
        let same = ports_of(run, heir)? == ports;
        let name = run.cluster.members[heir].name().to_owned();
        let word = if waited >= quarantine {
            "after"
        } else {
            "before"
        };
        let whose = if same { "the same" } else { "other" };
        self.story.step(
            &format!(
                "another node waits for a slice, and gets one after {:.1} s",
                waited.as_secs_f64()
            ),
            format!("{name} has {whose} ports, {word} Q was over"),
            &format!("{name} has the same ports, after Q was over"),
        );
        Ok(())
    }

    fn outages(&mut self) -> anyhow::Result<()> {
        self.story.chapter("All members of etcd are killed");
        let run = self.run()?;
        let living = living(run);
        run.cluster.etcd.kill_all();
        let begin = Instant::now();
        let short = run.cluster.settings.grant / 2;
        let (mut connects, mut refused) = (0, 0);
        while begin.elapsed() < short {
            for &member in &living {
                match connect_from(run, member, 0)? {
                    Ok(_) => connects += 1,
                    Err(_) => refused += 1,
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
        let noticed = format!("{refused} refused");
        self.story.step(
            &format!("for half of T: {connects} connects"),
            noticed,
            "0 refused",
        );
        let run = self.run()?;
        wait(|| living.iter().all(|&member| is_fenced(run, member)))?;
        let after = begin.elapsed().as_secs_f64();
        let refused = connect_from(run, living[0], 0)?.is_err();
        self.story.step(
            &format!("for longer than T: after {after:.1} s all nodes are fenced; a connect"),
            if refused { "refused" } else { "connected" },
            "refused",
        );
        let run = self.run()?;
        run.cluster.etcd.start_all()?;
        wait(|| living.iter().all(|&member| run.serves(member)))?;
        let back = connect_from(run, living[0], 0)?;
        self.story.step(
            "etcd is there again, and so are the addresses; a connect",
            said(back),
            "connected",
        );
        Ok(())
    }

    fn reserved_port(&mut self) -> anyhow::Result<()> {
        self.story
            .chapter("A reserved port moves at once, if somebody knows that its node is off");
        let reserve = |told: &mut Self, node: &str| {
            let words = ["reserve", "tcp", &RESERVED.to_string(), node];
            let run = told.run.as_ref().context("the cluster has been started")?;
            let answer = told.operator(&run.cluster.members[1], &words)?;
            let what = format!("clinetadm cluster {}", words.join(" "));
            told.story.step(&what, answer, "done");
            anyhow::Ok(())
        };
        reserve(self, "node-1")?;
        let run = self.run()?;
        wait(|| ports_of(run, 0).is_ok_and(|ports| ports.contains(&RESERVED)))?;
        let connected = connect_from(run, 0, RESERVED)?;
        self.story.step(
            "node-1 connects from 192.0.2.10:443",
            said(connected),
            "connected",
        );
        self.run()?.cluster.members[0].kill();
        let run = self.run.as_ref().context("the cluster has been started")?;
        let fenced = self.operator(&run.cluster.members[1], &["fenced", "--yes", "node-1"])?;
        self.story.step(
            "node-1 is switched off; clinetadm cluster fenced node-1",
            fenced,
            "done",
        );
        let begin = Instant::now();
        reserve(self, "node-2")?;
        let run = self.run()?;
        wait(|| ports_of(run, 1).is_ok_and(|ports| ports.contains(&RESERVED)))?;
        let in_time = begin.elapsed() < run.cluster.settings.quarantine();
        let connected = connect_from(run, 1, RESERVED)?;
        self.story.step(
            "node-2 connects from 192.0.2.10:443",
            format!(
                "{}, {} Q",
                said(connected),
                if in_time { "before" } else { "after" }
            ),
            "connected, before Q",
        );
        Ok(())
    }
}

/// The nodes whose machines are on.
fn living(run: &Run) -> Vec<usize> {
    let members = run.cluster.members.iter().enumerate();
    let living = members.filter(|(_, member)| member.machine().is_some());
    living.map(|(index, _)| index).collect()
}

fn is_fenced(run: &Run, member: usize) -> bool {
    run.last_seen(member)
        .is_some_and(|seen| seen.fence == FenceState::Fenced)
}

/// The TCP ports that are granted to a node.
fn ports_of(run: &Run, member: usize) -> anyhow::Result<Vec<u16>> {
    let grants = run.cluster.members[member].control()?.grants()?;
    Ok(grants
        .grants
        .tcp
        .granted
        .ranges()
        .into_iter()
        .flatten()
        .collect())
}

/// All nodes connect at once; answers who did from which port.
fn connect_all(run: &Run) -> anyhow::Result<Vec<(usize, u16)>> {
    let connect_one = |member: usize| {
        let machine = run.cluster.members[member].connect()?;
        let mut ports = Vec::new();
        for _ in 0..CONNECTIONS {
            if let Ok((_, local)) = connect(&machine, Protocol::Tcp, None)? {
                ports.push((member, local.port()));
            }
        }
        anyhow::Ok(ports)
    };
    let results: Vec<anyhow::Result<Vec<(usize, u16)>>> = thread::scope(|scope| {
        let nodes = 0..run.cluster.members.len();
        let threads: Vec<_> = nodes
            .map(|member| scope.spawn(move || connect_one(member)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|result| result.unwrap_or_else(|_| Err(anyhow::anyhow!("a program failed"))))
            .collect()
    });
    let all = results.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(all.concat())
}

/// A node connects from a port of the shared address; 0: from any.
fn connect_from(run: &Run, member: usize, port: u16) -> anyhow::Result<Result<u16, Errno>> {
    let machine = run.cluster.members[member].connect()?;
    let address = run.cluster.settings.addresses.first().copied();
    let local = address.map(|address| SocketAddr::new(address, port));
    let answer = connect(&machine, Protocol::Tcp, local)?;
    Ok(answer.map(|(_, local)| local.port()))
}

fn said(result: Result<u16, Errno>) -> String {
    match result {
        Ok(_) => "connected".to_owned(),
        Err(errno) => format!("refused: {}", errno.name().unwrap_or("?")),
    }
}

fn wait(mut is_there: impl FnMut() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_there() {
        anyhow::ensure!(
            Instant::now() < end,
            "what was waited for did not come within {} s",
            PATIENCE.as_secs()
        );
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
