// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released driver, called through its device.
//!
//! One program for all of them: linking takes longer than most tests.

mod change;
mod commands;
mod control;
mod events;
mod fuzz;
mod layout;
mod lifecycle;
mod look;
