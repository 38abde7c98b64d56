// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules about sections as such.

use object::elf;

use crate::elf::{Elf, Section};
use crate::report::{Finding, Rule, Sizes};

pub(crate) fn check(elf: &Elf<'_>, findings: &mut Vec<Finding>) {
    if elf.symbol_table.is_none() {
        findings.push(Finding::of_file(
            Rule::MissingSymbolTable,
            "the file has no SHT_SYMTAB section",
        ));
    }
    if elf.extended_numbers {
        findings.push(Finding::of_file(
            Rule::ExtendedSectionNumbers,
            format!("the file has {} sections", elf.sections.len()),
        ));
    }
    for (index, section) in elf.sections.iter().enumerate() {
        if section.kind == elf::SHT_GROUP {
            let finding = elf.section_finding(Rule::SectionGroup, index, "it is a section group");
            findings.push(finding.into_note());
        }
        for (rule, detail) in faults(section) {
            findings.push(elf.section_finding(rule, index, detail));
        }
    }
}

fn faults(section: &Section<'_>) -> Vec<(Rule, String)> {
    let mut faults = Vec::new();
    let mut fault = |rule, detail: &str| faults.push((rule, detail.to_owned()));
    if section.kind == elf::SHT_REL {
        fault(
            Rule::RelocationFormat,
            "it is SHT_REL, relocations without addends",
        );
    }
    if !section.allocated() {
        return faults;
    }
    if section.writable() && section.executable() {
        fault(
            Rule::WritableExecutable,
            "it is both writable and executable",
        );
    }
    if section.address != 0 {
        let detail = format!("its address is {:#x}", section.address);
        fault(Rule::SectionAddress, &detail);
    }
    if section.flags.contains(elf::SHF_TLS) {
        fault(Rule::TlsReference, "it holds thread-local storage");
    }
    if is_or_below(&section.name, ".got") {
        fault(Rule::GotReference, "it is a global offset table");
    }
    if runs_by_itself(section) {
        fault(
            Rule::InitializerSection,
            "it holds functions to run at load or unload",
        );
    }
    faults
}

/// Is it `.name`, or `.name.anything`?
fn is_or_below(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn runs_by_itself(section: &Section<'_>) -> bool {
    let array = matches!(
        section.kind,
        elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY | elf::SHT_PREINIT_ARRAY
    );
    let names = [
        ".init",
        ".fini",
        ".init_array",
        ".fini_array",
        ".preinit_array",
        ".ctors",
        ".dtors",
    ];
    section.size > 0 && (array || names.iter().any(|stem| is_or_below(&section.name, stem)))
}

pub(crate) fn sizes(elf: &Elf<'_>) -> Sizes {
    let mut sizes = Sizes::default();
    for section in elf.sections.iter().filter(|s| s.allocated()) {
        let sum = if section.executable() {
            &mut sizes.text
        } else if !section.writable() {
            &mut sizes.rodata
        } else if section.kind == elf::SHT_NOBITS {
            &mut sizes.bss
        } else {
            &mut sizes.data
        };
        *sum = sum.saturating_add(section.size);
    }
    sizes
}
