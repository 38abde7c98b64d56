// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What each symbol of a module stands for once its sections are placed.

use object::elf;

use crate::error::{LoadError, Warning, shown};
use crate::file::{FileSymbol, ModuleFile};
use crate::layout::Layout;
use crate::load::Resolve;
use crate::probe;

/// The meaning of a symbol, as a relocation sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// An address in the module, in another module or in the kernel.
    Address(u64),
    /// A number that is no address of loaded memory.
    Value(u64),
    /// An undefined `__dtrace_probe_*`.
    Probe,
    /// Undefined and weak.
    Missing,
}

/// krtld says nothing when a module brings its own copy of these.
const MAY_BE_DOUBLE: [&str; 14] = [
    "memcpy",
    "memset",
    "memmove",
    "memcmp",
    "memchr",
    "strstr",
    "strncat",
    "strlcat",
    "strlcpy",
    "strspn",
    "__udivdi3",
    "__divdi3",
    "__umoddi3",
    "__moddi3",
];

/// The COMMON and undefined symbols of a file that are defined elsewhere, by
/// symbol number; the rest is None.
///
/// All undefined symbols are looked up before anything is refused.
pub(crate) fn resolve_outside(
    file: &ModuleFile<'_>,
    resolve: &mut dyn Resolve,
) -> Result<Vec<Option<u64>>, LoadError> {
    let mut outside = vec![None; file.symbols.len()];
    let mut undefined = Vec::new();
    for (symbol, found) in file.symbols.iter().zip(&mut outside).skip(1) {
        if symbol.section != elf::SHN_UNDEF && symbol.section != elf::SHN_COMMON {
            continue;
        }
        if symbol.kind == elf::STT_TLS {
            return Err(LoadError::TlsSymbol(symbol.name.clone().into_owned()));
        }
        if !symbol.is_local() {
            *found = resolve.resolve(&symbol.name);
        }
        let must_be_found = symbol.section == elf::SHN_UNDEF
            && symbol.bind != elf::STB_WEAK
            && !symbol.name.starts_with(probe::PREFIX);
        if found.is_none() && must_be_found {
            undefined.push(symbol.name.clone().into_owned());
        }
    }
    if undefined.is_empty() {
        Ok(outside)
    } else {
        Err(LoadError::UndefinedSymbols(undefined))
    }
}

/// Numbers of the COMMON symbols that get memory of the module: those that
/// nobody else defines.
pub(crate) fn own_commons(file: &ModuleFile<'_>, outside: &[Option<u64>]) -> Vec<usize> {
    let is_common = |symbol: &FileSymbol<'_>| symbol.section == elf::SHN_COMMON;
    file.symbols
        .iter()
        .zip(outside)
        .enumerate()
        .skip(1)
        .filter(|(_, (symbol, outside))| is_common(symbol) && outside.is_none())
        .map(|(index, _)| index)
        .collect()
}

/// Binds every symbol. `commons` are the addresses of the COMMON symbols in
/// memory of the module, by symbol number, ascending.
pub(crate) fn bind(
    file: &ModuleFile<'_>,
    layout: &Layout,
    outside: &[Option<u64>],
    commons: &[(usize, u64)],
) -> Vec<Binding> {
    let mut commons = commons.iter().peekable();
    let mut bindings = Vec::with_capacity(file.symbols.len());
    for (index, (symbol, outside)) in file.symbols.iter().zip(outside).enumerate() {
        let common = commons.next_if(|(common, _)| *common == index);
        bindings.push(match (outside, common) {
            (Some(address), _) | (None, Some((_, address))) => Binding::Address(*address),
            (None, None) => bind_own(file, layout, symbol),
        });
    }
    bindings
}

fn bind_own(file: &ModuleFile<'_>, layout: &Layout, symbol: &FileSymbol<'_>) -> Binding {
    if symbol.section == elf::SHN_UNDEF && !symbol.is_local() {
        return if symbol.name.starts_with(probe::PREFIX) {
            Binding::Probe
        } else {
            Binding::Missing
        };
    }
    let Some(index) = symbol.section.index().map(usize::from) else {
        return Binding::Value(symbol.value);
    };
    match layout.address(index) {
        Some(address) => Binding::Address(symbol.value.wrapping_add(address)),
        None => {
            let address = file.sections[index].sh_addr.get(crate::file::LE);
            Binding::Value(symbol.value.wrapping_add(address))
        }
    }
}

/// Warnings for global definitions that the kernel has too.
pub(crate) fn multiply_defined(file: &ModuleFile<'_>, resolve: &mut dyn Resolve) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for symbol in file.symbols.iter().skip(1) {
        let defined = crate::file::is_findable(symbol) && symbol.section != elf::SHN_COMMON;
        if defined
            && symbol.bind == elf::STB_GLOBAL
            && !MAY_BE_DOUBLE.contains(&&*symbol.name)
            && resolve.is_primary(&symbol.name)
        {
            warnings.push(format!("symbol {} multiply defined", shown(&symbol.name)));
        }
    }
    warnings
}
