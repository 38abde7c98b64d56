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

/// A window without scaling, RFC 9293: what is assumed where none was seen.
const PLAIN_WINDOW: u32 = 65535;

/// What one side has sent.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// The sequence number of its SYN.
    isn: Option<u32>,
    /// The first sequence number that it used, and the one behind its last
    /// byte; `None` until it has sent something.
    sent: Option<(u32, u32)>,
    /// The sequence number behind its FIN.
    fin_end: Option<u32>,
    /// The highest acknowledgement that it has sent.
    acked: Option<u32>,
    /// The window that it last offered, unscaled.
    window: Option<u16>,
    /// By how many bits it shifts its windows, if its SYN says so.
    scale: Option<u8>,
}

impl Side {
    fn note(&mut self, tcp: &TcpHeader) {
        let (start, end) = (tcp.sequence, tcp.sequence_end());
        self.sent = Some(match self.sent {
            Some((first, next)) if at_least(next, end) => (first, next),
            Some((first, _)) => (first, end),
            None => (start, end),
        });
        if tcp.syn {
            self.isn = Some(start);
            self.scale = tcp.window_scale;
        }
        if tcp.fin {
            self.fin_end = Some(end);
        }
        if tcp.ack
            && self
                .acked
                .is_none_or(|acked| !at_least(acked, tcp.acknowledgment))
        {
            self.acked = Some(tcp.acknowledgment);
        }
        // The window of a SYN is never scaled.
        if !tcp.syn || self.window.is_none() {
            self.window = tcp.window.or(self.window);
        }
    }

    /// Does this acknowledge what this side has sent, its SYN at least?
    fn is_acknowledged_by(&self, acknowledgment: u32) -> bool {
        self.sent.is_some_and(|(first, next)| {
            acknowledgment != first && within(acknowledgment, first, next)
        })
    }

    /// What this side receives next, and the end of its window, as far as can
    /// be told: the other side may have sent more than was acknowledged.
    fn receives(&self, other: &Side) -> Option<(u32, u32)> {
        let (first, sent) = match (other.sent, self.acked) {
            (Some((first, next)), acked) => (acked.unwrap_or(first), Some(next)),
            (None, acked) => (acked?, None),
        };
        let window = self.window.map_or(PLAIN_WINDOW, u32::from);
        let scale = match (self.scale, other.scale) {
            (Some(scale), Some(_)) => scale.min(14),
            _ => 0,
        };
        // An empty window takes what is right at its edge.
        let end = first.wrapping_add((window << scale).saturating_sub(1));
        Some(match sent {
            Some(sent) if at_least(sent, end) => (first, sent),
            _ => (first, end),
        })
    }
}

/// What is known of a flow whose end has not been seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streams {
    local: Side,
    foreign: Side,
}

impl Streams {
    fn sides(&self, sender: Sender) -> (&Side, &Side) {
        match sender {
            Sender::Local => (&self.local, &self.foreign),
            Sender::Foreign => (&self.foreign, &self.local),
        }
    }

    /// Takes note of a segment. True if the flow is over.
    pub(crate) fn segment(&mut self, sender: Sender, tcp: &TcpHeader) -> bool {
        if tcp.rst {
            return self.is_reset_by(sender, tcp);
        }
        let (side, other) = self.sides(sender);
        // To a SYN, an old connection's end may answer with what that was at.
        if side.sent.is_none()
            && other.isn.is_some()
            && tcp.ack
            && !other.is_acknowledged_by(tcp.acknowledgment)
        {
            return false;
        }
        match sender {
            Sender::Local => self.local.note(tcp),
            Sender::Foreign => self.foreign.note(tcp),
        }
        covers(self.local.acked, self.foreign.fin_end)
            && covers(self.foreign.acked, self.local.fin_end)
    }

    /// Does this RST count, RFC 9293 section 3.10.7? Where only a SYN was sent
    /// it must acknowledge that, later it must be inside the window.
    fn is_reset_by(&self, sender: Sender, tcp: &TcpHeader) -> bool {
        let (side, receiver) = self.sides(sender);
        if side.sent.is_none() && receiver.isn.is_some() {
            return tcp.ack && receiver.is_acknowledged_by(tcp.acknowledgment);
        }
        receiver
            .receives(side)
            .is_some_and(|(first, end)| within(tcp.sequence, first, end))
    }

    /// Does a node that sends this answer the SYN that came in?
    pub(crate) fn answers(&self, tcp: &TcpHeader) -> bool {
        tcp.ack && self.foreign.is_acknowledged_by(tcp.acknowledgment)
    }

    /// Can this segment, not a SYN alone, be one of this flow?
    fn fits(&self, sender: Sender, tcp: &TcpHeader) -> bool {
        let (side, other) = self.sides(sender);
        let answers = !tcp.ack
            || other
                .sent
                .is_none_or(|(_, next)| near(tcp.acknowledgment, next));
        if tcp.syn && side.isn.is_some_and(|isn| isn != tcp.sequence) {
            return false;
        }
        let continues = match (side.sent, other.acked) {
            (Some((_, next)), _) => near(tcp.sequence, next),
            (None, Some(acked)) => near(tcp.sequence, acked),
            (None, None) => tcp.ack && other.is_acknowledged_by(tcp.acknowledgment),
        };
        answers && continues
    }

    /// What a SYN of this side means for the open flow.
    fn syn(&self, sender: Sender, isn: u32) -> Syn {
        let (side, _) = self.sides(sender);
        if side.sent.is_none() {
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

/// From `first` to `last`, both included.
fn within(number: u32, first: u32, last: u32) -> bool {
    number.wrapping_sub(first) <= last.wrapping_sub(first)
}

/// As near as two segments of one connection are that a capture has in a wrong
/// order or with gaps: 16 MiB.
fn near(a: u32, b: u32) -> bool {
    let distance = 1 << 24;
    within(a, b.wrapping_sub(distance), b.wrapping_add(distance))
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

    /// Can this segment be one of this flow, whoever sent the frame?
    pub(crate) fn fits(&self, sender: Sender, tcp: &TcpHeader) -> bool {
        if tcp.is_first() {
            // That a node crosses an incoming SYN is not to be guessed: another
            // node's connect() looks the same.
            let syn = self.syn(sender, tcp.sequence);
            return match sender {
                Sender::Local => matches!(syn, Syn::Belongs | Syn::Ignored),
                Sender::Foreign => !matches!(syn, Syn::Begins | Syn::Replaces),
            };
        }
        match self {
            Self::Open { streams, .. } | Self::Midstream { streams } => streams.fits(sender, tcp),
            Self::Refused { .. } | Self::Ended { .. } => false,
        }
    }
}
