// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Placing and relocating a module.

use object::elf;

use crate::area::Use;
use crate::error::LoadError;
use crate::file::{ModuleFile, is_findable};
use crate::image::{Image, Symbol, SymbolKind};
use crate::layout::Layout;
use crate::probe::{self, Functions};
use crate::relocate;
use crate::symbols::{self, Binding};

/// Which symbols are visible to a module: those of its dependencies in the
/// stated order, then those of unix and genunix, and nothing else.
///
/// Addresses must lie in the low 2 GiB of the process, as those of the
/// [`Image`] do: the displacement of a call has 32 bits.
pub trait Resolve {
    /// The address of the symbol `name`, or None if it is not visible. Called
    /// once for each undefined symbol, and for each COMMON one, which takes
    /// the address of a definition elsewhere.
    ///
    /// krtld finds the first definition in a dependency's symbol table, and
    /// passes the dependency over if that one is local
    /// ([`Symbol::global`] of what [`Image::symbol`] finds is false).
    fn resolve(&mut self, name: &str) -> Option<u64>;

    /// Whether unix or genunix define `name` as a global symbol that is no
    /// stub. Asked for the global symbols that the module defines itself, for
    /// the warning "multiply defined": krtld reads a module's symbols before
    /// it loads the dependencies, so it compares with the kernel only.
    ///
    /// The default asks [`Resolve::resolve`], which is right where that knows
    /// no dependencies.
    fn is_primary(&mut self, name: &str) -> bool {
        self.resolve(name).is_some()
    }
}

impl ModuleFile<'_> {
    /// Places the sections in the low 2 GiB and applies the relocations.
    /// Nothing of the module runs.
    ///
    /// # Errors
    /// Everything that krtld refuses, everything at which it would hang or
    /// leave its memory, and the lack of memory. Nothing is left behind.
    pub fn load(&self, resolve: &mut dyn Resolve) -> Result<Image, LoadError> {
        let mut warnings = symbols::multiply_defined(self, resolve);
        let outside = symbols::resolve_outside(self, resolve)?;
        let commons = symbols::own_commons(self, &outside);
        let extents: Vec<(u64, u64)> = commons
            .iter()
            .map(|&index| &self.symbols[index])
            .map(|symbol| (symbol.size, symbol.value))
            .collect();
        let (mut layout, addresses) = Layout::new(self, &extents)?;
        let commons: Vec<(usize, u64)> = commons.into_iter().zip(addresses).collect();
        let bindings = symbols::bind(self, &layout, &outside, &commons);
        let noticed = relocate::relocate(self, &mut layout, &bindings)?;
        warnings.extend(noticed.warnings);
        let probes = probe::name_sites(&noticed.probes, &self.functions(&bindings), |index| {
            self.symbols[index].name.to_string()
        })?;
        Ok(Image::new(
            layout.text.finish(Use::Text)?,
            layout.data.finish(Use::Data)?,
            self.image_symbols(&bindings),
            warnings,
            probes,
        ))
    }

    fn functions(&self, bindings: &[Binding]) -> Functions {
        let symbols = self.symbols.iter().zip(bindings).enumerate();
        Functions::new(
            symbols.filter_map(|(index, (symbol, binding))| match binding {
                Binding::Address(address) if symbol.kind == elf::STT_FUNC => {
                    Some((*address, symbol.size, index))
                }
                _ => None,
            }),
        )
    }

    /// The symbols that a lookup by name can find, in the file's order.
    fn image_symbols(&self, bindings: &[Binding]) -> Vec<Symbol> {
        let symbols = self.symbols.iter().zip(bindings).skip(1);
        symbols
            .filter(|(symbol, _)| is_findable(symbol))
            .filter_map(|(symbol, binding)| match binding {
                Binding::Address(address) | Binding::Value(address) => Some(Symbol {
                    name: symbol.name.to_string(),
                    address: *address,
                    size: symbol.size,
                    global: !symbol.is_local(),
                    kind: SymbolKind::from(symbol.kind),
                }),
                Binding::Probe | Binding::Missing => None,
            })
            .collect()
    }
}
