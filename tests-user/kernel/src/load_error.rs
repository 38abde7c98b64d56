// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Why a module is not loaded, or not unloaded.

use clinet_krtld::LoadError;

use crate::fault::Fault;
use crate::leak::Leaks;

/// Why a module is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModloadError {
    /// One of this name is there already.
    #[error("{0} is loaded already")]
    Loaded(String),
    /// The last component of the name is longer than 31 bytes.
    #[error("the name {0} is longer than 31 bytes")]
    NameTooLong(String),
    /// A module that the file names is not loaded.
    #[error("{module} depends on {dependency}, which is not loaded: load it first")]
    MissingDependency {
        /// The module to be loaded.
        module: String,
        /// What it depends on.
        dependency: String,
    },
    /// krtld refused the file or could not resolve a symbol.
    #[error(transparent)]
    Krtld(#[from] LoadError),
    /// The file lacks a function that every module has.
    #[error("{module} has no {function}")]
    MissingEntry {
        /// The module.
        module: String,
        /// `_info` or `_init`.
        function: &'static str,
    },
    /// `_info` failed.
    #[error("_info of {0} failed: modload cannot learn its modlinkage")]
    Info(String),
    /// `_init` returned an errno, and the module is unloaded again.
    #[error("_init of {module} returned errno {errno}{}", left_behind(.leaks))]
    Init {
        /// The module.
        module: String,
        /// What `_init` returned.
        errno: i32,
        /// What it left behind.
        leaks: Leaks,
    },
    /// It is loaded as a driver, and `mod_install` was called for none.
    #[error("{0} is no driver")]
    NoDriver(String),
    /// The driver refused to attach, and the module is unloaded again.
    #[error("{module} does not attach{}", left_behind(.leaks))]
    Attach {
        /// The module.
        module: String,
        /// What it left behind.
        leaks: Leaks,
    },
    /// The driver did not attach, and then the module did not unload cleanly.
    #[error("{module} does not attach, and then: {error}")]
    AfterAttach {
        /// The module.
        module: String,
        /// Why it did not unload.
        error: ModunloadError,
    },
    /// The machine panicked.
    #[error(transparent)]
    Panic(#[from] Fault),
}

/// Why a module is not, or not cleanly, unloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModunloadError {
    /// Other modules or open handles refer to it; `_fini` was not called.
    #[error("EBUSY: {0} is referred to by other modules")]
    Referenced(String),
    /// It has no `_fini` and can never be unloaded.
    #[error("EBUSY: {0} has no _fini")]
    NoFini(String),
    /// The driver refused to detach; module and instance stay.
    #[error("{0} does not detach")]
    Detach(String),
    /// `_fini` returned this errno; the module stays.
    #[error("_fini of {module} returned errno {errno}")]
    Refused {
        /// The module.
        module: String,
        /// What `_fini` returned.
        errno: i32,
    },
    /// It is unloaded, but left something behind.
    #[error("{module} is unloaded and left behind: {leaks}")]
    Leaks {
        /// The module.
        module: String,
        /// What it left.
        leaks: Leaks,
    },
    /// It was unloaded before.
    #[error("{0} is not loaded")]
    NotLoaded(String),
    /// The machine panicked.
    #[error(transparent)]
    Panic(#[from] Fault),
}

fn left_behind(leaks: &Leaks) -> String {
    if leaks.0.is_empty() {
        String::new()
    } else {
        format!(" and left behind: {leaks}")
    }
}
