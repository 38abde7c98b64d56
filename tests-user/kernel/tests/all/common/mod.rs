// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Small modules in C, compiled when a test runs.

use std::process::Command;

use clinet_kernel::{Context, Fault, Kernel, Module};

/// Declarations of the kernel that the modules share.
const PRELUDE: &str = r#"
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long uint64_t;
typedef unsigned long size_t;
typedef unsigned long uintptr_t;
typedef long clock_t;
typedef struct { void *opaque; } kmutex_t;
typedef struct { void *opaque; } krwlock_t;
typedef struct { unsigned short opaque; } kcondvar_t;
#define NULL ((void *)0)
enum { KM_SLEEP = 0, KM_NOSLEEP = 1 };
enum { CE_CONT, CE_NOTE, CE_WARN, CE_PANIC, CE_IGNORE };
enum { RW_WRITER, RW_READER };
extern void cmn_err(int, const char *, ...);
extern void *kmem_alloc(size_t, int);
extern void *kmem_zalloc(size_t, int);
extern void kmem_free(void *, size_t);
extern void *kmem_cache_create(char *, size_t, size_t, int (*)(void *, void *, int),
    void (*)(void *, void *), void (*)(void *), void *, void *, int);
extern void kmem_cache_destroy(void *);
extern void *kmem_cache_alloc(void *, int);
extern void kmem_cache_free(void *, void *);
extern void mutex_init(kmutex_t *, char *, int, void *);
extern void mutex_destroy(kmutex_t *);
extern void mutex_enter(kmutex_t *);
extern void mutex_exit(kmutex_t *);
extern int mutex_tryenter(kmutex_t *);
extern int mutex_owned(kmutex_t *);
extern void *mutex_owner(kmutex_t *);
#define MUTEX_DEFAULT 6

extern int mod_install(void *), mod_remove(void *), mod_info(void *, void *);
extern char mod_miscops[];
"#;

/// `_info`, and `_init` and `_fini` that only install and remove.
pub const LINKAGE: &str = r#"
static struct { void *ops; const char *text; } misc = { mod_miscops, "a test module 1.0" };
static struct { int rev; void *links[7]; } linkage = { 1, { &misc, NULL } };
int _info(void *info) { return (mod_info(&linkage, info)); }
"#;

/// The same with `_init` and `_fini`.
pub const PLAIN: &str = r#"
int _init(void) { return (mod_install(&linkage)); }
int _fini(void) { return (mod_remove(&linkage)); }
"#;

/// A driver that opens devices 1 and up, one after the other, and whose entry
/// points are what a test's source defines `OPEN`, `READ` and so on to be.
pub const DRIVER: &str = r#"
typedef struct { void *list, *pad1; long pad2; } pollhead_t;
struct uio { void *iov; int iovcnt; long offset; int segflg; uint16_t fmode, extflg; long limit, resid; };
extern char mod_driverops[];
extern int nodev(), nulldev(), ddi_prop_op(), ddi_quiesce_not_needed(void *);
extern int ddi_create_minor_node(void *, char *, int, uint32_t, char *, int);
extern void ddi_remove_minor_node(void *, char *);
extern int ddi_get_instance(void *);
extern int ddi_copyin(const void *, void *, size_t, int);
extern int ddi_copyout(const void *, void *, size_t, int);
extern int uiomove(void *, size_t, int, struct uio *);
extern int crgetzoneid(const void *), secpolicy_net_observability(const void *);
extern uint32_t crgetuid(const void *);
extern int secpolicy_ip_config(const void *, int);
extern uint32_t getmajor(uint64_t), getminor(uint64_t);
extern uint64_t makedevice(uint32_t, uint32_t);
extern void pollwakeup(pollhead_t *, short);
extern void pollhead_clean(pollhead_t *);
extern int cv_wait_sig(kcondvar_t *, kmutex_t *);
extern void cv_broadcast(kcondvar_t *);
#define NODE(dip, name) ddi_create_minor_node(dip, name, 0x2000, 0, "ddi_pseudo", 0)
#ifndef DEVO_REV
#define DEVO_REV 4
#endif
#ifndef CB_REV
#define CB_REV 1
#endif
#ifndef CB_FLAG
#define CB_FLAG 0x20
#endif
static uint32_t last_minor;
int plain_open(uint64_t *dev, int flag, int otyp, void *cr) {
    *dev = makedevice(getmajor(*dev), ++last_minor);
    return (0);
}
int plain_close(uint64_t dev, int flag, int otyp, void *cr) { return (0); }
int plain_attach(void *dip, int cmd) { return (cmd == 0 ? NODE(dip, "test") : -1); }
int plain_detach(void *dip, int cmd) {
    if (cmd != 0)
        return (-1);
    ddi_remove_minor_node(dip, NULL);
    return (0);
}
int plain_info(void *dip, int cmd, void *arg, void **result) { return (-1); }
"#;

