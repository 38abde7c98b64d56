// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The checker, held against small modules.
//!
//! One program for all of them: linking takes longer than most tests.

mod common;
mod frames;
mod instructions;
mod linkage;
mod relocations;
mod report;
mod sections;
mod symbols;
