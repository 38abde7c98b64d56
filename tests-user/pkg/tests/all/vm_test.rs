// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `tools/vm-test` against a machine that is a shell script: what it says of a
//! machine where everything is as it should be, and of machines where one
//! thing is not.

use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use clinet_module_tests::root;
use clinet_pkg_tests::command;
use tempfile::TempDir;

/// What one run came to.
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    /// The commands that the machine got.
    commands: Vec<String>,
    /// What was put on the machine and not taken back.
    left: Vec<String>,
}

impl Run {
    /// On a machine with these faults, and without clinetadm.
    fn on(fault: &str) -> Self {
        Self::with(fault, |_| ())
    }

    /// On one that has clinetadm and a module for it.
    fn with_tool(fault: &str) -> Self {
        let node = Node::start();
        Self::with(fault, |test| {
            test.env("FAKE_DEVICE", node.folder.path().join("node"));
            test.env("FAKE_CLINETADM", root().join("build/clinetadm"));
        })
    }

    fn with(fault: &str, more: impl FnOnce(&mut Command)) -> Self {
        let state: TempDir = tempfile::tempdir().expect("a folder");
        // VM_SSH is words, and the project's folder may have blanks in its name.
        let fake = state.path().join("fake-vm");
        symlink(root().join("tests-user/pkg/tests/fake-vm"), &fake).expect("a link");
        let fake = fake.to_str().expect("a plain name");
        // As users call it.
        let mut test = command("tools/vm-test");
        more(&mut test);
        let output = test
            .args(FILES)
            .env("VM", "root@fake")
            .env("VM_SSH", fake)
            .env("VM_SCP", format!("{fake} scp"))
            .env("VM_PAUSE", "0")
            .env("FAKE_STATE", state.path())
            .env("FAKE_FAULT", fault)
            .output()
            .expect("the script runs");
        let log = std::fs::read_to_string(state.path().join("log")).unwrap_or_default();
        let left = std::fs::read_dir(state.path().join("left"));
        let left = left.into_iter().flatten().map(|entry| {
            let name = entry.expect("a file").file_name();
            name.into_string().expect("a plain name")
        });
        Self {
            left: left.collect(),
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
            commands: log.lines().map(str::to_owned).collect(),
        }
    }

    /// Numbers of the tests that begin so.
    fn tests(&self, beginning: &str) -> Vec<usize> {
        let lines = self.stdout.lines();
        let found = lines.filter_map(|line| line.strip_prefix(beginning));
        found
            .map(|rest| {
                let number = rest.split(' ').next().expect("a number");
                number.parse().expect("a number")
            })
            .collect()
    }

    fn failed(&self) -> Vec<usize> {
        self.tests("not ok ")
    }

    fn did(&self, command: &str) -> bool {
        self.commands.iter().any(|other| other == command)
    }
}

/// A simulated machine whose control device `clinetadm` finds.
struct Node {
    folder: TempDir,
    process: Child,
}

