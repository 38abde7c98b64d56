// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules about how the kernel gets to know a module: its name, its entry
//! points and its description.

use object::elf;

use crate::elf::{Elf, Home, Symbol, text};
use crate::report::{Finding, Rule};

/// Characters that the kernel keeps of a module name or a description.
pub(crate) const MAX_NAME: usize = 31;

/// Offset of the description in struct modlmisc and struct modldrv.
const LINKINFO: u64 = 8;
/// Offset of the first pointer in struct modlinkage, after the revision.
const ML_LINKAGE: u64 = 8;
/// The only revision of struct modlinkage.
const MODREV_1: i32 = 1;

/// The name under which the kernel knows the module in that file.
pub(crate) fn module_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub(crate) fn check_name(name: &str, findings: &mut Vec<Finding>) {
    let length = name.len();
    if length == 0 || length > MAX_NAME {
        findings.push(Finding::of_file(
            Rule::NameLength,
            format!("the module name {name:?} has {length} characters"),
        ));
    }
}

/// Checks entry points and linkage structures; returns the description.
pub(crate) fn check(elf: &Elf<'_>, findings: &mut Vec<Finding>) -> Option<String> {
    for name in ["_init", "_info", "_fini"] {
        findings.extend(entry_point_fault(elf, name));
    }
    let structures: Vec<_> = ["modlmisc", "modldrv"]
        .into_iter()
        .filter_map(|name| elf.symbol_named(name))
        .collect();
    if structures.is_empty() {
        findings.push(Finding::of_symbol(
            Rule::Linkage,
            "modlmisc",
            "there is neither an object modlmisc nor modldrv",
        ));
        return None;
    }
    check_modlinkage(elf, findings);
    let mut description = None;
    for structure in structures {
        check_operations(elf, structure, findings);
        match linkinfo(elf, structure) {
            Ok(text) => description = Some(text),
            Err(detail) => {
                findings.push(elf.symbol_finding(Rule::Description, structure, detail));
            }
        }
    }
    description
}

fn entry_point_fault(elf: &Elf<'_>, name: &str) -> Option<Finding> {
    let Some(symbol) = elf.symbol_named(name) else {
        return Some(Finding::of_symbol(
            Rule::EntryPoint,
            name,
            "it is not defined",
        ));
    };
    let detail = if symbol.local {
        "it is local"
    } else if symbol.kind != elf::STT_FUNC {
        "it is not a function"
    } else {
        return None;
    };
    Some(elf.symbol_finding(Rule::EntryPoint, symbol, detail))
}

/// Where the pointer in member `offset` of a structure leads.
fn member<'e, 'a>(
    elf: &'e Elf<'a>,
    structure: &Symbol<'_>,
    offset: u64,
) -> Option<(&'e Symbol<'a>, i64)> {
    let Home::Section(section) = structure.home else {
        return None;
    };
    elf.pointer_at(section, structure.value.checked_add(offset)?)
}

fn check_modlinkage(elf: &Elf<'_>, findings: &mut Vec<Finding>) {
    let Some(modlinkage) = elf.symbol_named("modlinkage") else {
        findings.push(Finding::of_symbol(
            Rule::Linkage,
            "modlinkage",
            "it is not defined",
        ));
        return;
    };
    let revision = elf
        .bytes_from(modlinkage, 0)
        .and_then(|bytes| bytes.first_chunk())
        .map(|&bytes| i32::from_le_bytes(bytes));
    if revision != Some(MODREV_1) {
        let detail = match revision {
            Some(revision) => format!("its revision is {revision}, not {MODREV_1}"),
            None => "it has no contents".to_owned(),
        };
        findings.push(elf.symbol_finding(Rule::Linkage, modlinkage, detail));
    }
    let leads_to_structure = member(elf, modlinkage, ML_LINKAGE).is_some_and(|(symbol, addend)| {
        let Home::Section(section) = symbol.home else {
            return false;
        };
        let place = symbol.value.wrapping_add_signed(addend);
        ["modlmisc", "modldrv"].into_iter().any(|name| {
            elf.symbol_named(name)
                .is_some_and(|s| s.home == Home::Section(section) && s.value == place)
        })
    });
    if !leads_to_structure {
        findings.push(elf.symbol_finding(
            Rule::Linkage,
            modlinkage,
            "its first entry does not point at modlmisc or modldrv",
        ));
    }
}

/// The first member names the framework's functions for this kind of module.
fn check_operations(elf: &Elf<'_>, structure: &Symbol<'_>, findings: &mut Vec<Finding>) {
    let expected = match structure.name.as_ref() {
        "modldrv" => "mod_driverops",
        _ => "mod_miscops",
    };
    let found = member(elf, structure, 0).map(|(symbol, _)| symbol.name.as_ref());
    if found != Some(expected) {
        let detail = format!(
            "its first member is {}, not the address of {expected}",
            found.unwrap_or("no pointer")
        );
        findings.push(elf.symbol_finding(Rule::Linkage, structure, detail));
    }
}

fn linkinfo(elf: &Elf<'_>, structure: &Symbol<'_>) -> Result<String, String> {
    let bytes = member(elf, structure, LINKINFO)
        .and_then(|(symbol, addend)| elf.bytes_from(symbol, addend))
        .ok_or("its linkinfo does not point at a string")?;
    let length = bytes
        .iter()
        .position(|&byte| byte == 0)
        .ok_or("its linkinfo has no end")?;
    let text = text(&bytes[..length]).into_owned();
    match length {
        0 => Err("its linkinfo is empty".to_owned()),
        1..=MAX_NAME => Ok(text),
        _ => Err(format!("its linkinfo {text:?} has {length} characters")),
    }
}
