// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The device's commands, one function each.

use std::ffi::c_char;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::abi::{self, command};
use crate::device::{self, Device, Region};
use crate::grants::{self, Grants, GrantsState, PortSet, Space};
use crate::{
    Answer, Attached, Errno, Error, EventMask, Events, FenceAction, FenceState, Filter, Full,
    Incoming, List, Mode, Policy, Property, Provider, Reason, Tuple,
};

/// What the driver and the module say about themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The version of the interface that both sides speak.
    pub interface: u32,
    /// Of the module clinet.
    pub module: String,
    /// Of the contract.
    pub contract: String,
}

/// What is granted of one protocol's ports, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpaceState {
    /// The port space.
    #[serde(serialize_with = "range")]
    pub space: Option<RangeInclusive<u16>>,
    /// How many ports are granted, those outside the space included.
    pub granted: u32,
}

/// The module's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// The bond with ip.
    pub attach: Attached,
    /// Why it is not attached; or empty.
    pub reason: String,
    /// What it does with questions.
    pub mode: Mode,
    /// This node's number.
    pub node: u32,
    /// Who answers.
    pub provider: Provider,
    /// How many of ip's variables are set.
    pub hooks: u64,
    /// Completed audits.
    pub audits: u64,
    /// 5-tuples that are registered, of UDP included.
    pub tuples: u64,
    /// How many can be.
    pub capacity: u64,
    /// Those of UDP.
    pub udp_tuples: u64,
    /// Local endpoints of UDP.
    pub endpoints: u64,
    /// Local addresses with an entry.
    pub addresses: u64,
    /// Other nodes that own something.
    pub nodes: u64,
    /// Bytes of kernel memory.
    pub memory: u64,
    /// When the table is full.
    pub full: Full,
    /// Incoming TCP outside the port space.
    pub incoming: Incoming,
    /// Outgoing and UDP outside the port space.
    pub explicit: Policy,
    /// Other IP stacks.
    pub other_stack: Policy,
    /// What the fence does.
    pub fence_action: FenceAction,
    /// How long it may take.
    pub fence_seconds: u32,
    /// Where the fence is.
    pub fence: FenceState,
    /// Nothing granted is registered.
    pub lapsed: bool,
    /// The module's clock, in nanoseconds.
    pub now: u64,
    /// On that clock; None: the grants are static, or there are none.
    pub deadline: Option<u64>,
    /// Of the grants.
    pub epoch: u64,
    /// Of the grants.
    pub sequence: u64,
    /// Of TCP's ports.
    pub tcp: SpaceState,
    /// Of UDP's ports.
    pub udp: SpaceState,
}

/// A counter or gauge, under the name that it has in the kstats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stat {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// What a flush did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Entries that went.
    pub deleted: u64,
    /// TCP connections of this node that stayed.
    pub kept: u64,
}

/// First and last as numbers.
pub(crate) fn range<S: serde::Serializer>(
    range: &Option<RangeInclusive<u16>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Range {
        first: u16,
        last: u16,
    }
    let range = range.as_ref().map(|range| Range {
        first: *range.start(),
        last: *range.end(),
    });
    range.serialize(serializer)
}

/// An open file of the device, with its commands.
pub struct Control {
    device: Box<dyn Device>,
    version: Version,
}

