// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The replay, held against packets and captures.
//!
//! One program for all of them: linking takes longer than most tests.

mod captures;
mod common;
mod formats;
mod headers;
mod nodes;
mod relays;
mod resets;
mod rules;
mod tunnels;
