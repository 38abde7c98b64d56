// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The model as `drv/ip` of a simulated kernel, with a module in C that sets
//! the hooks.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clinet_ip::{AF_INET, Attached, Errno};
use clinet_kernel::{Context, Kernel, Module, together};

use crate::modules_in_c::load_plain;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Sets the hooks by name, counts their calls, and checks what comes in.
const PROVIDER: &str = r#"
    extern void *ddi_modopen(const char *, int, int *);
    extern void *ddi_modsym(void *, const char *, int *);
    extern int ddi_modclose(void *);
    extern int servicing_interrupt(void);
    typedef int (*walk_fn)(int, int (*)(void *, void *), void *);
    typedef struct { uint16_t version, ipversion; int state; uint16_t lport, fport;
        uint8_t laddr[16], faddr[16]; } info_t;

    static void *ip;
    static kmutex_t lock;
    static uint64_t asked, told, endpoints, wrong, interrupts, visited;
    static int answer, sleeps, walks;

    static void check(int right) {
        mutex_enter(&lock);
        wrong += !right;
        interrupts += servicing_interrupt() != 0;
        mutex_exit(&lock);
    }
    static int count(void *info, void *arg) {
        info_t *i = info;
        check(i->version == 1 && arg == (void *)&visited);
        visited++;
        return (0);
    }
    static int walk_list(int stack) {
        walk_fn walk = (walk_fn)ddi_modsym(ip, "cl_tcp_walk_list", NULL);
        return (walk(stack, count, &visited));
    }
    static int connect2(int stack, uint8_t proto, int out, uint16_t family, uint8_t *laddr,
        uint16_t lport, uint8_t *faddr, uint16_t fport, void *args) {
        check((stack == 0 || stack == 7) && (proto == 6 || proto == 17) && (out == 0 || out == 1));
        check(family == 2 && (laddr[0] == 127 || proto == 17) && faddr[3] == 1 && args == NULL);
        check(lport == 0x8913 || fport == 0x8913);	/* 5001 */
        mutex_enter(&lock);
        asked++;
        mutex_exit(&lock);
        if (walks) { walk_fn walk = (walk_fn)(uintptr_t)walks; (void) walk(0, count, &visited); }
        if (sleeps) kmem_free(kmem_alloc(8, KM_SLEEP), 8);
        return (answer);
    }
    static void disconnect(int stack, uint8_t proto, uint16_t family, uint8_t *laddr,
        uint16_t lport, uint8_t *faddr, uint16_t fport, void *args) {
        check(proto == 6 && family == 2 && laddr[0] == 127 && args == NULL && lport != 0);
        check(fport != 0 || faddr[0] == 0);
        mutex_enter(&lock);
        told++;
        mutex_exit(&lock);
    }
    static void endpoint(int stack, uint8_t proto, uint16_t family, uint8_t *laddr,
        uint16_t lport, void *args) {
        check((proto == 6 || proto == 17) && family == 2 && args == NULL);
        mutex_enter(&lock);
        endpoints++;
        mutex_exit(&lock);
        if (sleeps) kmem_free(kmem_alloc(8, KM_SLEEP), 8);
    }
    static int pass_connect2(int stack, uint8_t proto, int out, uint16_t family, uint8_t *laddr,
        uint16_t lport, uint8_t *faddr, uint16_t fport, void *args) { return (0); }
    static void pass_disconnect(int stack, uint8_t proto, uint16_t family, uint8_t *laddr,
        uint16_t lport, uint8_t *faddr, uint16_t fport, void *args) { }

    static void set(const char *name, void *function) {
        void **variable = ddi_modsym(ip, name, NULL);
        __atomic_store_n(variable, function, __ATOMIC_RELEASE);
    }
    int attach(void) {
        int error = 0;
        if (ip == NULL) ip = ddi_modopen("drv/ip", 1, &error);
        if (ip == NULL) return (error);
        set("cl_inet_disconnect", disconnect);
        set("cl_inet_unlisten", endpoint);
        set("cl_inet_listen", endpoint);
        set("cl_inet_unbind", endpoint);
        set("cl_inet_bind", endpoint);
        set("cl_inet_connect2", connect2);
        return (0);
    }
    void detach(void) {
        set("cl_inet_connect2", pass_connect2);
        set("cl_inet_disconnect", pass_disconnect);
    }
    int walk(int stack) { visited = 0; return (walk_list(stack)); }
    void walk_in_hooks(void) { walks = (int)(uintptr_t)ddi_modsym(ip, "cl_tcp_walk_list", NULL); }
    void sleep_in_hooks(void) { sleeps = 1; }
    void set_answer(int errno) { answer = errno; }
    int hold_and_walk(void) {
        walk_fn walk = (walk_fn)ddi_modsym(ip, "cl_tcp_walk_list", NULL);
        mutex_enter(&lock);
        int result = walk(0, NULL, NULL);
        mutex_exit(&lock);
        return (result);
    }
    uint64_t get_asked(void) { return (asked); }
    uint64_t get_told(void) { return (told); }
    uint64_t get_endpoints(void) { return (endpoints); }
    uint64_t get_wrong(void) { return (wrong); }
    uint64_t get_interrupts(void) { return (interrupts); }
    uint64_t get_visited(void) { return (visited); }
