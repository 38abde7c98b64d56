// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a machine knows of drivers: their numbers and operations, their
//! instances with the minor nodes of these, what is open, and who opened it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::leak::Leaks;
use crate::locks::lock;
use crate::user::Cred;

/// A minor node that a driver made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinorNode {
    /// Its name; `/devices` and devlink know it by this.
    pub name: String,
    /// Its minor number.
    pub minor: u32,
    /// Such as `ddi_pseudo`.
    pub node_type: String,
}

/// What is between attach and detach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Attaching,
    Attached,
    Detaching,
}

struct Instance {
    major: u32,
    stage: Stage,
    nodes: Vec<MinorNode>,
}

#[derive(Default)]
struct State {
    /// By base name, as in `/etc/name_to_major`.
    majors: BTreeMap<String, u32>,
    /// The `struct dev_ops` of the drivers that are installed.
    operations: BTreeMap<u32, u64>,
    /// By the address of the `dev_info_t`.
    instances: BTreeMap<u64, Instance>,
    /// What the first attach of a driver came to, once whoever came first has
    /// gone again.
    first: BTreeMap<u32, Result<(), Leaks>>,
    /// How often each device is open.
    open: BTreeMap<u64, usize>,
    /// By the address of the `cred_t`.
    creds: BTreeMap<u64, Cred>,
    last: u64,
}

impl State {
    /// An address that nothing is at: who follows it traps.
    fn new_address(&mut self) -> u64 {
        self.last += 1;
        0xffff_ff04_0000_0000 + self.last * 64
    }
}

/// The first major number that is given away.
const FIRST_MAJOR: u32 = 300;

