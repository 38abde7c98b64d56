// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The fence: shared addresses that the module takes away from a stock ip, and
//! brings back.

mod away;
mod back;
mod node;
mod threads;
