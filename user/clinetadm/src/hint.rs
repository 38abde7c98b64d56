// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What to type next, after an error.

use std::io::ErrorKind;

use clinet_control::{Errno, Error};

/// A line for people, if there is something to try.
pub fn next(error: &Error) -> Option<&'static str> {
    match error {
        Error::Open { why, .. } => match why.kind() {
            ErrorKind::NotFound => Some(
                "Is the driver installed? On illumos: add_drv -m '* 0666 root sys' clinetctl, \
                 see clinetctl(4D). Elsewhere: lab node --socket PATH, and clinetadm --device PATH.",
            ),
            ErrorKind::ConnectionRefused => Some("Nobody listens there: lab node --socket PATH."),
            ErrorKind::InvalidInput => {
                Some("Name /dev/clinet, or the socket of a lab node: clinetadm --device PATH.")
            }
            _ => None,
        },
        Error::Refused { command, errno } => refused(command, *errno),
        Error::Stopped { errno, .. } => stopped(*errno),
        _ => None,
    }
}

fn refused(command: &str, errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EPERM if is_look(command) => {
            "This needs the privilege net_observability: pfexec clinetadm ..."
        }
        Errno::EPERM => {
            "This needs the privilege sys_ip_config, in the global zone: pfexec clinetadm ..."
        }
        Errno::EBUSY if command == "take the control role" => {
            "The agent has it: svcadm disable -t clinetd, and then again."
        }
        Errno::EBUSY if command == "delete" => {
            "It is a TCP connection of this node, which may be alive: --force deletes it anyhow."
        }
        Errno::EBUSY if matches!(command, "set" | "detach") => {
            "Ports are granted to this node, and the fence would be disarmed. \
             With --force the deadline lapses first: clinetadm show-grants."
        }
        Errno::ESTALE => "Somebody was faster: clinetadm show-grants, and then again.",
        Errno::EAGAIN if command == "unfence" => {
            "The deadline has passed: clinetadm grants set FILE first."
        }
        Errno::ETIME => "The module goes on with it: clinetadm events -t fenced.",
        Errno::ENOTACTIVE => {
            "Refusals are not carried out, or ip does not ask: clinetadm set mode=enforce, \
             clinetadm attach."
        }
        Errno::ENXIO => {
            "The module answers with another provider, or is not attached: clinetadm show."
        }
        Errno::ENOENT if command == "delete" => "clinetadm list shows what there is.",
        _ => return None,
    })
}

/// Of what other nodes own.
fn stopped(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EADDRINUSE => "This node or a third one has it: clinetadm check says which.",
        Errno::EADDRNOTAVAIL => "Its local address is not shared: clinetadm show addresses.",
        Errno::ENOENT => "That node does not have it: clinetadm list owner=NODE shows what it has.",
        _ => return None,
    })
}

fn is_look(command: &str) -> bool {
    matches!(
        command,
        "list" | "query" | "grants" | "addresses" | "watch events"
    )
}
