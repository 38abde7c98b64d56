// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! README and the book against the project: commands do what is shown, names
//! exist, links lead somewhere.

use std::collections::BTreeSet;
use std::process::Stdio;

use clinet_attach_tests::Machine;
use clinet_module_tests::root;
use clinet_pkg_tests::page::{Page, is_shown, pages};
use clinet_pkg_tests::{command, manifest, manifest_of, read, variables};

/// Targets of make that are cheap once everything is built. Of the others only
/// what they would do is looked at.
const CHEAP: [&str; 2] = ["demo", "install"];

/// What is built already, when tests run.
const BUILT: [&str; 5] = [
    "build/kernel/misc/amd64/clinet",
    "build/kernel/drv/amd64/clinetctl",
    "build/lab",
    "build/clinetadm",
    "build/clinetd",
];

/// Runs a line of the shell in the top folder; what it prints.
pub fn run(line: &str) -> String {
    // The make that runs the tests has nothing to do with the one of a line.
    let output = command("timeout")
        .args(["60", "sh", "-euc", line])
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The command with which a line is tried.
pub fn trial(line: &str) -> String {
    let Some(rest) = line.strip_prefix("make ") else {
        return line.to_owned();
    };
    let target = rest.split(' ').next().expect("a target");
    if CHEAP.contains(&target) {
        let built = BUILT.map(|file| format!("-o {file}")).join(" ");
        format!("make -s {built} {rest}")
    } else {
        format!("make -n {rest}")
    }
}

#[test]
fn commands_do_what_is_shown() {
    for page in pages() {
        for command in page.commands() {
            if command.is_for_illumos {
                continue;
            }
            let output = run(&trial(&command.line));
            let lines: Vec<&str> = output.lines().collect();
            assert!(
                command.shown.is_empty() || is_shown(&command.shown, &lines),
                "{}: {} prints\n{output}",
                page.path.display(),
                command.line
            );
        }
    }
}

fn is_tunable(name: &str) -> bool {
    variables().iter().any(|variable| variable.0 == name)
}

fn is_target(name: &str) -> bool {
    let rule = format!("{name}:");
    read("Makefile").lines().any(|line| line.starts_with(&rule))
}

/// Is there such a kstat? A name may end in a pattern.
fn is_kstat(machine: &Machine, name: &str) -> bool {
    let mut parts = name.split(':').skip(2);
    let kstat = parts.next().expect("the kstat's name");
    let Some(values) = machine.kernel.kstat("clinet", 0, kstat) else {
        return false;
    };
    parts.next().is_none_or(|pattern| {
        let end = pattern.trim_start_matches('*');
        values.iter().any(|value| value.0.ends_with(end))
    })
}

/// Is this word of a command for illumos what it seems to name?
fn exists(machine: &Machine, word: &str) -> bool {
    if word.starts_with("clinet:0:") {
        return is_kstat(machine, word);
    }
    if let Some(symbol) = word.strip_suffix("/J") {
        let symbol = symbol.trim_start_matches("clinet`");
        return machine.module().symbol(symbol).is_some();
    }
    if let Some(name) = word.strip_suffix("/W") {
        return is_tunable(name);
    }
    if let Some(path) = word.strip_prefix('/') {
        let installed = [manifest(), manifest_of("pkg/clinet-node.p5m")].concat();
        let mut paths = installed.iter().filter_map(|a| a.attributes.get("path"));
        let is_readers = ["export/", "etc/clinet/"].map(|folder| path.starts_with(folder));
        return paths.any(|other| other == path) || is_readers.contains(&true);
    }
    !word.contains('/') || word == "misc/clinet" || root().join(word).exists()
}

/// clinetadm takes this command; that there is no device and no cluster is all that fails.
fn is_understood<'a>(words: impl Iterator<Item = &'a str>) {
    let output = command("build/clinetadm")
        .args(words)
        .env("CLINET_DEVICE", "/nowhere")
        .env("CLINETD_CONFIG", "/nowhere")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/nowhere"), "{said}");
}

