// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the illumos kernel offers a module to import.
//!
//! The list holds all global symbols of unix, genunix and ip in January 2015,
//! and functions for modules that were added until July 2021.

use std::collections::HashMap;
use std::sync::LazyLock;

static LIST: &str = include_str!("../../../facts/kernel-symbols.txt");

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function.
    Function,
    /// A variable.
    Data,
    /// A function in unix that loads another module when it is first called.
    Stub,
}

/// A global symbol of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSymbol {
    /// Its name.
    pub name: &'static str,
    /// Function, variable or stub.
    pub kind: Kind,
    /// The module that defines it: `unix`, `genunix` or `ip`.
    pub module: &'static str,
}

/// Every symbol of the list, in its order.
pub fn all() -> impl Iterator<Item = KernelSymbol> {
    LIST.lines().filter_map(parse)
}

/// The symbol of that name. No two modules of the list define the same name.
pub fn find(name: &str) -> Option<KernelSymbol> {
    static BY_NAME: LazyLock<HashMap<&str, KernelSymbol>> =
        LazyLock::new(|| all().map(|symbol| (symbol.name, symbol)).collect());
    BY_NAME.get(name).copied()
}

/// A line is `name kind module`, where the module of a stub is `unix:TARGET`.
fn parse(line: &'static str) -> Option<KernelSymbol> {
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let kind = match words.next()? {
        "func" => Kind::Function,
        "data" => Kind::Data,
        "stub" => Kind::Stub,
        _ => return None,
    };
    let module = words.next()?.split(':').next()?;
    Some(KernelSymbol { name, kind, module })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood() {
        let lines = LIST.lines().filter(|line| !line.starts_with('#')).count();
        assert!(lines > 10_000);
        assert_eq!(all().count(), lines);
        let modules = ["unix", "genunix", "ip"];
        assert!(all().all(|symbol| modules.contains(&symbol.module)));
    }

    #[test]
    fn names_are_unique() {
        for symbol in all() {
            assert_eq!(find(symbol.name), Some(symbol));
        }
    }

    #[test]
    fn finds_functions_data_and_stubs() {
        let found = |name| find(name).map(|symbol| (symbol.kind, symbol.module));
        assert_eq!(found("mod_install"), Some((Kind::Function, "genunix")));
        assert_eq!(found("mod_miscops"), Some((Kind::Data, "genunix")));
        assert_eq!(found("random_get_bytes"), Some((Kind::Stub, "unix")));
        assert_eq!(found("cl_inet_connect2"), Some((Kind::Data, "ip")));
        assert_eq!(found("hz"), Some((Kind::Data, "unix")));
        assert_eq!(found("cl_inet_connect"), None);
    }
}
