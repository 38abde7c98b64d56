// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where the programs of a cluster are.

use std::path::PathBuf;

use clinet_cluster::Programs;

use crate::files;

/// Options for programs that are elsewhere.
#[derive(clap::Args)]
pub struct Files {
    /// The agent [default: clinetd beside this tool]
    #[arg(long, value_name = "FILE")]
    clinetd: Option<PathBuf>,
    /// The module file [default: kernel/misc/amd64/clinet beside this tool]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The driver file [default: kernel/drv/amd64/clinetctl beside this tool]
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
}

impl Files {
    /// The programs, this tool among them.
    pub fn find(&self) -> anyhow::Result<Programs> {
        let lab = std::env::current_exe()?;
        let mut machine = Vec::new();
        for (option, file) in [("--module", &self.module), ("--driver", &self.driver)] {
            if let Some(file) = file {
                machine.extend([option.to_owned(), file.display().to_string()]);
            }
        }
        Ok(Programs {
            lab,
            clinetd: files::program(self.clinetd.as_deref(), "clinetd")?,
            machine,
            environment: Vec::new(),
        })
    }
}
