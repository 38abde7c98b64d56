// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the device in memory has, as the driver's structures.

use std::collections::BTreeMap;

use zerocopy::FromZeros;

use clinet_control::abi::{
    self, clinet_entry_t, clinetctl_event_t, clinetctl_query_t, clinetctl_state_t,
    clinetctl_tuple_t,
};
use clinet_control::machine::{MachineReply, MachineRequest};
use clinet_control::{Errno, EventType, PortSet, Tuple};

/// A machine's TCP/IP, as tests arrange it.
pub type MachineAnswers = Box<dyn FnMut(MachineRequest) -> Result<MachineReply, Errno> + Send>;

/// The module as tests arrange it. Members are the driver's own structures.
pub struct Module {
    /// What is answered to the state, grants included.
    pub state: clinetctl_state_t,
    /// The versions of the interface, newest and oldest.
    pub versions: [u32; 2],
    /// Counters by name.
    pub stats: BTreeMap<String, u64>,
    /// The registry.
    pub entries: Vec<clinet_entry_t>,
    /// The shared addresses as text.
    pub addresses: String,
    /// The ports of TCP and UDP that are granted.
    pub granted: [PortSet; 2],
    /// All events so far.
    pub events: Vec<clinetctl_event_t>,
    /// A file that is open wants events.
    pub watched: bool,
    /// Commands that are refused, whatever they ask for.
    pub refused: BTreeMap<u32, Errno>,
    /// What the machine answers to programs; at first that it cannot.
    pub machine: MachineAnswers,
    /// The owner that is being resynchronised.
    pub resync: Option<u32>,
    /// The open file that has the control role.
    pub(super) control: Option<u64>,
}

impl Default for Module {
    fn default() -> Self {
        let mut state = clinetctl_state_t::new_zeroed();
        state.cst_attach = abi::CLINET_ATTACHED;
        state.cst_mode = 2;
        state.cst_node = 1;
        state.cst_provider = abi::CLINETCTL_BUILT_IN_PROVIDER;
        state.cst_hooks = 6;
        state.cst_capacity = 1 << 20;
        state.cst_fence_seconds = 5;
        state.cst_now = 1_000_000_000_000;
        state.cst_deadline = abi::NO_DEADLINE;
        Self {
            state,
            versions: [abi::CLINETCTL_VERSION, abi::CLINETCTL_VERSION_PREVIOUS],
            stats: BTreeMap::new(),
            entries: Vec::new(),
            addresses: "192.0.2.10,2001:db8::10".into(),
            granted: Default::default(),
            events: Vec::new(),
            watched: false,
            refused: BTreeMap::new(),
            machine: Box::new(|_| Err(Errno::ENOTSUP)),
            resync: None,
            control: None,
        }
    }
}

impl Module {
    /// Adds an entry of the global stack, with one reference.
    pub fn add(&mut self, owner: u32, tuple: Tuple) {
        let raw = clinetctl_tuple_t::from(tuple);
        self.entries.push(clinet_entry_t {
            ce_laddr: raw.ct_laddr,
            ce_faddr: raw.ct_faddr,
            ce_lport: raw.ct_lport,
            ce_fport: raw.ct_fport,
            ce_protocol: raw.ct_protocol,
            ce_outgoing: 1,
            ce_owner: owner,
            ce_references: 1,
            ..FromZeros::new_zeroed()
        });
    }

    /// Something happens.
    pub fn happen(&mut self, kind: EventType, event: clinetctl_event_t) {
        self.events.push(clinetctl_event_t {
            ev_sequence: self.events.len() as u64,
            ev_time: self.state.cst_now,
            ev_type: kind.number(),
            ..event
        });
    }

    /// A file was closed.
    pub(super) fn closed(&mut self, file: u64) {
        if self.control == Some(file) {
            self.control = None;
        }
    }

    pub(super) fn find(&self, tuple: &clinetctl_tuple_t) -> Option<usize> {
        self.entries.iter().position(|entry| is(entry, tuple))
    }

