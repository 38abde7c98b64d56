// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Loading, attaching, opening, and going again.

use clinet_control::abi::{self, command};
use clinet_driver_tests::errno::{EAGAIN, EINVAL, ENXIO};
use clinet_driver_tests::{Machine, driver_file, load_driver, new};
use clinet_kernel::{
    Cred, Info, Kernel, Level, ModloadError, ModunloadError, OpenFlags, kernel_function,
};
use clinet_module_tests::module_file;
use object::{Object, ObjectSection, ObjectSymbol};

/// As a driver.conf and add_drv have it attached; so devlink finds it.
#[test]
fn it_attaches_and_makes_one_node() {
    let machine = Machine::new(&[]);
    let nodes = machine.driver.minor_nodes();
    assert_eq!(nodes.len(), 1);
    assert_eq!((nodes[0].name.as_str(), nodes[0].minor), ("clinet", 0));
    assert_eq!(nodes[0].node_type, "ddi_pseudo");
    let info = machine.driver.module().info();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(info.linkinfo, format!("clinet control device {version}"));
    assert_eq!(machine.driver.info(Info::Instance, 7), Some(0));
    assert_eq!(
        machine.driver.info(Info::DevInfo, 7),
        machine.driver.dev_info()
    );
}

/// What it does not have refuses, and what every driver has is there.
#[test]
fn each_entry_point_is_a_function() {
    let machine = Machine::new(&[]);
    let module = machine.driver.module();
    let entries = |table: &str, offsets: &[u64]| -> Vec<Option<&str>> {
        let entries = offsets.iter().map(|offset| {
            let entry = (module.address(table) + offset) as usize;
            // SAFETY: a member of a table of functions, in the driver's data.
            let function = unsafe { *std::ptr::with_exposed_provenance::<u64>(entry) };
            kernel_function(function)
        });
        entries.collect()
    };
    // strategy, print, dump; write; devmap, mmap, segmap; aread, awrite
    let refusing = [16, 24, 32, 48, 64, 72, 80, 120, 128];
    assert_eq!(entries("clinetctl_cb_ops", &refusing), [Some("nodev"); 9]);
    // prop_op
    assert_eq!(entries("clinetctl_cb_ops", &[96]), [Some("ddi_prop_op")]);
    // identify, probe, reset; quiesce
    assert_eq!(
        entries("clinetctl_dev_ops", &[16, 24, 48, 80]),
        ["nulldev", "nulldev", "nodev", "ddi_quiesce_not_needed"].map(Some)
    );
    let references = (module.address("clinetctl_dev_ops") + 4) as usize;
    // SAFETY: devo_refcnt.
    let references = unsafe { *std::ptr::with_exposed_provenance::<u32>(references) };
    assert_eq!(references, 0);
}

#[test]
fn versions_are_told_to_anybody() {
    let machine = Machine::new(&[]);
    let nobody = machine.open_as(Cred {
        zone: 5,
        ..Cred::user(7)
    });
    let mut version: abi::clinetctl_version_t = new();
    // Of whatever version the program is.
    version.cv_head.ch_version = 77;
    assert_eq!(nobody.ask(command::GET_VERSION, &mut version), Ok(()));
    assert_eq!(version.cv_head.ch_version, 77);
    assert_eq!(version.cv_current, abi::CLINETCTL_VERSION);
    assert_eq!(version.cv_previous, abi::CLINETCTL_VERSION_PREVIOUS);
    let text = |member: &[i8]| {
        let bytes = member.iter().take_while(|byte| **byte != 0);
        let bytes = bytes.map(|byte| *byte as u8).collect();
        String::from_utf8(bytes).expect("text")
    };
    assert_eq!(text(&version.cv_module), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&version.cv_contract), "1.1");
    version.cv_head.ch_size -= 8;
    assert_eq!(nobody.ask(command::GET_VERSION, &mut version), Err(EINVAL));
}

#[test]
fn it_does_not_detach_while_it_is_open() {
    let machine = Machine::new(&[]);
    let device = machine.open();
    assert!(matches!(
        machine.driver.unload(),
        Err(ModunloadError::Detach(_))
    ));
    let result = machine.kernel.unload(machine.driver.module());
    assert!(matches!(
        result,
        Err(ModunloadError::Refused { errno: 16, .. })
    ));
    assert_eq!(device.choose(1), Ok(()));
    drop(device);
    machine.driver.unload().expect("it unloads");
}

/// It comes back between the detach and the end of `_fini`, and stays.
#[test]
fn it_goes_on_if_somebody_attaches_it_while_it_unloads() {
    let machine = Machine::new(&[]);
    machine.kernel.fail_next("mod_remove");
    assert!(matches!(
        machine.driver.unload(),
        Err(ModunloadError::Refused { errno: 16, .. })
    ));
    let device = machine.open();
    assert_eq!(device.choose(1), Ok(()));
    drop(device);
    machine.driver.unload().expect("it unloads");
}

