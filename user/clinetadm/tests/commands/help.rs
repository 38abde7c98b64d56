// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Help texts and completions.

use clinet_control::{EventType, Property, Reason};

use crate::{Said, program};

fn help(words: &[&str]) -> String {
    let output = program()
        .args(words)
        .arg("--help")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The words in the first column under `Commands:`.
fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let words = lines.filter_map(|line| line.split_whitespace().next());
    words.filter(|word| *word != "help").collect()
}

#[test]
fn every_command_has_an_example() {
    let all = help(&[]);
    let names = commands(&all);
    assert!(
        names.contains(&"list") && names.contains(&"unfence"),
        "{names:?}"
    );
    for name in names {
        let text = help(&[name]);
        let below = commands(&text);
        for sub in &below {
            assert!(help(&[name, sub]).contains("Example"), "{name} {sub}");
        }
        assert!(!below.is_empty() || text.contains("Example"), "{name}");
    }
}

/// The commands of this program in a line of an example.
fn commands_in(line: &str) -> Vec<Vec<String>> {
    let mut parts = vec![line];
    for operator in [" | ", "; ", " > ", " && "] {
        parts = parts.iter().flat_map(|part| part.split(operator)).collect();
    }
    let parts = parts.into_iter().map(|part| {
        // After two blanks something is said of it.
        let part = part.trim_start_matches(['#', '$', ' ']);
        let part = part.trim_end_matches([' ', '|']);
        let part = part.split("  ").next().unwrap_or_default();
        part.split_whitespace()
            .map(|word| word.trim_matches('\'').to_owned())
            .collect::<Vec<_>>()
    });
    let ours = parts.filter_map(|mut words| {
        let is_ours = words.first().is_some_and(|word| word == "clinetadm");
        is_ours.then(|| words.split_off(1))
    });
    ours.collect()
}

/// The example is understood: what fails is only what it is about.
fn is_understood(words: &[String]) {
    let mut command = program();
    command
        .args(words)
        .env("CLINET_DEVICE", "/nowhere")
        .env("CLINETD_CONFIG", "/nowhere");
    let said: Said = command.output().expect("it runs").into();
    let is_about = [
        "/nowhere",
        "cannot read",
        "needs a terminal",
        "No such file",
    ];
    assert!(
        said.code == Some(0) || is_about.iter().any(|part| said.err.contains(part)),
        "{words:?}: {}",
        said.err
    );
}

#[test]
fn examples_are_understood() {
    let mut count = 0;
    let mut look = |line: &str| {
        for words in commands_in(line) {
            is_understood(&words);
            count += 1;
        }
    };
    for name in commands(&help(&[])) {
        let text = help(&[name]);
        let below = commands(&text);
        let texts = below.iter().map(|sub| help(&[name, sub]));
        for text in texts.chain([text.clone()]) {
            let examples = text.split("Example").skip(1);
            examples.flat_map(str::lines).for_each(&mut look);
        }
    }
    for page in [
        include_str!("../../../../pkg/man/clinetadm.8"),
        include_str!("../../../../pkg/man/clinet-cluster.7"),
        include_str!("../../../../pkg/man/clinetd.8"),
    ] {
        let lines = page.lines().map(|line| line.trim_start_matches(".Dl "));
        lines
            .filter(|line| line.starts_with(['#', '$']))
            .for_each(&mut look);
    }
    assert!(count > 60, "{count}");
}

#[test]
fn no_line_of_an_example_is_too_long_for_a_terminal() {
    for name in commands(&help(&[])) {
        let text = help(&[name]);
        let after = text.find("-h, --help").expect("it has that option");
        for line in text[after..].lines() {
            assert!(line.chars().count() <= 90, "{name}: {line}");
        }
    }
}

#[test]
fn shells_can_complete_its_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = program()
            .args(["completions", shell])
            .output()
            .expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(
            output.status.success() && text.contains("show-grants"),
            "{shell}"
        );
    }
}

#[test]
fn the_manual_has_every_command_and_every_word() {
    let manual = include_str!("../../../../pkg/man/clinetadm.8");
    let has = |macros: &str, word: &str| {
        let start = format!(".It {macros} {word}");
        let mut lines = manual.lines();
        let found = lines.any(|line| match line.strip_prefix(&start) {
            Some(rest) => rest.is_empty() || rest.starts_with(' '),
            None => false,
        });
        assert!(found, "{start}");
    };
    for name in commands(&help(&[])) {
        match commands(&help(&[name]))[..] {
            [] => has("Ic", name),
            ref below => below
                .iter()
                .for_each(|sub| has("Ic", &format!("{name} {sub}"))),
        }
    }
    Reason::WORDS.iter().for_each(|word| has("Sy", word));
    EventType::WORDS.iter().for_each(|word| has("Sy", word));
    Property::WORDS.iter().for_each(|word| has("Cm", word));
}
