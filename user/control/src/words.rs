// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The device's numbers that stand for something, and their words: the same in
//! what is printed, in what is read, and in kstats and probes.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::abi;

/// A text that is none of the words that are possible here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is none of {}", words.join(", "))]
pub struct NoSuchWord {
    /// What it was.
    pub given: String,
    /// What it could have been.
    pub words: &'static [&'static str],
}

macro_rules! words {
    ($(
        $(#[$about:meta])*
        $name:ident { $($(#[$meaning:meta])* $variant:ident = $number:expr, $word:literal;)* }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$meaning])* $variant,)*
            /// A number that a newer driver may know.
            Unknown(u32),
        }

        impl $name {
            /// All that have a word.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// Their words.
            pub const WORDS: &[&str] = &[$($word),*];

            /// The device's number for it.
            #[must_use]
            pub fn number(self) -> u32 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Unknown(number) => number,
                }
            }
        }

        impl From<u32> for $name {
            fn from(number: u32) -> Self {
                match number {
                    $(number if number == $number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.pad($word),)*
                    Self::Unknown(number) => f.pad(&number.to_string()),
                }
            }
        }

        impl FromStr for $name {
            type Err = NoSuchWord;

            fn from_str(text: &str) -> Result<Self, NoSuchWord> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(NoSuchWord { given: other.into(), words: Self::WORDS }),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

words! {
    /// Why a question is answered as it is.
    Reason {
        /// Nobody has it: it is registered.
        Free = abi::CLINET_FREE, "free";
        /// This node has it: one more reference.
        Ours = abi::CLINET_OURS, "ours";
        /// Another node has it.
        Owned = abi::CLINET_OWNED, "owned";
        /// The table is full.
        Full = abi::CLINET_FULL, "full";
        /// The kernel has no memory for it now.
        Late = abi::CLINET_LATE, "late";
        /// The local address is not shared.
        NotShared = abi::CLINET_NOT_SHARED, "not-shared";
        /// There is no local address yet.
        NoAddress = abi::CLINET_NO_ADDRESS, "no-address";
        /// UDP has used up its share of the table.
        UdpFull = abi::CLINET_FULL_UDP, "udp-full";
        /// Too many local addresses have entries.
        AddressesFull = abi::CLINET_FULL_ADDRESSES, "addresses-full";
        /// Too many nodes own something.
        NodesFull = abi::CLINET_FULL_NODES, "nodes-full";
        /// The port is granted, but the deadline has passed.
        Lapsed = abi::CLINET_LAPSED, "lapsed";
        /// The port is in the port space and not this node's.
        NotGranted = abi::CLINET_NOT_GRANTED, "not-granted";
        /// The port is outside the port space and not reserved.
        Explicit = abi::CLINET_EXPLICIT, "explicit";
        /// The question came from another IP stack than the global one.
        OtherStack = abi::CLINET_OTHER_STACK, "other-stack";
    }

    /// What the module does with questions.
    Mode {
        /// All are accepted, none is looked at.
        Off = 0, "off";
        /// All are accepted and counted.
        Observe = 1, "observe";
        /// They are decided.
        Enforce = 2, "enforce";
    }

    /// The bond with a stock ip.
    Attached {
        /// Nobody has asked for it.
        Never = abi::CLINET_NEVER_ATTACHED, "never";
        /// ip's hooks call clinet.
        Attached = abi::CLINET_ATTACHED, "attached";
        /// It was not possible; nothing of ip was touched.
        Refused = abi::CLINET_REFUSED, "refused";
        /// Another module was faster: hooks are set, all is accepted.
        Partial = abi::CLINET_PARTIAL, "partial";
        /// Hooks are set, all is accepted.
        Detached = abi::CLINET_DETACHED, "detached";
    }

    /// Who answers the questions.
    Provider {
        /// Nobody: all are accepted.
        None = abi::CLINETCTL_NO_PROVIDER, "none";
        /// The registry of the module.
        BuiltIn = abi::CLINETCTL_BUILT_IN_PROVIDER, "built-in";
        /// Another module.
        Foreign = abi::CLINETCTL_FOREIGN_PROVIDER, "foreign";
    }

    /// Where the fence is.
    FenceState {
        /// The shared addresses are not touched.
        Unfenced = abi::CLINETCTL_UNFENCED, "unfenced";
        /// They are being taken away.
        Fencing = abi::CLINETCTL_FENCING, "fencing";
        /// They are away.
        Fenced = abi::CLINETCTL_FENCED, "fenced";
        /// They were not away in time; the module goes on trying.
        Missed = abi::CLINETCTL_FENCE_MISSED, "missed";
        /// They are being brought back.
        Unfencing = abi::CLINETCTL_UNFENCING, "unfencing";
    }

    /// What becomes of a new 5-tuple when there is no room.
    Full {
        /// Accepted, unregistered and counted.
        Admit = 0, "admit";
        /// Refused.
        Refuse = 1, "refuse";
    }

    /// Incoming TCP to a port outside the port space that is not reserved.
    Incoming {
        /// The network chose this node: the registry decides.
        Trust = 0, "trust";
        /// Refused.
        Reserved = 1, "reserved";
    }

    /// What becomes of a question that grants do not cover.
    Policy {
        /// Refused.
        Refuse = 0, "refuse";
        /// The registry decides; counted.
        Admit = 1, "admit";
    }

    /// What happens when the deadline passes.
    FenceAction {
        /// The shared addresses are taken away.
        Down = 0, "down";
        /// The machine panics.
        Panic = 1, "panic";
        /// Nothing but refusals.
        None = 2, "none";
    }

    /// What happened.
    EventType {
        /// A question was refused, or would have been.
        Refused = abi::CLINETCTL_EVENT_REFUSED, "refused";
        /// The deadline passed.
        Lapsed = abi::CLINETCTL_EVENT_LAPSED, "lapsed";
        /// The fence moved.
        Fenced = abi::CLINETCTL_EVENT_FENCED, "fenced";
        /// Another node's entry was installed over one that is held.
        Conflict = abi::CLINETCTL_EVENT_CONFLICT, "conflict";
        /// Other ports are granted, or another deadline holds.
        Grants = abi::CLINETCTL_EVENT_GRANTS, "grants";
        /// The mode changed.
        Mode = abi::CLINETCTL_EVENT_MODE, "mode";
        /// The bond with ip changed.
        Attach = abi::CLINETCTL_EVENT_ATTACH, "attach";
        /// Events were overwritten before this program read them.
        Lost = abi::CLINETCTL_EVENT_LOST, "lost";
    }

    /// What can be set while the module runs.
    Property {
        /// A [`Mode`].
        Mode = abi::CLINETCTL_MODE, "mode";
        /// A [`Full`].
        Full = abi::CLINETCTL_FULL, "full";
        /// An [`Incoming`].
        Incoming = abi::CLINETCTL_INCOMING, "incoming";
        /// A [`Policy`] for ports outside the port space.
        Explicit = abi::CLINETCTL_EXPLICIT, "explicit";
        /// A [`Policy`] for other IP stacks.
        OtherStack = abi::CLINETCTL_OTHER_STACK, "other-stack";
        /// A [`FenceAction`].
        FenceAction = abi::CLINETCTL_FENCE_ACTION, "fence";
        /// Seconds within which the addresses have to be away, 1 to 60.
        FenceSeconds = abi::CLINETCTL_FENCE_SECONDS, "fence-seconds";
    }
}
