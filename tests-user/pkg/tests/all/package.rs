// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The package manifest, and what `make install` makes of it.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use clinet_module_tests::root;
use clinet_pkg_tests::{Action, command, manifest, manifest_of, read};

fn of_kind(kind: &str) -> Vec<Action> {
    let actions = manifest().into_iter();
    actions.filter(|action| action.kind == kind).collect()
}

/// What `pkglint` and `pkgsend` want of each action.
#[test]
fn actions_are_whole() {
    for action in manifest() {
        match action.kind.as_str() {
            "set" => {
                assert_ne!(action.attribute("name"), "");
                assert_ne!(action.attribute("value"), "");
                assert_eq!((action.attributes.len(), &action.payload), (2, &None));
            }
            "dir" => assert_eq!(action.payload, None, "{action:?}"),
            "file" => {
                let payload = action.payload.as_ref().expect("a payload");
                assert!(root().join(payload).is_file(), "{payload}");
            }
            "license" => {
                let payload = action.payload.as_ref().expect("a payload");
                assert!(read(payload).contains("Mozilla Public License Version 2.0"));
                assert_eq!(action.attribute("license"), "MPL-2.0");
            }
            // /dev/clinet of the node that the driver makes, for anybody.
            "driver" => {
                assert_eq!(action.attribute("name"), "clinetctl");
                assert_eq!(action.attribute("perms"), "* 0666 root sys");
                let link = action.attribute("devlink");
                assert_eq!(link, "type=ddi_pseudo;name=clinetctl\\tclinet");
                assert_eq!((action.attributes.len(), &action.payload), (3, &None));
            }
            // A service or a link would want a reason.
            other => panic!("an action {other}"),
        }
        if matches!(action.kind.as_str(), "dir" | "file") {
            assert!(!action.attribute("path").starts_with('/'), "{action:?}");
            assert_eq!(action.attribute("owner"), "root");
            let known = ["path", "owner", "group", "mode", "reboot-needed"];
            for name in action.attributes.keys() {
                assert!(known.contains(&name.as_str()), "{name}= in {action:?}");
            }
        }
    }
    assert_eq!(of_kind("license").len(), 1);
}

#[test]
fn names_and_paths_come_once() {
    for (kind, name) in [("set", "name"), ("file", "path"), ("dir", "path")] {
        let mut seen: Vec<String> = of_kind(kind)
            .iter()
            .map(|action| action.attribute(name).to_owned())
            .collect();
        let before = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), before, "{seen:?}");
    }
}

#[test]
fn the_package_says_what_it_is() {
    let values: BTreeMap<String, String> = of_kind("set")
        .iter()
        .map(|set| (set.attribute("name").into(), set.attribute("value").into()))
        .collect();
    for name in ["pkg.summary", "pkg.description", "info.classification"] {
        assert!(values.contains_key(name), "{name}");
    }
    assert_eq!(values["variant.arch"], "i386");
    assert_eq!(
        values["pkg.fmri"],
        format!("pkg:/driver/network/clinet@{}", env!("CARGO_PKG_VERSION"))
    );
    // Numbers without leading zeros, as IPS wants versions.
    for part in env!("CARGO_PKG_VERSION").split('.') {
        assert_eq!(part, part.parse::<u32>().expect("a number").to_string());
    }
    // The version is defined where the command for it is, and nothing else is.
    let make = command("make")
        .args(["-n", "package", "REPO=/repo"])
        .output();
    let printed = String::from_utf8(make.expect("make runs").stdout).expect("text");
    let define = format!("pkgmogrify -D VERSION={} pkg", env!("CARGO_PKG_VERSION"));
    assert!(printed.contains(&define), "{printed}");
    let text = read("pkg/clinet.p5m");
    let macros = text.lines().filter(|line| !line.starts_with('#'));
    let macros: usize = macros.map(|line| line.matches("$(").count()).sum();
    assert_eq!(macros, 1);
}