    /// The deadline has passed.
    pub(super) fn lapsed(&self) -> bool {
        self.state.cst_deadline <= self.state.cst_now
    }

    /// Fills the answer.
    pub(super) fn decide(&self, query: &mut clinetctl_query_t) {
        let port = u16::from_be(query.cq_tuple.ct_lport);
        let i = usize::from(query.cq_tuple.ct_protocol == 17);
        let has_space = self.state.cst_last != [0, 0];
        let inside = (self.state.cst_first[i]..=self.state.cst_last[i]).contains(&port);
        let granted = self.granted[i].contains(port);
        let found = self.find(&query.cq_tuple).map(|i| self.entries[i]);
        query.cq_granted = granted.into();
        (query.cq_reason, query.cq_error) = match found {
            _ if has_space && granted && self.lapsed() => {
                (abi::CLINET_LAPSED, Errno::EADDRNOTAVAIL.0)
            }
            _ if has_space && inside && !granted => (abi::CLINET_NOT_GRANTED, Errno::EADDRINUSE.0),
            _ if has_space && !granted && query.cq_incoming == 0 => {
                (abi::CLINET_EXPLICIT, Errno::EADDRINUSE.0)
            }
            None => (abi::CLINET_FREE, 0),
            Some(entry) if entry.ce_owner == self.state.cst_node => (abi::CLINET_OURS, 0),
            Some(_) => (abi::CLINET_OWNED, Errno::EADDRINUSE.0),
        };
        query.cq_owner = found.map_or(0, |entry| entry.ce_owner);
        query.cq_references = found.map_or(0, |entry| entry.ce_references);
    }
}

fn is(entry: &clinet_entry_t, tuple: &clinetctl_tuple_t) -> bool {
    (entry.ce_protocol, entry.ce_lport, entry.ce_fport)
        == (tuple.ct_protocol, tuple.ct_lport, tuple.ct_fport)
        && (entry.ce_laddr, entry.ce_faddr) == (tuple.ct_laddr, tuple.ct_faddr)
}

fn within(address: &[u8; 16], network: &[u8; 16], bits: u8) -> bool {
    let differ = u128::from_be_bytes(*address) ^ u128::from_be_bytes(*network);
    differ.leading_zeros() >= u32::from(bits)
}

/// Does the entry fit?
pub(super) fn fits(entry: &clinet_entry_t, filter: &abi::clinetctl_filter_t) -> bool {
    let within_ports =
        |port: u16, [first, last]: [u16; 2]| (first..=last).contains(&u16::from_be(port));
    let [youngest, oldest] = filter.cf_age;
    let conditions = [
        (
            abi::CLINETCTL_BY_PROTOCOL,
            entry.ce_protocol == filter.cf_protocol,
        ),
        (
            abi::CLINETCTL_BY_LADDR,
            within(&entry.ce_laddr, &filter.cf_laddr, filter.cf_lprefix),
        ),
        (
            abi::CLINETCTL_BY_FADDR,
            within(&entry.ce_faddr, &filter.cf_faddr, filter.cf_fprefix),
        ),
        (
            abi::CLINETCTL_BY_LPORT,
            within_ports(entry.ce_lport, filter.cf_lport),
        ),
        (
            abi::CLINETCTL_BY_FPORT,
            within_ports(entry.ce_fport, filter.cf_fport),
        ),
        (abi::CLINETCTL_BY_OWNER, entry.ce_owner == filter.cf_owner),
        (abi::CLINETCTL_BY_STACK, entry.ce_stack == filter.cf_stack),
        (
            abi::CLINETCTL_BY_AGE,
            (youngest..=oldest).contains(&entry.ce_age),
        ),
        (
            abi::CLINETCTL_BY_OUTGOING,
            entry.ce_outgoing == filter.cf_outgoing,
        ),
    ];
    conditions
        .iter()
        .all(|(bit, fits)| filter.cf_by & bit == 0 || *fits)
}
