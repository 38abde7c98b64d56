// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The deepest chain of direct calls.

use crate::frames::{Target, Walk};
use crate::instructions::Function;
use crate::report::Chain;

/// The deepest use of the stack from the entry of one function.
#[derive(Clone, Copy, Default)]
struct Deepest {
    bytes: u64,
    /// The function that it goes on in.
    next: Option<usize>,
}

/// What is known of a function while the graph is walked.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

/// The deepest chain, from whichever function it begins in: the kernel calls
/// more than the global ones, by tables of entry points and by what it is told
/// to call back. A global one comes before what it jumps to. `walks` go with
/// `functions`. None if there are none.
pub(crate) fn deepest(functions: &[Function<'_>], walks: &[Walk]) -> Option<Chain> {
    let (depths, recursion) = depths(walks);
    let first =
        (0..functions.len()).max_by_key(|&index| (depths[index].bytes, functions[index].global))?;
    let chain: Vec<usize> =
        std::iter::successors(Some(first), |&index| depths[index].next).collect();
    Some(Chain {
        bytes: depths[first].bytes,
        path: chain
            .iter()
            .map(|&index| functions[index].name.to_owned())
            .collect(),
        indirect_calls: chain.iter().any(|&index| {
            walks[index]
                .calls
                .iter()
                .any(|call| call.target == Target::Unknown)
        }),
        recursion,
    })
}

/// Visits callees before callers, without recursion of its own: the graph is
/// as deep as the file says. A call that closes a circle is left out.
fn depths(walks: &[Walk]) -> (Vec<Deepest>, bool) {
    let mut depths = vec![Deepest::default(); walks.len()];
    let mut marks = vec![Mark::New; walks.len()];
    let mut recursion = false;
    for root in 0..walks.len() {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::Open;
        let mut path = vec![(root, 0)];
        while let Some((index, call)) = path.last_mut() {
            let (index, number) = (*index, *call);
            *call += 1;
            match walks[index].calls.get(number).map(|call| call.target) {
                Some(Target::Function(callee)) => match marks[callee] {
                    Mark::New => {
                        marks[callee] = Mark::Open;
                        path.push((callee, 0));
                    }
                    Mark::Open => recursion = true,
                    Mark::Done => {}
                },
                Some(_) => {}
                None => {
                    depths[index] = depth(&walks[index], &depths, &marks);
                    marks[index] = Mark::Done;
                    path.pop();
                }
            }
        }
    }
    (depths, recursion)
}

fn depth(walk: &Walk, depths: &[Deepest], marks: &[Mark]) -> Deepest {
    let own = Deepest {
        bytes: walk.frame,
        next: None,
    };
    walk.calls
        .iter()
        .map(|call| match call.target {
            Target::Function(callee) if marks[callee] == Mark::Done => Deepest {
                bytes: call.depth.saturating_add(depths[callee].bytes),
                next: Some(callee),
            },
            _ => Deepest {
                bytes: call.depth,
                next: None,
            },
        })
        .fold(own, |deepest, call| {
            if call.bytes > deepest.bytes {
                call
            } else {
                deepest
            }
        })
}
