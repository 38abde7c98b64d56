// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `tools/toolchain` on machines that lack something. apt is a shell script.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use clinet_module_tests::root;
use tempfile::TempDir;

/// Oldest Rust that the tests ask for: newer than Debian 12, older than its
/// security updates.
const MINOR: &str = "95";
const RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// A machine with fake apt, sudo and id, and a copy of the scripts.
struct Machine {
    folder: TempDir,
    suites: &'static str,
    user: &'static str,
    fault: &'static str,
}

/// What a script came to.
struct Run {
    status: Option<i32>,
    said: String,
    /// What apt, sudo and id were asked.
    log: Vec<String>,
    apt_log: String,
}

impl Run {
    fn installed(&self) -> bool {
        self.log.iter().any(|line| {
            line.starts_with("apt-get") && line.contains(" install ") && !line.contains("--print")
        })
    }
}

impl Machine {
    fn new(suites: &'static str, user: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("a blank ").tempdir();
        let folder = folder.expect("a folder");
        let path = folder.path();
        for name in ["bin", "tools"] {
            fs::create_dir(path.join(name)).expect("a folder");
        }
        let fake = root().join("tests-user/pkg/tests/fake-apt");
        for name in ["apt-get", "apt-cache", "id", "sudo"] {
            symlink(&fake, path.join("bin").join(name)).expect("a link");
        }
        for name in ["toolchain", "install-packages", "quietly"] {
            let script = Path::new("tools").join(name);
            fs::copy(root().join(&script), path.join(&script)).expect("a copy");
        }
        Self {
            folder,
            suites,
            user,
            fault: "",
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script with only these folders of programs beside the fakes.
    fn run(&self, script: &str, arguments: &[&str], path: &str) -> Run {
        let output = Command::new(self.path(script))
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("FAKE_STATE", self.folder.path())
            .env("FAKE_SUITES", self.suites)
            .env("FAKE_USER", self.user)
            .env("FAKE_FAULT", self.fault)
            .output()
            .expect("the script runs");
        let text = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        Run {
            status: output.status.code(),
            said: String::from_utf8(output.stderr).expect("text"),
            log: text("log").lines().map(str::to_owned).collect(),
            apt_log: text("build/apt.log"),
        }
    }

    fn install(&self, packages: &[&str]) -> Run {
        let arguments = [&[MINOR], packages].concat();
        self.run("tools/install-packages", &arguments, "/usr/bin:/bin")
    }
}

#[test]
fn what_is_downloaded_is_said_before_it_is() {
    for user in ["root", "sudo"] {
        let run = Machine::new("bookworm bookworm-security", user).install(&RUST);
        assert_eq!(run.status, Some(0), "{}", run.said);
        assert!(run.installed());
        assert!(
            run.said
                .contains("2 packages, 300 MB to download, about 3 min"),
            "{}",
            run.said
        );
        // The screen has a few lines, the log the rest.
        assert!(run.said.lines().count() <= 4, "{}", run.said);
        assert!(!run.said.contains("Unpacking"), "{}", run.said);
        assert!(run.apt_log.contains("Unpacking a"), "{}", run.apt_log);
    }
}

/// Debian 12 without its security updates: nothing is installed, and nothing
/// is added to the sources.
#[test]
fn too_old_a_rust_is_seen_before_anything_is_installed() {
    for user in ["root", "nobody"] {
        let run = Machine::new("bookworm", user).install(&RUST);
        assert_eq!(run.status, Some(1), "{}", run.said);
        assert!(!run.installed());
        for word in [
            "Rust 1.95 or newer",
            "rustc-web 1.85.0+dfsg3-1~deb12u3 (from bookworm)",
            "the suite bookworm-security",
            "rust-src",
            "Nothing was installed",
        ] {
            assert!(run.said.contains(word), "{word}: {}", run.said);
        }
        assert!(!run.said.contains("://"), "no host is named: {}", run.said);
    }
}

#[test]
fn a_package_that_is_not_to_be_had_is_named() {
    let run = Machine::new("bookworm", "root").install(&["shellcheck", "nothing"]);
    assert_eq!(run.status, Some(1), "{}", run.said);
    assert!(!run.installed());
    assert!(run.said.contains("clinet needs nothing,"), "{}", run.said);
    let run = Machine::new("", "root").install(&RUST);
    assert!(run.said.contains("have no rustc-web"), "{}", run.said);
}

#[test]
fn without_root_the_whole_line_is_printed() {
    let run = Machine::new("bookworm bookworm-security", "nobody").install(&RUST);
    assert_eq!(run.status, Some(1), "{}", run.said);
    assert!(!run.installed());
    let line = format!(
        "  apt-get install --no-install-recommends {}",
        RUST.join(" ")
    );
    assert!(run.said.lines().any(|said| said == line), "{}", run.said);
    assert!(run.said.contains("300 MB to download"), "{}", run.said);
}

#[test]
fn what_apt_says_when_it_fails_is_shown() {
    for (fault, why) in [("update", "no network"), ("install", "a conflicts with b")] {
        let mut machine = Machine::new("bookworm bookworm-security", "root");
        machine.fault = fault;
        let run = machine.install(&RUST);
        assert_eq!(run.status, Some(1), "{}", run.said);
        let failed = format!("apt-get {fault} failed");
        assert!(
            run.said.contains(why) && run.said.contains(&failed),
            "{}",
            run.said
        );
    }
}

/// Without apt there is a list of what is needed.
#[test]
fn without_apt_the_packages_are_named() {
    let machine = Machine::new("bookworm", "root");
    for name in ["apt-get", "apt-cache"] {
        fs::remove_file(machine.path("bin").join(name)).expect("a link");
    }
    // What the script itself needs.
    for name in ["dirname", "cat"] {
        symlink(
            Path::new("/usr/bin").join(name),
            machine.path("bin").join(name),
        )
        .expect("a link");
    }
    let run = machine.run("tools/install-packages", &[MINOR, "gcc", "mandoc"], "");
    assert_eq!(run.status, Some(1), "{}", run.said);
    assert!(run.said.contains("  gcc mandoc\n"), "{}", run.said);
}

/// What is missing is installed, and the command runs; what is there is not
/// looked for again.
#[test]
fn the_toolchain_installs_what_is_missing() {
    let machine = Machine::new("bookworm bookworm-security", "root");
    for name in [
        "sh", "env", "sed", "sort", "tr", "awk", "tail", "grep", "fold", "mkdir", "rm", "ln",
        "cat", "dirname", "basename", "uname", "cc", "ld", "objcopy", "clang-19", "perl", "rustc",
        "true",
    ] {
        symlink(
            Path::new("/usr/bin").join(name),
            machine.path("bin").join(name),
        )
        .expect("a link");
    }
    let command = ["sh", "-c", "echo ran >&2"];
    let run = machine.run("tools/toolchain", &command, "");
    assert_eq!(run.status, Some(0), "{}", run.said);
    assert!(
        run.installed() && run.said.ends_with("ran\n"),
        "{}",
        run.said
    );
    assert!(
        run.said
            .contains("\n  protobuf-compiler shellcheck mandoc\n"),
        "{}",
        run.said
    );
    fs::remove_file(machine.path("log")).expect("the log");
    let run = machine.run("tools/toolchain", &command, "");
    assert_eq!((run.said.as_str(), run.log.len()), ("ran\n", 0));
}

/// Its owner may prefer it to Debian's packages.
#[test]
fn a_rustup_that_only_lacks_components_is_named() {
    let machine = Machine::new("bookworm", "root");
    // Debian's Rust is not here, whatever this machine has.
    let toolchain = machine.path("tools/toolchain");
    let text = fs::read_to_string(&toolchain).expect("the script");
    fs::write(&toolchain, text.replace("/usr/bin/rustc", "/nowhere")).expect("written");
    let script = |name: &str, text: String| {
        let path = machine.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path
    };
    for (version, is_named) in [("1.99.0", true), ("1.80.0", false)] {
        let compiler = script("other-rustc", format!("echo rustc {version}"));
        script("rustup", format!("echo '{}'", compiler.display()));
        let run = machine.run("tools/toolchain", &["true"], "/usr/bin:/bin");
        assert_eq!(run.status, Some(1), "{}", run.said);
        let named = run.said.contains("rustup component add rust-src");
        assert_eq!(named, is_named, "{}", run.said);
    }
}

/// Progress goes to the log only, errors and warnings to the screen, too.
#[test]
fn progress_is_a_line_and_the_log_has_all() {
    let machine = Machine::new("", "root");
    let log = machine.path("build/x.log");
    let quietly = |script: &str| {
        let log = log.to_str().expect("a plain name");
        let arguments = [log, "Compiling it", "sh", "-c", script];
        let run = machine.run("tools/quietly", &arguments, "/usr/bin:/bin");
        let log = fs::read_to_string(log).expect("a log");
        (run.status, run.said, log)
    };
    let compile = "echo '   Compiling a v1' >&2; echo 'warning: odd'; echo '    Finished x'";
    let (status, said, all) = quietly(compile);
    assert_eq!(status, Some(0));
    assert_eq!(
        said,
        format!("Compiling it; log in {}\nwarning: odd\n", log.display())
    );
    assert_eq!(all, "   Compiling a v1\nwarning: odd\n    Finished x\n");
    let (status, said, _) = quietly("echo 'error: wrong' >&2; exit 3");
    assert_eq!((status, said.as_str()), (Some(3), "error: wrong\n"));
    let (status, said, _) = quietly("echo '    Finished x' >&2");
    assert_eq!((status, said.as_str()), (Some(0), ""));
}
