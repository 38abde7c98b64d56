// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The commands, a file each.

mod actions;
mod check;
mod completions;
mod delete;
mod events;
mod fence;
mod flush;
mod grants;
mod list;
mod owners;
mod set;
mod show;
mod show_grants;
mod show_stats;
mod top;

use clap::Subcommand;

use crate::{Outcome, Way};

#[derive(Subcommand)]
pub enum Command {
    Show(show::Arguments),
    ShowStats(show_stats::Arguments),
    List(list::Arguments),
    Check(check::Arguments),
    ShowGrants(show_grants::Arguments),
    Events(events::Arguments),
    Top(top::Arguments),
    Set(set::Arguments),
    Attach(actions::Attach),
    Detach(actions::Detach),
    Audit(actions::Audit),
    Sweep(actions::Sweep),
    Delete(delete::Arguments),
    Flush(flush::Arguments),
    Install(owners::Install),
    Withdraw(owners::Withdraw),
    Purge(owners::Purge),
    Resync(owners::Resync),
    Grants(grants::Arguments),
    Fence(fence::Fence),
    Unfence(fence::Unfence),
    Cluster(crate::cluster::Arguments),
    Completions(completions::Arguments),
}

impl Command {
    pub fn run(&self, way: &Way) -> anyhow::Result<Outcome> {
        match self {
            Self::Show(arguments) => show::run(arguments, way),
            Self::ShowStats(arguments) => show_stats::run(arguments, way),
            Self::List(arguments) => list::run(arguments, way),
            Self::Check(arguments) => check::run(arguments, way),
            Self::ShowGrants(arguments) => show_grants::run(arguments, way),
            Self::Events(arguments) => events::run(arguments, way),
            Self::Top(arguments) => top::run(arguments, way),
            Self::Set(arguments) => set::run(arguments, way),
            Self::Attach(_) => actions::attach(way),
            Self::Detach(arguments) => actions::detach(arguments, way),
            Self::Audit(_) => actions::audit(way),
            Self::Sweep(_) => actions::sweep(way),
            Self::Delete(arguments) => delete::run(arguments, way),
            Self::Flush(arguments) => flush::run(arguments, way),
            Self::Install(arguments) => owners::install(arguments, way),
            Self::Withdraw(arguments) => owners::withdraw(arguments, way),
            Self::Purge(arguments) => owners::purge(arguments, way),
            Self::Resync(arguments) => owners::resync(arguments, way),
            Self::Grants(arguments) => grants::run(arguments, way),
            Self::Fence(_) => fence::fence(way),
            Self::Unfence(arguments) => fence::unfence(arguments, way),
            Self::Cluster(arguments) => crate::cluster::run(arguments),
            Self::Completions(arguments) => completions::run(arguments),
        }
    }
}
