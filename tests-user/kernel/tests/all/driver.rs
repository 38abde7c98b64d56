// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Drivers: loading and attaching, opening, and the memory of who calls.

use crate::common::{self, compile_driver};
use clinet_kernel::{
    Cred, Driver, Kernel, Leak, Model, ModloadError, ModunloadError, OpenFile, OpenFlags,
    UserMemory,
};

const EFAULT: i32 = 14;
const ENXIO: i32 = 6;
const EBUSY: i32 = 16;

fn load(kernel: &Kernel, source: &str) -> Result<Driver, ModloadError> {
    kernel.load_driver("drv/test", &compile_driver(source), &[])
}

fn driver(source: &str) -> (Kernel, Driver) {
    let kernel = Kernel::new();
    let driver = load(&kernel, source).unwrap_or_else(|error| panic!("{error}"));
    (kernel, driver)
}

fn open(driver: &Driver) -> OpenFile {
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    driver.open(Cred::root(), flags).expect("it opens")
}

/// The fault of something that panics with it.
fn fault_of<R>(kernel: &Kernel, body: impl FnOnce() -> R) -> String {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    assert!(result.is_err(), "it must fault");
    kernel.fault().expect("the machine halted").message
}

#[test]
fn a_driver_attaches_opens_and_goes_again() {
    let (kernel, driver) = driver("");
    let nodes = driver.minor_nodes();
    assert_eq!(nodes.len(), 1);
    assert_eq!((nodes[0].name.as_str(), nodes[0].minor), ("test", 0));
    assert_eq!(nodes[0].node_type, "ddi_pseudo");
    let (first, second) = (open(&driver), open(&driver));
    // Somebody else was there first.
    assert_eq!((first.minor(), second.minor()), (2, 3));
    drop((first, second));
    driver.unload().expect("it unloads");
    let again = load(&kernel, "").expect("it loads again");
    assert_eq!(again.major(), driver.major());
    again.detach().expect("it detaches");
    assert_eq!(again.open(Cred::root(), OpenFlags::READ).err(), Some(ENXIO));
    assert_eq!(again.attach(), Ok(Ok(())));
    again.unload().expect("it unloads");
}

#[test]
fn a_driver_needs_a_major_number_and_must_be_one() {
    let kernel = Kernel::new();
    let error = kernel.load("drv/test", &compile_driver(""), &[]);
    let error = error.expect_err("no major number").to_string();
    assert!(error.contains("errno 6"), "{error}");
    let file = common::compile(&format!("{}{}", common::LINKAGE, common::PLAIN));
    let error = kernel.load_driver("drv/misc", &file, &[]);
    assert!(matches!(error, Err(ModloadError::NoDriver(_))), "{error:?}");
}

#[test]
fn what_a_compiler_does_not_check_is_a_fault() {
    for (source, message) in [
        ("#undef DEVO_REV\n#define DEVO_REV 3\n", "devo_rev"),
        ("#undef CB_REV\n#define CB_REV 0\n", "cb_rev"),
        ("#define CHPOLL NULL\n", "nodev belongs there"),
    ] {
        let error = load(&Kernel::new(), source).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    }
    let unsafe_driver = load(&Kernel::new(), "#undef CB_FLAG\n#define CB_FLAG 0\n");
    let error = unsafe_driver.expect_err("not D_MP").to_string();
    assert!(error.contains("errno 6"), "{error}");
}

