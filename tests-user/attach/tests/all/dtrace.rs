// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The D scripts against the released module: there is no dtrace here, but
//! every probe they name must be one, no argument may be one that the probe
//! lacks, and what is opened must be closed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clinet_attach_tests::Machine;
use clinet_module_tests::root;

/// The scripts with their comments taken out.
fn scripts() -> Vec<(PathBuf, String)> {
    let folder = root().join("pkg/dtrace");
    let files = std::fs::read_dir(folder).expect("the folder of the scripts");
    let scripts: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|end| end == "d"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a script");
            (path, without_comments(&text))
        })
        .collect();
    assert!(scripts.len() >= 3);
    scripts
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut code = String::new();
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").expect("a comment that ends").1;
    }
    code + rest
}

/// How many arguments each probe has, as the table in clinet.h says.
fn arguments() -> BTreeMap<String, usize> {
    let header = root().join("include/clinet.h");
    let header = std::fs::read_to_string(header).expect("the header");
    let table = header
        .split_once("Arguments of each probe:")
        .expect("the table")
        .1;
    let lines = table
        .lines()
        .map(|line| line.trim_start_matches([' ', '*', '\t']));
    lines
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, arguments) = line.split_once([' ', '\t']).expect("a name and arguments");
            (name.to_owned(), arguments.split(',').count())
        })
        .collect()
}

#[test]
fn scripts_name_probes_and_arguments_that_are_there() {
    let machine = Machine::attached(&[("clinet_attach", 0)]);
    let image = machine.module().image().expect("it is a file");
    let arguments = arguments();
    for name in arguments.keys() {
        assert!(
            image.probes().iter().any(|probe| probe.name == *name),
            "{name}"
        );
    }
    for (path, code) in scripts() {
        let path = path.display();
        for clause in code.split("sdt:clinet::").skip(1) {
            let name: String = clause
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            let count = arguments.get(&name);
            let count = *count.unwrap_or_else(|| panic!("{path}: no probe {name}"));
            let end = clause.find("\n}").expect("a clause that ends");
            for argument in clause[..end].split("arg").skip(1) {
                let digits: String = argument.chars().take_while(char::is_ascii_digit).collect();
                if let Ok(number) = digits.parse::<usize>() {
                    assert!(number < count, "{path}: arg{number} of {name}");
                }
            }
        }
    }
}

#[test]
fn scripts_close_what_they_open() {
    for (path, code) in scripts() {
        let path = path.display();
        let mut open = Vec::new();
        let mut quoted = false;
        let mut escaped = false;
        for c in code.chars() {
            if escaped {
                escaped = false;
                continue;
            }
            match c {
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '\n' => assert!(!quoted, "{path}: a string over two lines"),
                _ if quoted => {}
                '(' | '[' | '{' => open.push(c),
                ')' => assert_eq!(open.pop(), Some('('), "{path}"),
                ']' => assert_eq!(open.pop(), Some('['), "{path}"),
                '}' => assert_eq!(open.pop(), Some('{'), "{path}"),
                _ => {}
            }
        }
        assert!(open.is_empty() && !quoted, "{path}: {open:?}");
        assert!(code.starts_with("#!/usr/sbin/dtrace -s\n"), "{path}");
    }
}

/// The structures of the scripts are those of clinet.h: same members in the
/// same order.
#[test]
fn scripts_know_the_structures() {
    let header = root().join("include/clinet.h");
    let header = std::fs::read_to_string(header).expect("the header");
    let header = without_comments(&header);
    let members = |text: &str, name: &str| -> Vec<String> {
        let start = text
            .find(&format!("struct {name} {{"))
            .expect("a structure");
        let body = text[start..].split_once('{').expect("its members").1;
        let body = body.split_once('}').expect("its end").0;
        body.split(';')
            .filter_map(|member| member.split_whitespace().last().map(str::to_owned))
            .collect()
    };
    let mut compared = 0;
    for (path, code) in scripts() {
        for name in [
            "clinet_probe_addr",
            "clinet_probe_end",
            "clinet_probe_tuple",
        ] {
            if code.contains(&format!("struct {name} {{")) {
                assert_eq!(
                    members(&code, name),
                    members(&header, name),
                    "{}",
                    path.display()
                );
                compared += 1;
            }
        }
    }
    assert_ne!(compared, 0, "no script knows any");
}