"#;

struct Lab {
    attached: Attached,
    module: Module,
}

impl Lab {
    fn new() -> Self {
        let attached = Attached::new(Arc::new(Kernel::new()));
        let module = load_plain(attached.kernel(), "misc/provider", PROVIDER);
        let lab = Self { attached, module };
        assert_eq!(lab.call("attach", &[]), 0);
        lab
    }

    fn call(&self, function: &str, args: &[u64]) -> u64 {
        let address = self.module.address(function);
        // SAFETY: the tests name functions of the module above with the
        // arguments that these take.
        unsafe { self.module.call(&Context::thread(), address, args) }
    }

    fn counters(&self) -> (u64, u64, u64) {
        assert_eq!(self.call("get_wrong", &[]), 0, "an argument is wrong");
        (
            self.call("get_asked", &[]),
            self.call("get_told", &[]),
            self.call("get_endpoints", &[]),
        )
    }
}

/// What a panic said.
fn panic_of<R>(body: impl FnOnce() -> R) -> String {
    let payload = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(_) => panic!("it must fail"),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other
            .downcast_ref::<&str>()
            .map_or_else(String::new, |&text| text.to_owned()),
    }
}

#[test]
fn a_module_is_asked_and_told_with_the_arguments_of_the_facts() {
    let lab = Lab::new();
    let ip = lab.attached.ip();
    let listener = ip.tcp(0, AF_INET);
    listener.bind(Some(LOCAL), 5001).expect("free");
    listener.listen(5).expect("bound");
    let client = ip.tcp(0, AF_INET);
    client.connect(LOCAL, 5001).expect("accepted");
    let server = listener.accept().expect("a connection");
    let sender = ip.udp(0, AF_INET);
    sender
        .send_to(Some((LOCAL, 5001)), false, 4)
        .expect("accepted");
    sender.connect(LOCAL, 5001).expect("accepted");
    assert_eq!(lab.counters(), (4, 0, 2));
    for socket in [&client, &server, &listener, &sender] {
        socket.close();
    }
    assert_eq!(ip.drain(), 0);
    assert_eq!(lab.counters(), (4, 3, 3));
    assert!(lab.attached.kernel().fault().is_none());
}

