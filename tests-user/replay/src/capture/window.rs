// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A sliding window over a file: large reads, records as slices of it.

use std::io::{self, Read};

const INITIAL: usize = 512 << 10;

pub(super) struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the file before `start`.
    before: u64,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; INITIAL],
            start: 0,
            end: 0,
            before: 0,
        }
    }

    /// What is in the window.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// How much of the file has been consumed, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.before
    }

    /// Tries to have `len` bytes in the window. False at the end of the file.
    pub(super) fn want(&mut self, len: usize) -> io::Result<bool> {
        if self.end - self.start >= len {
            return Ok(true);
        }
        self.fill(len)
    }

    #[cold]
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < len {
            self.buffer.resize(len.next_power_of_two(), 0);
        }
        while self.end < len {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Moves on by `len` bytes, which must be in the window.
    pub(super) fn consume(&mut self, len: usize) {
        debug_assert!(len <= self.end - self.start);
        self.start += len;
        self.before += len as u64;
    }

    /// The last `len` bytes that were consumed. They stay until the next call
    /// that changes the window.
    pub(super) fn consumed(&self, len: usize) -> &[u8] {
        &self.buffer[self.start - len..self.start]
    }

    /// Moves on by `len` bytes of the file. False if it ends before.
    pub(super) fn skip(&mut self, mut len: usize) -> io::Result<bool> {
        loop {
            let step = len.min(self.end - self.start);
            self.consume(step);
            len -= step;
            if len == 0 {
                return Ok(true);
            }
            if !self.want(1)? {
                return Ok(false);
            }
        }
    }
}
