// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The life of one TCP flow on one node.

use crate::decode::TcpHeader;
use crate::stack::Direction;

/// Who sent a segment, seen from the shared address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Local,
    Foreign,
}

impl Sender {
    /// The direction of a connection that this side's SYN begins.
    pub(crate) fn direction(self) -> Direction {
        match self {
            Self::Local => Direction::Outgoing,
            Self::Foreign => Direction::Incoming,
        }
    }
}

/// What one side has said about the end of its stream.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// It has sent something.
    seen: bool,
    /// The sequence number of its SYN.
    isn: Option<u32>,
    /// The sequence number behind its FIN.
    fin_end: Option<u32>,
    /// The highest acknowledgement that it has sent.
    acked: Option<u32>,
}

/// What is known of a flow whose end has not been seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streams {
    local: Side,
    foreign: Side,
}

impl Streams {
    /// Takes note of a segment. True if the flow is over.
    pub(crate) fn segment(&mut self, sender: Sender, tcp: &TcpHeader) -> bool {
        if tcp.rst {
            return true;
        }
        let side = match sender {
            Sender::Local => &mut self.local,
            Sender::Foreign => &mut self.foreign,
        };
        side.seen = true;
        if tcp.syn {
            side.isn = Some(tcp.sequence);
        }
        if tcp.fin {
            side.fin_end = Some(tcp.sequence_end());
        }
        if tcp.ack
            && side
                .acked
                .is_none_or(|acked| !at_least(acked, tcp.acknowledgment))
        {
            side.acked = Some(tcp.acknowledgment);
        }
        covers(self.local.acked, self.foreign.fin_end)
            && covers(self.foreign.acked, self.local.fin_end)
    }

    /// What a SYN of this side means for the open flow.
    fn syn(&self, sender: Sender, isn: u32) -> Syn {
        let side = match sender {
            Sender::Local => &self.local,
            Sender::Foreign => &self.foreign,
        };
        if !side.seen {
            Syn::Crosses
        } else if side.isn == Some(isn) {
            Syn::Belongs
        } else {
            Syn::Replaces
        }
    }
}

/// `a` is `b` or after it, in sequence number space.
fn at_least(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

fn covers(acked: Option<u32>, fin_end: Option<u32>) -> bool {
    match (acked, fin_end) {
        (Some(acked), Some(fin_end)) => at_least(acked, fin_end),
        _ => false,
    }
}

/// A flow's state on its node. `isn` is that of the SYN which began it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// Asked about and accepted.
    Open {
        direction: Direction,
        isn: u32,
        streams: Streams,
    },
    /// Asked about and refused.
    Refused { direction: Direction, isn: u32 },
    /// First seen in mid-stream.
    Midstream { streams: Streams },
    /// Over. `began` is `None` for a flow that was seen in mid-stream;
    /// `serial` tells its ending from the others of the same 5-tuple.
    Ended {
        began: Option<(Direction, u32)>,
        serial: u64,
    },
}

/// What a SYN without ACK means on a 5-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syn {
    /// A connection begins: count it and ask.
    Begins,
    /// The same, and an open flow ends before.
    Replaces,
    /// The answering SYN of a simultaneous open: count it; the stack has been
    /// asked about the 5-tuple and does not ask again.
    Crosses,
    /// An incoming SYN again, after a refusal: ask.
    AsksAgain,
    /// A SYN of a refused flow again.
    Ignored,
    /// Part of a flow that has been asked about.
    Belongs,
}

impl State {
    /// What a SYN without ACK from `sender` means for this flow.
    pub(crate) fn syn(&self, sender: Sender, isn: u32) -> Syn {
        let this = (sender.direction(), isn);
        match *self {
            Self::Open { ref streams, .. } => streams.syn(sender, isn),
            Self::Refused { direction, isn } if (direction, isn) == this => match direction {
                Direction::Incoming => Syn::AsksAgain,
                Direction::Outgoing => Syn::Ignored,
            },
            Self::Ended { began, .. } if began == Some(this) => Syn::Belongs,
            Self::Refused { .. } | Self::Midstream { .. } | Self::Ended { .. } => Syn::Begins,
        }
    }
}
