// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the audit of ip's connections knows without a kernel: what to make of
//! a connection, and which ones the last audit missed.

pub mod fingerprints;
pub mod walked;
