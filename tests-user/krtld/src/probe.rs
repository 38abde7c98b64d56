// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Statically defined DTrace probes: calls to undefined `__dtrace_probe_*`
//! symbols, which krtld turns into NOPs and remembers.

use crate::error::{LoadError, Warning, shown};

/// What the names of probe symbols begin with.
pub(crate) const PREFIX: &str = "__dtrace_probe_";

const CALL: u8 = 0xe8;
const JMP: u8 = 0xe9;
const NOP: u8 = 0x90;

/// A place in a module's text where a probe can be enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSite {
    /// The probe's name, with each `__` of the symbol turned into `-`.
    pub name: String,
    /// Name of the function that contains the site; empty if no function
    /// symbol does.
    pub function: String,
    /// Address of the first of the five NOPs.
    pub address: u64,
}

/// A probe site that was found while relocating.
pub(crate) struct Found {
    /// Number of the probe's symbol.
    pub symbol: usize,
    pub address: u64,
}

/// The probe name that belongs to a symbol name.
pub(crate) fn probe_name(symbol: &str) -> String {
    symbol
        .strip_prefix(PREFIX)
        .unwrap_or(symbol)
        .replace("__", "-")
}

/// Overwrites the call whose displacement is at `offset` in `section`. Returns
/// a warning if there is no call; None in place of the result if the five
/// bytes are not inside the section.
pub(crate) fn patch(section: &mut [u8], offset: u64, symbol: &str) -> Option<Option<Warning>> {
    let start = usize::try_from(offset).ok()?.checked_sub(1)?;
    let site = section.get_mut(start..start.checked_add(5)?)?;
    let opcode = site[0];
    site.fill(NOP);
    let name = shown(symbol);
    Some(match opcode {
        CALL => None,
        JMP => Some(format!(
            "probe {name} is a tail call (jmp): it becomes NOPs and control falls through into \
             the next function; compile with -fno-optimize-sibling-calls"
        )),
        _ => Some(format!(
            "probe {name} is not a call (opcode {opcode:#04x}): the bytes around its relocation \
             become NOPs"
        )),
    })
}

/// Functions by address, to name the one around a probe.
pub(crate) struct Functions {
    /// Start, size and symbol number, in ascending order.
    by_start: Vec<(u64, u64, usize)>,
}

impl Functions {
    pub fn new(functions: impl Iterator<Item = (u64, u64, usize)>) -> Self {
        let mut by_start: Vec<_> = functions.collect();
        by_start.sort_unstable();
        Self { by_start }
    }

    /// Symbol number of the function that contains `address`.
    pub fn around(&self, address: u64) -> Option<usize> {
        let after = self
            .by_start
            .partition_point(|(start, ..)| *start <= address);
        let (start, size, symbol) = self.by_start.get(after.checked_sub(1)?)?;
        (address - start < *size).then_some(*symbol)
    }
}

/// Names the sites that were found.
///
/// # Errors
/// The names together are larger than a module may be.
pub(crate) fn name_sites(
    found: &[Found],
    functions: &Functions,
    symbol_name: impl Fn(usize) -> String,
) -> Result<Vec<ProbeSite>, LoadError> {
    let mut name_bytes = 0;
    let mut sites = Vec::with_capacity(found.len());
    for site in found {
        let function = functions.around(site.address);
        let site = ProbeSite {
            name: probe_name(&symbol_name(site.symbol)),
            function: function.map(&symbol_name).unwrap_or_default(),
            address: site.address,
        };
        name_bytes += (site.name.len() + site.function.len()) as u64;
        if name_bytes > crate::SIZE_LIMIT {
            return Err(LoadError::TooLarge {
                what: "the names of the probe sites".into(),
            });
        }
        sites.push(site);
    }
    Ok(sites)
}
