// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks a kernel module file before a kernel sees it.
//!
//! The kernel linker of illumos (krtld) accepts files that it then relocates
//! wrongly, and code that an ordinary compiler makes for user programs harms
//! the thread that runs it in the kernel: floating-point registers are the
//! user's, an interrupt overwrites the red zone, a trap is a panic. [`check`]
//! reads a built module, an ELF relocatable file for x86-64, and names every
//! place that breaks one of the [rules](Rule).
//!
//! * `elf`: the file as sections, symbols and relocations
//! * `sections`, `relocations`, `symbols`, `linkage`: what krtld and the
//!   module framework expect of them
//! * `instructions`, `probes`: what code must not do
//! * `frames`, `calls`: how much stack it takes
//! * [`mapfile`], [`kernel_symbols`]: the two lists that names are held against
//! * `report`: what was found

mod calls;
mod elf;
mod frames;
mod instructions;
pub mod kernel_symbols;
mod linkage;
pub mod mapfile;
mod probes;
mod relocations;
mod report;
mod sections;
mod symbols;

use std::collections::BTreeMap;

pub use elf::Unusable;
pub use mapfile::{Mapfile, MapfileError};
pub use report::{Chain, Finding, Frame, Report, Rule, Severity, Sizes, Summary};

use elf::Elf;

/// What a module may take at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Stack of one function in bytes: saved registers, the frame pointer
    /// among them, and local room, without the return address.
    pub frame: u64,
}

impl Limits {
    /// Those of any module: the page below a kernel stack is not mapped, and a
    /// frame larger than a page can step over it.
    pub const ANY_MODULE: Limits = Limits { frame: 4096 };
}

/// Those of clinet.
impl Default for Limits {
    fn default() -> Self {
        Limits { frame: 512 }
    }
}

/// Checks the module file whose bytes are `file`.
///
/// `name` is the name under which the module is installed, a path or its last
/// component. With a `mapfile`, the global symbols are held against its list.
///
/// # Errors
///
/// [`Unusable`] if the bytes are not a whole ELF relocatable file for x86-64,
/// so that there is nothing to apply the rules to.
pub fn check(
    file: &[u8],
    name: &str,
    mapfile: Option<&Mapfile>,
    limits: &Limits,
) -> Result<Report, Unusable> {
    let elf = Elf::parse(file)?;
    let mut findings = Vec::new();
    let mut summary = Summary {
        module: linkage::module_name(name).to_owned(),
        sizes: sections::sizes(&elf),
        ..Summary::default()
    };

    sections::check(&elf, &mut findings);
    linkage::check_name(&summary.module, &mut findings);
    // Without symbols there is no function, no import and no relocation that
    // could be judged.
    if elf.symbol_table.is_none() {
        return Ok(Report { findings, summary });
    }

    relocations::check(&elf, &mut findings);
    summary.relocations = relocations::count(&elf);
    summary.dependencies = symbols::dependencies(&elf, &mut findings);
    summary.undefined = symbols::check_undefined(&elf, &summary.dependencies, &mut findings);
    symbols::check_ip_names(&elf, &summary.dependencies, &mut findings);
    symbols::check_common(&elf, &mut findings);
    if let Some(mapfile) = mapfile {
        symbols::check_globals(&elf, mapfile, &mut findings);
    }
    summary.description = linkage::check(&elf, &mut findings);

    let functions = instructions::functions(&elf, &mut findings);
    instructions::check(&elf, &functions, &mut findings);
    probes::check(&elf, &functions, &mut findings);
    let walks: Vec<_> = functions
        .iter()
        .map(|function| frames::walk(&elf, &functions, function, limits, &mut findings))
        .collect();
    summary.functions = functions.len();
    summary.largest_frame = functions
        .iter()
        .zip(&walks)
        .max_by_key(|(_, walk)| walk.frame)
        .map(|(function, walk)| Frame {
            function: function.name.to_owned(),
            bytes: walk.frame,
        });
    summary.deepest_chain = calls::deepest(&functions, &walks);

    sort_by_place(&elf, &mut findings);
    Ok(Report { findings, summary })
}

/// In the order of the file; what has no place comes first.
fn sort_by_place(elf: &Elf<'_>, findings: &mut [Finding]) {
    let order: BTreeMap<&str, usize> = elf
        .sections
        .iter()
        .enumerate()
        .map(|(index, section)| (section.name.as_ref(), index))
        .collect();
    findings.sort_by_key(|finding| {
        let section = finding.section.as_deref();
        (section.and_then(|name| order.get(name)), finding.offset)
    });
}