#[test]
fn a_refusal_of_the_module_reaches_the_program() {
    let lab = Lab::new();
    let ip = lab.attached.ip();
    lab.call("set_answer", &[Errno::EACCES.0 as u64]);
    assert_eq!(ip.tcp(0, AF_INET).connect(LOCAL, 5001), Err(Errno::EACCES));
    let udp = ip.udp(0, AF_INET);
    assert_eq!(udp.connect(LOCAL, 5001), Err(Errno::EADDRNOTAVAIL));
    let sent = udp.send_to(Some((LOCAL, 5001)), false, 4);
    assert_eq!(sent, Err(Errno::EHOSTUNREACH));
    lab.call("set_answer", &[-1i64 as u64 & 0xffff_ffff]);
    assert_eq!(
        ip.tcp(0, AF_INET).connect(LOCAL, 5001),
        Err(Errno::EADDRNOTAVAIL)
    );
}

#[test]
fn unlisten_comes_with_connf_lock_held() {
    let lab = Lab::new();
    let listener = lab.attached.ip().tcp(0, AF_INET);
    listener.listen(1).expect("an ephemeral port");
    lab.call("sleep_in_hooks", &[]);
    let message = panic_of(|| listener.close());
    assert!(message.contains("KM_SLEEP"), "{message}");
    assert!(message.contains("holding connf_lock"), "{message}");
}

#[test]
fn a_question_of_udp_connect_comes_with_uf_lock_held() {
    let lab = Lab::new();
    let socket = lab.attached.ip().udp(0, AF_INET);
    socket.bind(Some(LOCAL), 5001).expect("free");
    lab.call("sleep_in_hooks", &[]);
    let message = panic_of(|| socket.connect(LOCAL, 7001));
    assert!(message.contains("holding uf_lock"), "{message}");
    let lab = Lab::new();
    let socket = lab.attached.ip().udp(0, AF_INET);
    socket.bind(Some(LOCAL), 5001).expect("free");
    lab.call("sleep_in_hooks", &[]);
    let message = panic_of(|| socket.send_to(Some((LOCAL, 7001)), false, 4));
    assert!(message.contains("KM_SLEEP"), "{message}");
    assert!(!message.contains("holding"), "{message}");
}

#[test]
fn no_hook_may_sleep() {
    let lab = Lab::new();
    lab.call("sleep_in_hooks", &[]);
    let socket = lab.attached.ip().udp(0, AF_INET);
    let message = panic_of(|| socket.bind(Some(LOCAL), 5001));
    assert!(message.contains("may not sleep"), "{message}");
}

#[test]
fn packets_of_a_network_card_come_in_interrupt_threads() {
    let lab = Lab::new();
    let ip = lab.attached.ip();
    let listener = ip.tcp(0, AF_INET);
    listener.bind(Some(LOCAL), 5001).expect("free");
    listener.listen(5).expect("bound");
    let connect = || {
        let client = ip.tcp(0, AF_INET);
        client.connect(LOCAL, 5001).expect("accepted");
        assert_eq!(lab.counters().1, 0);
    };
    connect();
    assert_eq!(lab.call("get_interrupts", &[]), 0);
    ip.set_interrupts(0, true);
    connect();
    assert_eq!(
        lab.call("get_interrupts", &[]),
        3,
        "each check of one question"
    );
}

#[test]
fn the_walk_is_called_like_ips() {
    let lab = Lab::new();
    lab.attached.add_stack(7);
    let ip = lab.attached.ip();
    let sockets = [ip.tcp(0, AF_INET), ip.tcp(0, AF_INET), ip.tcp(7, AF_INET)];
    for (stack, visited) in [(0, 2), (7, 1), (-1i32 as u32, 3)] {
        assert_eq!(lab.call("walk", &[u64::from(stack)]), 0);
        assert_eq!(lab.call("get_visited", &[]), visited);
    }
    assert_eq!(lab.call("walk", &[3]) as i32, Errno::EINVAL.0);
    assert_eq!(lab.attached.kernel().netstacks(), [7, 0]);
    for socket in sockets {
        socket.close();
    }
    lab.attached.remove_stack(7);
    assert_eq!(lab.call("walk", &[7]) as i32, Errno::EINVAL.0);
    lab.counters();
}

