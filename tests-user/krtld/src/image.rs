// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A loaded module.

use std::collections::HashMap;
use std::ops::Range;

use object::elf;

use crate::area::Area;
use crate::error::{LoadError, Warning, shown};
use crate::probe::ProbeSite;

/// What a symbol says that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SymbolKind {
    /// `STT_NOTYPE`.
    NoType,
    /// `STT_OBJECT`: a variable.
    Object,
    /// `STT_FUNC`.
    Func,
    /// Anything else.
    Other,
}

impl From<elf::SymbolType> for SymbolKind {
    fn from(kind: elf::SymbolType) -> Self {
        match kind {
            elf::STT_NOTYPE => Self::NoType,
            elf::STT_OBJECT => Self::Object,
            elf::STT_FUNC => Self::Func,
            _ => Self::Other,
        }
    }
}

/// A symbol that a module defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its address in this process; the plain value of an absolute symbol.
    pub address: u64,
    /// `st_size`, in bytes.
    pub size: u64,
    /// Whether it is not local: other modules see only these.
    pub global: bool,
    /// Its type.
    pub kind: SymbolKind,
}

/// A placed and relocated module. Its memory is unmapped on drop: the owner
/// guarantees that nothing runs in it or points into it any more.
pub struct Image {
    text: Area,
    data: Area,
    symbols: Vec<Symbol>,
    /// Number of the first symbol of each name.
    by_name: HashMap<String, usize>,
    warnings: Vec<Warning>,
    probes: Vec<ProbeSite>,
}

impl Image {
    pub(crate) fn new(
        text: Area,
        data: Area,
        symbols: Vec<Symbol>,
        warnings: Vec<Warning>,
        probes: Vec<ProbeSite>,
    ) -> Self {
        let mut by_name = HashMap::with_capacity(symbols.len());
        for (index, symbol) in symbols.iter().enumerate() {
            by_name.entry(symbol.name.clone()).or_insert(index);
        }
        Self {
            text,
            data,
            symbols,
            by_name,
            warnings,
            probes,
        }
    }

    /// The symbol `name`, a local one too. Of several it is the first in the
    /// file's symbol table, as in `kobj_lookup`: a local one hides a global
    /// one, since local symbols come first in every table.
    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.by_name
            .get(name)
            .and_then(|&index| self.symbols.get(index))
    }

    /// All symbols that the module defines, in the order of the file.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter()
    }

    /// Addresses of the text area: everything that is not writable.
    pub fn text(&self) -> Range<u64> {
        self.text.range()
    }

    /// Addresses of the data area: everything that is writable, with the
    /// COMMON symbols at its end.
    pub fn data(&self) -> Range<u64> {
        self.data.range()
    }

    /// `set module:name = value` of `/etc/system`: stores the low bytes of
    /// `value`, as many as the symbol's size says. A symbol without a size is
    /// taken for an `int`, with a warning. To be called before the module
    /// runs; code that runs already may see some bytes old and some new.
    ///
    /// # Errors
    /// No such symbol, a size other than 0, 1, 2, 4 and 8, or a symbol that is
    /// not in [`Image::data`]. (In a kernel a constant can be overwritten;
    /// whether the compiled code still reads it is another matter.)
    pub fn set_tunable(&self, name: &str, value: u64) -> Result<Option<Warning>, LoadError> {
        let symbol = self
            .symbol(name)
            .ok_or_else(|| LoadError::NoVariable(name.to_owned()))?;
        let (size, warning) = match symbol.size {
            0 => {
                let warning = format!("variable '{}' has no size: taken for an int", shown(name));
                (4, Some(warning))
            }
            size @ (1 | 2 | 4 | 8) => (size as usize, None),
            size => {
                return Err(LoadError::VariableSize {
                    name: name.to_owned(),
                    size,
                });
            }
        };
        if !self
            .data
            .store(symbol.address, &value.to_le_bytes()[..size])
        {
            return Err(LoadError::NotAVariable(name.to_owned()));
        }
        Ok(warning)
    }

    /// What krtld would have printed, and what it resolved wrongly.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The DTrace probe sites, in the order of the relocations.
    pub fn probes(&self) -> &[ProbeSite] {
        &self.probes
    }
}
