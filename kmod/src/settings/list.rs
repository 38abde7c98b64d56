// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Lists in tunables: elements between commas, which may have blanks around them.

#![forbid(unsafe_code)]

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListError {
    /// The first character of what is wrong, counted from 1.
    pub position: usize,
    /// The end of a sentence that begins with where it is.
    pub problem: &'static str,
}

/// An element of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// Where it begins, counted from 1.
    pub position: usize,
    /// What it is, without the blanks.
    pub text: &'a [u8],
}

impl Element<'_> {
    pub fn error(&self, problem: &'static str) -> ListError {
        ListError {
            position: self.position,
            problem,
        }
    }
}

/// The elements of a list, in their order. An empty list has none.
pub(super) fn elements(list: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let is_empty = list.iter().all(is_blank);
    let mut start = 1_usize;
    let elements = list.split(|byte| *byte == b',').map(move |element| {
        let blanks = element.iter().take_while(|byte| is_blank(byte)).count();
        let position = start.wrapping_add(blanks);
        start = start.wrapping_add(element.len()).wrapping_add(1);
        Element {
            position,
            text: trim(element),
        }
    });
    elements.filter(move |_| !is_empty)
}

pub(super) fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let Some((_, rest)) = text.split_first().filter(|(first, _)| is_blank(first)) {
        text = rest;
    }
    while let Some((_, rest)) = text.split_last().filter(|(last, _)| is_blank(last)) {
        text = rest;
    }
    text
}

/// A number in decimal up to `most`, without leading zeros, which elsewhere mean octal.
pub(super) fn decimal(digits: &[u8], most: u16) -> Option<u16> {
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    let number = digits.iter().try_fold(0_u16, |value, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        value.checked_mul(10)?.checked_add(digit.into())
    });
    number.filter(|number| *number <= most)
}
