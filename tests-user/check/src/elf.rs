// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module file as sections, symbols and relocations.

use std::borrow::Cow;

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, Rela64, SectionHeader64};
use object::read::SectionIndex;
use object::read::elf::{
    Dyn, FileHeader, Rela, SectionHeader, SectionTable as ObjectSections, Sym,
};

use crate::report::{Finding, Rule};

/// Why a file cannot be checked at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not an ELF file, or its header is cut short.
    #[error("not an ELF file: give the module file that the build made")]
    NotElf,
    /// An ELF file of another kind.
    #[error("{0}: a kernel module is a little-endian 64-bit relocatable file for x86-64")]
    OtherKind(String),
    /// Something that the headers name is not in the file.
    #[error("the file is damaged or cut short: {0}: build it again")]
    Damaged(String),
}

/// An ELF64 relocatable file whose tables all lie within it.
pub(crate) struct Elf<'a> {
    /// By section number; number 0 is the null section.
    pub sections: Vec<Section<'a>>,
    /// By symbol number; number 0 is the null symbol.
    pub symbols: Vec<Symbol<'a>>,
    /// Those of allocated sections, sorted by section and offset. Their
    /// section and symbol exist and their offset lies within the section.
    pub relocations: Vec<Relocation>,
    /// Number of the symbol table's section.
    pub symbol_table: Option<usize>,
    /// Section number and complaint, for each relocation or section of
    /// relocations that had to be left out above.
    pub bad_relocations: Vec<(usize, String)>,
    /// Section numbers beyond 16 bits are in use.
    pub extended_numbers: bool,
    /// The DT_NEEDED names.
    pub needed: Vec<String>,
    /// Symbol numbers of functions and objects, sorted by section and value.
    by_place: Vec<usize>,
}

pub(crate) struct Section<'a> {
    pub name: Cow<'a, str>,
    pub kind: elf::SectionType,
    pub flags: elf::SectionFlags,
    pub address: u64,
    pub size: u64,
    /// Empty for SHT_NOBITS.
    pub data: &'a [u8],
}

impl Section<'_> {
    pub fn allocated(&self) -> bool {
        self.flags.contains(elf::SHF_ALLOC)
    }

    pub fn executable(&self) -> bool {
        self.flags.contains(elf::SHF_EXECINSTR)
    }

    pub fn writable(&self) -> bool {
        self.flags.contains(elf::SHF_WRITE)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Undefined,
    Section(usize),
    Common,
    /// Absolute, or a reserved number.
    Elsewhere,
}

pub(crate) struct Symbol<'a> {
    pub name: Cow<'a, str>,
    pub value: u64,
    pub size: u64,
    pub kind: elf::SymbolType,
    pub local: bool,
    pub weak: bool,
    pub home: Home,
}

