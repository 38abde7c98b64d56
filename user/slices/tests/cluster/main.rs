// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Many agents, a directory and the modules of their machines in one process: a model checker looks
//! at every order of events of a small cluster, a simulator at random ones of a larger one.

mod canon;
mod faults;
mod happen;
mod machine;
mod model;
mod order;
mod rules;
mod same;
mod setup;
mod simulator;
mod store;
mod text;
mod thousand;
mod world;
