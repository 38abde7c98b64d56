// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Random calls of the driver.

use std::time::Instant;

use clinet_driver_tests::fuzz::{Source, run};

/// What a fuzzer found, and what it began with.
#[test]
fn the_corpus_is_harmless() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut calls = 0;
    for file in std::fs::read_dir(corpus).expect("the corpus") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("its bytes");
        calls += run(&mut Source::Bytes(&bytes), u64::MAX).calls;
    }
    assert!(calls > 100, "{calls}");
}

#[test]
fn random_calls_are_harmless() {
    for seed in 0..2 {
        println!("seed {seed}");
        let mut source = Source::Random(fastrand::Rng::with_seed(seed));
        let report = run(&mut source, 5000);
        // Some of them did something, others were refused for each reason.
        assert!(report.ends[&0] > 500, "{report:?}");
        for errno in [1, 13, 14, 22, 25] {
            assert!(report.ends.contains_key(&errno), "{errno}: {report:?}");
        }
    }
}

/// `CLINET_FUZZ_CALLS` of them, ten million if it is not set.
#[test]
#[ignore = "it takes long"]
fn ten_million_random_calls_are_harmless() {
    let wanted = std::env::var("CLINET_FUZZ_CALLS");
    let wanted = wanted.map_or(10_000_000, |calls| calls.parse().expect("a number"));
    let start = Instant::now();
    let (mut calls, mut seed) = (0, 1000);
    while calls < wanted {
        let mut source = Source::Random(fastrand::Rng::with_seed(seed));
        let report = run(&mut source, 250_000.min(wanted - calls));
        calls += report.calls;
        println!(
            "seed {seed}: {calls} calls in {:?}: {:?}",
            start.elapsed(),
            report.ends
        );
        seed += 1;
    }
}
