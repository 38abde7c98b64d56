// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `top`, in a pseudo-terminal.

use crate::terminal::Terminal;
use crate::{Setup, tuple};

#[test]
fn it_shows_rates_addresses_grants_and_the_deadline() {
    let setup = Setup::new();
    setup.three_entries();
    setup.node.module(|module| {
        module.state.cst_first = [32768, 0];
        module.state.cst_last = [65535, 0];
        module.granted[0].extend([32768..=36863]);
        module.state.cst_deadline = module.state.cst_now + 1_000_000_000_000;
        for port in 34816..34816 + 1900 {
            module.add(1, tuple(&format!("tcp 192.0.2.10:{port} 198.51.100.7:443")));
        }
        module.stats.insert("tcp_out_owned".into(), 100);
    });
    let mut terminal = Terminal::start(&setup, "top");
    let screen = terminal.until(
        &["deadline in 16m 40s", "34816-36863  92%", "questions"],
        || (),
    );
    for part in [
        "attached, enforce",
        "1903 of 1048576 tuples",
        "1902 192.0.2.10",
        "1 2001:db8::10",
        "tcp 32768-34815   0% ░░░░",
        "92% ████",
        "owned",
        "4096 ports granted",
    ] {
        assert!(screen.contains(part), "{part:?} is missing:\n{screen}");
    }
    // 25 a second, as long as somebody looks.
    let goes_on = || {
        setup.node.module(|module| {
            *module.stats.entry("tcp_out_owned".into()).or_default() += 250;
            module.state.cst_now += 10_000_000_000;
        });
    };
    terminal.until(&["owned               25"], goes_on);
    setup.node.module(|module| module.state.cst_deadline = 1);
    terminal.until(&["deadline passed"], || ());
    terminal.key("p");
    terminal.until(&["paused"], || ());
    terminal.key("q");
    assert!(terminal.ends_well());
}

#[test]
fn without_a_terminal_it_says_what_is_for_scripts() {
    let setup = Setup::new();
    let error = setup.err("top", 2);
    assert!(error.contains("clinetadm show-stats"), "{error}");
}
