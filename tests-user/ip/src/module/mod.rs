// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One loaded clinet module: how it comes and goes, how it is called and who
//! sees the calls.

mod call;
mod entry;
mod functions;
mod types;

use std::ffi::CStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use clinet_kernel::{Context, Kernel, Module, ModunloadError};

use crate::error::SetupError;
use entry::EntryPoints;

pub use call::{Call, Recorder};
pub use types::{ClinetTcp, ClinetUdp, ClinetUdpAsk, FlowStats, Stats};

/// How the module is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On a small guarded stack; what would panic a kernel panics the test.
    Checked,
    /// On the caller's stack, for high rates; what would panic a kernel ends
    /// the process.
    Direct,
}

/// Where the released module is: `CLINET_MODULE`, or the place where `make`
/// puts it.
pub fn module_path() -> PathBuf {
    std::env::var_os("CLINET_MODULE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/kernel/misc/amd64/clinet"),
        PathBuf::from,
    )
}

/// Reads the released module.
///
/// # Errors
///
/// [`SetupError::NoModule`].
pub fn released_module() -> Result<Vec<u8>, SetupError> {
    let path = module_path();
    std::fs::read(&path).map_err(|error| SetupError::NoModule { path, error })
}

/// One loaded clinet module.
pub struct Clinet {
    kernel: Arc<Kernel>,
    module: Module,
    pub(crate) entry_points: EntryPoints,
    direct: AtomicBool,
    is_recorded: AtomicBool,
    recorder: RwLock<Option<Recorder>>,
}

impl fmt::Debug for Clinet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clinet")
            .field("module", &self.module)
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}

/// Its symbol tells clinet from other modules.
const VERSION: &str = "cluster_version_supported";

/// `clinet_provider` and the others, as `set clinet:NAME = VALUE` has them.
pub type Tunables<'a> = &'a [(&'a str, u64)];

impl Clinet {
    /// Loads the module as `misc/clinet`.
    ///
    /// # Errors
    ///
    /// If it does not load, or is another module.
    pub fn load(kernel: Arc<Kernel>, file: &[u8], tunables: Tunables) -> Result<Self, SetupError> {
        let module = kernel.load("misc/clinet", file, tunables)?;
        let missing = |name: &str| SetupError::MissingSymbol(name.to_owned());
        module.symbol(VERSION).ok_or_else(|| missing(VERSION))?;
        Ok(Self {
            entry_points: EntryPoints::of(&module)?,
            kernel,
            module,
            direct: AtomicBool::new(false),
            is_recorded: AtomicBool::new(false),
            recorder: RwLock::default(),
        })
    }

    /// Unloads it.
    ///
    /// # Errors
    ///
    /// Why not, with the module if it stays: `_fini` is EBUSY once a provider
    /// is associated.
    pub fn unload(self) -> Result<(), (Option<Box<Self>>, ModunloadError)> {
        match self.kernel.unload(&self.module) {
            Ok(()) => Ok(()),
            Err(error @ ModunloadError::Leaks { .. }) => Err((None, error)),
            Err(error) => Err((Some(Box::new(self)), error)),
        }
    }

    /// The machine that it is loaded on.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The loaded module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// How it is called; [`Mode::Checked`] at first.
    pub fn mode(&self) -> Mode {
        if self.direct.load(Ordering::Relaxed) {
            Mode::Direct
        } else {
            Mode::Checked
        }
    }

    /// Changes how it is called.
    pub fn set_mode(&self, mode: Mode) {
        self.direct.store(mode == Mode::Direct, Ordering::Relaxed);
    }

    fn recorder(&self) -> Option<Recorder> {
        let recorder = self.recorder.read();
        recorder.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records all calls from now on, here and nowhere else.
    pub fn record(&self) -> Recorder {
        let recorder = Recorder::default();
        let mut current = self
            .recorder
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Some(recorder.clone());
        self.is_recorded.store(true, Ordering::Relaxed);
        recorder
    }

    /// The string that `cluster_version_supported` points at.
    pub fn version(&self) -> String {
        let address = self.module.address(VERSION);
        // SAFETY: the symbol is a pointer to a string, both constants of the
        // module, which is loaded while it is borrowed.
        let version = unsafe { CStr::from_ptr(*(address as *const *const _)) };
        version.to_string_lossy().into_owned()
    }

    /// All counters, after a sweep: what was dropped is no longer among the
    /// entries.
    pub fn stats(&self) -> Stats {
        self.kernel.settle();
        let sweep = self.module.address("clinet_sweep");
        // SAFETY: a function without arguments.
        unsafe { self.module.call(&Context::thread(), sweep, &[]) };
        let mut stats = Stats::default();
        let size = size_of_val(&stats);
        // SAFETY: the structure has `size` writable bytes.
        let error = unsafe { self.clinet_stats(&Context::thread(), &mut stats, size) };
        assert_eq!(error, 0, "clinet_stats of a whole structure");
        stats
    }
}