#[test]
fn a_driver_that_does_not_attach_is_unloaded() {
    let kernel = Kernel::new();
    let source = "#define ATTACH refuses
        static int refuses(void *dip, int cmd) { return (-1); }";
    let error = load(&kernel, source).expect_err("it refuses");
    assert!(matches!(error, ModloadError::Attach { .. }), "{error}");
    let source = "#define ATTACH leaves
        static int leaves(void *dip, int cmd) { (void) NODE(dip, \"left\"); return (-1); }";
    match load(&kernel, source) {
        Err(ModloadError::Attach { leaks, .. }) => {
            assert_eq!(leaks.0, [Leak::MinorNode("left".to_owned())]);
        }
        other => panic!("{other:?}"),
    }
    load(&kernel, "").expect("nothing is left of them");
}

#[test]
fn nodes_and_operations_that_stay_are_leaks() {
    let source = "#define DETACH leaves
        static int leaves(void *dip, int cmd) { return (cmd == 0 ? 0 : -1); }";
    let (_kernel, leaves) = driver(source);
    let leaks = match leaves.detach() {
        Err(ModunloadError::Leaks { leaks, .. }) => leaks,
        other => panic!("{other:?}"),
    };
    assert_eq!(leaks.0, [Leak::MinorNode("test".to_owned())]);
    let (_kernel, forgets) = driver("#define OWN_FINI\nint _fini(void) { return (0); }");
    let leaks = match forgets.unload() {
        Err(ModunloadError::Leaks { leaks, .. }) => leaks,
        other => panic!("{other:?}"),
    };
    assert_eq!(leaks.0, [Leak::Operations("test".to_owned())]);
}

#[test]
fn a_driver_that_is_attached_or_open_stays() {
    let source = "#define DETACH refuses
        static int refuses(void *dip, int cmd) { return (-1); }";
    let (kernel, refuses) = driver(source);
    assert!(matches!(refuses.unload(), Err(ModunloadError::Detach(_))));
    let result = kernel.unload(refuses.module());
    let errno = match result {
        Err(ModunloadError::Refused { errno, .. }) => errno,
        other => panic!("{other:?}"),
    };
    assert_eq!(errno, EBUSY);
    let (_kernel, agrees) = driver("");
    let file = open(&agrees);
    let error = agrees.detach().expect_err("a fault").to_string();
    assert!(error.contains("while a device of it is open"), "{error}");
    drop(file);
}

#[test]
fn a_node_needs_a_name_that_nobody_has() {
    let source = "#define ATTACH twice
        static int twice(void *dip, int cmd) {
            int first = NODE(dip, \"a\"), second = NODE(dip, \"a\");
            return (first == 0 && second == -1 && ddi_get_instance(dip) == 0 ? 0 : -1);
        }";
    assert_eq!(driver(source).1.minor_nodes().len(), 1);
    let source = "#define ATTACH odd
        static int odd(void *dip, int cmd) { return (NODE(dip, \"a/b\")); }";
    let error = load(&Kernel::new(), source)
        .expect_err("a fault")
        .to_string();
    assert!(error.contains("no name in /devices"), "{error}");
    let kernel = Kernel::new();
    kernel.fail_next("ddi_create_minor_node");
    let error = load(&kernel, "").expect_err("it fails");
    assert!(matches!(error, ModloadError::Attach { .. }), "{error}");
}

#[test]
fn two_opens_do_not_share_a_minor_number() {
    let source = "#define OPEN same
        static int same(uint64_t *dev, int flag, int otyp, void *cr) {
            *dev = makedevice(getmajor(*dev), 7);
            return (0);
        }";
    let (kernel, same) = driver(source);
    let _first = open(&same);
    let message = fault_of(&kernel, || open(&same));
    assert!(message.contains("a minor number that is open"), "{message}");
}

const COPIES: &str = "#define IOCTL copies
    static int copies(uint64_t dev, int cmd, uint64_t arg, int mode, void *cr, int *rval) {
        char buffer[4] = \"wxyz\";
        kmutex_t lock = { NULL };
        *rval = mode;
        switch (cmd) {
        case 1: return (ddi_copyin((void *)arg, buffer, 4, mode) == 0 ? buffer[3] - '0' : 14);
        case 2: return (ddi_copyout(buffer, (void *)arg, 4, mode) == 0 ? 0 : 14);
        case 3: return (*(volatile char *)arg);
        case 4: mutex_enter(&lock); return (ddi_copyin((void *)arg, buffer, 4, mode));
        case 5: return (ddi_copyin((void *)arg, buffer, 4, mode | 0x80000000));
        case 6: return (ddi_copyin((void *)arg, buffer, 4, mode & 0x7fffffff));
        case 7: return (-5);
        }
        return (25);
    }
    uint64_t kernel_data = 0x33323130;";

#[test]
fn copies_reach_the_memory_of_the_program() {
    let (_kernel, driver) = driver(COPIES);
    let file = open(&driver);
    let mut memory = UserMemory::new();
    let address = memory.add(b"0129");
    let ioctl = |command, address, memory: &mut UserMemory| {
        file.ioctl(command, address, memory, Model::Lp64)
    };
    assert_eq!(ioctl(1, address, &mut memory), Err(9));
    assert_eq!(ioctl(1, address + 1, &mut memory), Err(EFAULT));
    assert_eq!(ioctl(2, address, &mut memory), Ok(0x0020_0003));
    assert_eq!(memory.read(address, 4).as_deref(), Some(&b"wxyz"[..]));
    assert_eq!(ioctl(2, address + 3, &mut memory), Err(EFAULT));
    memory.protect(address);
    assert_eq!(ioctl(2, address, &mut memory), Err(EFAULT));
    assert_eq!(ioctl(99, address, &mut memory), Err(25));
    // Of an address of 64 bits a program of 32 has passed half; the copy that
    // failed has written one byte.
    let wide = 0x7_0000_0000 | address;
    let narrow = file.ioctl(1, wide, &mut memory, Model::Ilp32);
    assert_eq!(narrow, Err(i32::from(b'w' - b'0')));
    assert_eq!(ioctl(1, wide, &mut memory), Err(EFAULT));
}

#[test]
fn a_kernel_module_passes_its_own_addresses() {
    let (kernel, driver) = driver(COPIES);
    let file = open(&driver);
    let mut none = UserMemory::new();
    let address = driver.module().address("kernel_data");
    assert_eq!(file.ioctl(1, address, &mut none, Model::Kernel), Err(3));
    let message = fault_of(&kernel, || file.ioctl(6, address, &mut none, Model::Kernel));
    assert!(
        message.contains("the caller is a kernel module"),
        "{message}"
    );
}

#[test]
fn misuse_of_user_addresses_is_a_fault() {
    for (command, expected) in [
        (3, "page fault at 0x8"),
        (4, "ddi_copyin may sleep, and"),
        (5, "ddi_copyin with FKIOCTL, and the caller is a program"),
        (7, "returned -5, which is no errno"),
    ] {
        let (kernel, driver) = driver(COPIES);
        let file = open(&driver);
        let mut memory = UserMemory::new();
        let address = memory.add(b"0123");
        let message = fault_of(&kernel, || {
            file.ioctl(command, address, &mut memory, Model::Lp64)
        });
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn creds_say_who_calls() {
    let (kernel, driver) = driver(
        "#define IOCTL asks
        static int asks(uint64_t dev, int cmd, uint64_t arg, int mode, void *cr, int *rval) {
            if (cmd == 1)
                cr = &last_minor;
            *rval = crgetuid(cr) * 1000 + crgetzoneid(cr) * 100 +
                (secpolicy_net_observability(cr) == 0) * 10 +
                (secpolicy_ip_config(cr, 0) == 0);
            return (0);
        }
",
    );
    let mut none = UserMemory::new();
    let file = open(&driver);
    assert_eq!(file.ioctl(0, 0, &mut none, Model::Lp64), Ok(11));
    let mut cred = Cred {
        zone: 3,
        ..Cred::user(2)
    };
    assert_eq!(file.ioctl_as(cred, 0, 0, &mut none, Model::Lp64), Ok(2300));
    cred.privileges.net_observability = true;
    assert_eq!(file.ioctl_as(cred, 0, 0, &mut none, Model::Lp64), Ok(2310));
    let message = fault_of(&kernel, || file.ioctl(1, 0, &mut none, Model::Lp64));
    assert!(message.contains("is no cred_t"), "{message}");
}
