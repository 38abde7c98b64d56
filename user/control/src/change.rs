// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The commands that change something and need no role.

use std::net::IpAddr;

use serde::Serialize;
use zerocopy::{FromZeros, IntoBytes};

use crate::abi::{self, command};
use crate::control::Control;
use crate::device::Region;
use crate::{Errno, Error, Filter, Property, Tuple};

/// What a flush did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Entries that went.
    pub deleted: u64,
    /// TCP connections of this node that stayed.
    pub kept: u64,
}

impl Control {
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
        self.action("attach", command::ATTACH, 0)
    }

    /// Has ip's hooks accept everything. EBUSY while something is granted. With
    /// `force` the deadline lapses first then.
    pub fn detach(&self, force: bool) -> Result<(), Error> {
        self.action("detach", command::DETACH, flags(force, false))
    }

    /// Has the registry compared with ip's connections soon.
    pub fn audit(&self) -> Result<(), Error> {
        self.action("audit", command::AUDIT, 0)
    }

    /// Drops what is too old, now.
    pub fn sweep(&self) -> Result<(), Error> {
        self.action("sweep", command::SWEEP, 0)
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
}

fn flags(force: bool, dry_run: bool) -> u32 {
    let flag = |set, bit| if set { bit } else { 0 };
    flag(force, abi::CLINETCTL_FORCE) | flag(dry_run, abi::CLINETCTL_DRY_RUN)
}
