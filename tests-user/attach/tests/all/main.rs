// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released module beside stock ip.
//!
//! One program for all of them: linking takes longer than most tests.

mod attach;
mod audit;
mod common;
mod doubt;
mod dtrace;
mod fence;
mod foreign;
mod grants;
mod load;
mod outside;
mod races;
mod seeding;
