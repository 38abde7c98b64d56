// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm completions`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Outcome;

/// Writes what a shell needs to complete this program's commands.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  clinetadm completions bash > /usr/share/bash-completion/completions/clinetadm
  clinetadm completions zsh > /usr/share/zsh/site-functions/_clinetadm")]
pub struct Arguments {
    /// For which shell
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut command = crate::Arguments::command();
    // It panics if it cannot write, and memory takes everything.
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "clinetadm", &mut text);
    io::stdout().write_all(&text)?;
    Ok(Outcome::Done)
}
