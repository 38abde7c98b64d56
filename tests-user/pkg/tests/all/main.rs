// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What users see besides the module: package, pages, manual, tools.
//!
//! One program for all of them: linking takes longer than most tests.

mod captures;
mod device;
mod docs;
mod helper;
mod make;
mod man;
mod messages;
mod package;
mod refusals;
mod shell;
mod sockets;
mod toolchain;
mod vm_test;
