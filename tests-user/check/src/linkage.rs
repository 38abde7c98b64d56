// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules about how the kernel gets to know a module: its name, its entry
//! points and its linkage structures.
//!
//! No name is asked of a linkage structure: it is where a pointer to one of the
//! kernel's mod_ops lies, and a struct modlinkage is where a pointer to a
//! linkage structure lies. What code fills in before it calls mod_install(9F)
//! cannot be told from the file.

use std::collections::{BTreeMap, BTreeSet};

use object::elf;

use crate::elf::{Elf, Home, Relocation, Symbol, text};
use crate::report::{Finding, Rule};

/// Characters that the kernel keeps of a module name or a description.
pub(crate) const MAX_NAME: usize = 31;

/// Size of a pointer, and of the revision of struct modlinkage with its
/// padding.
const WORD: u64 = 8;
/// The only revision of struct modlinkage.
const MODREV_1: i32 = 1;
/// Pointers in struct modlinkage, the one that ends them included.
const ML_LINKAGE: u64 = 7;

/// A kind of linkage structure in sys/modctl.h. All begin with a pointer to
/// their mod_ops and one to a description.
struct Kind {
    /// What its first member points at.
    operations: &'static str,
    structure: &'static str,
    /// The third member, which installing it follows.
    third: Option<&'static str>,
}

const fn kind(
    operations: &'static str,
    structure: &'static str,
    third: Option<&'static str>,
) -> Kind {
    Kind {
        operations,
        structure,
        third,
    }
}

const KINDS: [Kind; 16] = [
    kind("mod_brandops", "modlbrand", Some("brand_branddef")),
    // Nothing is installed of it: what it points at is the module's own.
    kind("mod_cpuops", "modlcpu", None),
    kind("mod_cryptoops", "modlcrypto", None),
    kind("mod_dacfops", "modldacf", Some("dacf_dacfsw")),
    kind("mod_driverops", "modldrv", Some("drv_dev_ops")),
    kind("mod_execops", "modlexec", Some("exec_execsw")),
    kind("mod_fsops", "modlfs", Some("fs_vfsdef")),
    kind("mod_ippops", "modlipp", Some("ipp_ops")),
    kind("mod_kiconvops", "modlkiconv", Some("kiconv_moddef")),
    kind("mod_miscops", "modlmisc", None),
    kind("mod_pcbeops", "modlpcbe", Some("pcbe_ops")),
    kind("mod_schedops", "modlsched", Some("sched_class")),
    kind("mod_sockmodops", "modlsockmod", Some("sockmod_reg_info")),
    kind("mod_strmodops", "modlstrmod", Some("strmod_fmodsw")),
    kind("mod_syscallops", "modlsys", Some("sys_sysent")),
    kind("mod_syscallops32", "modlsys", Some("sys_sysent")),
];

/// Of a later kernel or of a dependency.
const OTHER: Kind = kind("another mod_ops", "linkage structure", None);

/// The kind of structure that begins with a pointer to that symbol.
fn kind_of(symbol: &Symbol<'_>) -> Option<&'static Kind> {
    let name = &symbol.name;
    let known = KINDS.iter().find(|kind| kind.operations == name);
    known.or_else(|| {
        let other = name.starts_with("mod_") && name.ends_with("ops");
        (symbol.home == Home::Undefined && other).then_some(&OTHER)
    })
}

/// Section and offset.
type Place = (usize, u64);

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
    check_entry_points(elf, findings);
    let linkage = Linkage::new(elf);
    if linkage.structures.is_empty() && !linkage.is_filled_by_code() {
        findings.push(Finding::of_file(
            Rule::Linkage,
            "it has no linkage structure: nothing points at a mod_ops of the kernel, as struct \
             modlmisc does at mod_miscops",
        ));
        return None;
    }
    linkage.check_modlinkages(findings);
    let mut description = None;
    for (&place, kind) in &linkage.structures {
        findings.extend(linkage.third_member_fault(place, kind));
        match linkage.linkinfo(place) {
            Ok(text) => {
                findings.extend(linkage.length_note(place, &text));
                description = description.or(Some(text));
            }
            Err(_) if linkage.code_refers_to(place, kind) => {}
            Err(detail) => {
                findings.push(elf.finding(Rule::Description, place.0, place.1, detail));
            }
        }
    }
    description
}

