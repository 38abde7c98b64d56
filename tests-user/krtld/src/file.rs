// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reading a module file: header, sections and symbol table, all checked
//! against the bytes that are there.

use std::borrow::Cow;

use object::LittleEndian;
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::pod;
use object::read::ReadRef;
use object::read::StringTable;
use object::read::elf::FileHeader as _;

use crate::error::{LoadError, shown};

/// Byte order of everything in the file.
pub(crate) const LE: LittleEndian = LittleEndian;

/// The longest symbol name. krtld has no limit; without one a small file could
/// make its reader walk over the same bytes for every symbol.
const NAME_LIMIT: u64 = 4096;

pub(crate) type SectionHeader = SectionHeader64<LittleEndian>;

/// A module file: parsed, not placed.
pub struct ModuleFile<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) sections: &'a [SectionHeader],
    section_names: StringTable<'a>,
    /// Section number of the symbol table.
    pub(crate) symtab: usize,
    pub(crate) symbols: Vec<FileSymbol<'a>>,
}

/// An entry of the symbol table, with the fields that krtld uses.
pub(crate) struct FileSymbol<'a> {
    pub name: Cow<'a, str>,
    pub value: u64,
    pub size: u64,
    pub bind: elf::SymbolBind,
    pub kind: elf::SymbolType,
    pub section: elf::SymbolSection,
}

impl FileSymbol<'_> {
    pub fn is_local(&self) -> bool {
        self.bind == elf::STB_LOCAL
    }
}

impl<'a> ModuleFile<'a> {
    /// Reads the header, the section headers and the symbol table.
    ///
    /// # Errors
    /// The file is not an ELF64 relocatable file for amd64, has no symbol
    /// table, uses extended section numbers, or is truncated or malformed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let header = FileHeader64::<LittleEndian>::parse(bytes)
            .map_err(|error| LoadError::NotElf(error.to_string()))?;
        if !header.is_little_endian() {
            return Err(LoadError::NotElf("big-endian".into()));
        }
        if header.e_machine(LE) != elf::EM_X86_64 {
            return Err(LoadError::WrongMachine(header.e_machine(LE).0));
        }
        if header.e_type(LE) != elf::ET_REL {
            return Err(LoadError::NotRelocatable(header.e_type(LE).0));
        }
        let sections = section_headers(header, bytes)?;
        let section_names = section_names(header, bytes, sections);
        // With several, the last one counts.
        let symtab = sections
            .iter()
            .rposition(|section| section.sh_type.get(LE) == elf::SHT_SYMTAB)
            .ok_or(LoadError::NoSymbolTable)?;
        let symbols = symbols(bytes, sections, symtab)?;
        Ok(Self {
            bytes,
            sections,
            section_names,
            symtab,
            symbols,
        })
    }

    /// The bytes of section `index` in the file, whatever its type.
    pub(crate) fn section_bytes(&self, index: usize) -> Result<&'a [u8], LoadError> {
        file_bytes(self.bytes, &self.sections[index]).ok_or_else(|| {
            LoadError::Malformed(format!(
                "section '{}' is not inside the file",
                self.section_name(index)
            ))
        })
    }

    /// A section's name for messages; its number if it has no readable name.
    pub(crate) fn section_name(&self, index: usize) -> String {
        let offset = self.sections[index].sh_name.get(LE);
        match self.section_names.get(offset) {
            Ok(name) if !name.is_empty() => shown(&String::from_utf8_lossy(name)),
            _ => format!("section {index}"),
        }
    }

    /// The symbol that krtld finds under `name`: the first definition in the
    /// order of the table, so a local symbol comes before a global one.
    pub(crate) fn lookup(&self, name: &str) -> Option<&FileSymbol<'a>> {
        self.symbols
            .iter()
            .skip(1)
            .find(|symbol| symbol.name == name && is_findable(symbol))
    }
}

/// Whether krtld's lookup by name can find this symbol.
pub(crate) fn is_findable(symbol: &FileSymbol<'_>) -> bool {
    !symbol.name.is_empty() && symbol.kind != elf::STT_FILE && symbol.section != elf::SHN_UNDEF
}

