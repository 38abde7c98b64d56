// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The IP stacks of the machine.

use core::mem::size_of;

use super::sys;

/// The place of the stack id in a `netstack_t` has moved between builds, and
/// all members are private. So it is searched for in this many bytes, which
/// the structure has in every build, and what is found is put to the test.
const SEARCHED: usize = 272;

/// Which stacks a pass found, and in which order: a hash of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacks(u64);

/// Calls `each` for every stack that is not on its way out; with `None` for one
/// whose id cannot be told, because it went meanwhile. The stack stays during
/// the call. Sleeps.
///
/// The kernel goes by the place in its list, so that a stack that leaves the
/// list meanwhile hides another one. Two passes that found the same stacks hid
/// none.
pub fn for_each(mut each: impl FnMut(Option<sys::netstackid_t>)) -> Stacks {
    let mut found = 0_u64;
    let mut handle = 0;
    // SAFETY: a handle for this walk, which ends below.
    unsafe { sys::netstack_next_init(&mut handle) };
    loop {
        // SAFETY: the walk has begun and not ended.
        let stack = unsafe { sys::netstack_next(&mut handle) };
        if stack.is_null() {
            break;
        }
        // SAFETY: netstack_next gave the stack with a hold, which is given
        // back below.
        let id = unsafe { id(stack) };
        found = found.rotate_left(5) ^ (id.unwrap_or(-1) as u64);
        // 2^64 divided by the golden ratio, made odd.
        found = found.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        each(id);
        // SAFETY: as above.
        unsafe { sys::netstack_rele(stack) };
    }
    // SAFETY: begun above.
    unsafe { sys::netstack_next_fini(&mut handle) };
    Stacks(found)
}

/// The id of a stack: the only number for which the kernel finds this stack.
///
/// # Safety
///
/// The caller holds the stack.
unsafe fn id(stack: *mut sys::netstack_t) -> Option<sys::netstackid_t> {
    if is(stack, 0) {
        return Some(0);
    }
    let numbers = stack.cast::<sys::netstackid_t>().cast_const();
    (0..SEARCHED / size_of::<sys::netstackid_t>())
        // SAFETY: within the structure, which is aligned to 8 and there while
        // it is held. What is read may be anything and may change: it is a
        // guess that the kernel confirms.
        .map(|index| unsafe { numbers.add(index).read_volatile() })
        .find(|number| *number > 0 && is(stack, *number))
}

/// Is this the stack of that id?
fn is(stack: *mut sys::netstack_t, id: sys::netstackid_t) -> bool {
    // SAFETY: takes any number, and what it finds it holds.
    let found = unsafe { sys::netstack_find_by_stackid(id) };
    if found.is_null() {
        return false;
    }
    // SAFETY: held by the line above.
    unsafe { sys::netstack_rele(found) };
    found == stack
}
