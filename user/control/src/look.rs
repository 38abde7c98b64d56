// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The commands that only look.

use std::net::IpAddr;

use serde::Serialize;
use zerocopy::{FromZeros, IntoBytes};

use crate::abi::{self, command};
use crate::control::{Control, text};
use crate::device::Region;
use crate::grants;
use crate::{
    Answer, Errno, Error, EventMask, Events, FenceState, Filter, Grants, GrantsState, List,
    PortSet, Reason, Space, State, Tuple,
};

/// A counter or gauge, under the name that it has in the kstats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stat {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: u64,
}

impl Control {
    /// The module's state.
    pub fn state(&self) -> Result<State, Error> {
        let mut raw = abi::clinetctl_state_t::new_zeroed();
        self.command("state", command::GET_STATE, &mut raw, &mut [])?;
        Ok(State::from(&raw))
    }

    /// All counters and gauges, in the module's order.
    pub fn stats(&self) -> Result<Vec<Stat>, Error> {
        let mut stats =
            vec![abi::clinetctl_stat_t::new_zeroed(); abi::CLINETCTL_MOST_STATS as usize];
        let memory = Region::Writable(stats.as_mut_slice().as_mut_bytes());
        let mut request = abi::clinetctl_stats_t {
            cs_stats: memory.address(),
            cs_count: abi::CLINETCTL_MOST_STATS,
            ..FromZeros::new_zeroed()
        };
        self.command("stats", command::GET_STATS, &mut request, &mut [memory])?;
        let filled = stats.get(..request.cs_count as usize);
        let filled = filled.ok_or(Error::Nonsense("more stats than there is room for"))?;
        let stats = filled.iter().map(|raw| Stat {
            name: text(&raw.cs_name),
            value: raw.cs_value,
        });
        Ok(stats.collect())
    }

    /// The module's clock, in nanoseconds.
    pub fn clock(&self) -> Result<u64, Error> {
        let mut request = abi::clinetctl_clock_t::new_zeroed();
        self.command("clock", command::GET_CLOCK, &mut request, &mut [])?;
        Ok(request.cc_now)
    }

    /// The entries that fit.
    #[must_use]
    pub fn list(&self, filter: &Filter) -> List<'_> {
        List::new(self, filter)
    }

    /// What a question about this 5-tuple would be answered, asked as an
    /// `incoming` TCP connection or as an outgoing one.
    pub fn query(&self, tuple: Tuple, incoming: bool) -> Result<Answer, Error> {
        let mut request = abi::clinetctl_query_t {
            cq_tuple: tuple.into(),
            cq_incoming: incoming.into(),
            ..FromZeros::new_zeroed()
        };
        self.command("query", command::QUERY, &mut request, &mut [])?;
        Ok(Answer {
            error: (request.cq_error != 0).then_some(Errno(request.cq_error)),
            reason: Reason::from(request.cq_reason),
            owner: request.cq_owner,
            references: request.cq_references,
            granted: request.cq_granted != 0,
        })
    }

    /// What is granted now.
    pub fn grants(&self) -> Result<GrantsState, Error> {
        let [mut tcp, mut udp] = [(); 2].map(|()| Box::new([0; abi::CLINETCTL_BITMAP as usize]));
        let mut memory = [&mut tcp, &mut udp].map(|bitmap| Region::Writable(bitmap.as_mut_slice()));
        let mut raw = abi::clinetctl_grants_t {
            cg_bitmap: [memory[0].address(), memory[1].address()],
            ..FromZeros::new_zeroed()
        };
        self.command("grants", command::GET_GRANTS, &mut raw, &mut memory)?;
        let space = |i: usize, bytes| Space {
            ports: grants::space(raw.cg_first[i], raw.cg_last[i]),
            granted: PortSet::from_bytes(bytes),
        };
        Ok(GrantsState {
            grants: Grants {
                epoch: raw.cg_epoch,
                sequence: raw.cg_sequence,
                deadline: grants::from_raw(raw.cg_deadline),
                tcp: space(0, tcp),
                udp: space(1, udp),
            },
            now: raw.cg_now,
            lapsed: raw.cg_lapsed != 0,
            fence: FenceState::from(raw.cg_fence),
        })
    }

    /// The shared addresses. None: all but loopback.
    pub fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let mut buffer = vec![0; abi::CLINETCTL_MOST_TEXT as usize];
        let memory = Region::Writable(&mut buffer);
        let mut request = abi::clinetctl_text_t {
            cx_text: memory.address(),
            cx_length: abi::CLINETCTL_MOST_TEXT,
            ..FromZeros::new_zeroed()
        };
        self.command("addresses", command::GET_ADDRS, &mut request, &mut [memory])?;
        let nonsense = || Error::Nonsense("a list of addresses that is none");
        let list = buffer.get(..request.cx_length as usize);
        let list = str::from_utf8(list.ok_or_else(nonsense)?).map_err(|_| nonsense())?;
        list.split(',')
            .filter(|address| !address.is_empty())
            .map(|address| address.trim().parse().map_err(|_| nonsense()))
            .collect()
    }

    /// Events of these types, from now on. An open file has one such mask: the
    /// last one holds.
    pub fn events(&self, mask: EventMask) -> Result<Events<'_>, Error> {
        Events::new(self, mask)
    }
}
