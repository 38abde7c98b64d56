// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel functions that the module is measured with: native and as fast
//! as illumos's own, and without the checks of the userspace kernel, which
//! cost more than what is measured.
//!
//! There is one machine in the process and one module in it at a time
//! ([`crate::module`] sees to that). A thread that calls the module is made a
//! kernel thread first: [`thread::attach`].

pub mod atomic;
pub mod clock;
pub mod condvar;
pub mod fast;
pub mod heap;
pub mod ip;
pub mod kmem;
pub mod kstat;
pub mod ldi;
pub mod log;
pub mod low;
pub mod modctl;
pub mod mutex;
pub mod random;
pub mod string;
pub mod taskq;
pub mod thread;
pub mod work;

use clinet_krtld::Resolve;

use low::Low;

/// A function that the module may import.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    name: &'static str,
    address: *const (),
}

/// A table of C functions, each under its own name.
macro_rules! imports {
    ($($function:path => $name:literal),* $(,)?) => {
        /// The imports of this file.
        #[must_use]
        pub fn table() -> Vec<$crate::kernel::Import> {
            vec![$($crate::kernel::Import::new($name, $function as *const ())),*]
        }
    };
}
pub(crate) use imports;

impl Import {
    pub(crate) fn new(name: &'static str, address: *const ()) -> Self {
        Self { name, address }
    }
}

fn all() -> Vec<Import> {
    [
        atomic::table(),
        clock::table(),
        condvar::table(),
        ip::table(),
        kmem::table(),
        kstat::table(),
        ldi::table(),
        log::table(),
        modctl::table(),
        mutex::table(),
        random::table(),
        string::table(),
        taskq::table(),
    ]
    .concat()
}

/// Variables of the kernel, by name: their size and their first value.
const VARIABLES: [(&str, usize, u64); 6] = [
    ("hz", 4, clock::HZ),
    ("kcred", 8, 0),
    ("mod_driverops", 64, 0),
    ("mod_miscops", 64, 0),
    ("ncpus", 4, 2),
    ("max_ncpus", 4, 2),
];

/// What a module's undefined symbols are resolved with.
#[derive(Debug)]
pub struct Kernel {
    low: Low,
    imports: Vec<Import>,
}

impl Kernel {
    /// `timed` mutexes note how long they are held, and cost more.
    ///
    /// # Errors
    /// No memory in the low 2 GiB.
    pub fn new(timed: bool) -> std::io::Result<Self> {
        let mut imports = all();
        if timed {
            // The first of a name is the one that is found.
            imports.splice(0..0, mutex::timed());
        }
        Ok(Self {
            low: Low::new()?,
            imports,
        })
    }

    /// Everything is resolved. The result is to live as long as the module.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(self) -> std::io::Result<Low> {
        self.low.finish()
    }
}

impl Resolve for Kernel {
    fn resolve(&mut self, name: &str) -> Option<u64> {
        if let Some((_, size, value)) = VARIABLES.iter().find(|variable| variable.0 == name) {
            return self.low.variable(name, *size, *value);
        }
        match self.imports.iter().find(|import| import.name == name) {
            Some(import) => self.low.function(name, import.address),
            None => self.low.fast(name),
        }
    }

    fn is_primary(&mut self, _name: &str) -> bool {
        false
    }
}
