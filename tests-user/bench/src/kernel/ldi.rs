// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Devices that the module opens: there are none here, since nothing is fenced.

use super::imports;

/// `DDI_MAJOR_T_NONE`.
const NO_DRIVER: u32 = u32::MAX;
const ENXIO: i32 = 6;

extern "C" fn ddi_name_to_major(_name: *const i8) -> u32 {
    NO_DRIVER
}

extern "C" fn makedevice(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

/// For `ldi_ident_from_mod`, `ldi_open_by_dev`, `ldi_ioctl` and `ldi_close`, whose
/// arguments it does not look at.
extern "C" fn no_device() -> i32 {
    ENXIO
}

extern "C" fn ldi_ident_release(_ident: *mut ()) {}

imports! {
    ddi_name_to_major => "ddi_name_to_major",
    makedevice => "makedevice",
    no_device => "ldi_ident_from_mod",
    no_device => "ldi_open_by_dev",
    no_device => "ldi_ioctl",
    no_device => "ldi_close",
    ldi_ident_release => "ldi_ident_release",
}
