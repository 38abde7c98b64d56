// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The ioctls of the device in memory.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::module::{Module, fits};
use clinet_control::abi::{self, clinet_entry_t, clinetctl_event_t, command};
use clinet_control::wire::SentRegion;
use clinet_control::{Errno, EventType, PortSet};

/// What the device knows of a file that is open.
pub(super) struct OpenFile {
    number: u64,
    mask: u32,
    /// The next event to read.
    pub cursor: usize,
}

impl OpenFile {
    pub fn new(number: u64, cursor: usize) -> Self {
        Self {
            number,
            mask: 0,
            cursor,
        }
    }

    pub fn wants(&self, event: &clinetctl_event_t) -> bool {
        self.mask & 1 << event.ev_type != 0 || event.ev_type == EventType::Lost.number()
    }
}

/// One ioctl, with the memory of its caller.
pub(super) struct Call {
    pub argument: Vec<u8>,
    pub regions: Vec<SentRegion>,
}

impl Call {
    /// What the driver left in the caller's memory.
    pub fn written(self) -> Vec<u8> {
        let written = self.regions.into_iter().filter(|region| region.writable);
        std::iter::once(self.argument)
            .chain(written.map(|region| region.bytes))
            .collect::<Vec<_>>()
            .concat()
    }

    /// Runs the command, as the driver would.
    pub fn run(
        &mut self,
        file: &mut OpenFile,
        module: &mut Module,
        command: u32,
    ) -> Result<(), Errno> {
        self.check_version(module, command)?;
        if let Some(errno) = module.refused.get(&command) {
            return Err(*errno);
        }
        match command {
            command::GET_VERSION..=command::GET_CLOCK => self.look(module, command),
            command::LIST..=command::EVENTS => self.observe(file, module, command),
            command::SET..=command::FLUSH => self.change(module, command),
            command::CONTROL..=command::UNFENCE => self.control(file, module, command),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn check_version(&self, module: &Module, command: u32) -> Result<(), Errno> {
        let (head, _) =
            abi::clinetctl_head_t::read_from_prefix(&self.argument).map_err(|_| Errno::EFAULT)?;
        let [newest, oldest] = module.versions;
        if head.ch_size as usize != self.argument.len() {
            Err(Errno::EINVAL)
        } else if command != command::GET_VERSION && !(oldest..=newest).contains(&head.ch_version) {
            Err(Errno::ENOTSUP)
        } else {
            Ok(())
        }
    }

    /// The argument as what it is for this command.
    fn argument<T>(&mut self) -> Result<&mut T, Errno>
    where
        T: FromBytes + IntoBytes + KnownLayout,
    {
        T::mut_from_bytes(&mut self.argument).map_err(|_| Errno::EINVAL)
    }

    fn get<T: FromBytes>(&self) -> Result<T, Errno> {
        T::read_from_bytes(&self.argument).map_err(|_| Errno::EINVAL)
    }

    fn put<T: IntoBytes + Immutable>(&mut self, value: &T) {
        self.argument.copy_from_slice(value.as_bytes());
    }

    fn memory(&self, address: u64, length: usize) -> Result<&[u8], Errno> {
        let region = self.regions.iter().find(|region| region.address == address);
        region
            .and_then(|region| region.bytes.get(..length))
            .ok_or(Errno::EFAULT)
    }

    fn ports(&self, address: u64) -> Result<PortSet, Errno> {
        let bytes = self.memory(address, abi::CLINETCTL_BITMAP as usize)?;
        let bitmap = bytes.try_into().map_err(|_| Errno::EFAULT)?;
        Ok(PortSet::from_bytes(Box::new(bitmap)))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut regions = self.regions.iter_mut();
        let region = regions.find(|region| region.address == address && region.writable);
        let target = region.and_then(|region| region.bytes.get_mut(..bytes.len()));
        target.ok_or(Errno::EFAULT)?.copy_from_slice(bytes);
        Ok(())
    }

    fn look(&mut self, module: &mut Module, command: u32) -> Result<(), Errno> {
        match command {
            command::GET_VERSION => {
                let version = self.argument::<abi::clinetctl_version_t>()?;
                [version.cv_current, version.cv_previous] = module.versions;
                put_text(&mut version.cv_module, env!("CARGO_PKG_VERSION"));
                put_text(&mut version.cv_contract, "1.1");
            }
            command::GET_STATE => {
                let mut state = module.state;
                state.cst_head = self.get::<abi::clinetctl_state_t>()?.cst_head;
                state.cst_tuples = module.entries.len() as u64;
                state.cst_lapsed = module.lapsed().into();
                state.cst_granted = [module.granted[0].len(), module.granted[1].len()];
                self.put(&state);
            }
            command::GET_STATS => {
                let stats: Vec<_> = module.stats.iter().map(stat).collect();
                let request = *self.argument::<abi::clinetctl_stats_t>()?;
                let count = stats.len().min(request.cs_count as usize);
                self.write(request.cs_stats, stats[..count].as_bytes())?;
                let request = self.argument::<abi::clinetctl_stats_t>()?;
                request.cs_count = count as u32;
                request.cs_total = stats.len() as u32;
            }
            _ => {
                // Time passes with each look, so that rates can be told.
                module.state.cst_now += 1;
                self.argument::<abi::clinetctl_clock_t>()?.cc_now = module.state.cst_now;
            }
        }
        Ok(())
    }

    fn observe(
        &mut self,
        file: &mut OpenFile,
        module: &mut Module,
        command: u32,
    ) -> Result<(), Errno> {
        match command {
            command::LIST => return self.list(module),
            command::QUERY => module.decide(self.argument()?),
            command::GET_GRANTS => {
                let request = self.argument::<abi::clinetctl_grants_t>()?;
                request.cg_epoch = module.state.cst_epoch;
                request.cg_sequence = module.state.cst_sequence;
                request.cg_deadline = module.state.cst_deadline;
                request.cg_now = module.state.cst_now;
                request.cg_first = module.state.cst_first;
                request.cg_last = module.state.cst_last;
                request.cg_fence = module.state.cst_fence;
                request.cg_lapsed = module.lapsed().into();
                for (address, ports) in request.cg_bitmap.into_iter().zip(&module.granted) {
                    self.write(address, ports.as_bytes())?;
                }
            }
            command::GET_ADDRS => {
                let request = *self.argument::<abi::clinetctl_text_t>()?;
                self.write(request.cx_text, module.addresses.as_bytes())?;
                let length = module.addresses.len() as u32;
                self.argument::<abi::clinetctl_text_t>()?.cx_length = length;
            }
            command::EVENTS => {
                file.mask = self.argument::<abi::clinetctl_events_t>()?.ce_mask;
                file.cursor = module.events.len();
                module.watched |= file.mask != 0;
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(())
    }

    /// Looks at as many entries as there is room for, and has fewer if some do
    /// not fit.
    fn list(&mut self, module: &Module) -> Result<(), Errno> {
        let mut request = self.get::<abi::clinetctl_list_t>()?;
        if request.cl_entry_size as usize != size_of::<clinet_entry_t>() || request.cl_count < 64 {
            return Err(Errno::EINVAL);
        }
        let start = request.cl_cursor[0] as usize;
        let end = module.entries.len().min(start + request.cl_count as usize);
        let found: Vec<_> = module.entries[start..end]
            .iter()
            .filter(|entry| fits(entry, &request.cl_filter))
            .copied()
            .collect();
        self.write(request.cl_entries, found.as_bytes())?;
        request.cl_cursor[0] = end as u32;
        request.cl_count = found.len() as u32;
        request.cl_done = (end == module.entries.len()).into();
        self.put(&request);
        Ok(())
    }

    fn change(&mut self, module: &mut Module, command: u32) -> Result<(), Errno> {
        let action = |call: &Self| call.get::<abi::clinetctl_action_t>();
        match command {
            command::SET => self.set(module)?,
            command::SET_ADDRS => {
                let request = self.get::<abi::clinetctl_text_t>()?;
                let text = self.memory(request.cx_text, request.cx_length as usize)?;
                module.addresses = String::from_utf8_lossy(text).into_owned();
            }
            command::ATTACH => module.state.cst_attach = abi::CLINET_ATTACHED,
            command::DETACH => {
                disarm(module, action(self)?.ca_flags)?;
                module.state.cst_attach = abi::CLINET_DETACHED;
            }
            command::AUDIT => module.state.cst_audits += 2,
            command::SWEEP => (),
            command::INSTALL | command::WITHDRAW => self.tuples(module, command)?,
            command::PURGE => {
                let owner = self.get::<abi::clinetctl_owner_t>()?.co_owner;
                module.entries.retain(|entry| entry.ce_owner != owner);
            }
            command::RESYNC_BEGIN => {
                module.resync = Some(self.get::<abi::clinetctl_owner_t>()?.co_owner);
            }
            command::RESYNC_END => module.resync = None,
            command::DELETE => {
                let request = self.get::<abi::clinetctl_delete_t>()?;
                let i = module.find(&request.cd_tuple).ok_or(Errno::ENOENT)?;
                if stays(module, &module.entries[i], request.cd_flags) {
                    return Err(Errno::EBUSY);
                }
                module.entries.swap_remove(i);
            }
            _ => self.flush(module)?,
        }
        Ok(())
    }

    fn set(&mut self, module: &mut Module) -> Result<(), Errno> {
        let request = self.get::<abi::clinetctl_property_t>()?;
        let value = u32::try_from(request.cp_value).map_err(|_| Errno::EINVAL)?;
        let state = &mut module.state;
        let (member, most) = match request.cp_property {
            abi::CLINETCTL_MODE => (&mut state.cst_mode, 2),
            abi::CLINETCTL_FULL => (&mut state.cst_full, 1),
            abi::CLINETCTL_INCOMING => (&mut state.cst_incoming, 1),
            abi::CLINETCTL_EXPLICIT => (&mut state.cst_explicit, 1),
            abi::CLINETCTL_OTHER_STACK => (&mut state.cst_other_stack, 1),
            abi::CLINETCTL_FENCE_ACTION => (&mut state.cst_fence_action, 2),
            abi::CLINETCTL_FENCE_SECONDS => (&mut state.cst_fence_seconds, 60),
            _ => return Err(Errno::EINVAL),
        };
        if value > most {
            return Err(Errno::EINVAL);
        }
        let before = std::mem::replace(member, value);
        if request.cp_property == abi::CLINETCTL_MODE
            && value < 2
            && let Err(errno) = disarm(module, request.cp_flags)
        {
            module.state.cst_mode = before;
            return Err(errno);
        }
        Ok(())
    }

    fn tuples(&mut self, module: &mut Module, command: u32) -> Result<(), Errno> {
        let mut request = self.get::<abi::clinetctl_tuples_t>()?;
        let length = request.ct_count as usize * size_of::<abi::clinetctl_tuple_t>();
        let bytes = self.memory(request.ct_tuples, length)?.to_vec();
        for bytes in bytes.chunks_exact(size_of::<abi::clinetctl_tuple_t>()) {
            let tuple =
                abi::clinetctl_tuple_t::read_from_bytes(bytes).map_err(|_| Errno::EINVAL)?;
            let found = module.find(&tuple);
            let owner = found.map(|i| module.entries[i].ce_owner);
            let result = match (command, found) {
                (command::INSTALL, None) => match (&tuple).try_into() {
                    Ok(tuple) => {
                        module.add(request.ct_owner, tuple);
                        Ok(())
                    }
                    Err(_) => Err(Errno::EPROTONOSUPPORT),
                },
                (command::INSTALL, Some(_)) if owner == Some(request.ct_owner) => Ok(()),
                (command::INSTALL, Some(_)) => Err(Errno::EADDRINUSE),
                (_, Some(i)) if owner == Some(request.ct_owner) => {
                    module.entries.swap_remove(i);
                    Ok(())
                }
                _ => Err(Errno::ENOENT),
            };
            if let Err(errno) = result {
                request.ct_error = errno.0;
                break;
            }
            request.ct_done += 1;
        }
        self.put(&request);
        Ok(())
    }

    fn flush(&mut self, module: &mut Module) -> Result<(), Errno> {
        let mut request = self.get::<abi::clinetctl_flush_t>()?;
        let (fitting, others): (Vec<_>, Vec<_>) = module
            .entries
            .iter()
            .partition(|entry| fits(entry, &request.cf_filter));
        let (kept, deleted): (Vec<_>, Vec<_>) = fitting
            .into_iter()
            .partition(|entry| stays(module, entry, request.cf_flags));
        request.cf_kept = kept.len() as u64;
        request.cf_deleted = deleted.len() as u64;
        request.cf_done = 1;
        if request.cf_flags & abi::CLINETCTL_DRY_RUN == 0 {
            module.entries = [others, kept].concat();
        }
        self.put(&request);
        Ok(())
    }

    fn control(&mut self, file: &OpenFile, module: &mut Module, command: u32) -> Result<(), Errno> {
        if command == command::CONTROL {
            return match module.control {
                Some(other) if other != file.number => Err(Errno::EBUSY),
                _ => {
                    module.control = Some(file.number);
                    Ok(())
                }
            };
        }
        if module.control != Some(file.number) {
            return Err(Errno::EACCES);
        }
        match command {
            command::RELEASE => module.control = None,
            command::SET_GRANTS => self.set_grants(module)?,
            command::SET_DEADLINE => {
                let request = self.get::<abi::clinetctl_deadline_t>()?;
                newer(module, request.cd_epoch, request.cd_sequence)?;
                module.state.cst_deadline = request.cd_deadline;
            }
            command::FENCE => {
                let request = self.get::<abi::clinetctl_unfence_t>()?;
                newer(module, request.cu_epoch, request.cu_sequence)?;
                module.state.cst_deadline = 0;
                module.state.cst_fence = abi::CLINETCTL_FENCED;
            }
            _ => {
                let request = self.get::<abi::clinetctl_unfence_t>()?;
                if module.lapsed() {
                    return Err(Errno::EAGAIN);
                }
                newer(module, request.cu_epoch, request.cu_sequence)?;
                module.state.cst_fence = abi::CLINETCTL_UNFENCED;
            }
        }
        Ok(())
    }

    fn set_grants(&mut self, module: &mut Module) -> Result<(), Errno> {
        let request = self.get::<abi::clinetctl_grants_t>()?;
        if request.cg_sequence <= module.state.cst_sequence {
            return Err(Errno::ESTALE);
        }
        let [tcp, udp] = request.cg_bitmap.map(|address| self.ports(address));
        module.granted = [tcp?, udp?];
        module.state.cst_epoch = request.cg_epoch;
        module.state.cst_sequence = request.cg_sequence;
        module.state.cst_deadline = request.cg_deadline;
        module.state.cst_first = request.cg_first;
        module.state.cst_last = request.cg_last;
        module.happen(
            EventType::Grants,
            clinetctl_event_t {
                ev_value: request.cg_sequence,
                ..FromZeros::new_zeroed()
            },
        );
        Ok(())
    }
}

/// A TCP connection of this node goes with force only.
fn stays(module: &Module, entry: &clinet_entry_t, flags: u32) -> bool {
    entry.ce_owner == module.state.cst_node
        && entry.ce_protocol == 6
        && flags & abi::CLINETCTL_FORCE == 0
}

fn disarm(module: &mut Module, flags: u32) -> Result<(), Errno> {
    let granted = module.granted.iter().any(|ports| !ports.is_empty());
    if granted && flags & abi::CLINETCTL_FORCE == 0 {
        return Err(Errno::EBUSY);
    }
    if granted {
        module.state.cst_deadline = 0;
    }
    Ok(())
}

fn newer(module: &mut Module, epoch: u64, sequence: u64) -> Result<(), Errno> {
    if epoch != module.state.cst_epoch || sequence <= module.state.cst_sequence {
        return Err(Errno::ESTALE);
    }
    module.state.cst_sequence = sequence;
    Ok(())
}

fn stat((name, value): (&String, &u64)) -> abi::clinetctl_stat_t {
    let mut raw = abi::clinetctl_stat_t::new_zeroed();
    put_text(&mut raw.cs_name, name);
    raw.cs_value = *value;
    raw
}

fn put_text(field: &mut [std::ffi::c_char], text: &str) {
    for (char, byte) in field.iter_mut().zip(text.bytes()) {
        *char = byte.cast_signed();
    }
}
