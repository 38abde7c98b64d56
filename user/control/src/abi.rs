// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The device's structures and numbers as `include/clinetctl.h` has them, for
//! who speaks to the driver byte by byte. The kernel's layouts, on any system;
//! the compiler checks that they have no gaps.

#![allow(missing_docs, non_camel_case_types, dead_code)]

include!(concat!(env!("OUT_DIR"), "/device.rs"));

pub use clinetctl_command as command;

/// Each structure ends at a multiple of eight, as 32-bit programs need it.
macro_rules! whole_words {
    ($($structure:ty),*) => {
        $(const _: () = assert!(size_of::<$structure>() % 8 == 0);)*
    };
}

whole_words!(
    clinetctl_head_t,
    clinetctl_version_t,
    clinetctl_state_t,
    clinetctl_stat_t,
    clinetctl_stats_t,
    clinetctl_clock_t,
    clinetctl_tuple_t,
    clinetctl_filter_t,
    clinetctl_list_t,
    clinetctl_query_t,
    clinetctl_grants_t,
    clinetctl_deadline_t,
    clinetctl_unfence_t,
    clinetctl_text_t,
    clinetctl_property_t,
    clinetctl_action_t,
    clinetctl_tuples_t,
    clinetctl_owner_t,
    clinetctl_delete_t,
    clinetctl_flush_t,
    clinetctl_events_t,
    clinetctl_event_t,
    clinet_entry_t
);
