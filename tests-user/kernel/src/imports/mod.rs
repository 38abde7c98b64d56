// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The functions that a module may import, by subject.

pub(crate) mod atomic;
pub(crate) mod clock;
pub(crate) mod condvar;
pub(crate) mod copy;
pub(crate) mod cred;
pub(crate) mod ddi;
pub(crate) mod kmem;
pub(crate) mod kmem_cache;
pub(crate) mod ksocket;
pub(crate) mod kstat;
pub(crate) mod ldi;
pub(crate) mod log;
pub(crate) mod modctl;
pub(crate) mod mutex;
pub(crate) mod netstack;
pub(crate) mod opened;
pub(crate) mod poll;
pub(crate) mod random;
pub(crate) mod rwlock;
pub(crate) mod string;
pub(crate) mod taskq;
pub(crate) mod thread;

/// An import as the thunks know it; the assembly reads the first two fields.
#[repr(C)]
pub(crate) struct Import {
    /// The address of the host function.
    pub target: u64,
    /// How many words of stack arguments to copy: an even number.
    pub stack_words: u64,
    /// The name that modules import it by.
    pub name: &'static str,
}

impl Import {
    /// An import that takes `arguments` integers or pointers.
    pub fn new(name: &'static str, target: *const (), arguments: usize) -> Self {
        const IN_REGISTERS: usize = 6;
        let on_stack = arguments.saturating_sub(IN_REGISTERS) as u64;
        Self {
            target: target as u64,
            stack_words: on_stack.next_multiple_of(2),
            name,
        }
    }
}

/// Defines C functions whose bodies may fault, and `table()` with all of them.
macro_rules! imports {
    ($(
        $(#[$meta:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {
        mod exported {
            #[allow(unused_imports)]
            use super::*;
            $(
                $(#[$meta])*
                pub(super) extern "C" fn $name($($argument: $type),*) $(-> $result)? {
                    $crate::fault::guard(move || $body)
                }
            )*
        }

        /// The imports of this file.
        pub(crate) fn table() -> Vec<$crate::imports::Import> {
            vec![$($crate::imports::Import::new(
                stringify!($name),
                exported::$name as *const (),
                <[&str]>::len(&[$(stringify!($argument)),*]),
            )),*]
        }
    };
}
pub(crate) use imports;

/// Every import.
pub(crate) fn all() -> Vec<Import> {
    [
        atomic::table(),
        clock::table(),
        condvar::table(),
        copy::table(),
        cred::table(),
        ddi::table(),
        kmem::table(),
        kmem_cache::table(),
        kstat::table(),
        ldi::table(),
        log::all(),
        modctl::table(),
        mutex::table(),
        netstack::table(),
        poll::table(),
        random::table(),
        rwlock::table(),
        string::table(),
        taskq::table(),
        thread::table(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
