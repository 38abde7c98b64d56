// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a driver asks the kernel about itself and its devices.

use super::imports;
use crate::context::{here, must_be_able_to_sleep};
use crate::devices::{MinorNode, Stage, major_of, make_device};
use crate::fault::fault;
use crate::memory;

const DDI_SUCCESS: i32 = 0;
const DDI_FAILURE: i32 = -1;
const DDI_PROP_NOT_FOUND: i32 = 1;
const ENXIO: i32 = 6;
const S_IFCHR: i32 = 0x2000;
/// The largest minor number that a file system can hold.
const L_MAXMIN32: u32 = 0x3_ffff;
const MAX_NAME: usize = 256;

/// The major number of an instance and where it is between attach and detach.
fn instance(what: &str, dev_info: u64) -> (u32, Stage) {
    match here().machine.devices.instance(dev_info) {
        Some(instance) => instance,
        None => fault!("{what}: {dev_info:#x} is no dev_info_t"),
    }
}

imports! {
    fn ddi_get_instance(dev_info: u64) -> i32 {
        instance("ddi_get_instance", dev_info);
        0
    }

    fn ddi_create_minor_node(
        dev_info: u64, name: u64, spec_type: i32, minor: u32, node_type: u64, flag: i32,
    ) -> i32 {
        must_be_able_to_sleep("ddi_create_minor_node");
        let machine = here().machine;
        if instance("ddi_create_minor_node", dev_info).1 == Stage::Detaching {
            fault!("ddi_create_minor_node: {dev_info:#x} is detaching");
        }
        if machine.fails("ddi_create_minor_node") {
            return DDI_FAILURE;
        }
        let name = memory::name(name, MAX_NAME, "the name of a minor node");
        let node_type = memory::name(node_type, MAX_NAME, "the type of a minor node");
        if spec_type != S_IFCHR || minor > L_MAXMIN32 || flag != 0 {
            fault!("ddi_create_minor_node: {name}: type {spec_type:#x}, minor {minor}, flag {flag}");
        }
        if name.is_empty() || name.contains([':', '/', '@']) {
            fault!("ddi_create_minor_node: {name:?} is no name in /devices");
        }
        let node = MinorNode { name, minor, node_type };
        if machine.devices.add_node(dev_info, node) { DDI_SUCCESS } else { DDI_FAILURE }
    }

    fn ddi_remove_minor_node(dev_info: u64, name: u64) {
        must_be_able_to_sleep("ddi_remove_minor_node");
        instance("ddi_remove_minor_node", dev_info);
        let name = (name != 0).then(|| memory::name(name, MAX_NAME, "the name of a minor node"));
        here().machine.devices.remove_nodes(dev_info, name.as_deref());
    }

    fn ddi_prop_op(
        _device: u64, _dev_info: u64, _how: i32, _flags: i32, _name: u64, _value: u64, _length: u64,
    ) -> i32 {
        DDI_PROP_NOT_FOUND
    }

    fn ddi_quiesce_not_needed(_dev_info: u64) -> i32 {
        DDI_SUCCESS
    }

    fn nodev() -> i32 {
        ENXIO
    }

    fn nulldev() -> i32 {
        0
    }

    fn getmajor(device: u64) -> u32 {
        major_of(device)
    }

    fn getminor(device: u64) -> u32 {
        device as u32
    }

    fn makedevice(major: u32, minor: u32) -> u64 {
        make_device(major, minor)
    }
}