impl Symbol<'_> {
    pub fn is_probe(&self) -> bool {
        self.home == Home::Undefined && self.name.starts_with("__dtrace_probe_")
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Relocation {
    /// The section that is relocated.
    pub section: usize,
    pub offset: u64,
    pub kind: elf::RelocationType,
    pub symbol: usize,
    pub addend: i64,
}

impl Relocation {
    /// Bytes that krtld changes, for the types that it applies correctly.
    pub fn field_size(&self) -> Option<u64> {
        match self.kind {
            elf::R_X86_64_64 | elf::R_X86_64_PC64 => Some(8),
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 | elf::R_X86_64_32S => Some(4),
            _ => None,
        }
    }
}

type Header = FileHeader64<Le>;
type Sections<'a> = ObjectSections<'a, Header>;

fn damaged(what: impl std::fmt::Display) -> impl FnOnce(object::read::Error) -> Unusable {
    move |error| Unusable::Damaged(format!("{what}: {error}"))
}

impl<'a> Elf<'a> {
    pub fn parse(file: &'a [u8]) -> Result<Self, Unusable> {
        let header = header(file)?;
        let table = header
            .sections(Le, file)
            .map_err(damaged("section headers"))?;
        if table.is_empty() {
            return Err(Unusable::Damaged("it has no sections".to_owned()));
        }
        let sections = table
            .enumerate()
            .map(|(index, raw)| section(file, &table, index, raw))
            .collect::<Result<Vec<_>, _>>()?;
        refuse_overlaps(file, &sections)?;

        let symbol_table = sections.iter().position(|s| s.kind == elf::SHT_SYMTAB);
        let symbols = match symbol_table {
            Some(index) => symbols(file, &table, index, sections.len())?,
            None => Vec::new(),
        };
        let mut elf = Elf {
            extended_numbers: header.e_shnum(Le) == 0
                || sections.iter().any(|s| s.kind == elf::SHT_SYMTAB_SHNDX),
            needed: needed(file, &table)?,
            by_place: by_place(&symbols),
            sections,
            symbols,
            relocations: Vec::new(),
            symbol_table,
            bad_relocations: Vec::new(),
        };
        elf.read_relocations(file, &table)?;
        Ok(elf)
    }

    fn read_relocations(&mut self, file: &'a [u8], table: &Sections<'a>) -> Result<(), Unusable> {
        for (index, raw) in table.enumerate() {
            let Some((entries, link)) = raw
                .rela(Le, file)
                .map_err(damaged(&self.sections[index.0].name))?
            else {
                continue;
            };
            let target = raw.sh_info(Le) as usize;
            let complaint = if Some(link.0) != self.symbol_table {
                format!(
                    "it is linked to section {}, not to the symbol table",
                    link.0
                )
            } else if target == 0 || target >= self.sections.len() {
                format!("it relocates section {target}, which does not exist")
            } else {
                if self.sections[target].allocated() {
                    self.read_entries(index.0, target, entries);
                }
                continue;
            };
            self.bad_relocations.push((index.0, complaint));
        }
        self.relocations.sort_by_key(|r| (r.section, r.offset));
        Ok(())
    }

    fn read_entries(&mut self, from: usize, target: usize, entries: &[Rela64<Le>]) {
        for (number, entry) in entries.iter().enumerate() {
            let relocation = Relocation {
                section: target,
                offset: entry.r_offset(Le),
                kind: entry.r_type(Le, false),
                symbol: entry.r_sym(Le, false) as usize,
                addend: entry.r_addend(Le),
            };
            let room = (self.sections[target].data.len() as u64).checked_sub(relocation.offset);
            let complaint = if relocation.symbol >= self.symbols.len() {
                format!(
                    "entry {number} names symbol {}, which does not exist",
                    relocation.symbol
                )
            } else if room < Some(relocation.field_size().unwrap_or(1)) {
                format!(
                    "entry {number} relocates offset {:#x} of {}, which has no bytes there",
                    relocation.offset, self.sections[target].name
                )
            } else {
                self.relocations.push(relocation);
                continue;
            };
            self.bad_relocations.push((from, complaint));
        }
    }

    /// The relocations of `section` whose offset is in `start..end`.
    pub fn relocations_in(&self, section: usize, start: u64, end: u64) -> &[Relocation] {
        let from = self
            .relocations
            .partition_point(|r| (r.section, r.offset) < (section, start));
        let to = self
            .relocations
            .partition_point(|r| (r.section, r.offset) < (section, end));
        // A range that wrapped is empty, not backwards.
        self.relocations.get(from..to).unwrap_or(&[])
    }

    /// The function or object that covers a place.
    pub fn symbol_at(&self, section: usize, offset: u64) -> Option<&Symbol<'a>> {
        let key = |symbol: &Symbol<'_>| (symbol.home == Home::Section(section), symbol.value);
        let after = self.by_place.partition_point(|&number| {
            let symbol = &self.symbols[number];
            place(symbol) <= Some((section, offset))
        });
        let symbol = &self.symbols[*self.by_place[..after].last()?];
        let (same_section, value) = key(symbol);
        (same_section && (symbol.size == 0 || offset - value < symbol.size)).then_some(symbol)
    }

    /// The defined symbol of that name; a global one before a local one.
    pub fn symbol_named(&self, name: &str) -> Option<&Symbol<'a>> {
        self.symbols
            .iter()
            .filter(|s| s.name == name && matches!(s.home, Home::Section(_)))
            .min_by_key(|s| s.local)
    }

    /// The place that a relocated pointer at `section`+`offset` points at.
    pub fn pointer_at(&self, section: usize, offset: u64) -> Option<(&Symbol<'a>, i64)> {
        self.relocations_in(section, offset, offset.wrapping_add(1))
            .iter()
            .find(|r| r.kind == elf::R_X86_64_64)
            .map(|r| (&self.symbols[r.symbol], r.addend))
    }

    /// The bytes from a symbol plus `addend` to the end of its section.
    pub fn bytes_from(&self, symbol: &Symbol<'_>, addend: i64) -> Option<&'a [u8]> {
        let Home::Section(section) = symbol.home else {
            return None;
        };
        let start = symbol.value.checked_add_signed(addend)?;
        self.sections[section]
            .data
            .get(usize::try_from(start).ok()?..)
    }

    /// A finding about a place in a section.
    pub fn finding(
        &self,
        rule: Rule,
        section: usize,
        offset: u64,
        detail: impl Into<String>,
    ) -> Finding {
        Finding {
            symbol: self.symbol_at(section, offset).map(|s| s.name.to_string()),
            offset: Some(offset),
            ..self.section_finding(rule, section, detail)
        }
    }

    /// A finding about a whole section.
    pub fn section_finding(
        &self,
        rule: Rule,
        section: usize,
        detail: impl Into<String>,
    ) -> Finding {
        Finding {
            section: Some(self.sections[section].name.to_string()),
            ..Finding::of_file(rule, detail)
        }
    }

    /// A finding about a symbol, with its place if it has one.
    pub fn symbol_finding(
        &self,
        rule: Rule,
        symbol: &Symbol<'_>,
        detail: impl Into<String>,
    ) -> Finding {
        let mut finding = Finding::of_symbol(rule, &symbol.name, detail);
        if let Home::Section(section) = symbol.home {
            finding.section = Some(self.sections[section].name.to_string());
            finding.offset = Some(symbol.value);
        }
        finding
    }
}

