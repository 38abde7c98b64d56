// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The control role, and the commands that need it: grants and the fence.

use zerocopy::FromZeros;

use crate::abi::{self, command};
use crate::control::Control;
use crate::device::Region;
use crate::grants;
use crate::{Error, Grants};

impl Control {
    /// Takes the control role, which one open file has: EBUSY if another one
    /// does. Closing gives it back.
    pub fn take_control(&self) -> Result<(), Error> {
        self.action("take the control role", command::CONTROL, 0)
    }

    /// Gives the control role back.
    pub fn release_control(&self) -> Result<(), Error> {
        self.action("release the control role", command::RELEASE, 0)
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
