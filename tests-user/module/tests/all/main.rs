// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released module, called as the contract and its users call it.
//!
//! One program for all of them: linking takes longer than most tests.

mod associate;
mod configured;
mod contract;
mod control;
mod events;
mod examples;
mod grants;
mod last_destination;
mod lifecycle;
mod provider;
mod registry;
mod slots;
mod tcp;
mod udp;
