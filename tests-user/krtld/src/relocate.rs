// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Applying the relocations, in the order and with the faults of krtld.

use object::LittleEndian;
use object::elf::{self, Rela64};
use object::pod;

use crate::error::{LoadError, RelocationSite, Warning};
use crate::file::{LE, ModuleFile};
use crate::layout::Layout;
use crate::probe::{self, Found};
use crate::relocation::{Base, Rule, Treatment, treatment};
use crate::symbols::Binding;

type Rela = Rela64<LittleEndian>;

/// What was noticed while relocating.
#[derive(Default)]
pub(crate) struct Noticed {
    pub warnings: Vec<Warning>,
    pub probes: Vec<Found>,
}

/// Applies every `SHT_RELA` section that belongs to a loaded section.
pub(crate) fn relocate(
    file: &ModuleFile<'_>,
    layout: &mut Layout,
    bindings: &[Binding],
) -> Result<Noticed, LoadError> {
    let mut noticed = Noticed::default();
    // Relocation sections that share bytes would multiply the work.
    let mut bytes_left = file.bytes.len();
    for index in 1..file.sections.len() {
        let Some((target, table)) = relocations(file, index)? else {
            continue;
        };
        bytes_left = bytes_left.checked_sub(size_of_val(table)).ok_or_else(|| {
            LoadError::Malformed("relocation sections overlap in the file".into())
        })?;
        let Some(address) = layout.address(target) else {
            continue;
        };
        let Some(memory) = layout.section(target) else {
            continue;
        };
        let mut section = Section {
            file,
            bindings,
            index: target,
            address,
            memory,
        };
        section.relocate(table, &mut noticed)?;
    }
    Ok(noticed)
}

/// The section that relocation section `index` belongs to, and its entries;
/// None if `index` is another kind of section.
fn relocations<'a>(
    file: &ModuleFile<'a>,
    index: usize,
) -> Result<Option<(usize, &'a [Rela])>, LoadError> {
    let header = &file.sections[index];
    let malformed =
        |what| LoadError::Malformed(format!("section '{}': {what}", file.section_name(index)));
    let kind = header.sh_type.get(LE);
    if kind == elf::SHT_REL {
        return Err(LoadError::RelSection(file.section_name(index)));
    }
    if kind != elf::SHT_RELA {
        return Ok(None);
    }
    let link = header.sh_link.get(LE);
    if link as usize != file.symtab {
        return Err(LoadError::ForeignRelocations {
            section: file.section_name(index),
            link,
            symtab: file.symtab as u32,
        });
    }
    let target = header.sh_info.get(LE) as usize;
    if target >= file.sections.len() {
        return Err(malformed("sh_info names no section"));
    }
    if header.sh_entsize.get(LE) != size_of::<Rela>() as u64 {
        return Err(malformed("sh_entsize is not 24"));
    }
    let bytes = file.section_bytes(index)?;
    let (table, _) = pod::slice_from_bytes(bytes, bytes.len() / size_of::<Rela>())
        .map_err(|()| malformed("it is not inside the file"))?;
    Ok(Some((target, table)))
}

/// A loaded section that is being relocated.
struct Section<'a, 'f> {
    file: &'a ModuleFile<'f>,
    bindings: &'a [Binding],
    index: usize,
    address: u64,
    memory: &'a mut [u8],
}

impl Section<'_, '_> {
    /// Applies a whole table. A value that does not fit and an unsupported
    /// type do not end it: a later entry may be one that hangs krtld.
    fn relocate(&mut self, table: &[Rela], noticed: &mut Noticed) -> Result<(), LoadError> {
        let mut first_error = None;
        for entry in table {
            match self.apply(entry, noticed) {
                Ok(()) => {}
                Err(error @ (LoadError::OutOfRange { .. } | LoadError::RejectedRelocation(_))) => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn apply(&mut self, entry: &Rela, noticed: &mut Noticed) -> Result<(), LoadError> {
        let symbol = entry.r_sym(LE, false) as usize;
        let Some(&binding) = self.bindings.get(symbol) else {
            return Err(LoadError::Malformed(format!(
                "a relocation of section '{}' is against symbol {symbol}, and there are {}",
                self.file.section_name(self.index),
                self.bindings.len()
            )));
        };
        let kind = entry.r_type(LE, false).0;
        let treatment = treatment(kind);
        let base = match treatment {
            Treatment::Skip => return Ok(()),
            Treatment::Hang => return Err(LoadError::WouldHang(self.site(entry))),
            Treatment::Store(Rule {
                base: Base::Section,
                ..
            }) => Binding::Address(self.address),
            _ => binding,
        };
        let (value, is_address) = match base {
            Binding::Missing => return Ok(()),
            Binding::Probe => return self.probe(entry, symbol, noticed),
            Binding::Address(value) => (value, true),
            Binding::Value(value) => (value, false),
        };
        match treatment {
            Treatment::Store(rule) => self.store(entry, rule, value, is_address, noticed),
            _ => Err(LoadError::RejectedRelocation(self.site(entry))),
        }
    }

    /// Stores `base` plus the addend, relative to the field if so ruled.
    fn store(
        &mut self,
        entry: &Rela,
        rule: Rule,
        base: u64,
        is_address: bool,
        noticed: &mut Noticed,
    ) -> Result<(), LoadError> {
        let offset = entry.r_offset.get(LE);
        let mut value = base.wrapping_add_signed(entry.r_addend.get(LE));
        if rule.base == Base::SymbolMinusPlace {
            value = value.wrapping_sub(self.address).wrapping_sub(offset);
        }
        let field = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(rule.size)?))
            .and_then(|range| self.memory.get_mut(range));
        let Some(field) = field else {
            return Err(LoadError::OutsideSection(self.site(entry)));
        };
        if !rule.accepts(value, is_address) {
            return Err(LoadError::OutOfRange {
                site: self.site(entry),
                value,
            });
        }
        rule.write(field, value);
        if let Some(flaw) = rule.flaw {
            noticed
                .warnings
                .push(format!("{}: {flaw}", self.site(entry)));
        }
        Ok(())
    }

    fn probe(
        &mut self,
        entry: &Rela,
        symbol: usize,
        noticed: &mut Noticed,
    ) -> Result<(), LoadError> {
        let offset = entry.r_offset.get(LE);
        let name = &self.file.symbols[symbol].name;
        let Some(warning) = probe::patch(self.memory, offset, name) else {
            return Err(LoadError::OutsideSection(self.site(entry)));
        };
        noticed.warnings.extend(warning);
        noticed.probes.push(Found {
            symbol,
            address: self.address + offset - 1,
        });
        Ok(())
    }

    fn site(&self, entry: &Rela) -> RelocationSite {
        let symbol = self.file.symbols.get(entry.r_sym(LE, false) as usize);
        RelocationSite {
            kind: entry.r_type(LE, false).0,
            section: self.file.section_name(self.index),
            offset: entry.r_offset.get(LE),
            symbol: symbol.map(|s| s.name.to_string()).unwrap_or_default(),
        }
    }
}
