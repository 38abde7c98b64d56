// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules about relocations: what krtld applies, and to which bytes.

use std::collections::BTreeMap;

use object::elf;

use crate::elf::{Elf, Relocation};
use crate::report::{Finding, Rule};

pub(crate) fn check(elf: &Elf<'_>, findings: &mut Vec<Finding>) {
    for (section, complaint) in &elf.bad_relocations {
        findings.push(elf.section_finding(Rule::RelocationFormat, *section, complaint));
    }
    for relocation in &elf.relocations {
        match relocation.field_size() {
            None => findings.push(wrong_type(elf, relocation)),
            Some(size) => findings.extend(bytes_in_place(elf, relocation, size)),
        }
    }
    check_overlaps(elf, findings);
}

fn wrong_type(elf: &Elf<'_>, relocation: &Relocation) -> Finding {
    let number = relocation.kind.0;
    let rule = match number {
        // GOT32, GOTPCREL, GOTOFF64 to PLTOFF64, GOTPCRELX, REX_GOTPCRELX
        3 | 9 | 25..=31 | 41 | 42 => Rule::GotReference,
        // DTPMOD64 to TPOFF32, GOTPC32_TLSDESC to TLSDESC
        16..=23 | 34..=36 => Rule::TlsReference,
        _ => Rule::RelocationType,
    };
    elf.finding(
        rule,
        relocation.section,
        relocation.offset,
        format!("relocation type {number} to {}", target(elf, relocation)),
    )
}

/// The name of what a relocation refers to.
fn target(elf: &Elf<'_>, relocation: &Relocation) -> String {
    let symbol = &elf.symbols[relocation.symbol];
    match symbol.home {
        crate::elf::Home::Section(section) if symbol.kind == elf::STT_SECTION => {
            elf.sections[section].name.to_string()
        }
        _ if symbol.name.is_empty() => format!("symbol {}", relocation.symbol),
        _ => symbol.name.to_string(),
    }
}

fn bytes_in_place(elf: &Elf<'_>, relocation: &Relocation, size: u64) -> Option<Finding> {
    let start = usize::try_from(relocation.offset).ok()?;
    let end = start.checked_add(size as usize)?;
    let bytes = elf.sections[relocation.section].data.get(start..end)?;
    bytes.iter().any(|&byte| byte != 0).then(|| {
        elf.finding(
            Rule::RelocatedBytes,
            relocation.section,
            relocation.offset,
            format!(
                "the field relocated to {} holds {bytes:02x?}, not zeros",
                target(elf, relocation)
            ),
        )
    })
}

/// Two relocations of one field are added up.
fn check_overlaps(elf: &Elf<'_>, findings: &mut Vec<Finding>) {
    for pair in elf.relocations.windows(2) {
        let [first, second] = pair else { continue };
        let end = first.offset + first.field_size().unwrap_or(0);
        if first.section == second.section && second.offset < end {
            findings.push(elf.finding(
                Rule::RelocatedBytes,
                second.section,
                second.offset,
                "two relocations change the same bytes",
            ));
        }
    }
}

/// How many there are of each type.
pub(crate) fn count(elf: &Elf<'_>) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for relocation in &elf.relocations {
        *counts.entry(relocation.kind.0).or_default() += 1;
    }
    counts
}