impl Control {
    /// Opens the device, or the socket of a `lab node`, at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::over(device::open(path)?)
    }

    /// Speaks through an open device, in the newest version that both know.
    pub fn over(device: Box<dyn Device>) -> Result<Self, Error> {
        let mut this = Self {
            device,
            version: Version {
                interface: abi::CLINETCTL_VERSION,
                module: String::new(),
                contract: String::new(),
            },
        };
        let mut request = abi::clinetctl_version_t::new_zeroed();
        this.command("version", command::GET_VERSION, &mut request, &mut [])?;
        let newest = abi::CLINETCTL_VERSION.min(request.cv_current);
        let oldest = abi::CLINETCTL_VERSION_PREVIOUS.max(request.cv_previous);
        if newest < oldest {
            return Err(Error::Version {
                ours: abi::CLINETCTL_VERSION,
                ours_previous: abi::CLINETCTL_VERSION_PREVIOUS,
                driver: request.cv_current,
                driver_previous: request.cv_previous,
            });
        }
        this.version = Version {
            interface: newest,
            module: text(&request.cv_module),
            contract: text(&request.cv_contract),
        };
        Ok(this)
    }

    /// What is at the other end.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    pub(crate) fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// One ioctl. Its structure begins with a head, which is filled in here.
    pub(crate) fn command<T>(
        &self,
        what: &'static str,
        command: u32,
        request: &mut T,
        memory: &mut [Region<'_>],
    ) -> Result<(), Error>
    where
        T: FromBytes + IntoBytes + Immutable + KnownLayout,
    {
        let head = abi::clinetctl_head_t {
            ch_version: self.version.interface,
            ch_size: size_of::<T>() as u32,
        };
        let bytes = request.as_mut_bytes();
        bytes[..size_of_val(&head)].copy_from_slice(head.as_bytes());
        match self.device.ioctl(command, bytes, memory) {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::Refused {
                command: what,
                errno,
            }),
        }
    }

    /// The module's state.
    pub fn state(&self) -> Result<State, Error> {
        let mut raw = abi::clinetctl_state_t::new_zeroed();
        self.command("state", command::GET_STATE, &mut raw, &mut [])?;
        let [tcp, udp] = [0, 1].map(|i| SpaceState {
            space: grants::space(raw.cst_first[i], raw.cst_last[i]),
            granted: raw.cst_granted[i],
        });
        Ok(State {
            attach: raw.cst_attach.into(),
            reason: text(&raw.cst_reason),
            mode: raw.cst_mode.into(),
            node: raw.cst_node,
            provider: raw.cst_provider.into(),
            hooks: raw.cst_hooks,
            audits: raw.cst_audits,
            tuples: raw.cst_tuples,
            capacity: raw.cst_capacity,
            udp_tuples: raw.cst_udp_tuples,
            endpoints: raw.cst_endpoints,
            addresses: raw.cst_addresses,
            nodes: raw.cst_nodes,
            memory: raw.cst_memory,
            full: raw.cst_full.into(),
            incoming: raw.cst_incoming.into(),
            explicit: raw.cst_explicit.into(),
            other_stack: raw.cst_other_stack.into(),
            fence_action: raw.cst_fence_action.into(),
            fence_seconds: raw.cst_fence_seconds,
            fence: raw.cst_fence.into(),
            lapsed: raw.cst_lapsed != 0,
            now: raw.cst_now,
            deadline: grants::from_raw(raw.cst_deadline),
            epoch: raw.cst_epoch,
            sequence: raw.cst_sequence,
            tcp,
            udp,
        })
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
        let [mut tcp, mut udp] =
            [(); 2].map(|()| vec![0; abi::CLINETCTL_BITMAP as usize].into_boxed_slice());
        let mut memory = [Region::Writable(&mut tcp), Region::Writable(&mut udp)];
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

    /// Sets a property. EBUSY: it would disarm the fence while something is
    /// granted. With `force` the deadline lapses first then.
    pub fn set(&self, property: Property, value: u64, force: bool) -> Result<(), Error> {
        let mut request = abi::clinetctl_property_t {
            cp_property: property.number(),
            cp_flags: flags(force, false),
            cp_value: value,
            ..FromZeros::new_zeroed()
        };
        self.command("set", command::SET, &mut request, &mut [])
    }

    /// From now on these local addresses are shared. None: all but loopback.
    pub fn set_addresses(&self, addresses: &[IpAddr]) -> Result<(), Error> {
        let list: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let list = list.join(",");
        let memory = Region::Readable(list.as_bytes());
        let mut request = abi::clinetctl_text_t {
            cx_text: memory.address(),
            cx_length: u32::try_from(list.len()).unwrap_or(u32::MAX),
            ..FromZeros::new_zeroed()
        };
        self.command(
            "set addresses",
            command::SET_ADDRS,
            &mut request,
            &mut [memory],
        )
    }

    /// Sets ip's hooks.
    pub fn attach(&self) -> Result<(), Error> {
        self.action("attach", command::ATTACH, false)
    }

    /// Has ip's hooks accept everything. EBUSY while something is granted. With
    /// `force` the deadline lapses first then.
    pub fn detach(&self, force: bool) -> Result<(), Error> {
        self.action("detach", command::DETACH, force)
    }

    /// Has the registry compared with ip's connections soon.
    pub fn audit(&self) -> Result<(), Error> {
        self.action("audit", command::AUDIT, false)
    }

    /// Drops what is too old, now.
    pub fn sweep(&self) -> Result<(), Error> {
        self.action("sweep", command::SWEEP, false)
    }

    /// Takes the control role, which one open file has: EBUSY if another one
    /// does. Closing gives it back.
    pub fn take_control(&self) -> Result<(), Error> {
        self.action("take the control role", command::CONTROL, false)
    }

    /// Gives the control role back.
    pub fn release_control(&self) -> Result<(), Error> {
        self.action("release the control role", command::RELEASE, false)
    }

    fn action(&self, what: &'static str, command: u32, force: bool) -> Result<(), Error> {
        let mut request = abi::clinetctl_action_t {
            ca_flags: flags(force, false),
            ..FromZeros::new_zeroed()
        };
        self.command(what, command, &mut request, &mut [])
    }

    /// Records that `owner` owns these tuples, in their order, until one fails:
    /// [`Error::Stopped`].
    pub fn install(&self, owner: u32, tuples: &[Tuple]) -> Result<(), Error> {
        self.tuples("install", command::INSTALL, owner, tuples)
    }

    /// Takes that back, as above.
    pub fn withdraw(&self, owner: u32, tuples: &[Tuple]) -> Result<(), Error> {
        self.tuples("withdraw", command::WITHDRAW, owner, tuples)
    }

    fn tuples(
        &self,
        what: &'static str,
        command: u32,
        owner: u32,
        tuples: &[Tuple],
    ) -> Result<(), Error> {
        let raw: Vec<abi::clinetctl_tuple_t> = tuples.iter().map(|&t| t.into()).collect();
        let mut before = 0;
        for part in raw.chunks(abi::CLINETCTL_MOST_TUPLES as usize) {
            let memory = Region::Readable(part.as_bytes());
            let mut request = abi::clinetctl_tuples_t {
                ct_tuples: memory.address(),
                ct_count: part.len() as u32,
                ct_owner: owner,
                ..FromZeros::new_zeroed()
            };
            self.command(what, command, &mut request, &mut [memory])?;
            if request.ct_error != 0 {
                return Err(Error::Stopped {
                    done: before + request.ct_done as usize,
                    errno: Errno(request.ct_error),
                });
            }
            before += part.len();
        }
        Ok(())
    }

    /// Drops all that `owner` owns.
    pub fn purge(&self, owner: u32) -> Result<(), Error> {
        self.owner("purge", command::PURGE, owner)
    }

    /// `owner` is going to install all that it owns again.
    pub fn resync_begin(&self, owner: u32) -> Result<(), Error> {
        self.owner("begin to resynchronise", command::RESYNC_BEGIN, owner)
    }

    /// What was not installed since [`Control::resync_begin`] goes.
    pub fn resync_end(&self, owner: u32) -> Result<(), Error> {
        self.owner("end resynchronising", command::RESYNC_END, owner)
    }

    fn owner(&self, what: &'static str, command: u32, owner: u32) -> Result<(), Error> {
        let mut request = abi::clinetctl_owner_t {
            co_owner: owner,
            ..FromZeros::new_zeroed()
        };
        self.command(what, command, &mut request, &mut [])
    }

    /// Deletes an entry, whoever owns it. EBUSY: it is a TCP connection of this
    /// node, which goes with `force` only.
    pub fn delete(&self, tuple: Tuple, stack: u32, force: bool) -> Result<(), Error> {
        let mut request = abi::clinetctl_delete_t {
            cd_tuple: tuple.into(),
            cd_stack: stack,
            cd_flags: flags(force, false),
            ..FromZeros::new_zeroed()
        };
        self.command("delete", command::DELETE, &mut request, &mut [])
    }

    /// Deletes the entries that fit, or with `dry_run` only counts them. TCP
    /// connections of this node go with `force` only.
    pub fn flush(&self, filter: &Filter, force: bool, dry_run: bool) -> Result<Deleted, Error> {
        let mut request = abi::clinetctl_flush_t {
            cf_filter: filter.into(),
            cf_flags: flags(force, dry_run),
            ..FromZeros::new_zeroed()
        };
        let mut sum = Deleted::default();
        while request.cf_done == 0 {
            self.command("flush", command::FLUSH, &mut request, &mut [])?;
            sum.deleted += request.cf_deleted;
            sum.kept += request.cf_kept;
        }
        Ok(sum)
    }

    /// Grants exactly this. Needs the control role. ESTALE if the sequence is
    /// not greater than the present one.
    pub fn set_grants(&self, grants: &Grants) -> Result<(), Error> {
        let spaces = [&grants.tcp, &grants.udp];
        let mut memory = spaces.map(|space| Region::Readable(space.granted.as_bytes()));
        let [tcp, udp] = spaces.map(|space| match &space.ports {
            None => (0, 0),
            Some(ports) => (*ports.start(), *ports.end()),
        });
        let mut request = abi::clinetctl_grants_t {
            cg_epoch: grants.epoch,
            cg_sequence: grants.sequence,
            cg_deadline: grants::to_raw(grants.deadline),
            cg_first: [tcp.0, udp.0],
            cg_last: [tcp.1, udp.1],
            cg_bitmap: [memory[0].address(), memory[1].address()],
            ..FromZeros::new_zeroed()
        };
        self.command("set grants", command::SET_GRANTS, &mut request, &mut memory)
    }

    /// Moves the deadline of what is granted. Needs the control role. ESTALE
    /// for another epoch, or if the sequence is not greater.
    pub fn set_deadline(
        &self,
        epoch: u64,
        sequence: u64,
        deadline: Option<u64>,
    ) -> Result<(), Error> {
        let mut request = abi::clinetctl_deadline_t {
            cd_epoch: epoch,
            cd_sequence: sequence,
            cd_deadline: grants::to_raw(deadline),
            ..FromZeros::new_zeroed()
        };
        self.command(
            "set the deadline",
            command::SET_DEADLINE,
            &mut request,
            &mut [],
        )
    }

    /// Lapses the deadline and takes the shared addresses away; waits until
    /// that is done. Needs the control role. Errors as for the deadline; ETIME.
    pub fn fence(&self, epoch: u64, sequence: u64) -> Result<(), Error> {
        let mut request = abi::clinetctl_unfence_t {
            cu_epoch: epoch,
            cu_sequence: sequence,
            ..FromZeros::new_zeroed()
        };
        self.command("fence", command::FENCE, &mut request, &mut [])
    }

    /// Brings the shared addresses back; waits until that is done. Needs the
    /// control role.
    ///
    /// With `records_kept` the caller knows that nobody else can have got what
    /// was granted. Without, the module ends the TCP connections of the shared
    /// addresses first, and the caller has made sure that no UDP socket is bound
    /// to a lost port. Errors as for the deadline; EAGAIN if that has passed;
    /// ETIME.
    pub fn unfence(&self, epoch: u64, sequence: u64, records_kept: bool) -> Result<(), Error> {
        let mut request = abi::clinetctl_unfence_t {
            cu_epoch: epoch,
            cu_sequence: sequence,
            cu_flags: if records_kept {
                abi::CLINETCTL_RECORDS_KEPT
            } else {
                0
            },
            ..FromZeros::new_zeroed()
        };
        self.command("unfence", command::UNFENCE, &mut request, &mut [])
    }
}

impl State {
    /// How long until the deadline; None: there is none. Zero: it has passed.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| Duration::from_nanos(deadline.saturating_sub(self.now)))
    }
}

fn flags(force: bool, dry_run: bool) -> u32 {
    let flag = |set, bit| if set { bit } else { 0 };
    flag(force, abi::CLINETCTL_FORCE) | flag(dry_run, abi::CLINETCTL_DRY_RUN)
}

/// A text that ends at its first NUL, or fills its field.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars
        .iter()
        .map(|&char| char.cast_unsigned())
        .take_while(|&byte| byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
