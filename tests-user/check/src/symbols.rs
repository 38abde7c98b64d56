// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules about names: imports, exports and dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use object::elf;

use crate::elf::{Elf, Home, Relocation, Symbol};
use crate::kernel_symbols;
use crate::linkage::MAX_NAME;
use crate::mapfile::Mapfile;
use crate::report::{Finding, Rule};

/// The modules whose symbols the module may import besides unix and genunix,
/// as it names them (`misc/kcf`), in krtld's order.
pub(crate) fn dependencies(elf: &Elf<'_>, findings: &mut Vec<Finding>) -> Vec<String> {
    let mut names = elf.needed.clone();
    if let Some(symbol) = elf.symbol_named("_depends_on") {
        match dependency_string(elf, symbol) {
            // krtld looks at the string only when there is no DT_NEEDED.
            Ok(stated) if names.is_empty() => names = stated,
            Ok(_) => {}
            Err(detail) => findings.push(elf.symbol_finding(Rule::Dependencies, symbol, detail)),
        }
    }
    for name in &names {
        if name.len() > MAX_NAME {
            let detail = format!("the dependency has {} characters", name.len());
            findings.push(Finding::of_symbol(Rule::NameLength, name, detail));
        }
        if base_name(name) == "ip" {
            let detail = "ip is a dependency, so its variables come before the module's own";
            findings.push(Finding::of_symbol(Rule::IpReference, name, detail));
        }
    }
    names
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn dependency_string(elf: &Elf<'_>, symbol: &Symbol<'_>) -> Result<Vec<String>, String> {
    let Home::Section(section) = symbol.home else {
        return Err("it has no contents".to_owned());
    };
    let end = symbol.value.saturating_add(symbol.size);
    if !elf.relocations_in(section, symbol.value, end).is_empty() {
        return Err("it is a pointer, not an array of characters".to_owned());
    }
    let bytes = elf
        .bytes_from(symbol, 0)
        .and_then(|bytes| bytes.get(..usize::try_from(symbol.size).ok()?))
        .ok_or("its size is larger than its section")?;
    let text = match bytes.split_last() {
        Some((0, text)) => text,
        Some(_) => return Err("its last byte is not NUL".to_owned()),
        None => return Err("its size is 0".to_owned()),
    };
    let text = std::str::from_utf8(text).map_err(|_| "it is not text")?;
    let names: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let plain = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    match names.iter().find(|name| !plain(name)) {
        Some(name) => Err(format!("it holds {name:?} where a name should be")),
        None => Ok(names),
    }
}

/// Judges every undefined symbol and returns their names, sorted.
pub(crate) fn check_undefined(
    elf: &Elf<'_>,
    dependencies: &[String],
    findings: &mut Vec<Finding>,
) -> Vec<String> {
    let undefined: BTreeSet<&str> = elf
        .symbols
        .iter()
        .skip(1)
        .filter(|symbol| symbol.home == Home::Undefined)
        .map(|symbol| symbol.name.as_ref())
        .collect();
    let mut thread_local = BTreeSet::new();
    for symbol in elf.symbols.iter().filter(|s| s.kind == elf::STT_TLS) {
        thread_local.insert(symbol.name.as_ref());
        let detail = "it is a thread-local variable";
        findings.push(elf.symbol_finding(Rule::TlsReference, symbol, detail));
    }
    let referrers = first_references(elf);
    for &name in undefined.difference(&thread_local) {
        if let Some((rule, mut detail)) = import_fault(name, dependencies) {
            if let Some(relocation) = referrers.get(name) {
                let place = place_of(elf, relocation);
                detail.push_str(&format!("; referred to in {place}"));
            }
            findings.push(Finding::of_symbol(rule, name, detail));
        }
    }
    undefined.into_iter().map(str::to_owned).collect()
}

/// What clinet itself offers to modules that depend on it.
fn is_clinets(name: &str, dependencies: &[String]) -> bool {
    static MAPFILE: LazyLock<Option<Mapfile>> =
        LazyLock::new(|| Mapfile::parse(include_str!("../../../mapfiles/clinet.map")).ok());
    let depends_on = |module| dependencies.iter().any(|name| base_name(name) == module);
    // With ip among them, the order decides whose variables these are.
    depends_on("clinet")
        && !depends_on("ip")
        && MAPFILE
            .as_ref()
            .is_some_and(|mapfile| mapfile.contains(name))
}

fn import_fault(name: &str, dependencies: &[String]) -> Option<(Rule, String)> {
    let fault = |rule, detail: &str| Some((rule, detail.to_owned()));
    if name == "clinet_panic_reached" {
        return fault(
            Rule::ReachablePanic,
            "the panic handler can be reached from the code",
        );
    }
    if name == "_GLOBAL_OFFSET_TABLE_" {
        return fault(Rule::GotReference, "the code wants a global offset table");
    }
    if name == "__tls_get_addr" {
        return fault(Rule::TlsReference, "the code wants thread-local storage");
    }
    if is_clinets(name, dependencies) {
        return None;
    }
    if name.starts_with("cl_") {
        return fault(
            Rule::IpReference,
            "it is undefined, so ip's symbol of that name would be used",
        );
    }
    if name.starts_with("__dtrace_probe_") {
        return None;
    }
    match kernel_symbols::find(name).map(|symbol| symbol.module) {
        Some("unix" | "genunix") => None,
        Some(module) if dependencies.iter().any(|d| base_name(d) == module) => None,
        Some(module) => Some((
            Rule::UndefinedSymbol,
            format!("it is in {module}, which is not a dependency"),
        )),
        None => fault(
            Rule::UndefinedSymbol,
            "it is in none of unix, genunix and the listed dependencies",
        ),
    }
}

/// The first relocation that refers to each undefined symbol.
fn first_references<'e>(elf: &'e Elf<'_>) -> BTreeMap<&'e str, &'e Relocation> {
    let mut first = BTreeMap::new();
    for relocation in &elf.relocations {
        let symbol = &elf.symbols[relocation.symbol];
        if symbol.home == Home::Undefined {
            first.entry(symbol.name.as_ref()).or_insert(relocation);
        }
    }
    first
}