/// The tables of a driver, to stand behind its functions.
pub const DRIVER_TABLES: &str = r#"
#ifndef OPEN
#define OPEN plain_open
#endif
#ifndef CLOSE
#define CLOSE plain_close
#endif
#ifndef ATTACH
#define ATTACH plain_attach
#endif
#ifndef DETACH
#define DETACH plain_detach
#endif
#ifndef READ
#define READ nodev
#endif
#ifndef IOCTL
#define IOCTL nodev
#endif
#ifndef CHPOLL
#define CHPOLL nodev
#endif
static struct { void *operations[13], *str; int flag, rev; void *aread, *awrite; } cb_ops = {
    { OPEN, CLOSE, nodev, nodev, nodev, READ, nodev, IOCTL, nodev, nodev, nodev, CHPOLL,
        ddi_prop_op }, NULL, CB_FLAG, CB_REV, nodev, nodev };
static struct { int rev, refcnt; void *info, *identify, *probe, *attach, *detach, *reset, *cb,
    *bus, *power, *quiesce; } dev_ops = { DEVO_REV, 0, plain_info, nulldev, nulldev, ATTACH, DETACH,
    nodev, &cb_ops, NULL, NULL, ddi_quiesce_not_needed };
static struct { void *ops; const char *text; void *dev; } drv = { mod_driverops, "a test driver",
    &dev_ops };
static struct { int rev; void *links[7]; } linkage = { 1, { &drv, NULL } };
int _info(void *info) { return (mod_info(&linkage, info)); }
#ifndef OWN_INIT
int _init(void) { return (mod_install(&linkage)); }
#endif
#ifndef OWN_FINI
int _fini(void) { return (mod_remove(&linkage)); }
#endif
"#;

/// Compiles a driver.
pub fn compile_driver(source: &str) -> Vec<u8> {
    compile(&format!("{DRIVER}{source}{DRIVER_TABLES}"))
}

/// Compiles a driver whose `_init` or `_fini` stand behind its tables; its source
/// defines `OWN_INIT` or `OWN_FINI` then.
pub fn compile_driver_with(source: &str, entries: &str) -> Vec<u8> {
    compile(&format!("{DRIVER}{source}{DRIVER_TABLES}{entries}"))
}

/// Compiles a module with the flags of a kernel module.
pub fn compile(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder for the module");
    let input = folder.path().join("module.c");
    let output = folder.path().join("module.o");
    std::fs::write(&input, format!("{PRELUDE}{source}")).expect("the source is written");
    let compiler = std::env::var("CLINET_CC").unwrap_or_else(|_| "clang".into());
    let result = Command::new(&compiler)
        .args(["--target=x86_64-pc-solaris2.11", "-O2", "-c"])
        .args(["-mcmodel=kernel", "-fno-pic", "-mno-red-zone", "-mno-sse"])
        .args(["-mno-mmx", "-msoft-float", "-ffreestanding"])
        .args(["-fno-asynchronous-unwind-tables", "-fno-omit-frame-pointer"])
        .args(["-fno-optimize-sibling-calls", "-Wall", "-Werror"])
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .output()
        .unwrap_or_else(|error| panic!("{compiler} cannot be run: {error}; install clang"));
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    std::fs::read(&output).expect("the object file")
}

/// A machine with one plain module, `misc/test`.
pub struct Machine {
    pub kernel: Kernel,
    pub module: Module,
}

impl Machine {
    /// Loads `source`, to which the linkage, `_init` and `_fini` are added.
    pub fn new(source: &str) -> Self {
        let kernel = Kernel::new();
        let module = load_plain(&kernel, "misc/test", source);
        Self { kernel, module }
    }

    /// Calls a function in an ordinary thread.
    pub fn call(&self, function: &str, args: &[u64]) -> u64 {
        self.call_in(&Context::thread(), function, args)
            .unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Calls a function in a context.
    pub fn call_in(&self, context: &Context, function: &str, args: &[u64]) -> Result<u64, Fault> {
        let address = self.module.address(function);
        // SAFETY: the tests name functions of their own modules with the
        // arguments that these take.
        unsafe { self.module.try_call(context, address, args) }
    }

    /// The message of the fault that a call makes.
    pub fn fault(&self, function: &str, args: &[u64]) -> String {
        self.fault_in(&Context::thread(), function, args).message
    }

    /// The fault that a call makes in a context.
    pub fn fault_in(&self, context: &Context, function: &str, args: &[u64]) -> Fault {
        self.call_in(context, function, args)
            .expect_err("the call must fault")
    }
}

/// Loads a module with the plain linkage.
pub fn load_plain(kernel: &Kernel, name: &str, source: &str) -> Module {
    let file = compile(&format!("{LINKAGE}{PLAIN}{source}"));
    kernel
        .load(name, &file, &[])
        .unwrap_or_else(|error| panic!("{error}"))
}
