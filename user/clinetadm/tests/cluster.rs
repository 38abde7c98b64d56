// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm cluster` against a real etcd, without any node.

#[allow(dead_code, reason = "the tests of the agent need more of it")]
#[path = "../../clinetd/tests/common/etcd.rs"]
mod etcd;

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use clinet_slices::Timing;
use clinet_slices::names::{Key, Name, Names, Protocol, Uuid};
use clinet_slices::records::{Node, Owner, Record, Tenure, Value};
use etcd::{Etcd, free_port};
use serde_json::Value as Json;
use tempfile::TempDir;

struct Setup {
    etcd: Etcd,
    folder: TempDir,
}

fn name(name: &str) -> Name {
    name.parse().expect("a name")
}

fn text(endpoint: &str) -> String {
    format!(
        "cluster = \"test\"\npool = \"web\"\nnode = \"a\"\n\
         [etcd]\nendpoints = [\"{endpoint}\"]\n\
         [addresses]\nshared = [\"192.0.2.10\"]\ntopology = \"router\"\n"
    )
}

impl Setup {
    fn new() -> Self {
        let setup = Self {
            etcd: Etcd::start(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        fs::write(setup.file(), text(setup.etcd.endpoint())).expect("the file");
        setup
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clinetd.toml")
    }

    fn run(&self, arguments: &[&str]) -> Assert {
        let mut command = Command::cargo_bin("clinetadm").expect("clinetadm");
        command.args(["cluster", "--config"]).arg(self.file());
        command.args(arguments).assert()
    }

    /// What it prints, if it ends with this status.
    fn prints(&self, arguments: &[&str], status: i32) -> String {
        let ended = self.run(arguments).code(status);
        let output = ended.get_output();
        let both = [output.stdout.clone(), output.stderr.clone()].concat();
        String::from_utf8(both).expect("a text")
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let ended = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&ended.get_output().stdout).expect("JSON")
    }

    /// Writes a key as an agent would.
    fn put(&self, key: &Key, value: &Value) {
        let names = Names {
            cluster: name("test"),
            pool: name("web"),
        };
        let (path, text) = (names.path(key), value.text());
        self.etcd.with(async |client| {
            client.kv_client().put(path, text, None).await.expect("put");
        });
    }

    fn owns(&self, node: &str, protocol: Protocol, first: u16) {
        self.has(node, &Key::Slice(protocol, first), first + 2047);
    }

    fn owns_reserved(&self, node: &str, protocol: Protocol, port: u16) {
        self.has(node, &Key::Reserve(protocol, port), port);
    }

    fn has(&self, node: &str, key: &Key, last: u16) {
        let owner = Owner {
            node: name(node),
            machine: Uuid(1),
            boot: Uuid(2),
            epoch: 3,
        };
        let record = Record {
            last,
            tenure: Tenure::Own(owner),
            timing: Timing::default(),
            incarnation: 1,
            heir: None,
        };
        self.put(key, &Value::Record(record));
    }

    fn lives(&self, node: &str) {
        let value = Value::Node(Node {
            machine: Uuid(1),
            boot: Uuid(2),
            pool: name("web"),
            version: name("1"),
        });
        self.put(&Key::Node(name(node)), &value);
    }
}

#[test]
fn a_cluster_is_founded_once() {
    let setup = Setup::new();
    for command in [&["status"][..], &["drain", "a"]] {
        let said = setup.prints(command, 1);
        assert!(said.contains("clinetadm cluster found"), "{said}");
    }
    setup.prints(&["found"], 0);
    let said = setup.prints(&["found"], 1);
    assert!(said.contains("has a configuration already"), "{said}");
    let status = setup.json(&["status"]);
    assert_eq!(status["free"]["tcp"], 16);
    assert_eq!(status["conf"]["slice"], 2048);
    assert_eq!(status["nodes"], Json::Array(Vec::new()));
}

#[test]
fn owners_are_shown_and_exported() {
    let setup = Setup::new();
    setup.prints(&["found"], 0);
    setup.lives("a");
    setup.owns("a", Protocol::Tcp, 34816);
    setup.owns("a", Protocol::Tcp, 36864);
    setup.owns("b", Protocol::Udp, 32768);

    let said = setup.prints(&["status"], 1);
    assert!(said.contains("node b is dead"), "{said}");
    assert!(said.contains("clinetadm cluster fenced b"), "{said}");
    assert_eq!(
        setup.prints(&["slices", "-p", "-o", "protocol,first,last,state,node"], 0),
        "tcp:34816:36863:own:a\ntcp:36864:38911:own:a\nudp:32768:34815:left-behind:b\n"
    );
    // What touches is one range, and who is gone gets nothing.
    let exported = setup.prints(&["export", "-p", "-o", "protocol,first,last,node"], 0);
    assert_eq!(exported, "tcp:34816:38911:a\n");
    assert_eq!(setup.json(&["export"])[0]["node"], "a");

    let said = setup.prints(&["who-owns", "tcp/35000"], 0);
    assert!(
        said.contains("tcp 35000: node a, slice 34816-36863"),
        "{said}"
    );
    let tuple = ["who-owns", "tcp", "192.0.2.10:35000", "198.51.100.7:443"];
    assert_eq!(setup.prints(&tuple, 0), said);
    let said = setup.prints(&["who-owns", "33000"], 1);
    assert!(said.contains("tcp 33000: nobody's"), "{said}");
    assert!(said.contains("udp 33000: was node b's"), "{said}");
    let said = setup.prints(&["who-owns", "tcp/443"], 1);
    assert!(
        said.contains("clinetadm cluster reserve tcp 443 NODE"),
        "{said}"
    );
    let said = setup.prints(&["slices", "-o", "colour"], 2);
    assert!(
        said.contains("colour") && said.contains("kept-for"),
        "{said}"
    );
    setup.prints(&["who-owns", "0"], 2);
    setup.prints(&["who-owns", "sctp/1"], 2);
}

#[test]
fn words_change_the_directory() {
    let setup = Setup::new();
    setup.prints(&["found"], 0);
    setup.lives("a");
    setup.owns("a", Protocol::Tcp, 34816);

    setup.prints(&["reserve", "tcp", "443", "a"], 0);
    let said = setup.prints(&["reserve", "tcp", "40000", "a"], 1);
    assert!(said.contains("in the port space"), "{said}");
    let said = setup.prints(&["slices"], 0);
    assert!(said.contains("reserved"), "{said}");
    setup.prints(&["reserve", "--remove", "tcp", "443"], 0);
    setup.prints(&["reserve", "--remove", "tcp", "443"], 1);
    setup.owns_reserved("a", Protocol::Tcp, 444);
    let said = setup.prints(&["reserve", "tcp", "444", "b"], 0);
    assert!(said.contains("when node a has left it"), "{said}");

    setup.prints(&["drain", "a"], 0);
    let said = setup.prints(&["status"], 1);
    assert!(said.contains("draining"), "{said}");
    setup.prints(&["drain", "--undo", "a"], 0);
    setup.prints(&["status"], 0);
    let said = setup.prints(&["drain", "nobody"], 0);
    assert!(said.contains("nobody is not there"), "{said}");

    let said = setup.prints(&["fenced", "a"], 2);
    assert!(said.contains("nobody to ask"), "{said}");
    let said = setup.prints(&["fenced", "--yes", "a"], 0);
    assert!(said.contains("free: tcp slice from 34816 on"), "{said}");
    let said = setup.prints(&["fenced", "--yes", "a"], 0);
    assert!(said.contains("had nothing"), "{said}");

    setup.prints(&["recover"], 2);
    setup.prints(&["recover", "--yes"], 0);
    let incarnation = setup.json(&["status"])["conf"]["incarnation"].as_u64();
    assert!(incarnation.is_some_and(|number| number > 1_000_000_000));
}

#[test]
fn a_file_of_no_use_and_an_etcd_that_is_gone_are_told_apart() {
    let mut setup = Setup::new();
    setup.prints(&["found"], 0);
    setup.etcd.stop();
    let said = setup.prints(&["status"], 1);
    assert!(said.contains("etcd: http://127.0.0.1:"), "{said}");
    assert!(said.contains("\nIs etcd running"), "{said}");
    // One of the members is enough.
    setup.etcd.resume();
    let members = format!(
        "http://127.0.0.1:{}\", \"{}",
        free_port(),
        setup.etcd.endpoint()
    );
    fs::write(setup.file(), text(&members)).expect("the file");
    setup.prints(&["status"], 0);
    fs::write(setup.file(), "cluster = 1\n").expect("the file");
    let said = setup.prints(&["status"], 2);
    assert!(said.contains("line 1"), "{said}");
    fs::remove_file(setup.file()).expect("removed");
    let said = setup.prints(&["status"], 2);
    assert!(said.contains("--config FILE"), "{said}");
}