fn place_of(elf: &Elf<'_>, relocation: &Relocation) -> String {
    let section = &elf.sections[relocation.section].name;
    let place = format!("{section}+{:#x}", relocation.offset);
    match elf.symbol_at(relocation.section, relocation.offset) {
        Some(symbol) => format!("{place} ({})", symbol.name),
        None => place,
    }
}

pub(crate) fn check_common(elf: &Elf<'_>, findings: &mut Vec<Finding>) {
    for symbol in elf.symbols.iter().filter(|s| s.home == Home::Common) {
        let detail = format!("it is common, of {} bytes", symbol.size);
        findings.push(elf.symbol_finding(Rule::CommonSymbol, symbol, detail));
    }
}

/// Holds the global symbols against the mapfile, both ways.
pub(crate) fn check_globals(elf: &Elf<'_>, mapfile: &Mapfile, findings: &mut Vec<Finding>) {
    let globals = || {
        elf.symbols
            .iter()
            .filter(|s| !s.local && !matches!(s.home, Home::Undefined | Home::Common))
    };
    for symbol in globals().filter(|symbol| !mapfile.contains(&symbol.name)) {
        findings.push(elf.symbol_finding(
            Rule::UnlistedGlobal,
            symbol,
            "it is global but not in the mapfile",
        ));
    }
    let defined: BTreeSet<&str> = globals().map(|symbol| symbol.name.as_ref()).collect();
    for name in mapfile.globals().filter(|name| !defined.contains(name)) {
        let detail = match elf.symbol_named(name) {
            Some(_) => "the mapfile lists it, but it is local",
            None => "the mapfile lists it, but it is not defined",
        };
        findings.push(Finding::of_symbol(Rule::MissingGlobal, name, detail));
    }
}
