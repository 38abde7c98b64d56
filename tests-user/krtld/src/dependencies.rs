// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which modules a module wants loaded before it.

use object::elf::{self, Dyn64};
use object::{LittleEndian, pod};

use crate::error::{LoadError, shown};
use crate::file::{FileSymbol, LE, ModuleFile};

/// The longest dependency name, such as `drv/ip`, in bytes. krtld's buffer has
/// 32 bytes and it takes a name that fills it for one that was cut.
pub const DEPENDENCY_NAME_LIMIT: usize = 30;

impl ModuleFile<'_> {
    /// The stated dependencies, in order: `DT_NEEDED` of the dynamic section
    /// or, only if there is none, the char array `_depends_on`.
    ///
    /// A name with spaces in it is several names.
    ///
    /// # Errors
    /// More than one dynamic section, or one without readable strings; a
    /// `_depends_on` that is not an array with a NUL as its last byte (krtld
    /// prints an error and loads without dependencies); a name longer than
    /// [`DEPENDENCY_NAME_LIMIT`] (krtld stops reading there, and loads if it
    /// can resolve all symbols nevertheless).
    pub fn dependencies(&self) -> Result<Vec<String>, LoadError> {
        let mut stated = self.needed()?;
        if stated.is_empty() {
            stated.extend(self.depends_on()?);
        }
        let names = stated.iter().flat_map(|text| text.split([' ', '\t']));
        names
            .filter(|name| !name.is_empty())
            .map(checked_name)
            .collect()
    }

    /// The `DT_NEEDED` strings.
    fn needed(&self) -> Result<Vec<String>, LoadError> {
        let is_dynamic = |index: &usize| self.sections[*index].sh_type.get(LE) == elf::SHT_DYNAMIC;
        let mut dynamic = (1..self.sections.len()).filter(is_dynamic);
        let Some(index) = dynamic.next() else {
            return Ok(Vec::new());
        };
        if dynamic.next().is_some() {
            return Err(LoadError::Malformed("multiple dynamic sections".into()));
        }
        let strings = self.dynamic_strings(index)?;
        let entries = self.section_bytes(index)?;
        let count = entries.len() / size_of::<Dyn64<LittleEndian>>();
        let (entries, _) = pod::slice_from_bytes::<Dyn64<LittleEndian>>(entries, count)
            .map_err(|()| LoadError::Malformed("dynamic section".into()))?;
        let mut total = 0;
        let mut needed = Vec::new();
        for entry in entries
            .iter()
            .take_while(|entry| entry.d_tag.get(LE) != elf::DT_NULL)
            .filter(|entry| entry.d_tag.get(LE) == elf::DT_NEEDED)
        {
            let name = usize::try_from(entry.d_val.get(LE))
                .ok()
                .and_then(|offset| strings.get(offset..))
                .and_then(until_nul)
                .ok_or_else(|| {
                    LoadError::Malformed("a DT_NEEDED name is not inside its string table".into())
                })?;
            total += name.len() as u64;
            if total > crate::SIZE_LIMIT {
                return Err(LoadError::TooLarge {
                    what: "the DT_NEEDED names".into(),
                });
            }
            needed.push(String::from_utf8_lossy(name).into_owned());
        }
        Ok(needed)
    }

    fn dynamic_strings(&self, dynamic: usize) -> Result<&[u8], LoadError> {
        let link = self.sections[dynamic].sh_link.get(LE) as usize;
        let is_strings =
            |section: &crate::file::SectionHeader| section.sh_type.get(LE) == elf::SHT_STRTAB;
        if !self.sections.get(link).is_some_and(is_strings) {
            return Err(LoadError::Malformed(format!(
                "section '{}' does not link to a string table",
                self.section_name(dynamic)
            )));
        }
        self.section_bytes(link)
    }

    /// The text of `_depends_on`, as it is in the file: krtld reads it before
    /// it relocates anything, so a pointer is not followed.
    fn depends_on(&self) -> Result<Option<String>, LoadError> {
        let Some(symbol) = self.lookup("_depends_on") else {
            return Ok(None);
        };
        let array = self.initial_value(symbol)?;
        match array.and_then(|bytes| Some((bytes, *bytes.last()?))) {
            Some((bytes, 0)) => {
                let text = until_nul(bytes).unwrap_or_default();
                Ok(Some(String::from_utf8_lossy(text).into_owned()))
            }
            _ => Err(LoadError::Dependencies(
                "_depends_on must be a char array inside a loaded section, with its size in the \
                 symbol and a NUL as its last byte; krtld would ignore it"
                    .into(),
            )),
        }
    }

    /// The bytes of a symbol before relocation; none if they are not inside a
    /// loaded section.
    fn initial_value(&self, symbol: &FileSymbol<'_>) -> Result<Option<&[u8]>, LoadError> {
        let Some(index) = symbol.section.index() else {
            return Ok(None);
        };
        let section = &self.sections[usize::from(index)];
        if !section.sh_flags.get(LE).contains(elf::SHF_ALLOC) {
            return Ok(None);
        }
        let end = symbol.value.checked_add(symbol.size);
        if section.sh_type.get(LE) == elf::SHT_NOBITS {
            let inside = end.is_some_and(|end| end <= section.sh_size.get(LE));
            return Ok((inside && symbol.size > 0).then_some(&[0]));
        }
        let bytes = self.section_bytes(usize::from(index))?;
        let range = usize::try_from(symbol.value)
            .ok()
            .zip(end.and_then(|end| usize::try_from(end).ok()));
        Ok(range.and_then(|(start, end)| bytes.get(start..end)))
    }
}

fn until_nul(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    bytes.get(..end)
}

fn checked_name(name: &str) -> Result<String, LoadError> {
    if name.len() > DEPENDENCY_NAME_LIMIT {
        return Err(LoadError::Dependencies(format!(
            "'{}' is too long (at most {DEPENDENCY_NAME_LIMIT} characters)",
            shown(name)
        )));
    }
    Ok(name.to_owned())
}
