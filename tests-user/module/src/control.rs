// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the control device's driver calls: `include/clinet_control.h`.

use std::ops::RangeInclusive;

use clinet_control::abi;
use clinet_kernel::Context;
use zerocopy::FromZeros;

use crate::{Args, INET, Loaded, TCP, Tuple, ptr, ptr_mut};

/// The whole state of what is granted, as C has it.
#[derive(Clone)]
pub struct Grants {
    /// Terms and port spaces.
    pub terms: abi::clinetctl_grants_t,
    bits: [Box<[u64; 1024]>; 2],
}

impl Grants {
    /// Nothing, with this port space for both protocols.
    #[must_use]
    pub fn with_space(space: RangeInclusive<u16>) -> Self {
        let mut grants = Self::default();
        grants.terms.cg_first = [*space.start(); 2];
        grants.terms.cg_last = [*space.end(); 2];
        grants
    }

    /// The same with these ports granted, of both protocols.
    #[must_use]
    pub fn and(mut self, ports: RangeInclusive<u16>) -> Self {
        for protocol in [0, 1] {
            self.allow(protocol, ports.clone());
        }
        self
    }

    /// The same until this time.
    #[must_use]
    pub fn until(mut self, deadline: u64) -> Self {
        self.terms.cg_deadline = deadline;
        self
    }

    /// Grants ports of `CLINETCTL_TCP` or `CLINETCTL_UDP`.
    pub fn allow(&mut self, protocol: usize, ports: RangeInclusive<u16>) {
        for port in ports {
            self.bits[protocol][usize::from(port / 64)] |= 1 << (port % 64);
        }
    }

    /// Is the port granted?
    #[must_use]
    pub fn has(&self, protocol: usize, port: u16) -> bool {
        self.bits[protocol][usize::from(port / 64)] >> (port % 64) & 1 != 0
    }

    /// How many ports are granted.
    #[must_use]
    pub fn count(&self, protocol: usize) -> u32 {
        self.bits[protocol]
            .iter()
            .map(|word| word.count_ones())
            .sum()
    }
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            terms: abi::clinetctl_grants_t {
                cg_sequence: 1,
                ..FromZeros::new_zeroed()
            },
            bits: [Box::new([0; 1024]), Box::new([0; 1024])],
        }
    }
}

/// A 5-tuple as the device has it.
#[must_use]
pub fn device_tuple(tuple: &Tuple) -> abi::clinetctl_tuple_t {
    let wide = |addr: [u8; 16]| {
        if tuple.family != INET {
            return addr;
        }
        let mut mapped = [0; 16];
        mapped[10..12].fill(0xff);
        mapped[12..].copy_from_slice(&addr[..4]);
        mapped
    };
    abi::clinetctl_tuple_t {
        ct_laddr: wide(tuple.laddr),
        ct_faddr: wide(tuple.faddr),
        ct_lport: tuple.lport,
        ct_fport: tuple.fport,
        ct_protocol: tuple.protocol,
        ct_pad: [0; 3],
    }
}

/// A machine whose module is controlled.
pub trait Control {
    /// Calls a C function of the module in a thread that may sleep.
    fn control(&self, function: &str, args: Args<'_>) -> i32;

    /// `clinet_control_state`.
    ///
    /// # Panics
    ///
    /// If it fails.
    fn state(&self) -> abi::clinetctl_state_t {
        let mut state = abi::clinetctl_state_t::new_zeroed();
        let error = self.control("clinet_control_state", &[ptr_mut(&mut state)]);
        assert_eq!(error, 0);
        state
    }

    /// The module's clock.
    fn clock(&self) -> u64 {
        self.state().cst_now
    }

    /// `clinet_control_set_grants`.
    fn set_grants(&self, grants: &mut Grants) -> i32 {
        let [tcp, udp] = &grants.bits;
        let args = [ptr_mut(&mut grants.terms), ptr(&**tcp), ptr(&**udp)];
        self.control("clinet_control_set_grants", &args)
    }

    /// `clinet_control_get_grants`.
    ///
    /// # Panics
    ///
    /// If it fails.
    fn grants(&self) -> Grants {
        let mut grants = Grants::default();
        let [tcp, udp] = &mut grants.bits;
        let args = [
            ptr_mut(&mut grants.terms),
            ptr_mut(&mut **tcp),
            ptr_mut(&mut **udp),
        ];
        assert_eq!(self.control("clinet_control_get_grants", &args), 0);
        grants
    }

    /// `clinet_control_set_deadline`.
    fn set_deadline(&self, epoch: u64, sequence: u64, deadline: u64) -> i32 {
        let mut terms = abi::clinetctl_deadline_t {
            cd_epoch: epoch,
            cd_sequence: sequence,
            cd_deadline: deadline,
            ..FromZeros::new_zeroed()
        };
        self.control("clinet_control_set_deadline", &[ptr_mut(&mut terms)])
    }

    /// `clinet_control_set`.
    fn set(&self, property: u32, value: u64, flags: u32) -> i32 {
        let args = [property.into(), value, flags.into()];
        self.control("clinet_control_set", &args)
    }

    /// `clinet_control_query`; an error in it comes back as its own.
    fn query(&self, tuple: &Tuple, incoming: bool) -> Result<abi::clinetctl_query_t, i32> {
        let mut query = abi::clinetctl_query_t {
            cq_tuple: device_tuple(tuple),
            cq_incoming: (incoming && tuple.protocol == TCP).into(),
            ..FromZeros::new_zeroed()
        };
        match self.control("clinet_control_query", &[ptr_mut(&mut query)]) {
            0 => Ok(query),
            error => Err(error),
        }
    }

    /// All of `clinet_control_stat`.
    fn stats(&self) -> Vec<(String, u64)> {
        let mut stat = abi::clinetctl_stat_t::new_zeroed();
        let mut next = 0;
        std::iter::from_fn(|| {
            let args = [next, ptr_mut(&mut stat)];
            next += 1;
            (self.control("clinet_control_stat", &args) == 0).then(|| {
                let name = stat.cs_name.iter().take_while(|byte| **byte != 0);
                let name = name.map(|byte| char::from(*byte as u8)).collect();
                (name, stat.cs_value)
            })
        })
        .collect()
    }

    /// One of them.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    fn number_of(&self, name: &str) -> u64 {
        let found = self.stats().into_iter().find(|(of, _)| of == name);
        found.unwrap_or_else(|| panic!("no counter {name}")).1
    }
}

impl Control for Loaded {
    fn control(&self, function: &str, args: Args<'_>) -> i32 {
        self.call_in(&Context::thread(), function, args)
    }
}
