// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Things written down as bytes, so that different things differ: a number ends where it ends, and how
//! many there are of something is written down before.

use std::hash::Hasher;

/// Bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub Vec<u8>);

impl Text {
    pub fn number(&mut self, number: impl TryInto<u64>) {
        let number = number.try_into().unwrap_or(u64::MAX);
        match u8::try_from(number) {
            Ok(byte) if byte < u8::MAX => self.0.push(byte),
            _ => {
                self.0.push(u8::MAX);
                self.0.extend(number.to_le_bytes());
            }
        }
    }

    pub fn flags(&mut self, flags: &[bool]) {
        let bits = flags
            .iter()
            .fold(1, |bits, flag| bits << 1 | u8::from(*flag));
        self.0.push(bits);
    }
}

/// For what is rare.
impl Hasher for Text {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("bytes are what is wanted")
    }
}
