// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `make captures` does not replace a capture by a worse one.

use std::fs;

use clinet_module_tests::root;
use clinet_pkg_tests::command;

#[test]
fn a_capture_that_is_worse_is_left_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    let capture = |name| fs::read(root().join("tests-user/captures").join(name)).expect("a file");
    let [good, other] = ["udp.pcap", "tcp-in.pcap"].map(capture);
    // A later byte of a time stamp: the same packets, at another time.
    let mut later = good.clone();
    later[24] ^= 1;
    let cut = good[..good.len() / 2].to_vec();
    for (bytes, is_taken) in [
        (later, true),
        (cut, false),
        (other, false),
        (b"no capture".to_vec(), false),
        (Vec::new(), false),
    ] {
        fs::write(&old, &good).expect("a file");
        fs::write(&new, &bytes).expect("a file");
        let replace = command("tests-user/captures/replace-capture")
            .args([&new, &old])
            .output()
            .expect("the script runs");
        assert_eq!(replace.status.success(), is_taken, "{replace:?}");
        assert_eq!(new.exists(), !is_taken);
        let expected = if is_taken { bytes } else { good.clone() };
        assert!(fs::read(&old).expect("a file") == expected);
        let files = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(files, if is_taken { 1 } else { 2 });
        let _gone = fs::remove_file(&new);
    }
}

#[test]
fn a_capture_that_was_not_there_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    fs::write(&new, "anything").expect("a file");
    let replace = command("tests-user/captures/replace-capture")
        .args([&new, &old])
        .status();
    assert!(replace.expect("the script runs").success());
    assert!(old.exists() && !new.exists());
}