/// Only the modules are the kernel's: new ones mean a reboot.
#[test]
fn only_the_modules_want_a_reboot() {
    for file in of_kind("file") {
        let path = file.attribute("path");
        let in_kernel = path.starts_with("kernel/");
        assert_eq!(
            file.attribute("reboot-needed"),
            in_kernel.to_string(),
            "{path}"
        );
        let expected = if in_kernel { "sys" } else { "bin" };
        assert_eq!(file.attribute("group"), expected, "{path}");
    }
}

/// What is made for users is in the package.
#[test]
fn nothing_is_forgotten() {
    let files = [manifest(), manifest_of("pkg/clinet-node.p5m")].concat();
    let is_in = |path: &str| {
        files
            .iter()
            .any(|file| file.payload.as_deref() == Some(path))
    };
    let folders = [
        "pkg/dtrace",
        "pkg/grafana",
        "pkg/man",
        "pkg/prometheus",
        "pkg/rbac",
        "pkg/smf",
    ];
    for folder in folders {
        for file in std::fs::read_dir(root().join(folder)).expect("a folder") {
            let name = file.expect("a file").file_name();
            let path = format!("{folder}/{}", name.to_str().expect("a plain name"));
            assert!(is_in(&path), "{path}");
        }
    }
    for path in [
        "build/kernel/misc/amd64/clinet",
        "build/kernel/drv/amd64/clinetctl",
        "kmod/drv/clinetctl.conf",
        "include/clinet.h",
        "include/clinetctl.h",
        "include/cl_inet.h",
        "build/clinetadm",
        "build/clinetd",
    ] {
        assert!(is_in(path), "{path}");
    }
}

/// The package of the programs: what is compiled elsewhere need not be here, all else
/// is, and no path is another package's file.
#[test]
fn the_programs_are_a_package_that_needs_the_module() {
    let actions = manifest_of("pkg/clinet-node.p5m");
    let of_kind = |kind: &'static str| actions.iter().filter(move |action| action.kind == kind);
    let module: Vec<Action> = manifest();
    for file in of_kind("file") {
        let payload = file.payload.as_ref().expect("a payload");
        assert!(
            payload.starts_with("build/") || root().join(payload).is_file(),
            "{payload}"
        );
        let path = file.attribute("path");
        let elsewhere = module.iter().filter(|action| action.kind == "file");
        let mut elsewhere = elsewhere.map(|action| action.attribute("path"));
        assert!(elsewhere.all(|other| other != path), "{path}");
    }
    let needed: Vec<&str> = of_kind("depend")
        .map(|depend| depend.attribute("fmri"))
        .collect();
    let module = format!("pkg:/driver/network/clinet@{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(needed, [module]);
    // What the service starts and the profile names is what is installed.
    let installed = |path: &str| {
        let path = path.trim_start_matches('/');
        of_kind("file").any(|file| file.attribute("path") == path)
    };
    for (text, marker) in [
        (read("pkg/smf/clinetd.xml"), "exec=\""),
        (read("pkg/rbac/exec_attr"), ":cmd:::"),
    ] {
        let mut commands = text.split(marker).skip(1);
        let command = commands.next().expect("a command");
        let end = command.find([' ', ':', '"']).expect("its end");
        assert!(installed(&command[..end]), "{}", &command[..end]);
    }
    // Where the service begins has to be there before.
    let service = read("pkg/smf/clinetd.xml");
    let (_, rest) = service.split_once("working_directory=\"/").expect("one");
    let folder = rest.split('"').next().expect("its end");
    assert!(
        of_kind("dir").any(|dir| dir.attribute("path") == folder),
        "{folder}"
    );
}

fn install(dest: &str) -> std::process::Output {
    let install = command("tools/install-files")
        .args(["pkg/clinet.p5m", dest])
        .output();
    install.expect("the script runs")
}

/// Files and folders below one, by path, with their modes.
fn tree(top: &Path, below: &str) -> BTreeMap<String, (bool, u32)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(top.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        let path = format!("{below}{}", name.to_str().expect("a plain name"));
        let about = entry.metadata().expect("it is there");
        let mode = about.permissions().mode() & 0o7777;
        found.insert(path.clone(), (about.is_file(), mode));
        if about.is_dir() {
            found.extend(tree(top, &format!("{path}/")));
        }
    }
    found
}