/// modload fails without _init; without the others the module loads, but is
/// not known by modinfo, or stays for ever.
fn check_entry_points(elf: &Elf<'_>, findings: &mut Vec<Finding>) {
    let missing = |name| elf.symbol_named(name).is_none();
    let finding = |name, detail| Finding::of_symbol(Rule::EntryPoint, name, detail);
    if missing("_init") {
        findings.push(finding("_init", "it is not defined"));
    }
    if missing("_info") {
        let detail = "it is not defined, so the kernel warns and modinfo shows nothing";
        findings.push(finding("_info", detail).into_note());
    }
    if missing("_fini") {
        let detail = "it is not defined, so the module cannot be unloaded";
        findings.push(finding("_fini", detail).into_note());
    }
}

struct Linkage<'e, 'a> {
    elf: &'e Elf<'a>,
    /// Every linkage structure in data.
    structures: BTreeMap<Place, &'static Kind>,
    /// The places that code refers to.
    code_refers_to: BTreeSet<Place>,
}

impl<'e, 'a> Linkage<'e, 'a> {
    fn new(elf: &'e Elf<'a>) -> Self {
        let in_code = |section: usize| elf.sections[section].executable();
        let mut structures = BTreeMap::new();
        let mut code_refers_to = BTreeSet::new();
        for relocation in &elf.relocations {
            let symbol = &elf.symbols[relocation.symbol];
            if in_code(relocation.section) {
                code_refers_to.extend(target(elf, symbol.home, symbol.value, relocation));
            } else if relocation.kind == elf::R_X86_64_64
                && let Some(kind) = kind_of(symbol)
            {
                structures.insert((relocation.section, relocation.offset), kind);
            }
        }
        Linkage {
            elf,
            structures,
            code_refers_to,
        }
    }

    /// Does code load the address of a mod_ops?
    fn is_filled_by_code(&self) -> bool {
        let mut relocations = self.elf.relocations.iter();
        relocations.any(|relocation| kind_of(&self.elf.symbols[relocation.symbol]).is_some())
    }

    /// Does code refer to a linkage structure, and so perhaps fill it in?
    fn code_refers_to(&self, (section, start): Place, kind: &Kind) -> bool {
        let members = if kind.third.is_some() { 3 } else { 2 };
        let range = (section, start)..(section, start.saturating_add(members * WORD));
        self.code_refers_to.range(range).next().is_some()
    }

    /// Where the pointer at a place leads, if it leads into the module.
    fn pointee(&self, (section, offset): Place) -> Option<Place> {
        let (symbol, addend) = self.elf.pointer_at(section, offset)?;
        match symbol.home {
            Home::Section(section) => Some((section, symbol.value.wrapping_add_signed(addend))),
            _ => None,
        }
    }

    /// The structure that the pointer at a place leads to.
    fn structure_at(&self, place: Place) -> Option<Place> {
        let pointee = self.pointee(place)?;
        self.structures.contains_key(&pointee).then_some(pointee)
    }

    /// Every structure has to be in a struct modlinkage.
    fn check_modlinkages(&self, findings: &mut Vec<Finding>) {
        let pointers = self.first_pointers();
        let mut judged = BTreeSet::new();
        for (&place, kind) in &self.structures {
            let Some(firsts) = pointers.get(&place) else {
                if !self.code_refers_to(place, kind) {
                    let detail = format!("no struct modlinkage points at this {}", kind.structure);
                    findings.push(self.elf.finding(Rule::Linkage, place.0, place.1, detail));
                }
                continue;
            };
            // Other pointers to it may lie anywhere.
            let faults = firsts.iter().map(|&first| self.modlinkage_fault(first));
            if let Some(faults) = faults.collect::<Option<Vec<_>>>()
                && judged.insert(firsts.first())
            {
                findings.extend(faults.into_iter().next());
            }
        }
    }

    /// For each structure, the places of the pointers to it; of pointers that
    /// lie one after the other, the first.
    fn first_pointers(&self) -> BTreeMap<Place, BTreeSet<Place>> {
        let mut pointers = BTreeMap::<_, BTreeSet<_>>::new();
        for relocation in &self.elf.relocations {
            let at = (relocation.section, relocation.offset);
            if self.elf.sections[at.0].executable() {
                continue;
            }
            if let Some(structure) = self.structure_at(at) {
                pointers
                    .entry(structure)
                    .or_default()
                    .insert(self.first_of(at));
            }
        }
        pointers
    }

