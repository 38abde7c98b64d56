// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kernel sockets and layered opens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::Machine;
use clinet_kernel::{Context, IpControl, ModunloadError};

const SOURCE: &str = r#"
    extern void *ddi_modopen(const char *, int, int *), *ddi_modsym(void *, const char *, int *);
    extern int ddi_modclose(void *);
    extern void *kcred;
    extern unsigned ddi_name_to_major(char *);
    extern unsigned long makedevice(unsigned, unsigned);
    extern int ldi_ident_from_mod(void *, void **);
    extern void ldi_ident_release(void *);
    extern int ldi_open_by_dev(unsigned long *, int, int, void *, void **, void *);
    extern int ldi_close(void *, int, void *);
    extern int ldi_ioctl(void *, int, long, int, void *, int *);

    struct lifreq { char name[32]; int addrlen; unsigned type; uint64_t flags; char pad[328]; };
    static struct lifreq lifreq, list[3];
    static struct { uint16_t family; int flags, count; } lifnum;
    static struct { uint16_t family; int flags, len; void *buf; } lifconf;
    static struct { int cmd, timeout, len; void *dp; } str;
    static struct { char local[256], remote[256]; int start, end, zone; } conn;
    static void *sockets, *socket, *ident, *handle;
    static int value;

    static void *find(const char *name) {
        if (sockets == NULL)
            sockets = ddi_modopen("misc/ksocket", 1, NULL);
        return (sockets == NULL ? NULL : ddi_modsym(sockets, name, NULL));
    }
    int missing(void) { return (find("ksocket_socket") == NULL); }
    int open(int family) {
        int (*f)(void **, int, int, int, int, void *) = find("ksocket_socket");
        return (f(&socket, family, 1, 0, 0, kcred));
    }
    int ioctl(int cmd, void *arg) {
        int (*f)(void *, int, long, int *, void *) = find("ksocket_ioctl");
        return (f(socket, cmd, (long)arg, &value, kcred));
    }
    int close(void) {
        int (*f)(void *, void *) = find("ksocket_close");
        return (f(socket, kcred));
    }
    int close_as(void *cred) {
        int (*f)(void *, void *) = find("ksocket_close");
        return (f(socket, cred));
    }
    void forget(void) { (void) ddi_modclose(sockets); sockets = NULL; }
    int number(int family) {
        lifnum.family = family;
        return (ioctl(0xc00c6982, &lifnum) == 0 ? lifnum.count : -1);
    }
    /* The number that come, times 1000, and the second byte of the last address. */
    int conf(int family, int room) {
        lifconf.family = family;
        lifconf.flags = 0x1f;
        lifconf.len = room * sizeof (list[0]);
        lifconf.buf = list;
        if (ioctl(0xc01069a5, &lifconf) != 0)
            return (-1);
        room = lifconf.len / sizeof (list[0]);
        return (room * 1000 + ((uint8_t *)&list[room - 1].flags)[5]);
    }
    static void name(int unit) {
        int i;
        for (i = 0; i < 32; i++)
            lifreq.name[i] = "lo0:9"[i < 5 ? i : 5];
        lifreq.name[unit < 0 ? 3 : 4] = unit < 0 ? 0 : '0' + unit;
    }
    uint64_t get(int unit) {
        name(unit);
        return (ioctl(0xc0786975, &lifreq) == 0 ? lifreq.flags : 0);
    }
    int set(int unit, uint64_t flags) {
        name(unit);
        lifreq.flags = flags;
        return (ioctl(0x80786974, &lifreq));
    }
    int add(void) {
        name(-1);
        lifreq.flags = 0;
        return (ioctl(0xc078696f, &lifreq) == 0 ? lifreq.name[4] : 0);
    }
    int removeif(int unit) { name(unit); return (ioctl(0x8078696e, &lifreq)); }
    int unended(void) {
        int i;
        for (i = 0; i < 32; i++)
            lifreq.name[i] = 'x';
        return (ioctl(0xc0786975, &lifreq));
    }
    int layered(void) {
        unsigned long dev = makedevice(ddi_name_to_major("tcp"), 0);
        int error = ldi_ident_from_mod(&linkage, &ident);
        return (error != 0 ? error : ldi_open_by_dev(&dev, 2, 3, kcred, &handle, ident));
    }
    int no_device(void) {
        unsigned long dev = makedevice(7, 0);
        (void) ldi_ident_from_mod(&linkage, &ident);
        return (ldi_open_by_dev(&dev, 2, 3, kcred, &handle, ident));
    }
    int abort_v4(uint32_t address, int start) {
        *(uint16_t *)conn.local = *(uint16_t *)conn.remote = 2;
        *(uint32_t *)(conn.local + 4) = address;
        conn.start = start;
        conn.end = 6;
        conn.zone = -1;
        str.cmd = ('T' << 8) + 91;
        str.len = sizeof (conn);
        str.dp = &conn;
        return (ldi_ioctl(handle, 0x5308, (long)&str, 0x80000000, kcred, &value));
    }
    void end(void) { (void) ldi_close(handle, 3, kcred); ldi_ident_release(ident); }
