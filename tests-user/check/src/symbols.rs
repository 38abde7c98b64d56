// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rules about names: imports, exports and dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use object::elf;

use crate::elf::{Elf, Home, Relocation, Symbol};
use crate::kernel_symbols;
use crate::linkage::module_name;
use crate::mapfile::Mapfile;
use crate::report::{Finding, Rule};

/// Characters of a dependency's name that krtld reads, path included.
const MAX_DEPENDENCY: usize = 30;

/// The modules whose symbols the module may import besides unix and genunix,
/// as it names them (`misc/kcf`), in krtld's order.
pub(crate) fn dependencies(elf: &Elf<'_>, findings: &mut Vec<Finding>) -> Vec<String> {
    let mut names = elf.needed.clone();
    if let Some(symbol) = elf.symbol_named("_depends_on") {
        match dependency_string(elf, symbol) {
            // krtld looks at the string only when there is no DT_NEEDED.
            Ok(stated) if names.is_empty() => names.push(stated),
            Ok(_) => {}
            Err(detail) => findings.push(elf.symbol_finding(Rule::Dependencies, symbol, detail)),
        }
    }
    // krtld splits what is in one string, too.
    let names: Vec<String> = names
        .iter()
        .flat_map(|text| text.split([' ', '\t']))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    for name in names.iter().filter(|name| name.len() > MAX_DEPENDENCY) {
        let detail = format!("the dependency has {} characters", name.len());
        findings.push(Finding::of_symbol(Rule::NameLength, name, detail));
    }
    names
}

fn dependency_string(elf: &Elf<'_>, symbol: &Symbol<'_>) -> Result<String, String> {
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
    // It ends at the first NUL, as every string does.
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(text) {
        Ok(text) if !text.contains(|c: char| c.is_ascii_control() && c != '\t') => {
            Ok(text.to_owned())
        }
        _ => Err("it is not text".to_owned()),
    }
}

/// Judges every undefined symbol and returns their names, sorted.
pub(crate) fn check_undefined(
    elf: &Elf<'_>,
    dependencies: &[String],
    findings: &mut Vec<Finding>,
) -> Vec<String> {
    let undefined: BTreeMap<&str, &Symbol<'_>> = elf
        .symbols
        .iter()
        .skip(1)
        .filter(|symbol| symbol.home == Home::Undefined)
        .map(|symbol| (symbol.name.as_ref(), symbol))
        .collect();
    let mut thread_local = BTreeSet::new();
    for symbol in elf.symbols.iter().filter(|s| s.kind == elf::STT_TLS) {
        thread_local.insert(symbol.name.as_ref());
        let detail = "it is a thread-local variable";
        findings.push(elf.symbol_finding(Rule::TlsReference, symbol, detail));
    }
    let referrers = first_references(elf);
    for (name, symbol) in &undefined {
        if thread_local.contains(name) {
            continue;
        }
        if let Some(finding) = import_finding(symbol, dependencies) {
            findings.push(match referrers.get(name) {
                Some(relocation) => at_reference(elf, finding, relocation),
                None => finding,
            });
        }
    }
    undefined.into_keys().map(str::to_owned).collect()
}

/// Does clinet itself offer that to modules that depend on it?
fn is_clinets(name: &str) -> bool {
    static MAPFILE: LazyLock<Option<Mapfile>> =
        LazyLock::new(|| Mapfile::parse(include_str!("../../../mapfiles/clinet.map")).ok());
    let mapfile = MAPFILE.as_ref();
    mapfile.is_some_and(|mapfile| mapfile.contains(name))
}

/// Modules whose symbols are all known here.
const LISTED: [&str; 4] = ["unix", "genunix", "ip", "clinet"];

