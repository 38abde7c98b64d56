// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory in the low 2 GiB, where the 32-bit relocations of a module reach,
//! and the thunks in it that lead to the imports.

use std::collections::HashMap;
use std::ptr;
use std::sync::OnceLock;

use crate::imports::{self, Import};
use crate::memory;
use crate::stack;

const THUNK_SIZE: usize = 32;

/// A mapping in the low 2 GiB.
pub(crate) struct LowMemory {
    base: *mut u8,
    size: usize,
}

// SAFETY: the mapping is only handed out as addresses; whoever writes to it
// does so as a module would.
unsafe impl Send for LowMemory {}
// SAFETY: as above.
unsafe impl Sync for LowMemory {}

impl LowMemory {
    /// Maps `size` zeroed bytes, readable and writable.
    pub fn new(size: usize) -> Self {
        let size = size.max(1);
        // SAFETY: a new anonymous mapping overlaps nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            )
        };
        assert_ne!(
            base,
            libc::MAP_FAILED,
            "no memory in the low 2 GiB for {size} bytes: unload modules"
        );
        Self {
            base: base.cast(),
            size,
        }
    }

    /// The address of the first byte.
    pub fn address(&self) -> u64 {
        self.base as u64
    }

    /// Makes the bytes executable and no longer writable.
    fn seal(&self) {
        // SAFETY: base and size are those of the mapping.
        let sealed = unsafe {
            libc::mprotect(
                self.base.cast(),
                self.size,
                libc::PROT_READ | libc::PROT_EXEC,
            )
        };
        assert_eq!(sealed, 0, "thunks must be executable");
    }
}

impl Drop for LowMemory {
    fn drop(&mut self) {
        // SAFETY: base and size are those of the mapping; modules that could
        // refer to it are gone by then.
        unsafe { libc::munmap(self.base.cast(), self.size) };
    }
}

/// Thunks for a set of imports.
pub(crate) struct Thunks {
    memory: LowMemory,
    /// The assembly reads these through the addresses in the thunks.
    #[expect(dead_code, reason = "kept alive for the thunks")]
    imports: Box<[Import]>,
}

impl Thunks {
    /// Writes one thunk for each import, in order.
    pub fn new(imports: Vec<Import>) -> Self {
        let imports = imports.into_boxed_slice();
        let memory = LowMemory::new(imports.len() * THUNK_SIZE);
        for (index, import) in imports.iter().enumerate() {
            let code = thunk(&raw const *import as u64, stack::import_entry());
            // SAFETY: the mapping has room for one thunk for each import.
            unsafe {
                ptr::copy_nonoverlapping(
                    code.as_ptr(),
                    memory.base.add(index * THUNK_SIZE),
                    THUNK_SIZE,
                );
            }
        }
        memory.seal();
        Self { memory, imports }
    }

    /// The address of the thunk for the import at `index`.
    pub fn address(&self, index: usize) -> u64 {
        self.memory.address() + (index * THUNK_SIZE) as u64
    }
}

/// `movabs r11, import; movabs r10, entry; jmp r10`
fn thunk(import: u64, entry: u64) -> [u8; THUNK_SIZE] {
    let mut code = [0xcc; THUNK_SIZE];
    code[..2].copy_from_slice(&[0x49, 0xbb]);
    code[2..10].copy_from_slice(&import.to_le_bytes());
    code[10..12].copy_from_slice(&[0x49, 0xba]);
    code[12..20].copy_from_slice(&entry.to_le_bytes());
    code[20..23].copy_from_slice(&[0x41, 0xff, 0xe2]);
    code
}

/// What the kernel itself offers to modules: the same for every machine.
struct KernelSymbols {
    addresses: HashMap<&'static str, u64>,
    names: Vec<&'static str>,
    #[expect(dead_code, reason = "keeps the thunks mapped")]
    thunks: Thunks,
    #[expect(dead_code, reason = "keeps the data mapped")]
    data: LowMemory,
}

/// The data symbols and their first bytes. Of all but the priority and the
/// credentials, modules only take the addresses.
const DATA: [(&str, u64); 5] = [
    ("kcred", KCRED),
    ("minclsyspri", 60),
    ("mod_driverops", 0),
    ("mod_miscops", 0),
    ("p0", 0),
];
/// What the pointer `kcred` holds: no address, so a module that follows it traps.
pub(crate) const KCRED: u64 = 0xffff_ff17_0000_0040;
const DATA_STRIDE: usize = 64;

fn kernel() -> &'static KernelSymbols {
    static KERNEL: OnceLock<KernelSymbols> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let imports = imports::all();
        let mut names: Vec<&'static str> = imports.iter().map(|import| import.name).collect();
        let thunks = Thunks::new(imports);
        let mut addresses: HashMap<&'static str, u64> = names
            .iter()
            .enumerate()
            .map(|(index, &name)| (name, thunks.address(index)))
            .collect();
        let data = LowMemory::new(DATA.len() * DATA_STRIDE);
        for (index, (name, value)) in DATA.into_iter().enumerate() {
            let address = data.address() + (index * DATA_STRIDE) as u64;
            memory::write(address, value);
            addresses.insert(name, address);
            names.push(name);
        }
        names.sort_unstable();
        KernelSymbols {
            addresses,
            names,
            thunks,
            data,
        }
    })
}

/// The address of a symbol of unix or genunix.
pub(crate) fn kernel_symbol(name: &str) -> Option<u64> {
    kernel().addresses.get(name).copied()
}

/// The name of the symbol of unix or genunix at an address.
#[must_use]
pub fn kernel_function(address: u64) -> Option<&'static str> {
    let mut names = kernel().names.iter().copied();
    names.find(|name| kernel_symbol(name) == Some(address))
}

/// The names of all symbols of unix, genunix and its stubs that are emulated,
/// sorted. A module that refers to any other does not load.
pub fn kernel_symbols() -> &'static [&'static str] {
    &kernel().names
}