/// A program closes the device and keeps the set of /dev/poll that it was in.
#[test]
fn a_poll_set_that_outlives_its_file_keeps_nothing_of_the_driver() {
    const POLLIN: i16 = 1;
    let machine = Machine::new(&[]);
    let (device, other) = (machine.open(), machine.open());
    let set = device
        .file
        .add_to_poll_set(POLLIN)
        .expect("it is polled")
        .expect("no event");
    let others = other
        .file
        .add_to_poll_set(POLLIN)
        .expect("it is polled")
        .expect("no event");
    drop(device);
    assert_eq!(other.choose(1 << abi::CLINETCTL_EVENT_MODE), Ok(()));
    assert!(
        others.was_woken(),
        "another file's close is none of its own"
    );
    assert!(!set.was_woken());
    drop(other);
    machine
        .driver
        .unload()
        .expect("it unloads, and leaves nothing");
    drop((set, others));
}

#[test]
fn it_comes_and_goes_while_clinet_stays() {
    let machine = Machine::new(&[]);
    let file = driver_file();
    machine.driver.unload().expect("it unloads");
    machine.kernel.settle();
    let before = machine.kernel.kmem_in_use();
    for _ in 0..300 {
        let driver = load_driver(&machine.kernel, &file).expect("it loads");
        let open = driver
            .open(Cred::root(), OpenFlags::READ)
            .expect("it opens");
        drop(open);
        driver.unload().expect("it unloads, and leaves nothing");
    }
    machine.kernel.settle();
    assert_eq!(machine.kernel.kmem_in_use(), before);
}

/// A copy of the module whose interface has another version.
fn another_version(number: u32) -> Vec<u8> {
    let mut file = module_file();
    let object = object::File::parse(&*file).expect("an ELF file");
    let symbol = object
        .symbols()
        .find(|symbol| symbol.name() == Ok("clinet_control_version"))
        .expect("the version");
    let section = symbol.section_index().expect("in a section");
    let section = object.section_by_index(section).expect("the section");
    let (start, _) = section.file_range().expect("it has bytes");
    let at = (start + symbol.address() - section.address()) as usize;
    file[at..at + 4].copy_from_slice(&number.to_le_bytes());
    file
}

#[test]
fn another_version_of_clinet_is_refused_with_both_numbers() {
    let kernel = Kernel::new();
    let tunables = [("clinet_attach", 0)];
    let clinet = kernel.load("misc/clinet", &another_version(42), &tunables);
    let _clinet = clinet.expect("the module itself does not care");
    let error = load_driver(&kernel, &driver_file()).expect_err("it is refused");
    match error {
        ModloadError::Attach { leaks, .. } => assert!(leaks.0.is_empty()),
        other => panic!("{other}"),
    }
    let log = kernel.log();
    let message = log.last().expect("a message");
    assert_eq!(message.level, Level::Warning);
    let said = &message.text;
    let expected = "clinetctl: not attached: it wants version 2 of misc/clinet's interface, \
                    which has version 42";
    assert_eq!(said, expected);
}

#[test]
fn it_needs_clinet() {
    let error = load_driver(&Kernel::new(), &driver_file()).expect_err("it is not there");
    assert!(matches!(error, ModloadError::MissingDependency { .. }));
}

#[test]
fn what_fails_while_it_loads_leaves_nothing() {
    let kernel = Kernel::new();
    let clinet = kernel.load("misc/clinet", &module_file(), &[("clinet_attach", 0)]);
    let _clinet = clinet.expect("it loads");
    kernel.fail_next("mod_install");
    let error = load_driver(&kernel, &driver_file()).expect_err("no mod_install");
    match error {
        ModloadError::Init { leaks, .. } => assert!(leaks.0.is_empty(), "{leaks}"),
        other => panic!("{other}"),
    }
    let said = || {
        let message = kernel.log().pop().expect("a message");
        assert_eq!(message.level, Level::Warning);
        message.text
    };
    assert_eq!(said(), "clinetctl: not loaded: mod_install() failed");
    kernel.fail_next("ddi_create_minor_node");
    let error = load_driver(&kernel, &driver_file()).expect_err("no node");
    assert!(matches!(error, ModloadError::Attach { .. }), "{error}");
    let expected = "clinetctl: not attached: its node below /devices cannot be made";
    assert_eq!(said(), expected);
    let driver = load_driver(&kernel, &driver_file()).expect("nothing is in the way");
    driver.unload().expect("it unloads");
}

#[test]
fn so_many_are_open_at_once_and_no_more() {
    let machine = Machine::new(&[]);
    let mut open: Vec<_> = (0..256).map(|_| machine.open()).collect();
    let flags = OpenFlags::READ;
    let one_more = machine.driver.open(Cred::root(), flags);
    assert_eq!(one_more.err(), Some(EAGAIN));
    let gone = open.swap_remove(100).file.minor();
    let again = machine.driver.open(Cred::root(), flags).expect("room");
    assert_eq!(again.minor(), gone);
}

#[test]
fn only_the_node_is_opened() {
    let machine = Machine::new(&[]);
    let _open = machine.open();
    for minor in [1, 2, 256, 257, 0x3_ffff] {
        let file = machine
            .driver
            .open_minor(minor, Cred::root(), OpenFlags::READ);
        assert_eq!(file.err(), Some(ENXIO), "{minor}");
    }
}
