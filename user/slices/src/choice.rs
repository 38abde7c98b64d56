// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which slice a node asks for.
//!
//! ip has one range of ephemeral ports for each protocol, so a node's slices are neighbours. The
//! first one is chosen far from others, so that nodes can grow; slices are given back only when a
//! node leaves, so that growing leaves room for those that come or start again.

use crate::directory::View;
use crate::names::{Identity, Key, NodeId, Protocol};
use crate::records::{Conf, Record, Tenure, Value};

/// One place of the port space as a node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// No record, or a free one.
    Empty,
    /// In quarantine.
    Waiting,
    /// This node's.
    Mine,
    /// Another's, or not to be read.
    Taken,
}

/// The places of a protocol, in their order.
pub fn places(view: &View, conf: &Conf, protocol: Protocol, identity: &Identity) -> Vec<Place> {
    let mut places = vec![Place::Empty; conf.slices(protocol) as usize];
    for (key, entry, _) in view.entries() {
        let Key::Slice(of, first) = key else {
            continue;
        };
        let number = conf.number(protocol, *first).filter(|_| *of == protocol);
        let Some((n, range)) = number.and_then(|n| Some((n, conf.nth(protocol, n)?))) else {
            continue;
        };
        places[n as usize] = match &entry.value {
            Value::Record(record) => place(record, range.last, identity),
            _ => Place::Taken,
        };
    }
    places
}

fn place(record: &Record, last: u16, identity: &Identity) -> Place {
    match &record.tenure {
        _ if record.last != last => Place::Taken,
        Tenure::Free => Place::Empty,
        _ if record.is_of(identity) => Place::Mine,
        Tenure::Quarantine(_) => Place::Waiting,
        Tenure::Own(_) => Place::Taken,
    }
}

/// What bounds a node's growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Slices that a node takes when it starts.
    pub start: u32,
    /// Slices that it needs by now.
    pub want: u32,
    /// Nodes that live.
    pub nodes: u32,
}

/// Places to ask for next, the best first; none if the node has what it wants or may have.
///
/// The first slice is for whoever asks. More at the start: only while less than half of the slices
/// have a record, since each node that starts again lets its old ones wait. More on demand: up to an
/// even share, and only while less than three quarters have a record.
pub fn next(places: &[Place], bounds: Bounds, node: &NodeId) -> Vec<u32> {
    let count = |kind| places.iter().filter(|place| **place == kind).count() as u64;
    let (all, mine) = (places.len() as u64, count(Place::Mine));
    let given = all - count(Place::Empty);
    if mine == 0 {
        return if bounds.want == 0 {
            Vec::new()
        } else {
            first(places, node)
        };
    }
    let may_grow = if mine < u64::from(bounds.want.min(bounds.start)) {
        given * 2 < all
    } else {
        mine < u64::from(bounds.want)
            && mine < all.div_ceil(u64::from(bounds.nodes.max(1)))
            && given * 4 < all * 3
    };
    if may_grow {
        neighbours(places)
    } else {
        Vec::new()
    }
}

/// The places beside this node's.
fn neighbours(places: &[Place]) -> Vec<u32> {
    let mine = |n: usize| places.get(n) == Some(&Place::Mine);
    let beside = |n: usize| mine(n + 1) || n.checked_sub(1).is_some_and(mine);
    let mut wanted: Vec<u32> = Vec::new();
    for kind in [Place::Empty, Place::Waiting] {
        for (n, place) in (0u32..).zip(places) {
            if *place == kind && beside(n as usize) {
                wanted.push(n);
            }
        }
    }
    wanted
}

/// Empty places, those that are far from others first, then those that wait. Where nodes start at
/// the same moment they see the same; so each begins at another one, by its name.
fn first(places: &[Place], node: &NodeId) -> Vec<u32> {
    let distances = distances(places);
    let farthest = distances.iter().copied().max().unwrap_or(0);
    let (mut far, mut near, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for ((n, place), distance) in (0u32..).zip(places).zip(distances) {
        match place {
            Place::Empty if distance > farthest / 2 => far.push(n),
            Place::Empty => near.push(n),
            Place::Waiting => waiting.push(n),
            Place::Mine | Place::Taken => {}
        }
    }
    for group in [&mut far, &mut near, &mut waiting] {
        if !group.is_empty() {
            let begin = hash(node) % group.len() as u64;
            group.rotate_left(begin as usize);
        }
    }
    far.extend(near);
    far.extend(waiting);
    far
}

/// How far each empty place is from the next one that is not: 1 is beside it.
fn distances(places: &[Place]) -> Vec<u32> {
    let mut distances = vec![0; places.len()];
    let most = u32::try_from(places.len()).unwrap_or(u32::MAX);
    let mut pass = |order: &mut dyn Iterator<Item = usize>, first: bool| {
        let mut distance = most;
        for n in order {
            distance = if places[n] == Place::Empty {
                distance.saturating_add(1).min(most)
            } else {
                0
            };
            distances[n] = if first {
                distance
            } else {
                distance.min(distances[n])
            };
        }
    };
    pass(&mut (0..places.len()), true);
    pass(&mut (0..places.len()).rev(), false);
    distances
}

/// FNV-1a: the same on each machine and in each version.
fn hash(node: &NodeId) -> u64 {
    node.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Name;

    fn map(text: &str) -> Vec<Place> {
        text.chars()
            .map(|c| match c {
                '.' => Place::Empty,
                'q' => Place::Waiting,
                'm' => Place::Mine,
                _ => Place::Taken,
            })
            .collect()
    }

    fn wants(text: &str, start: u32, want: u32, nodes: u32) -> Vec<u32> {
        let bounds = Bounds { start, want, nodes };
        next(&map(text), bounds, &Name::new("a").unwrap())
    }

    #[test]
    fn the_first_is_far_from_others() {
        assert_eq!(distances(&map("x..x")), [0, 1, 1, 0]);
        let first = wants("x.......", 1, 1, 2)[0];
        assert!(first >= 4, "{first}");
        assert_eq!(wants("xxxx.xxx", 1, 1, 8)[0], 4);
        assert_eq!(wants("xxxqxxxx", 1, 1, 8), [3]);
        assert!(wants("xxxxxxxx", 1, 1, 8).is_empty());
        assert!(wants("........", 0, 0, 8).is_empty());
    }

    #[test]
    fn growth_is_by_neighbours() {
        assert_eq!(wants("..m.....", 2, 2, 1), [1, 3]);
        assert_eq!(wants("x.mq....", 2, 2, 1), [1, 3]);
        assert_eq!(wants("m......x", 2, 2, 2), [1]);
        assert!(wants("..mm....", 2, 2, 1).is_empty());
        assert!(wants("xxmxx...", 2, 2, 1).is_empty());
    }

    #[test]
    fn growth_leaves_room() {
        assert!(wants("m.xxx...", 2, 2, 2).is_empty());
        assert_eq!(wants("m.xxx...", 1, 2, 2), [1]);
        assert!(wants("m.xxx...", 1, 2, 8).is_empty());
        assert!(wants("m.xxxxx.", 1, 2, 2).is_empty());
    }
}
