// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! krtld's table of relocation types: how large a field is, what goes into it,
//! and which values it checks.

/// What krtld does with a relocation type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Type 0: nothing.
    Skip,
    /// A value is stored.
    Store(Rule),
    /// The type has no field size: the load fails.
    Unsupported,
    /// The 2015 and 2021 kernels print it for ever.
    Hang,
}

/// How a value is made and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Bytes of the field: 1, 2, 4 or 8.
    pub size: usize,
    pub base: Base,
    pub check: Check,
    /// Why what krtld stores is not what the compiler meant.
    pub flaw: Option<&'static str>,
}

/// What the addend is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// S: the symbol.
    Symbol,
    /// S - P: the symbol, relative to the field.
    SymbolMinusPlace,
    /// The start of the relocated section; the symbol is not looked at.
    Section,
}

/// Which values are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// None: the value is cut to the field.
    Truncate,
    /// The value must be a sign-extended 32-bit number.
    Signed32,
    /// The value must be a zero-extended 32-bit number. No address in the
    /// kernel is.
    Unsigned32,
}

/// Types above this one are not in the table of the 2015 and 2021 kernels;
/// this one itself is read from behind the table's end.
const TYPES: u32 = 34;

const NO_GOT: &str = "there is no GOT, the symbol's own address is used";
const NO_MEANING: &str = "the type has no meaning in a kernel module";
const NO_SIZE: &str = "the symbol's address is used, not its size";

const fn store(size: usize, base: Base, check: Check, flaw: Option<&'static str>) -> Treatment {
    Treatment::Store(Rule {
        size,
        base,
        check,
        flaw,
    })
}

/// What krtld does with relocation type `kind`.
pub(crate) fn treatment(kind: u32) -> Treatment {
    use Base::{Section, Symbol, SymbolMinusPlace};
    use Check::{Signed32, Truncate, Unsigned32};
    match kind {
        0 => Treatment::Skip,
        1 => store(8, Symbol, Truncate, None),
        2 => store(4, SymbolMinusPlace, Signed32, None),
        4 => store(4, SymbolMinusPlace, Truncate, None),
        6 | 16..=18 => store(8, Symbol, Truncate, Some(NO_MEANING)),
        8 => store(8, Section, Truncate, Some(NO_MEANING)),
        9 => store(4, Symbol, Signed32, Some(NO_GOT)),
        10 => store(4, Symbol, Unsigned32, None),
        11 => store(4, Symbol, Signed32, None),
        12 => store(2, Symbol, Truncate, None),
        13 => store(2, SymbolMinusPlace, Truncate, None),
        14 => store(1, Symbol, Truncate, None),
        15 => store(1, SymbolMinusPlace, Truncate, None),
        19..=23 => Treatment::Hang,
        24 => store(8, SymbolMinusPlace, Truncate, None),
        25 => store(8, Symbol, Truncate, Some(NO_GOT)),
        26 => store(4, SymbolMinusPlace, Signed32, Some(NO_GOT)),
        32 => store(4, Symbol, Truncate, Some(NO_SIZE)),
        33 => store(8, Symbol, Truncate, Some(NO_SIZE)),
        _ if kind > TYPES => Treatment::Hang,
        _ => Treatment::Unsupported,
    }
}

impl Rule {
    /// Whether krtld accepts `value`. `is_address` says that the value is an
    /// address of the module or the kernel: those lie in the low 2 GiB here
    /// and in the top 2 GiB there, where zero extension never yields them.
    pub fn accepts(self, value: u64, is_address: bool) -> bool {
        match self.check {
            Check::Truncate => true,
            Check::Signed32 => i32::try_from(value.cast_signed()).is_ok(),
            Check::Unsigned32 => !is_address && u32::try_from(value).is_ok(),
        }
    }

    /// Writes `value`: fields of 1 and 2 bytes are overwritten, to fields of 4
    /// and 8 bytes it is added. `field` has `size` bytes.
    pub fn write(self, field: &mut [u8], value: u64) {
        let value = if self.size >= 4 {
            little_endian(field).wrapping_add(value)
        } else {
            value
        };
        field.copy_from_slice(&value.to_le_bytes()[..self.size]);
    }
}

fn little_endian(field: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..field.len()].copy_from_slice(field);
    u64::from_le_bytes(bytes)
}

/// The name of a type, without `R_AMD64_`.
pub(crate) fn name(kind: u32) -> Option<&'static str> {
    const NAMES: [&str; 39] = [
        "NONE",
        "64",
        "PC32",
        "GOT32",
        "PLT32",
        "COPY",
        "GLOB_DAT",
        "JUMP_SLOT",
        "RELATIVE",
        "GOTPCREL",
        "32",
        "32S",
        "16",
        "PC16",
        "8",
        "PC8",
        "DTPMOD64",
        "DTPOFF64",
        "TPOFF64",
        "TLSGD",
        "TLSLD",
        "DTPOFF32",
        "GOTTPOFF",
        "TPOFF32",
        "PC64",
        "GOTOFF64",
        "GOTPC32",
        "GOT64",
        "GOTPCREL64",
        "GOTPC64",
        "GOTPLT64",
        "PLTOFF64",
        "SIZE32",
        "SIZE64",
        "GOTPC32_TLSDESC",
        "TLSDESC_CALL",
        "TLSDESC",
        "IRELATIVE",
        "RELATIVE64",
    ];
    match kind {
        41 => Some("GOTPCRELX"),
        42 => Some("REX_GOTPCRELX"),
        _ => NAMES.get(kind as usize).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_numbers() {
        assert_eq!(name(9), Some("GOTPCREL"));
        assert_eq!(name(24), Some("PC64"));
        assert_eq!(name(33), Some("SIZE64"));
        assert_eq!(name(38), Some("RELATIVE64"));
        assert_eq!(name(39), None);
        assert_eq!(name(42), Some("REX_GOTPCRELX"));
    }

    #[test]
    fn signed_check_knows_its_limits() {
        let Treatment::Store(rule) = treatment(11) else {
            panic!("type 11 is stored");
        };
        for value in [0, 0x7fff_ffff, 0xffff_ffff_8000_0000, u64::MAX] {
            assert!(rule.accepts(value, true), "{value:#x}");
        }
        for value in [0x8000_0000, 0xffff_ffff, 0xffff_ffff_7fff_ffff, 1 << 63] {
            assert!(!rule.accepts(value, true), "{value:#x}");
        }
    }

    #[test]
    fn unsigned_check_refuses_every_address() {
        let Treatment::Store(rule) = treatment(10) else {
            panic!("type 10 is stored");
        };
        assert!(rule.accepts(0xffff_ffff, false));
        assert!(!rule.accepts(1 << 32, false));
        assert!(!rule.accepts(0x1000, true));
    }
}