"#;

const AF_INET: u64 = 2;
const AF_INET6: u64 = 26;
const ENOENT: i32 = 2;
const ENXIO: i32 = 6;
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 7, 1, 1));

/// An ip of a few interfaces, which remembers what was asked of it.
#[derive(Default)]
struct Few {
    asked: Mutex<Vec<String>>,
    no_udp: bool,
}

impl Few {
    fn ask(&self, what: String) {
        self.asked.lock().expect("no panic").push(what);
    }
}

impl IpControl for Few {
    fn has_udp(&self) -> bool {
        !self.no_udp
    }

    fn interfaces(&self, v6: bool) -> Vec<(String, IpAddr)> {
        if v6 {
            return vec![("lo0".to_owned(), Ipv6Addr::LOCALHOST.into())];
        }
        let first = ("lo0".to_owned(), Ipv4Addr::LOCALHOST.into());
        vec![first, ("lo0:1".to_owned(), V4)]
    }

    fn flags(&self, _v6: bool, name: &str) -> Result<u64, i32> {
        if name == "lo0:1" {
            Ok(0x100_0009)
        } else {
            Err(ENXIO)
        }
    }

    fn set_flags(&self, v6: bool, name: &str, flags: u64) -> Result<(), i32> {
        self.ask(format!("set {v6} {name} {flags:#x}"));
        Ok(())
    }

    fn add(&self, _v6: bool, link: &str) -> Result<String, i32> {
        Ok(format!("{link}:7"))
    }

    fn remove(&self, v6: bool, name: &str) -> Result<(), i32> {
        self.ask(format!("remove {v6} {name}"));
        Ok(())
    }

    fn abort(&self, local: IpAddr, states: RangeInclusive<i32>) -> Result<(), i32> {
        self.ask(format!("abort {local} {states:?}"));
        if local == V4 { Ok(()) } else { Err(ENOENT) }
    }
}

fn machine(ip: Few) -> (Machine, Arc<Few>) {
    let machine = Machine::new(SOURCE);
    let ip = Arc::new(ip);
    machine.kernel.set_ip(ip.clone());
    (machine, ip)
}

fn opened(family: u64) -> (Machine, Arc<Few>) {
    let (machine, ip) = machine(Few::default());
    assert_eq!(machine.call("open", &[family]), 0);
    (machine, ip)
}

#[test]
fn a_machine_without_an_ip_has_no_kernel_sockets() {
    assert_eq!(Machine::new(SOURCE).call("missing", &[]), 1);
    let (machine, _) = machine(Few {
        no_udp: true,
        ..Few::default()
    });
    assert_eq!(machine.call("open", &[AF_INET]), ENXIO as u64);
    assert_eq!(machine.call("open", &[7]), 124);
}

#[test]
fn interfaces_are_listed_as_far_as_there_is_room() {
    let (machine, _) = opened(AF_INET);
    assert_eq!(machine.call("number", &[AF_INET]), 2);
    assert_eq!(machine.call("number", &[AF_INET6]), 1);
    assert_eq!(machine.call("number", &[0]), 3);
    assert_eq!(machine.call("conf", &[AF_INET, 3]), 2007);
    assert_eq!(machine.call("conf", &[AF_INET, 1]), 1000);
    assert_eq!(machine.call("conf", &[0, 3]) / 1000, 3);
}

#[test]
fn interfaces_are_changed_by_name_and_family() {
    let (machine, ip) = opened(AF_INET6);
    assert_eq!(machine.call("get", &[1]), 0x100_0009);
    assert_eq!(machine.call("get", &[2]), 0);
    assert_eq!(machine.call("set", &[1, 0x102_0008]), 0);
    assert_eq!(machine.call("add", &[]), u64::from(b'7'));
    assert_eq!(machine.call("removeif", &[7]), 0);
    assert_eq!(machine.call("ioctl", &[0x1234, 0]), 22);
    let asked = ip.asked.lock().expect("no panic");
    assert_eq!(*asked, ["set true lo0:1 0x1020008", "remove true lo0:7"]);
}

