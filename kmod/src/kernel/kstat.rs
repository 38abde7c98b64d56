// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Named kernel statistics, `clinet:0:NAME`.

use core::ffi::{CStr, c_int};
use core::marker::PhantomData;
use core::ptr;

use super::kmem::KmemSlice;
use super::sys;

/// The longest string with its NUL that a [`Value::String`] may have.
pub const STRING: usize = 160;

/// A value of a kstat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// `KSTAT_DATA_UINT64`.
    Number(u64),
    /// `KSTAT_DATA_STRING`, below [`STRING`] bytes.
    String(&'static CStr),
}

/// Where the values of a kstat come from.
pub trait Source: 'static {
    /// The kstat's own name.
    const NAME: &'static CStr;

    /// The value with this index and its name of at most 30 characters;
    /// `None` behind the last. Number and kinds of values never change. Called
    /// by whoever reads the kstat, in a thread that may sleep and holds nothing
    /// of ours.
    fn value(index: usize) -> Option<(&'static CStr, Value)>;
}

/// A kstat that is installed.
pub struct Kstat<S: Source> {
    kstat: *mut sys::kstat_t,
    /// What the kernel reads; freed after the kstat is deleted.
    _data: KmemSlice<sys::kstat_named_t>,
    source: PhantomData<S>,
}

// SAFETY: the pointer is the kernel's, and any thread may delete the kstat.
unsafe impl<S: Source> Send for Kstat<S> {}

impl<S: Source> Kstat<S> {
    /// Creates and installs it. Sleeps. `None`: no memory, or there is one of
    /// this name, of which the kernel warns.
    #[inline(never)]
    pub fn create() -> Option<Self> {
        let count = (0..).take_while(|index| S::value(*index).is_some()).count();
        // SAFETY: plain data for which zeros are a value.
        let zero = unsafe { core::mem::zeroed() };
        let mut data: KmemSlice<sys::kstat_named_t> = KmemSlice::from_fn(count, |_| zero)?;
        let mut strings = 0;
        for (index, named) in data.iter_mut().enumerate() {
            let (name, value) = S::value(index)?;
            let kind = match value {
                Value::Number(_) => sys::KSTAT_DATA_UINT64,
                Value::String(_) => {
                    strings += 1;
                    sys::KSTAT_DATA_STRING
                }
            };
            // SAFETY: a structure of ours and a string.
            unsafe { sys::kstat_named_init(named, name.as_ptr(), kind as u8) };
        }
        // SAFETY: strings, and a number of values that is not zero.
        let kstat = unsafe {
            sys::kstat_create(
                c"clinet".as_ptr(),
                0,
                S::NAME.as_ptr(),
                c"net".as_ptr(),
                sys::KSTAT_TYPE_NAMED as u8,
                count as u32,
                sys::KSTAT_FLAG_VIRTUAL as u8,
            )
        };
        // SAFETY: NULL, or a kstat that nobody else knows before it is
        // installed.
        let fields = unsafe { kstat.as_mut() }?;
        fields.ks_data = data.as_mut_ptr().cast();
        // Room for the strings in what a reader gets.
        fields.ks_data_size += strings * STRING;
        fields.ks_update = Some(update::<S>);
        // SAFETY: created above, with its data.
        unsafe { sys::kstat_install(kstat) };
        Some(Self {
            kstat,
            _data: data,
            source: PhantomData,
        })
    }
}

impl<S: Source> Drop for Kstat<S> {
    fn drop(&mut self) {
        // SAFETY: created by `create` and deleted nowhere else, and not by
        // its own reader: `update` drops no kstat. The data goes after this.
        unsafe { sys::kstat_delete(self.kstat) };
    }
}

/// `ks_update`.
///
/// # Safety
///
/// `kstat` is one that `Kstat::<S>::create` made, and the caller holds it as
/// a reader of kstats does (kstat_hold, os/kstat_fr.c): one at a time.
unsafe extern "C" fn update<S: Source>(kstat: *mut sys::kstat_t, direction: c_int) -> c_int {
    if direction == sys::KSTAT_WRITE as c_int {
        return sys::EACCES as c_int;
    }
    // SAFETY: the caller's kstat.
    let (data, count) = unsafe { ((*kstat).ks_data, (*kstat).ks_ndata) };
    // SAFETY: `create` set both for a slice that lives as long as the kstat;
    // whoever holds the kstat keeps other readers out.
    let values = unsafe {
        &mut *ptr::slice_from_raw_parts_mut(data.cast::<sys::kstat_named_t>(), count as usize)
    };
    for (index, named) in values.iter_mut().enumerate() {
        match S::value(index) {
            Some((_, Value::Number(number))) => named.value.ui64 = number,
            // SAFETY: `create` made this value a string by the same source;
            // the string is static.
            Some((_, Value::String(string))) => unsafe {
                sys::kstat_named_setstr(named, string.as_ptr());
            },
            None => {}
        }
    }
    0
}