fn section_headers<'a>(
    header: &FileHeader64<LittleEndian>,
    bytes: &'a [u8],
) -> Result<&'a [SectionHeader], LoadError> {
    if header.e_shstrndx(LE) == elf::SHN_XINDEX {
        return Err(LoadError::ExtendedSectionNumbers("e_shstrndx".into()));
    }
    if header.e_shnum(LE) == 0 && header.e_shoff(LE) != 0 {
        return Err(LoadError::ExtendedSectionNumbers("e_shnum is 0".into()));
    }
    header
        .section_headers(LE, bytes)
        .map_err(|error| LoadError::Malformed(error.to_string()))
}

/// krtld loads a module whose section names are unreadable, so that is no
/// error.
fn section_names<'a>(
    header: &FileHeader64<LittleEndian>,
    bytes: &'a [u8],
    sections: &[SectionHeader],
) -> StringTable<'a> {
    header
        .section_strings(LE, bytes, sections)
        .unwrap_or_default()
}

fn file_bytes<'a>(bytes: &'a [u8], section: &SectionHeader) -> Option<&'a [u8]> {
    let (offset, size) = (section.sh_offset.get(LE), section.sh_size.get(LE));
    bytes.read_bytes_at(offset, size).ok()
}

fn symbols<'a>(
    bytes: &'a [u8],
    sections: &[SectionHeader],
    symtab: usize,
) -> Result<Vec<FileSymbol<'a>>, LoadError> {
    let header = &sections[symtab];
    let malformed = |what: &str| LoadError::Malformed(format!("symbol table: {what}"));
    if header.sh_entsize.get(LE) != size_of::<Sym64<LittleEndian>>() as u64 {
        return Err(malformed("sh_entsize is not 24"));
    }
    let table = file_bytes(bytes, header).ok_or_else(|| malformed("it is not inside the file"))?;
    let (table, _) = pod::slice_from_bytes::<Sym64<LittleEndian>>(table, table.len() / 24)
        .map_err(|()| malformed("it is not inside the file"))?;
    let strings = sections
        .get(header.sh_link.get(LE) as usize)
        .ok_or_else(|| malformed("sh_link names no section"))
        .and_then(|section| {
            file_bytes(bytes, section).ok_or_else(|| malformed("its names are not inside the file"))
        })?;
    let mut name_bytes = 0;
    let mut symbols = Vec::with_capacity(table.len());
    for (index, entry) in table.iter().enumerate() {
        let name = symbol_name(strings, entry.st_name.get(LE)).ok_or_else(|| {
            malformed(&format!(
                "the name of symbol {index} is not inside the string table, or longer than \
                 {NAME_LIMIT} bytes"
            ))
        })?;
        name_bytes += name.len() as u64;
        if name_bytes > crate::SIZE_LIMIT {
            return Err(LoadError::TooLarge {
                what: "the names of the symbols".into(),
            });
        }
        check_section(entry, index, sections.len())?;
        symbols.push(FileSymbol {
            name: String::from_utf8_lossy(name),
            value: entry.st_value.get(LE),
            size: entry.st_size.get(LE),
            bind: entry.st_bind(),
            kind: entry.st_type(),
            section: entry.st_shndx.get(LE),
        });
    }
    Ok(symbols)
}

/// A symbol without a name has offset 0, even where there are no strings.
fn symbol_name(strings: &[u8], offset: u32) -> Option<&[u8]> {
    if offset == 0 {
        return Some(&[]);
    }
    let offset = u64::from(offset);
    let end = (strings.len() as u64).min(offset + NAME_LIMIT + 1);
    strings.read_bytes_at_until(offset..end, 0).ok()
}

fn check_section(
    entry: &Sym64<LittleEndian>,
    index: usize,
    sections: usize,
) -> Result<(), LoadError> {
    let section = entry.st_shndx.get(LE);
    if section == elf::SHN_XINDEX {
        return Err(LoadError::ExtendedSectionNumbers(format!("symbol {index}")));
    }
    match section.index() {
        Some(number) if usize::from(number) >= sections => Err(LoadError::Malformed(format!(
            "symbol {index} is in section {number}, and there are {sections}"
        ))),
        _ => Ok(()),
    }
}
