// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Names of error numbers.

/// The name of an illumos error number, for those that a provider or the stack
/// may answer; `errno N` for others.
pub fn errno_name(errno: i32) -> String {
    let name = match errno {
        1 => "EPERM",
        6 => "ENXIO",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        22 => "EINVAL",
        28 => "ENOSPC",
        120 => "EPROTONOSUPPORT",
        124 => "EAFNOSUPPORT",
        125 => "EADDRINUSE",
        126 => "EADDRNOTAVAIL",
        127 => "ENETDOWN",
        128 => "ENETUNREACH",
        132 => "ENOBUFS",
        145 => "ETIMEDOUT",
        146 => "ECONNREFUSED",
        148 => "EHOSTUNREACH",
        150 => "EINPROGRESS",
        _ => return format!("errno {errno}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::errno_name;

    #[test]
    fn names_are_those_of_illumos() {
        assert_eq!(errno_name(125), "EADDRINUSE");
        assert_eq!(errno_name(148), "EHOSTUNREACH");
        assert_eq!(errno_name(98), "errno 98");
    }
}