#[test]
fn connections_are_aborted_by_their_local_address() {
    let (machine, ip) = machine(Few::default());
    assert_eq!(machine.call("layered", &[]), 0);
    let address = u64::from(u32::from_le_bytes([10, 7, 1, 1]));
    assert_eq!(machine.call("abort_v4", &[address, -2_i64 as u64]), 0);
    assert_eq!(machine.call("abort_v4", &[0x100, -2_i64 as u64]), 2);
    assert_eq!(machine.call("abort_v4", &[address, -3_i64 as u64]), 22);
    machine.call("end", &[]);
    machine
        .kernel
        .unload(&machine.module)
        .expect("all is closed");
    let asked = ip.asked.lock().expect("no panic");
    assert_eq!(*asked, ["abort 10.7.1.1 -2..=6", "abort 0.1.0.0 -2..=6"]);
}

#[test]
fn a_device_that_is_absent_and_calls_that_are_made_to_fail() {
    let (machine, _) = machine(Few::default());
    assert_eq!(machine.call("no_device", &[]), 19);
    for (function, call, args, errno) in [
        ("ldi_ident_from_mod", "layered", vec![], 22),
        ("ldi_open_by_dev", "layered", vec![], 6),
        ("ksocket_socket", "open", vec![AF_INET], 12),
    ] {
        machine.kernel.fail_next(function);
        assert_eq!(machine.call(call, &args), errno, "{function}");
        assert_eq!(machine.call(call, &args), 0, "{function}");
    }
    machine.kernel.fail_next("ksocket_ioctl");
    assert_eq!(machine.call("removeif", &[1]), 5);
    machine.kernel.fail_next("ldi_ioctl");
    assert_eq!(machine.call("abort_v4", &[0, -2_i64 as u64]), 5);
}

#[test]
fn ioctls_take_as_long_as_they_are_told_to() {
    let (machine, _) = opened(AF_INET);
    machine.kernel.delay_ioctls(Duration::from_secs(7));
    let before = machine.kernel.uptime();
    assert_eq!(machine.call("removeif", &[1]), 0);
    assert_eq!(machine.kernel.uptime() - before, Duration::from_secs(7));
}

#[test]
fn what_is_left_open_is_a_leak() {
    let (machine, _) = opened(AF_INET);
    assert_eq!(machine.call("layered", &[]), 0);
    let error = machine.kernel.unload(&machine.module).expect_err("leaks");
    let ModunloadError::Leaks { leaks, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        leaks.to_string(),
        "open handle of misc/ksocket; kernel socket; layered open of tcp; ldi ident"
    );
}

#[test]
fn misuses_are_faults() {
    let cases: [(&[&str], &[u64], &str); 7] = [
        (&["ioctl"], &[0x1234, 0], "is no open socket"),
        (&["open", "close", "close"], &[], "is no open socket"),
        (&["open", "close_as"], &[0], "0x0 is no cred_t"),
        (&["open", "unended"], &[], "not ended by a NUL"),
        (&["open", "ioctl"], &[0xc078_6975, 0x40], "page fault"),
        (&["abort_v4"], &[0, 0], "is no handle"),
        (&["layered", "end", "end"], &[], "is no handle"),
    ];
    for (calls, args, expected) in cases {
        let (machine, _) = machine(Few::default());
        let (last, before) = calls.split_last().expect("a call");
        for call in before {
            machine.call(call, &[AF_INET]);
        }
        let message = machine.fault(last, args);
        assert!(message.contains(expected), "{calls:?}: {message}");
    }
}

#[test]
fn nobody_asks_who_may_not_sleep() {
    for (before, function) in [
        ("", "open"),
        ("open", "close"),
        ("", "layered"),
        ("layered", "end"),
    ] {
        for context in [
            Context::interrupt(),
            Context::thread().holding("connf_lock"),
        ] {
            let (machine, _) = machine(Few::default());
            machine.call("missing", &[]);
            if !before.is_empty() {
                machine.call(before, &[AF_INET]);
            }
            let fault = machine.fault_in(&context, function, &[AF_INET]);
            assert!(fault.message.contains("may sleep"), "{function}: {fault}");
        }
    }
}
