// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Enumerations that C knows by numbers and people by names.

/// Defines one, with `from_number` and `name`.
macro_rules! c_enum {
    (
        $(#[$doc:meta])*
        pub enum $enum:ident {
            $($(#[$of_one:meta])* $one:ident = $number:expr, $name:literal;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $enum {
            $($(#[$of_one])* $one = $number,)*
        }

        impl $enum {
            /// The one of this number.
            #[must_use]
            pub fn from_number(number: u32) -> Option<Self> {
                [$(Self::$one,)*].into_iter().find(|one| *one as u32 == number)
            }

            /// Its name in the kstat.
            #[must_use]
            pub fn name(self) -> &'static core::ffi::CStr {
                match self {
                    $(Self::$one => $name,)*
                }
            }
        }
    };
}
