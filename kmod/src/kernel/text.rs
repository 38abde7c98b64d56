// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Messages that hold numbers and names, without a formatter.

#![forbid(unsafe_code)]

use core::ffi::CStr;

/// The longest message with its NUL; what is longer is cut.
const SIZE: usize = 160;

/// A message under construction.
pub struct Text {
    /// Zeros behind `used`, of which there is always one.
    bytes: [u8; SIZE],
    used: usize,
}

impl Text {
    /// An empty one.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            bytes: [0; SIZE],
            used: 0,
        }
    }

    /// Adds a string.
    pub fn string(&mut self, string: &str) -> &mut Self {
        for byte in string.bytes() {
            self.push(byte);
        }
        self
    }

    /// Adds a number in decimal.
    pub fn number(&mut self, number: usize) -> &mut Self {
        let mut significant = false;
        for exponent in (0..=usize::MAX.ilog10()).rev() {
            let value = number.checked_div(10_usize.pow(exponent)).unwrap_or(0);
            significant |= value > 0 || exponent == 0;
            if significant {
                self.push(b'0' + (value % 10) as u8);
            }
        }
        self
    }

    fn push(&mut self, byte: u8) {
        if self.used + 1 < SIZE
            && let Some(place) = self.bytes.get_mut(self.used)
        {
            *place = byte;
            self.used += 1;
        }
    }

    /// The message for C; empty if a NUL was added.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        self.bytes
            .get(..=self.used)
            .and_then(|bytes| CStr::from_bytes_with_nul(bytes).ok())
            .unwrap_or(c"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers_make_a_message() {
        let mut text = Text::empty();
        text.string("at ").number(0).string(", ").number(1907);
        assert_eq!(text.as_c_str(), c"at 0, 1907");
        text = Text::empty();
        text.number(usize::MAX);
        assert_eq!(
            text.as_c_str().to_str(),
            Ok(std::string::ToString::to_string(&usize::MAX).as_str())
        );
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let long = std::string::String::from_iter(['x'; SIZE + 7]);
        let mut text = Text::empty();
        text.string(&long);
        assert_eq!(text.as_c_str().count_bytes(), SIZE - 1);
    }
}
