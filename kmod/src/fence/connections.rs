// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The TCP connections of the shared addresses: ended.

use super::family::shared;
use crate::kernel::errno::Errno;
use crate::kernel::kmem::KmemSlice;
use crate::kernel::ksocket::Ksocket;
use crate::kernel::ldi::Tcp;
use crate::kernel::{lif, time};
use crate::{builtin, flow};

/// Ticks that connections of one address may take to end.
const PATIENCE: u32 = 100;

/// Addresses that are remembered as asked about; of more, TCP is asked again.
const ASKED: usize = 1024;

/// TCP, which is asked about each address once: it looks at all of its connections
/// each time, and says so on the console.
pub struct Ending {
    tcp: Tcp,
    asked: KmemSlice<[u8; 16]>,
    count: usize,
}

impl Ending {
    /// Opens it. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or the kernel's.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            tcp: Tcp::open()?,
            asked: KmemSlice::from_fn(ASKED, |_| [0; 16]).ok_or(Errno::NOMEM)?,
            count: 0,
        })
    }

    /// True for the first question about an address.
    fn is_first(&mut self, address: [u8; 16]) -> bool {
        let mut asked = self.asked.iter().take(self.count);
        if asked.any(|one| *one == address) {
            return false;
        }
        if let Some(place) = self.asked.get_mut(self.count) {
            *place = address;
            self.count += 1;
        }
        true
    }

    /// Ends the connections of one address, and waits until they have ended: TCP
    /// leaves it to other threads. Sleeps.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: some have not ended yet; others of the kernel.
    pub fn end(&mut self, address: [u8; 16]) -> Result<(), Errno> {
        if !self.is_first(address) {
            return Ok(());
        }
        for _ in 0..PATIENCE {
            match self.tcp.abort(address) {
                Ok(()) => time::sleep_a_tick(),
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::AGAIN)
    }

    /// Ends those of the addresses that a list names, whether the machine has them
    /// or not. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or as for [`Ending::end`].
    pub fn end_listed(&mut self) -> Result<(), Errno> {
        builtin::each_address(|address| self.end(flow::from_words(address)))
    }

    /// Ends those of the shared addresses that the machine has. Sleeps.
    ///
    /// # Errors
    ///
    /// As for [`Ending::end`].
    pub fn end_present(&mut self, socket: &Ksocket<'_>) -> Result<(), Errno> {
        let interfaces = lif::list(socket)?;
        for address in interfaces.iter().filter_map(shared) {
            self.end(address)?;
        }
        Ok(())
    }
}