#[test]
fn a_walk_with_a_lock_held_or_in_a_hook_is_found() {
    let lab = Lab::new();
    let listener = lab.attached.ip().tcp(0, AF_INET);
    listener.listen(1).expect("an ephemeral port");
    // Its unlisten takes the module's lock with connf_lock held.
    listener.close();
    let message = panic_of(|| lab.call("hold_and_walk", &[]));
    assert!(message.contains("lock order: connf_lock"), "{message}");
    let lab = Lab::new();
    lab.call("walk_in_hooks", &[]);
    let socket = lab.attached.ip().tcp(0, AF_INET);
    let message = panic_of(|| socket.connect(LOCAL, 5001));
    assert!(message.contains("called by a hook"), "{message}");
}

#[test]
fn what_a_variable_holds_is_called() {
    let lab = Lab::new();
    let socket = lab.attached.ip().udp(0, AF_INET);
    let variable = lab.attached.kernel().variable("drv/ip", "cl_inet_bind");
    let variable = variable.expect("ip has it");
    variable.store(0, Ordering::Release);
    socket
        .connect(LOCAL, 5001)
        .expect("nobody is told of the bind");
    assert_eq!(lab.counters(), (1, 0, 0));
    variable.store(8, Ordering::Release);
    let message = panic_of(|| lab.attached.ip().udp(0, AF_INET).bind(None, 5001));
    assert!(message.contains("call of 0x8"), "{message}");
}

/// What each thread does with its own ports.
fn traffic(lab: &Lab, stack: i32, rounds: u32) {
    let ip = lab.attached.ip();
    for round in 0..rounds {
        let client = ip.tcp(stack, AF_INET);
        if round % 3 == 0 {
            client.set_nonblocking(true);
        }
        match client.connect(LOCAL, 5001) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::ECONNREFUSED) => {}
            Err(errno) => panic!("connect: {errno}"),
        }
        ip.settle();
        if round % 2 == 0 {
            client.set_linger0();
        }
        client.close();
        let sender = ip.udp(stack, AF_INET);
        let sent = sender.send_to(Some((LOCAL, 5001)), false, 4);
        assert_eq!(sent, Ok(4));
        sender.connect(LOCAL, 5001).expect("accepted");
        if round % 2 == 0 {
            sender.disconnect().expect("connected");
        }
        sender.close();
    }
}

/// Connections of each thread: those of two fit into one queue of the 128
/// that the largest backlog holds.
const ROUNDS: u32 = 60;

#[test]
fn threads_on_several_stacks_while_another_detaches_and_walks() {
    let lab = Lab::new();
    lab.attached.add_stack(7);
    let ip = lab.attached.ip();
    let listeners: Vec<_> = [0, 7]
        .into_iter()
        .map(|stack| {
            let listener = ip.tcp(stack, AF_INET);
            listener.bind(Some(LOCAL), 5001).expect("free");
            // Room for all, if nobody accepts meanwhile.
            listener.listen(2 * ROUNDS as i32).expect("bound");
            listener
        })
        .collect();
    together::scope(|threads| {
        let workers: Vec<_> = [0, 7, 0, 7]
            .into_iter()
            .map(|stack| {
                threads.spawn({
                    let lab = &lab;
                    move |_| traffic(lab, stack, ROUNDS)
                })
            })
            .collect();
        threads.spawn(|over| {
            while !over.is_set() {
                for listener in &listeners {
                    if let Ok(server) = listener.accept() {
                        server.close();
                    }
                }
            }
        });
        threads.spawn(|over| {
            while !over.is_set() {
                lab.call("detach", &[]);
                lab.call("walk", &[-1i64 as u64 & 0xffff_ffff]);
                lab.call("attach", &[]);
            }
        });
        for worker in workers {
            worker.join().expect("no panic");
        }
    });
    for listener in &listeners {
        listener.close();
    }
    assert_eq!(ip.drain(), 0);
    let (asked, told, _) = lab.counters();
    assert!(asked > 0 && told > 0, "{asked} {told}");
    assert!(lab.attached.kernel().fault().is_none());
}