fn import_finding(symbol: &Symbol<'_>, dependencies: &[String]) -> Option<Finding> {
    let name = symbol.name.as_ref();
    let finding = |rule, detail: &str| Finding::of_symbol(rule, name, detail);
    let bad = |rule, detail: &str| Some(finding(rule, detail));
    match name {
        "clinet_panic_reached" => {
            return bad(Rule::ReachablePanic, "the panic handler can be reached");
        }
        "_GLOBAL_OFFSET_TABLE_" => {
            return bad(Rule::GotReference, "the code wants a global offset table");
        }
        "__tls_get_addr" => {
            return bad(Rule::TlsReference, "the code wants thread-local storage");
        }
        _ if symbol.is_probe() => return None,
        _ => {}
    }
    let depends_on = |module| dependencies.iter().any(|name| module_name(name) == module);
    let listed = kernel_symbols::find(name).map(|symbol| symbol.module);
    if is_clinets(name) && depends_on("clinet") {
        let detail = "both ip and clinet define it, and both are dependencies";
        return match listed {
            Some("ip") if depends_on("ip") => bad(Rule::IpReference, detail),
            _ => None,
        };
    }
    let missing = match listed {
        Some("unix" | "genunix") => return None,
        Some(module) if depends_on(module) => return None,
        Some(module) => format!("it is in {module}, which is not a dependency"),
        None => "unix, genunix and the listed dependencies do not have it".to_owned(),
    };
    let unlisted: Vec<&str> = dependencies
        .iter()
        .map(String::as_str)
        .filter(|name| !LISTED.contains(&module_name(name)))
        .collect();
    if !unlisted.is_empty() {
        let detail = format!("{missing}; cannot know what {} offers", unlisted.join(", "));
        return Some(finding(Rule::UnknownImport, &detail).into_note());
    }
    if symbol.weak {
        let detail = format!("{missing}; it is weak, so its address will be 0");
        return Some(finding(Rule::UndefinedSymbol, &detail).into_note());
    }
    bad(Rule::UndefinedSymbol, &missing)
}

/// ip's variables come before the module's own names for other modules.
pub(crate) fn check_ip_names(elf: &Elf<'_>, dependencies: &[String], findings: &mut Vec<Finding>) {
    if !dependencies.iter().any(|name| module_name(name) == "ip") {
        return;
    }
    let is_ips = |name| kernel_symbols::find(name).is_some_and(|symbol| symbol.module == "ip");
    for symbol in elf.symbols.iter().filter(|symbol| !symbol.local) {
        if matches!(symbol.home, Home::Section(_)) && is_ips(&symbol.name) {
            let detail = "ip is a dependency and has a symbol of that name";
            findings.push(elf.symbol_finding(Rule::IpReference, symbol, detail));
        }
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

/// The finding about an import, at the place that refers to it.
fn at_reference(elf: &Elf<'_>, finding: Finding, relocation: &Relocation) -> Finding {
    let referrer = elf.symbol_at(relocation.section, relocation.offset);
    Finding {
        section: Some(elf.sections[relocation.section].name.to_string()),
        offset: Some(relocation.offset),
        detail: match referrer {
            Some(symbol) => format!("{}; {} refers to it", finding.detail, symbol.name),
            None => finding.detail,
        },
        ..finding
    }
}

/// krtld takes a definition elsewhere for a common symbol of the same name.
pub(crate) fn check_common(elf: &Elf<'_>, findings: &mut Vec<Finding>) {
    for symbol in elf.symbols.iter().filter(|s| s.home == Home::Common) {
        let detail = match kernel_symbols::find(&symbol.name) {
            Some(other) => format!("it is common, so it becomes that of {}", other.module),
            None => format!("it is common, of {} bytes", symbol.size),
        };
        findings.push(
            elf.symbol_finding(Rule::CommonSymbol, symbol, detail)
                .into_note(),
        );
    }
}

/// Holds the global symbols against the mapfile, both ways.
pub(crate) fn check_globals(elf: &Elf<'_>, mapfile: &Mapfile, findings: &mut Vec<Finding>) {
    let globals = || {
        elf.symbols
            .iter()
            .filter(|s| !s.local && s.home != Home::Undefined)
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