/// Text from the file as it can be shown: control characters are escaped.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    match text.contains(char::is_control) {
        true => text.escape_debug().to_string().into(),
        false => text,
    }
}

fn header(file: &[u8]) -> Result<&Header, Unusable> {
    if !file.starts_with(&elf::ELFMAG) {
        return Err(Unusable::NotElf);
    }
    let other = |what: &str| Unusable::OtherKind(what.to_owned());
    if file.get(4) != Some(&elf::ELFCLASS64.0) {
        return Err(other("not a 64-bit file"));
    }
    if file.get(5) != Some(&elf::ELFDATA2LSB.0) {
        return Err(other("not a little-endian file"));
    }
    let header = Header::parse(file).map_err(|_| Unusable::NotElf)?;
    if header.e_machine(Le) != elf::EM_X86_64 {
        return Err(other("not a file for x86-64"));
    }
    if header.e_type(Le) != elf::ET_REL {
        return Err(other("not a relocatable file"));
    }
    Ok(header)
}

fn section<'a>(
    file: &'a [u8],
    table: &Sections<'a>,
    index: SectionIndex,
    raw: &SectionHeader64<Le>,
) -> Result<Section<'a>, Unusable> {
    let what = format!("section {}", index.0);
    let name = table.section_name(Le, raw).map_err(damaged(&what))?;
    let kind = raw.sh_type(Le);
    Ok(Section {
        name: text(name),
        kind,
        flags: raw.sh_flags(Le),
        address: raw.sh_addr(Le),
        size: raw.sh_size(Le),
        data: match kind {
            // The size of the null section is the number of sections.
            elf::SHT_NULL => &[],
            _ => raw.data(Le, file).map_err(damaged(&what))?,
        },
    })
}

/// Sections that share bytes would make a small file a large one.
fn refuse_overlaps(file: &[u8], sections: &[Section<'_>]) -> Result<(), Unusable> {
    let total: u64 = sections
        .iter()
        .filter(|s| s.allocated() || s.kind == elf::SHT_RELA)
        .map(|s| s.data.len() as u64)
        .fold(0, u64::saturating_add);
    if total > file.len() as u64 {
        return Err(Unusable::Damaged("its sections overlap".to_owned()));
    }
    Ok(())
}

fn symbols<'a>(
    file: &'a [u8],
    table: &Sections<'a>,
    index: usize,
    sections: usize,
) -> Result<Vec<Symbol<'a>>, Unusable> {
    let symbols = table
        .symbol_table_by_index(Le, file, SectionIndex(index))
        .map_err(damaged("symbol table"))?;
    symbols
        .enumerate()
        .map(|(number, raw)| {
            let what = format!("symbol {}", number.0);
            let name = symbols.symbol_name(Le, raw).map_err(damaged(&what))?;
            Ok(Symbol {
                name: text(name),
                value: raw.st_value(Le),
                size: raw.st_size(Le),
                kind: raw.st_type(),
                local: raw.st_bind() == elf::STB_LOCAL,
                weak: raw.st_bind() == elf::STB_WEAK,
                home: home(raw.st_shndx(Le), sections)
                    .ok_or_else(|| Unusable::Damaged(format!("{what} has no section")))?,
            })
        })
        .collect()
}

fn home(number: elf::SymbolSection, sections: usize) -> Option<Home> {
    match number {
        elf::SHN_UNDEF => Some(Home::Undefined),
        elf::SHN_COMMON => Some(Home::Common),
        _ => match number.index() {
            Some(index) if usize::from(index) < sections => Some(Home::Section(index.into())),
            Some(_) => None,
            None => Some(Home::Elsewhere),
        },
    }
}

fn place(symbol: &Symbol<'_>) -> Option<(usize, u64)> {
    match symbol.home {
        Home::Section(section) => Some((section, symbol.value)),
        _ => None,
    }
}

fn by_place(symbols: &[Symbol<'_>]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..symbols.len())
        .filter(|&number| {
            let symbol = &symbols[number];
            let named = matches!(
                symbol.kind,
                elf::STT_NOTYPE | elf::STT_FUNC | elf::STT_OBJECT
            );
            named && !symbol.name.is_empty() && place(symbol).is_some()
        })
        .collect();
    numbers.sort_by_key(|&number| place(&symbols[number]));
    numbers
}

/// The DT_NEEDED names of the first dynamic section.
fn needed(file: &[u8], table: &Sections<'_>) -> Result<Vec<String>, Unusable> {
    let broken = || damaged("dynamic section");
    let Some((entries, link)) = table.dynamic(Le, file).map_err(broken())? else {
        return Ok(Vec::new());
    };
    let strings = table.strings(Le, file, link).map_err(broken())?;
    entries
        .iter()
        .take_while(|entry| entry.d_tag(Le) != elf::DT_NULL)
        .filter(|entry| entry.d_tag(Le) == elf::DT_NEEDED)
        .map(|entry| {
            let name = entry.string(Le, strings).map_err(broken())?;
            Ok(text(name).into_owned())
        })
        .collect()
}
