// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What happens in the module, as it happens.

use std::time::{Duration, Instant};

use serde::Serialize;
use zerocopy::{FromZeros, IntoBytes};

use crate::abi::{clinetctl_event_t, clinetctl_events_t, command};
use crate::control::Control;
use crate::tuple::name;
use crate::{Errno, Error, EventType, Reason, Tuple};

/// How many are read at once.
const ROOM: usize = 256;

/// A set of event types. That events were lost is told whatever the set is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventMask(u32);

impl EventMask {
    /// All of them.
    pub const ALL: Self = Self(crate::abi::CLINETCTL_EVENTS_ALL);

    /// Is it in the set?
    #[must_use]
    pub fn contains(self, kind: EventType) -> bool {
        1u32.checked_shl(kind.number())
            .is_some_and(|bit| self.0 & bit != 0)
    }
}

impl FromIterator<EventType> for EventMask {
    fn from_iter<T: IntoIterator<Item = EventType>>(kinds: T) -> Self {
        let bits = kinds
            .into_iter()
            .filter_map(|kind| 1u32.checked_shl(kind.number()));
        Self(bits.fold(0, |mask, bit| mask | bit))
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Counts all events of the module.
    pub sequence: u64,
    /// When, on the module's clock in nanoseconds.
    pub time: u64,
    /// What.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Of a refusal or a conflict: why.
    pub reason: Option<Reason>,
    /// Of a refusal or a conflict: what it was about.
    pub tuple: Option<Tuple>,
    /// The IP stack.
    pub stack: u32,
    /// Who has it; 0: nobody.
    pub owner: u32,
    /// What it is now; of lost events their number.
    pub value: u64,
    /// What the caller was answered.
    #[serde(serialize_with = "name")]
    pub error: Option<Errno>,
    /// From connect() or a UDP send.
    pub outgoing: bool,
    /// False: only counted, since the mode is observe.
    pub enforced: bool,
}

impl TryFrom<&clinetctl_event_t> for Event {
    type Error = Error;

    fn try_from(raw: &clinetctl_event_t) -> Result<Self, Error> {
        let kind = EventType::from(raw.ev_type);
        let of_a_tuple = matches!(kind, EventType::Refused | EventType::Conflict);
        Ok(Self {
            sequence: raw.ev_sequence,
            time: raw.ev_time,
            kind,
            reason: of_a_tuple.then(|| raw.ev_reason.into()),
            tuple: of_a_tuple
                .then(|| Tuple::try_from(&raw.ev_tuple))
                .transpose()?,
            stack: raw.ev_stack,
            owner: raw.ev_owner,
            value: raw.ev_value,
            error: (raw.ev_error != 0).then_some(Errno(raw.ev_error)),
            outgoing: raw.ev_outgoing != 0,
            enforced: raw.ev_enforced != 0,
        })
    }
}

/// Events as they come, from when this was made on.
pub struct Events<'a> {
    control: &'a Control,
    buffer: Box<[clinetctl_event_t]>,
    next: usize,
    filled: usize,
}

impl<'a> Events<'a> {
    pub(crate) fn new(control: &'a Control, mask: EventMask) -> Result<Self, Error> {
        let mut request = clinetctl_events_t {
            ce_mask: mask.0,
            ..FromZeros::new_zeroed()
        };
        control.command("watch events", command::EVENTS, &mut request, &mut [])?;
        Ok(Self {
            control,
            buffer: vec![clinetctl_event_t::new_zeroed(); ROOM].into_boxed_slice(),
            next: 0,
            filled: 0,
        })
    }

    /// The next event: waits for it, for ever without a `timeout`. None if the
    /// time is over.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, Error> {
        let end = timeout.map(|time| Instant::now() + time);
        while self.next >= self.filled {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if !self.read()? && !self.wait(left)? {
                return Ok(None);
            }
        }
        let event = Event::try_from(&self.buffer[self.next])?;
        self.next += 1;
        Ok(Some(event))
    }

    /// Reads what is there. False if that is nothing.
    fn read(&mut self) -> Result<bool, Error> {
        let refused = |errno| Error::Refused {
            command: "read events",
            errno,
        };
        match self.control.device().read(self.buffer.as_mut_bytes()) {
            Ok(0) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Ok(bytes) => {
                let whole = bytes % size_of::<clinetctl_event_t>() == 0;
                self.filled = bytes / size_of::<clinetctl_event_t>();
                self.next = 0;
                if whole && self.filled <= self.buffer.len() {
                    Ok(true)
                } else {
                    Err(Error::Nonsense("half an event"))
                }
            }
            Err(errno) => Err(refused(errno)),
        }
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        match self.control.device().poll(timeout) {
            Ok(ready) => Ok(ready),
            Err(Errno::EINTR) => Ok(true),
            Err(errno) => Err(Error::Refused {
                command: "wait for events",
                errno,
            }),
        }
    }
}