/// A `dev_t`.
pub(crate) fn make_device(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

/// The major number of a `dev_t`.
pub(crate) fn major_of(device: u64) -> u32 {
    (device >> 32) as u32
}

/// The drivers and devices of one machine.
#[derive(Default)]
pub(crate) struct Devices(Mutex<State>);

impl Devices {
    /// Gives a driver a major number, as `add_drv` does; the same every time.
    pub fn add_driver(&self, name: &str) -> u32 {
        let mut state = lock(&self.0);
        let next = FIRST_MAJOR + state.majors.len() as u32;
        *state.majors.entry(name.to_owned()).or_insert(next)
    }

    pub fn major(&self, name: &str) -> Option<u32> {
        lock(&self.0).majors.get(name).copied()
    }

    /// Installs the operations of a driver, unless some are.
    pub fn install(&self, major: u32, operations: u64) -> bool {
        let mut state = lock(&self.0);
        let is_first = !state.operations.contains_key(&major);
        if is_first {
            state.operations.insert(major, operations);
        }
        is_first
    }

    pub fn operations(&self, major: u32) -> Option<u64> {
        lock(&self.0).operations.get(&major).copied()
    }

    /// Takes them away again, unless an instance needs them.
    pub fn uninstall(&self, major: u32) -> bool {
        let mut state = lock(&self.0);
        let is_free = !state
            .instances
            .values()
            .any(|instance| instance.major == major);
        is_free && state.operations.remove(&major).is_some()
    }

    /// Takes away what a module left installed when it went: its operations, and the
    /// minor nodes of its instance. `None`: it left no operations.
    pub fn forget_operations(&self, name: &str) -> Option<Vec<MinorNode>> {
        let mut state = lock(&self.0);
        let major = state.majors.get(name).copied()?;
        state.operations.remove(&major)?;
        let instances = state
            .instances
            .extract_if(.., |_, instance| instance.major == major);
        Some(instances.flat_map(|(_, instance)| instance.nodes).collect())
    }

    /// Notes what the first attach of a driver came to.
    pub fn set_first(&self, major: u32, result: Result<(), Leaks>) {
        lock(&self.0).first.insert(major, result);
    }

    pub fn has_first(&self, major: u32) -> bool {
        lock(&self.0).first.contains_key(&major)
    }

    /// What was noted, once.
    pub fn take_first(&self, major: u32) -> Option<Result<(), Leaks>> {
        lock(&self.0).first.remove(&major)
    }

    /// The `dev_info_t` of the instance of a driver while it is attached.
    pub fn attached(&self, major: u32) -> Option<u64> {
        let state = lock(&self.0);
        let mut instances = state.instances.iter();
        let found = instances
            .find(|(_, instance)| instance.major == major && instance.stage != Stage::Attaching);
        found.map(|(dev_info, _)| *dev_info)
    }

    /// A new instance that is attaching; returns its `dev_info_t`.
    pub fn begin_attach(&self, major: u32) -> u64 {
        let mut state = lock(&self.0);
        let dev_info = state.new_address();
        state.instances.insert(
            dev_info,
            Instance {
                major,
                stage: Stage::Attaching,
                nodes: Vec::new(),
            },
        );
        dev_info
    }

    /// Notes where the instance is now.
    pub fn set_stage(&self, dev_info: u64, stage: Stage) {
        if let Some(instance) = lock(&self.0).instances.get_mut(&dev_info) {
            instance.stage = stage;
        }
    }

    /// Takes an instance away; returns the minor nodes that it left.
    pub fn remove(&self, dev_info: u64) -> Vec<MinorNode> {
        let instance = lock(&self.0).instances.remove(&dev_info);
        instance.map_or_else(Vec::new, |instance| instance.nodes)
    }

    /// The major number of an instance and where it is.
    pub fn instance(&self, dev_info: u64) -> Option<(u32, Stage)> {
        let state = lock(&self.0);
        let instance = state.instances.get(&dev_info)?;
        Some((instance.major, instance.stage))
    }

    /// Makes a minor node, unless there is one of that name.
    pub fn add_node(&self, dev_info: u64, node: MinorNode) -> bool {
        let mut state = lock(&self.0);
        let Some(instance) = state.instances.get_mut(&dev_info) else {
            return false;
        };
        let is_new = instance.nodes.iter().all(|other| other.name != node.name);
        if is_new {
            instance.nodes.push(node);
        }
        is_new
    }

    /// Removes a minor node, or all if there is no name.
    pub fn remove_nodes(&self, dev_info: u64, name: Option<&str>) {
        if let Some(instance) = lock(&self.0).instances.get_mut(&dev_info) {
            let goes = |node: &MinorNode| name.is_none_or(|name| node.name == name);
            instance.nodes.retain(|node| !goes(node));
        }
    }

    pub fn nodes(&self, dev_info: u64) -> Vec<MinorNode> {
        let state = lock(&self.0);
        let instance = state.instances.get(&dev_info);
        instance.map_or_else(Vec::new, |instance| instance.nodes.clone())
    }

    /// Counts an open of a device; returns how many there were.
    pub fn opened(&self, device: u64) -> usize {
        let mut state = lock(&self.0);
        let count = state.open.entry(device).or_default();
        *count += 1;
        *count - 1
    }

    /// Counts a close; returns whether it was the last one.
    pub fn closed(&self, device: u64) -> bool {
        let mut state = lock(&self.0);
        let Some(count) = state.open.get_mut(&device) else {
            return false;
        };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            state.open.remove(&device);
        }
        is_last
    }

    /// Is some device of the driver open?
    pub fn is_open(&self, major: u32) -> bool {
        let state = lock(&self.0);
        state.open.keys().any(|&device| major_of(device) == major)
    }

    /// Keeps a cred; returns the address of the `cred_t`.
    pub fn add_cred(&self, cred: Cred) -> u64 {
        let mut state = lock(&self.0);
        let address = state.new_address();
        state.creds.insert(address, cred);
        address
    }

    pub fn cred(&self, address: u64) -> Option<Cred> {
        lock(&self.0).creds.get(&address).copied()
    }

    pub fn remove_cred(&self, address: u64) {
        lock(&self.0).creds.remove(&address);
    }
}
