// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a question about a shared local address comes to before the registry is
//! asked: a pure function of where the port stands and of the policies.

#![forbid(unsafe_code)]

use super::Standing;
use crate::flow::{Direction, Protocol};

/// Why a question is refused, or would be but for a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The port is granted, and the deadline has passed.
    Lapsed,
    /// The port is in the space and not granted.
    NotGranted,
    /// The port is outside the space and not reserved.
    Explicit,
    /// The address is shared, and in another stack than the global one.
    OtherStack,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The registry decides.
    Registry,
    /// The registry decides, since a policy lets it.
    Admitted(Reason),
    /// The answer is no.
    Refused(Reason),
}

/// What administrators decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Incoming TCP to an explicit port is refused.
    pub incoming_refuses: bool,
    /// Anything else from an explicit port is admitted.
    pub explicit_admits: bool,
    /// Stacks other than the global one are admitted.
    pub other_stack_admits: bool,
}

/// Decides about a shared local address. `is_global`: of the global stack.
#[must_use]
pub fn decide(
    standing: Standing,
    is_global: bool,
    (protocol, direction): (Protocol, Direction),
    policies: Policies,
) -> Case {
    if standing == Standing::NoSpace {
        return Case::Registry;
    }
    if !is_global {
        return match policies.other_stack_admits {
            true => Case::Admitted(Reason::OtherStack),
            false => Case::Refused(Reason::OtherStack),
        };
    }
    match standing {
        Standing::NoSpace | Standing::Granted => Case::Registry,
        Standing::Lapsed => Case::Refused(Reason::Lapsed),
        Standing::NotGranted => Case::Refused(Reason::NotGranted),
        // The network chose this node, unless that is not trusted.
        Standing::Explicit if protocol == Protocol::Tcp && direction == Direction::Incoming => {
            match policies.incoming_refuses {
                true => Case::Refused(Reason::Explicit),
                false => Case::Registry,
            }
        }
        Standing::Explicit => match policies.explicit_admits {
            true => Case::Admitted(Reason::Explicit),
            false => Case::Refused(Reason::Explicit),
        },
    }
}