#[test]
fn install_does_what_the_manifest_says() {
    let dest = tempfile::tempdir().expect("a folder");
    let dest_name = dest.path().to_str().expect("a plain name");
    // A second time over the first, too.
    for _ in 0..2 {
        let output = install(dest_name);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
    let found = tree(dest.path(), "");
    let mode = |action: &Action| u32::from_str_radix(action.attribute("mode"), 8).expect("octal");
    let mut files = 0;
    for (path, (is_file, found_mode)) in &found {
        let kind = if *is_file { "file" } else { "dir" };
        let action = of_kind(kind)
            .into_iter()
            .find(|action| action.attribute("path") == path);
        match action {
            Some(action) => assert_eq!(*found_mode, mode(&action), "{path}"),
            // The folders of others.
            None => assert!(!is_file && *found_mode == 0o755, "{path}"),
        }
        files += usize::from(*is_file);
    }
    for action in of_kind("dir") {
        assert!(found.contains_key(action.attribute("path")));
    }
    assert_eq!(files, of_kind("file").len());
    for file in of_kind("file") {
        let payload = root().join(file.payload.as_ref().expect("a payload"));
        let installed = dest.path().join(file.attribute("path"));
        assert_eq!(
            std::fs::read(payload).expect("the payload"),
            std::fs::read(installed).expect("the file")
        );
    }
}

/// The numbers of a user and a group of this machine.
fn numbers(user: &str, group: &str) -> (u32, u32) {
    let number = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).expect("it can be read");
        let line = text
            .lines()
            .find(|line| line.split(':').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{file} has no {name}"));
        line.split(':')
            .nth(2)
            .expect("a number")
            .parse()
            .expect("a number")
    };
    (number("/etc/passwd", user), number("/etc/group", group))
}

/// Root gives the files away, anybody else keeps them.
#[test]
fn install_sets_owners_if_it_may() {
    let dest = tempfile::tempdir().expect("a folder");
    let about = dest.path().metadata().expect("it is there");
    let own = (about.uid(), about.gid());
    assert!(
        install(dest.path().to_str().expect("a plain name"))
            .status
            .success()
    );
    for action in [of_kind("file"), of_kind("dir")].concat() {
        let path = action.attribute("path");
        let about = dest.path().join(path).metadata().expect("it is there");
        let expected = match own.0 {
            0 => numbers(action.attribute("owner"), action.attribute("group")),
            _ => own,
        };
        assert_eq!((about.uid(), about.gid()), expected, "{path}");
    }
}

/// A folder of the system that is there keeps its mode.
#[test]
fn install_leaves_the_folders_of_others_alone() {
    let dest = tempfile::tempdir().expect("a folder");
    let share = dest.path().join("usr/share");
    std::fs::create_dir_all(&share).expect("a folder");
    std::fs::set_permissions(&share, PermissionsExt::from_mode(0o711)).expect("its mode");
    assert!(
        install(dest.path().to_str().expect("a plain name"))
            .status
            .success()
    );
    assert_eq!(tree(dest.path(), "")["usr/share"], (false, 0o711));
}

#[test]
fn install_refuses_a_linux() {
    let output = install("");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("DESTDIR"), "{said}");
}

#[test]
fn install_names_an_action_that_lacks_something() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("x.p5m");
    let dest = folder.path().join("dest");
    for (line, status) in [
        ("file LICENSE path=a owner=root group=bin", 2),
        ("file LICENSE mode=0644 owner=root group=bin", 2),
        ("file NOTHING path=a mode=0644 owner=root group=bin", 1),
    ] {
        std::fs::write(&manifest, format!("{line}\n")).expect("a manifest");
        let install = command("tools/install-files")
            .args([&manifest, &dest])
            .output();
        let output = install.expect("the script runs");
        assert_eq!(output.status.code(), Some(status), "{line}: {output:?}");
        assert!(!output.stderr.is_empty());
        assert!(!dest.join("a").exists());
    }
}