/// By the last part of its name svcadm(8) finds a service, or by all of it.
pub fn is_service(name: &str) -> bool {
    let name = name.trim_start_matches("svc:/");
    let manifest = read("pkg/smf/clinetd.xml");
    let (_, rest) = manifest.split_once("<service name=\"").expect("a service");
    let service = rest.split('"').next().expect("an end");
    service == name || service.rsplit('/').next() == Some(name)
}

/// The blocks of a page that have a line like this.
fn blocks_with(page: &str, line: &str) -> Vec<String> {
    let page = Page::read(page.as_ref());
    let texts = page.blocks.into_iter().map(|block| block.text);
    texts.filter(|text| text.contains(line)).collect()
}

/// Static grants as the book has them refuse what it says, on a machine that has them.
#[test]
fn grants_without_an_agent_are_those_of_the_book() {
    let blocks = blocks_with("docs/cluster.md", "set clinet:clinet_grants");
    let settings = blocks.first().expect("a block");
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("device");
    let mut node = command("build/lab");
    node.args(["node", "--addr", "192.0.2.10", "--socket"]);
    node.arg(&socket).stdout(Stdio::null());
    for line in settings.lines() {
        if let Some(setting) = line.strip_prefix("set clinet:") {
            let setting = setting.replace(" = ", "=").replace('"', "");
            node.args(["--tunable", &setting]);
        }
    }
    let mut node = node.spawn().expect("the machine");
    // A machine that does not start ends, and then nobody listens.
    while !socket.exists() && node.try_wait().expect("a child").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let check = |port: u16| {
        let output = command("build/clinetadm")
            .env("CLINET_DEVICE", &socket)
            .args([
                "check",
                "tcp",
                &format!("192.0.2.10:{port}"),
                "198.51.100.7:443",
            ])
            .output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    };
    let answers = [40000, 50000, 443].map(check);
    drop(node.kill());
    drop(node.wait());
    let beginnings = [
        "accepted (free)",
        "refused (not-granted)",
        "refused (explicit)",
    ];
    for (answer, beginning) in answers.iter().zip(beginnings) {
        assert!(answer.starts_with(beginning), "{answers:?}");
    }
}

/// The file of the agent is good, with the settings above it.
#[test]
fn the_configuration_of_the_book_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let blocks = blocks_with("docs/cluster.md", "set clinet:clinet_port_space");
    let system = file("system", blocks.last().expect("a block"));
    let blocks = blocks_with("docs/cluster.md", "[etcd]");
    let config = file("clinetd.toml", blocks.first().expect("a block"));
    let mut check = command("build/clinetd");
    check.arg("--check").arg(config).arg("--system").arg(system);
    let output = check.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn names_in_commands_for_illumos_exist() {
    let machine = Machine::attached(&[]);
    for page in pages() {
        for command in page.commands().iter().filter(|c| c.is_for_illumos) {
            let line = command.line.replace(['\'', '|'], " ");
            let mut words = line.split_whitespace();
            match words.next().expect("a command") {
                "make" => assert!(is_target(words.next().expect("a target")), "{line}"),
                "export" => continue,
                "clinetadm" => {
                    is_understood(words);
                    continue;
                }
                // What is set is what the agent sets.
                "ipadm" => {
                    let agent = read("user/clinetd/src/platform/illumos.rs");
                    for word in words.filter_map(|word| word.split_once('=')) {
                        assert!(agent.contains(word.0), "{word:?} in {line}");
                    }
                    continue;
                }
                "svcadm" => {
                    let service = words.nth(1).expect("a service");
                    assert!(is_service(service), "{line}");
                    continue;
                }
                path if path.starts_with('/') => assert!(exists(&machine, path), "{line}"),
                "modload" | "modinfo" | "echo" | "kstat" | "dtrace" | "add_drv" => {}
                other => assert!(root().join(other).exists(), "{line}"),
            }
            for word in words {
                let word = word.strip_prefix("REPO=").unwrap_or(word);
                assert!(exists(&machine, word), "{word} in {line}");
            }
        }
        for block in page.blocks.iter().filter(|b| b.language.is_empty()) {
            let settings = block.text.lines();
            for line in settings.filter_map(|line| line.strip_prefix("set clinet:")) {
                let name = line.split(' ').next().expect("a name");
                assert!(is_tunable(name), "{name} in {}", page.path.display());
            }
        }
    }
}