impl Node {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("node");
        let mut process = Command::new(root().join("build/lab"))
            .args(["node", "--addr", "192.0.2.10", "--addr", "2001:db8::10"])
            .arg("--socket")
            .arg(&socket)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        // It says so when it listens.
        let stdout = process.stdout.as_mut().expect("a pipe");
        let mut line = String::new();
        let told = BufReader::new(stdout).read_line(&mut line);
        assert!(told.expect("text") > 0, "a node");
        Self { folder, process }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What the script is given.
const FILES: [&str; 3] = [
    "build/kernel/misc/amd64/clinet",
    "build/kernel/drv/amd64/clinetctl",
    "build/foreign/vm_helper",
];
const PLANNED: usize = 73;
/// Those that are skipped where there is no clinetadm.
const TOOL: RangeInclusive<usize> = 49..=63;
const NOTHING: [&str; 0] = [];

#[test]
fn all_is_well_on_a_machine_that_is_well() {
    let run = Run::with_tool("");
    assert_eq!(run.status, Some(0), "{}", run.stdout);
    assert!(!run.stdout.contains("# SKIP"), "{}", run.stdout);
    assert!(
        run.stdout.starts_with(&format!("1..{PLANNED}\n")),
        "{}",
        run.stdout
    );
    assert_eq!(run.tests("ok "), (1..=PLANNED).collect::<Vec<_>>());
    assert!(run.failed().is_empty());
    assert_eq!(run.stderr, "");
    assert_eq!(run.left, NOTHING);
    // Nobody is left who would be refused something.
    assert!(run.did("echo 'clinet_detach/W 1' | mdb -kw"));
    assert!(
        run.stdout
            .contains("# clinet stays loaded, detached, until root@fake")
    );
}

/// These faults make just these tests fail, and the rest is tried.
#[test]
fn a_fault_is_seen_where_it_is() {
    let faults: [(&str, &[usize]); 3] = [
        // Its modinfo has no version; a kstat is left behind; a refused
        // connect() gives another errno; a refused SYN is answered. The driver
        // speaks of another contract and with strangers, can be unloaded while
        // it is open, and was installed already.
        (
            "version kstats errno reset contract open add_drv",
            &[2, 5, 18, 21, 30, 33, 41, 43, 45, 46, 48, 69],
        ),
        // It cannot be unloaded although it never attached; nothing is
        // counted where something is accepted; tunables of the running module
        // cannot be written.
        (
            "stays uncounted mdb",
            &[
                4, 5, 11, 12, 13, 14, 15, 16, 19, 22, 25, 28, 31, 34, 37, 40, 66, 67, 70, 71, 72,
            ],
        ),
        // Nothing is refused.
        ("admits", &[18, 21, 24, 27, 30, 33, 36, 39, 67, 69]),
    ];
    for (fault, expected) in faults {
        let run = Run::on(fault);
        assert_eq!(run.failed(), expected, "{fault}: {}", run.stdout);
        assert_eq!(run.tests("ok ").len(), PLANNED - expected.len(), "{fault}");
        assert_eq!(run.status, Some(1), "{fault}");
        let summary = format!("# {} of {PLANNED} failed\n", expected.len());
        assert!(run.stdout.contains(&summary), "{fault}: {}", run.stdout);
        assert_eq!(run.left, NOTHING, "{fault}");
        let skipped = run.stdout.lines().filter(|line| line.contains("# SKIP"));
        assert_eq!(skipped.count(), TOOL.count(), "{fault}: {}", run.stdout);
    }
}

/// So it is with the tool.
#[test]
fn a_fault_that_the_tool_sees_is_where_it_is() {
    // Nothing is refused, no refusal is told, and what was taken away is not.
    let run = Run::with_tool("admits deaf leaks");
    let tool: Vec<usize> = run
        .failed()
        .into_iter()
        .filter(|test| TOOL.contains(test))
        .collect();
    assert_eq!(tool, [54, 55, 60, 61], "{}", run.stdout);
    assert_eq!(run.left, NOTHING);
}

/// What the other node could not get is not refused either; diagnostics say
/// what modload said.
#[test]
fn a_helper_that_does_not_load_is_told() {
    let run = Run::on("install");
    assert_eq!(run.status, Some(1));
    assert!(run.failed().contains(&17), "{}", run.stdout);
    assert!(
        run.stdout
            .contains("# can't load module: Address already in use")
    );
    assert_eq!(run.left, NOTHING);
}

/// After some faults there is nothing more to try.
#[test]
fn it_gives_up_when_there_is_nothing_to_try() {
    for (fault, status, why) in [
        ("unreachable", 2, "root@fake cannot be reached"),
        ("linux", 2, "uname -s says Linux, not SunOS"),
        ("user", 2, "only root may load modules"),
        ("perl", 2, "has no perl: install it"),
        ("scp", 2, "cannot be copied to root@fake"),
        ("ipadm", 2, "VM_LINK names another interface"),
        ("installed", 2, "remove its package first"),
        ("modload", 1, "not attached, so nobody is asked"),
        ("taken", 1, "another module has set cl_inet_bind"),
        ("panics", 1, "it may have panicked"),
    ] {
        let run = Run::on(fault);
        assert_eq!(run.status, Some(status), "{fault}: {}", run.stdout);
        let bail = run
            .stdout
            .lines()
            .find(|line| line.starts_with("Bail out! "));
        let bail = bail.unwrap_or_else(|| panic!("{fault}: {}", run.stdout));
        assert!(bail.contains(why), "{fault}: {bail}");
        assert_eq!(run.left, NOTHING, "{fault}");
        assert!(!run.stdout.contains("stays loaded"), "{fault}");
    }
}

/// Unloading although it is attached would be fatal on a real machine.
#[test]
fn a_module_that_goes_away_while_attached_is_told() {
    let run = Run::on("leaves");
    assert_eq!(run.status, Some(1));
    assert_eq!(run.failed().first(), Some(&9), "{}", run.stdout);
    assert_eq!(run.left, NOTHING);
}

#[test]
fn a_machine_that_has_the_module_is_left_alone() {
    let run = Run::on("loaded");
    assert_eq!(run.status, Some(2), "{}", run.stdout);
    assert!(
        run.stdout
            .contains("has clinet loaded already: reboot it first")
    );
    let harmless = ["modload", "modunload", "ipadm", "echo"];
    let harm = run.commands.iter().find(|command| {
        harmless
            .iter()
            .any(|tool| command.starts_with(&format!("{tool} ")))
    });
    assert_eq!(harm, None);
}

#[test]
fn without_a_machine_one_line_says_what_it_needs() {
    for (vm, files, says) in [
        (None, true, "VM=root@HOST is missing"),
        (Some(""), true, "VM=root@HOST is missing"),
        (Some("root@fake"), false, "usage: VM=root@HOST"),
    ] {
        let mut test = command("tools/vm-test");
        test.env_remove("VM");
        vm.map(|vm| test.env("VM", vm));
        if files {
            test.args(FILES);
        }
        let output = test.output().expect("the script runs");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(said.contains(says) && said.lines().count() == 1, "{said}");
        assert!(output.stdout.is_empty());
    }
}

/// The counters that the script reads are there, so that "has grown" can be.
#[test]
fn the_kstats_that_it_reads_exist() {
    let machine = clinet_attach_tests::Machine::attached(&[]);
    let script: PathBuf = root().join("tools/vm-test");
    let script = std::fs::read_to_string(script).expect("the script");
    for name in ["state", "reason", "mode"] {
        assert!(script.contains(&format!("attach:{name}")), "{name}");
        let _is_a_string = machine.string(name);
    }
    assert_eq!(machine.number("attach", "hooks"), 4);
    assert!(machine.number("attach", "audits") > 0);
    for flow in ["tcp_out", "tcp_in", "udp"] {
        for what in ["registered", "owned", "observed"] {
            assert_eq!(machine.number("registry", &format!("{flow}_{what}")), 0);
        }
    }
}
