// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a machine knows of each module: where it is, what it is called there,
//! and who needs it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use clinet_krtld::Image;

use crate::locks::lock;
use crate::thunk::{LowMemory, Thunks};

/// A symbol of a loaded or provided module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: u64,
    /// Its size in bytes, as the file says.
    pub size: u64,
    /// Do other modules see it?
    pub global: bool,
}

/// What keeps the memory of a module.
pub(crate) enum Body {
    /// A file, once it is complete.
    File(Mutex<Option<Arc<Image>>>),
    /// Variables and functions of the host.
    Provided {
        #[expect(dead_code, reason = "keeps the variables mapped")]
        variables: LowMemory,
        #[expect(dead_code, reason = "keeps the thunks mapped")]
        functions: Thunks,
    },
}

/// One module of a machine.
pub(crate) struct Record {
    /// Such as `misc/clinet`.
    pub name: String,
    pub text: Range<u64>,
    pub data: Range<u64>,
    /// By address.
    symbols: Vec<Symbol>,
    /// Indices of the symbols; a global one wins over a local of its name.
    by_name: HashMap<String, usize>,
    /// The modules that this one names, in its order.
    pub dependencies: Vec<Arc<Record>>,
    /// Dependents and open handles.
    pub references: AtomicUsize,
    /// Calls that are in the module now.
    pub inside: AtomicUsize,
    pub body: Body,
    released: AtomicBool,
}

impl Record {
    pub fn new(
        name: &str,
        (text, data): (Range<u64>, Range<u64>),
        mut symbols: Vec<Symbol>,
        dependencies: Vec<Arc<Record>>,
        body: Body,
    ) -> Self {
        symbols.sort_by_key(|symbol| symbol.address);
        let mut by_name = HashMap::new();
        for (index, symbol) in symbols.iter().enumerate() {
            if symbol.global || !by_name.contains_key(&symbol.name) {
                by_name.insert(symbol.name.clone(), index);
            }
        }
        for dependency in &dependencies {
            dependency.references.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            name: name.to_owned(),
            text,
            data,
            symbols,
            by_name,
            dependencies,
            references: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            body,
            released: AtomicBool::new(false),
        }
    }

    /// The last component of the name.
    pub fn base_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.by_name.get(name).map(|&index| &self.symbols[index])
    }

    /// Is `address` in the text or data of the module?
    pub fn contains(&self, address: u64) -> bool {
        self.text.contains(&address) || self.data.contains(&address)
    }

    /// The symbol at or before `address` and the distance from it.
    pub fn nearest(&self, address: u64) -> Option<(&Symbol, u64)> {
        let after = self
            .symbols
            .partition_point(|symbol| symbol.address <= address);
        let symbol = self.symbols[..after]
            .iter()
            .rev()
            .find(|symbol| self.contains(symbol.address) && !symbol.name.is_empty())?;
        Some((symbol, address - symbol.address))
    }

    /// `module`function+offset` for an address in the text.
    pub fn symbolize(&self, address: u64) -> Option<String> {
        if !self.text.contains(&address) {
            return None;
        }
        let module = self.base_name();
        Some(match self.nearest(address) {
            Some((symbol, 0)) => format!("{module}`{}", symbol.name),
            Some((symbol, offset)) => format!("{module}`{}+{offset:#x}", symbol.name),
            None => format!("{module}`{:#x}", address - self.text.start),
        })
    }

    /// The image, if the module is a file that is loaded.
    pub fn image(&self) -> Option<Arc<Image>> {
        match &self.body {
            Body::File(image) => lock(image).clone(),
            Body::Provided { .. } => None,
        }
    }

    /// Gives back what the module holds of others and its own memory; once.
    pub fn release(&self) {
        if self.released.swap(true, Ordering::AcqRel) {
            return;
        }
        for dependency in &self.dependencies {
            dependency.references.fetch_sub(1, Ordering::Relaxed);
        }
        if let Body::File(image) = &self.body {
            let image = lock(image).take();
            // A real kernel would pull the text from under their feet.
            if self.inside.load(Ordering::Acquire) > 0 {
                std::mem::forget(image);
            }
        }
    }
}

/// A call that is inside a module until dropped.
pub(crate) struct Inside(Arc<Record>);

impl Inside {
    pub fn new(record: Arc<Record>) -> Self {
        record.inside.fetch_add(1, Ordering::AcqRel);
        Self(record)
    }

    pub fn symbolize(&self, address: u64) -> Option<String> {
        self.0.symbolize(address)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}