    fn first_of(&self, (section, offset): Place) -> Place {
        let before = |at: &u64| at.checked_sub(WORD);
        let first = std::iter::successors(Some(offset), before)
            .take(ML_LINKAGE as usize)
            .take_while(|&at| self.elf.pointer_at(section, at).is_some())
            .last();
        (section, first.unwrap_or(offset))
    }

    /// Judges the struct modlinkage whose first pointer is at `first`.
    fn modlinkage_fault(&self, first: Place) -> Option<Finding> {
        let (section, offset) = first;
        let fault = |at, detail: String| Some(self.elf.finding(Rule::Linkage, section, at, detail));
        let Some(start) = offset.checked_sub(WORD) else {
            return fault(offset, "there is no revision before it".to_owned());
        };
        let revision = self.bytes((section, start)).and_then(|b| b.first_chunk());
        let revision = revision.map_or(0, |&bytes| i32::from_le_bytes(bytes));
        if revision != MODREV_1 {
            return fault(start, format!("its revision is {revision}, not {MODREV_1}"));
        }
        let count = (0..ML_LINKAGE)
            .take_while(|index| {
                self.elf
                    .pointer_at(section, offset + index * WORD)
                    .is_some()
            })
            .count() as u64;
        let end = offset + count * WORD;
        if count == ML_LINKAGE || !self.is_zero((section, end)) {
            return fault(start, "no null pointer ends its ml_linkage".to_owned());
        }
        None
    }

    fn bytes(&self, (section, offset): Place) -> Option<&'a [u8]> {
        let data = self.elf.sections[section].data;
        data.get(usize::try_from(offset).ok()?..)
    }

    /// Is there a word of zeros?
    fn is_zero(&self, place: Place) -> bool {
        self.bytes(place)
            .and_then(|bytes| bytes.first_chunk::<8>())
            .is_some_and(|word| *word == [0; 8])
    }

    fn third_member_fault(&self, place: Place, kind: &Kind) -> Option<Finding> {
        let third = kind.third?;
        let (section, offset) = place;
        let present = self.elf.pointer_at(section, offset + 2 * WORD).is_some();
        // What lies behind a structure that is too short belongs to another.
        let fits = self
            .elf
            .symbol_at(section, offset)
            .is_none_or(|s| s.size == 0 || s.value.saturating_add(s.size) >= offset + 3 * WORD);
        if (present && fits) || self.code_refers_to(place, kind) {
            return None;
        }
        let detail = format!(
            "it begins with {}, so it is a struct {}, and {third} at its offset 16 points at nothing",
            kind.operations, kind.structure
        );
        Some(self.elf.finding(Rule::Linkage, section, offset, detail))
    }

    fn linkinfo(&self, (section, offset): Place) -> Result<String, &'static str> {
        let bytes = self
            .pointee((section, offset + WORD))
            .and_then(|place| self.bytes(place))
            .ok_or("its linkinfo does not point at a string")?;
        let length = bytes
            .iter()
            .position(|&byte| byte == 0)
            .ok_or("its linkinfo has no end")?;
        Ok(text(&bytes[..length]).into_owned())
    }

    fn length_note(&self, (section, offset): Place, text: &str) -> Option<Finding> {
        let detail = match text.len() {
            0 => "its linkinfo is empty".to_owned(),
            1..=MAX_NAME => return None,
            length => format!("its linkinfo {text:?} has {length} characters"),
        };
        let finding = self.elf.finding(Rule::Description, section, offset, detail);
        Some(finding.into_note())
    }
}

/// The place in the module that a relocation refers to: an operand that counts
/// from the end of its field is 4 bytes less than what it means.
fn target(elf: &Elf<'_>, home: Home, value: u64, relocation: &Relocation) -> Option<Place> {
    let Home::Section(section) = home else {
        return None;
    };
    let bias = match relocation.kind {
        elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => 4,
        _ => 0,
    };
    let offset = value
        .wrapping_add_signed(relocation.addend)
        .wrapping_add(bias);
    (offset <= elf.sections[section].size).then_some((section, offset))
}
