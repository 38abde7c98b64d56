// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The loader, held against small objects.
//!
//! One program for all of them: linking takes longer than most tests.

mod common;
mod corpus;
mod dependencies;
mod execute;
mod hostile;
mod placing;
mod probes;
mod refusals;
mod relocations;
mod symbols;
mod tunables;