/// The words of all C that is the module's interface.
fn interface() -> BTreeSet<String> {
    let text = [
        "include/cl_inet.h",
        "include/clinet.h",
        "kmod/glue/clinet.c",
    ]
    .map(read)
    .join("\n");
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.map(str::to_owned).collect()
}

/// Code in text that looks like a name of C, a file or a target of make.
#[test]
fn names_in_text_exist() {
    let interface = interface();
    for page in pages() {
        for span in &page.spans {
            let place = page.path.display();
            let word = span.trim_start_matches("set clinet:");
            let word = word.split(' ').next().expect("a word");
            if let Some(rest) = span.strip_prefix("make ") {
                let target = rest.split(' ').next().expect("a target");
                assert!(is_target(target), "{place}: {span}");
            } else if word.starts_with("clinet_") || word.starts_with("cl_inet_") {
                assert!(interface.contains(word), "{place}: {span}");
            } else if word.contains('/') && !word.starts_with(['/', '#']) && !span.contains('"') {
                let known = ["misc/clinet", "drv/ip"].contains(&word) || word.starts_with("build/");
                assert!(known || root().join(word).exists(), "{place}: {span}");
            }
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let folder = root().join(page.path.parent().expect("a folder"));
        for link in &page.links {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let place = page.path.display();
            assert!(folder.join(path).exists(), "{place}: {link}");
            if !anchor.is_empty() {
                let target = page.path.parent().expect("a folder").join(path);
                let anchors = Page::read(&target).anchors;
                assert!(anchors.contains(anchor), "{place}: {link}");
            }
        }
    }
}

/// What is said to be an excerpt of an example is one, line by line.
#[test]
fn excerpts_are_those_of_the_examples() {
    for (language, example) in [
        ("c", "examples/provider.c"),
        ("rust", "examples/provider-rust/src/lib.rs"),
    ] {
        let example = read(example);
        let lines: BTreeSet<&str> = example.lines().map(str::trim).collect();
        for page in pages() {
            for block in page.blocks.iter().filter(|b| b.language == language) {
                for line in block.text.lines().map(str::trim) {
                    assert!(lines.contains(line), "{}: {line}", page.path.display());
                }
            }
        }
    }
}

#[test]
fn the_table_of_settings_is_that_of_the_module() {
    let page = Page::read("docs/operating.md".as_ref());
    let rows: BTreeSet<(String, String)> = page
        .rows
        .iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let variables = variables().into_iter();
    assert_eq!(rows, variables.map(|v| (v.0, v.1)).collect());
}

/// README is one that people read: short, and with a way to every page.
#[test]
fn the_door_is_small() {
    let readme = Page::read("README.md".as_ref());
    assert!(readme.lines <= 150, "{} lines", readme.lines);
    for page in pages() {
        let path = page.path.to_str().expect("a plain name");
        let known = path == "README.md" || readme.links.iter().any(|link| link == path);
        assert!(known, "README does not name {path}");
    }
}

/// The folders of a folder, without what is made.
fn folders(path: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(path)).expect("a folder");
    let names = entries.filter_map(|entry| {
        let entry = entry.expect("a file");
        let name = entry.file_name().into_string().expect("a plain name");
        let is_made = name.starts_with('.') || ["build", "target"].contains(&name.as_str());
        (entry.path().is_dir() && !is_made).then_some(name)
    });
    names.collect()
}

/// The map names every folder, and no other.
#[test]
fn the_map_has_all_folders() {
    let design = Page::read("docs/design.md".as_ref());
    let (mut top, mut tests) = (BTreeSet::new(), BTreeSet::new());
    let mut folder = "";
    for line in design.blocks[0].text.lines() {
        // A folder begins the line; those of tests-user come below each other.
        let (name, rest) = line.split_at(line.len().min(13));
        if !name.starts_with(' ') {
            folder = name.trim_end().trim_end_matches('/');
            top.insert(folder.to_owned());
        }
        if folder == "tests-user" && !rest.starts_with(' ') {
            tests.extend(rest.split(' ').next().map(str::to_owned));
        }
    }
    assert_eq!(top, folders(""));
    assert_eq!(tests, folders("tests-user"));
}
