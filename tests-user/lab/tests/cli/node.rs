// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab node`: a machine behind a socket.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clinet_cluster::Process;
use clinet_control::machine::{MachineReply, MachineRequest};
use clinet_control::socket::SocketDevice;
use clinet_control::{
    Control, Errno, EventMask, EventType, FenceState, Filter, Grants, PortSet, Protocol, Reason,
    Space, Tuple,
};

use super::{module, root};

/// Nothing here takes a tenth of that.
const LONGEST: Duration = Duration::from_secs(120);
const SHARED: &str = "192.0.2.10";

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn lab_node(socket: &Path, arguments: &[&str]) -> Command {
    let tool = assert_cmd::Command::cargo_bin("lab").expect("the tool is built");
    let mut command = Command::new(tool.get_program());
    let driver = root().join("build/kernel/drv/amd64/clinetctl");
    command.args(["node", "--module"]).arg(module());
    command
        .arg("--driver")
        .arg(driver)
        .arg("--socket")
        .arg(socket);
    command.args(arguments);
    command
}

/// A node, which ends with this.
struct Node {
    process: Process,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("device");
        let mut command = lab_node(&socket, arguments);
        let log = folder.path().join("log");
        let mut process = Process::start("lab node", &mut command, &log).expect("it starts");
        process
            .wait_until(LONGEST, || SocketDevice::connect(&socket).is_ok())
            .expect("it serves");
        Self {
            process,
            socket,
            _folder: folder,
        }
    }

    fn control(&self) -> Control {
        Control::open(&self.socket).expect("the device opens")
    }

    fn program(&self) -> SocketDevice {
        SocketDevice::connect(&self.socket).expect("a program starts")
    }
}

fn ask(program: &SocketDevice, request: &MachineRequest) -> Result<MachineReply, Errno> {
    program.machine(request).expect("the machine answers")
}

fn connect(program: &SocketDevice, protocol: Protocol, local: &str) -> Result<u64, Errno> {
    let reply = ask(
        program,
        &MachineRequest::Connect {
            protocol,
            local: Some(end(local)),
            foreign: end("198.51.100.7:443"),
        },
    )?;
    match reply {
        MachineReply::Connected { socket, .. } => Ok(socket),
        other => panic!("{other:?}"),
    }
}

/// Grants ports of both protocols for some seconds.
fn grant(control: &Control, ports: RangeInclusive<u16>, seconds: u64) {
    let mut granted = PortSet::default();
    ports.for_each(|port| granted.insert(port));
    let space = Space {
        ports: Some(32768..=65535),
        granted,
    };
    let before = control.state().expect("a state");
    control
        .set_grants(&Grants {
            epoch: 1,
            sequence: before.sequence + 1,
            deadline: Some(before.now + seconds * 1_000_000_000),
            tcp: space.clone(),
            udp: space,
        })
        .expect("granted");
}

/// Waits until there is something.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONGEST;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it does not come");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_busy_machine_has_something_to_show() {
    for release in ["2015", "2021"] {
        let node = Node::start(&["--busy", "200", "--release", release]);
        let control = node.control();
        assert_eq!(control.version().contract, "1.1");
        let kinds = [Protocol::Tcp, Protocol::Udp];
        for kind in kinds {
            let entry = until(|| {
                let mut entries = control.list(&Filter::default());
                entries.find_map(|entry| entry.ok().filter(|entry| entry.tuple.protocol == kind))
            });
            assert!(entry.tuple.local.port() >= 32768, "{entry:?}");
        }
        let MachineReply::UdpSockets { sockets } =
            ask(&node.program(), &MachineRequest::UdpSockets).expect("UDP sockets")
        else {
            panic!("UDP sockets");
        };
        assert!(sockets.iter().all(|socket| socket.program == "busy"));
    }
}

#[test]
fn a_refusal_is_an_errno_and_an_event() {
    let node = Node::start(&[]);
    let (control, watcher, program) = (node.control(), node.control(), node.program());
    let tuple = Tuple {
        protocol: Protocol::Tcp,
        local: end("192.0.2.10:40000"),
        foreign: end("198.51.100.7:443"),
    };
    control.install(2, &[tuple]).expect("nobody has it");
    let (ready, is_ready) = mpsc::channel();
    let (sender, events) = mpsc::channel();
    thread::spawn(move || {
        let mut events = watcher.events(EventMask::ALL).expect("events");
        ready.send(()).expect("somebody waits");
        let event = events.next(Some(LONGEST)).expect("an event");
        sender.send(event).expect("somebody waits");
    });
    is_ready.recv_timeout(LONGEST).expect("it listens");
    // The watcher waits, and others are served.
    assert_eq!(
        connect(&program, Protocol::Tcp, "192.0.2.10:40000"),
        Err(Errno::EADDRINUSE)
    );
    let event = events.recv_timeout(LONGEST).expect("an answer");
    let event = event.expect("an event");
    assert_eq!(
        (event.kind, event.reason),
        (EventType::Refused, Some(Reason::Owned))
    );
    assert_eq!((event.tuple, event.owner), (Some(tuple), 2));
    connect(&program, Protocol::Tcp, "192.0.2.10:40001").expect("another port");
}

#[test]
fn a_program_that_ends_closes_its_sockets() {
    let node = Node::start(&["--addr", SHARED]);
    let (control, program) = (node.control(), node.program());
    let udp = connect(&program, Protocol::Udp, "192.0.2.10:40000").expect("connected");
    connect(&program, Protocol::Tcp, "192.0.2.10:40000").expect("connected");
    ask(&program, &MachineRequest::Send { socket: udp }).expect("sent");
    assert_eq!(control.list(&Filter::default()).count(), 2);
    let other = node.program();
    let foreign = ask(&other, &MachineRequest::Close { socket: udp });
    assert_eq!(foreign, Err(Errno::EBADF), "it is another program's");
    let MachineReply::Sent { next, packets } =
        ask(&other, &MachineRequest::Sent { since: 0 }).expect("what was sent")
    else {
        panic!("what was sent");
    };
    assert_eq!(next, packets.len() as u64);
    assert!(
        packets
            .iter()
            .all(|packet| packet.local == end("192.0.2.10:40000"))
    );
    assert!(
        packets
            .iter()
            .any(|packet| packet.protocol == Protocol::Udp)
    );
    drop(program);
    // What was registered stays: TIME_WAIT keeps TCP's, and the end of a
    // connected UDP socket is told to nobody.
    let none = Ok(MachineReply::UdpSockets {
        sockets: Vec::new(),
    });
    until(|| (ask(&other, &MachineRequest::UdpSockets) == none).then_some(()));
}

#[test]
fn ranges_and_addresses_are_those_of_its_ip() {
    let node = Node::start(&["--addr", SHARED]);
    let program = node.program();
    let protocol = Protocol::Tcp;
    for (first, last) in [(50000, 50003), (40000, 40007), (60000, 60001)] {
        let set = MachineRequest::SetEphemeralRange {
            protocol,
            first,
            last,
        };
        ask(&program, &set).expect("a range");
        let range = ask(&program, &MachineRequest::EphemeralRange { protocol });
        assert_eq!(range, Ok(MachineReply::EphemeralRange { first, last }));
    }
    let address = SHARED.parse().expect("an address");
    ask(&program, &MachineRequest::AddressDown { address }).expect("it is down");
    let Ok(MachineReply::Addresses { addresses }) = ask(&program, &MachineRequest::Addresses)
    else {
        panic!("addresses");
    };
    assert!(
        addresses
            .iter()
            .any(|one| one.address == address && !one.up)
    );
    let nowhere = "192.0.2.99".parse().expect("an address");
    let absent = ask(&program, &MachineRequest::AddressUp { address: nowhere });
    assert_eq!(absent, Err(Errno::ENXIO));
}

#[test]
fn at_the_deadline_the_addresses_go_away() {
    let node = Node::start(&[
        "--addr",
        SHARED,
        "--tunable",
        "clinet_port_space=32768-65535",
        "--tunable",
        "clinet_fence_seconds=1",
    ]);
    let (control, program) = (node.control(), node.program());
    let refused = connect(&program, Protocol::Tcp, "192.0.2.10:40000");
    assert_eq!(refused, Err(Errno::EADDRINUSE), "nothing is granted");
    control.take_control().expect("nobody has it");
    grant(&control, 40000..=40999, 2);
    let udp = connect(&program, Protocol::Udp, "192.0.2.10:40000").expect("granted");
    let refused = connect(&program, Protocol::Tcp, "192.0.2.10:41000");
    assert_eq!(refused, Err(Errno::EADDRINUSE), "it is not granted");
    until(|| {
        let state = control.state().expect("a state");
        (state.fence == FenceState::Fenced).then_some(())
    });
    let Ok(MachineReply::Addresses { addresses }) = ask(&program, &MachineRequest::Addresses)
    else {
        panic!("addresses");
    };
    let shared = |one: &&clinet_control::machine::LocalAddress| one.address.to_string() == SHARED;
    let shared = addresses.iter().find(shared).expect("it is there");
    assert!(!shared.up && shared.nolocal, "{shared:?}");
    // Whatever the send says: nothing leaves.
    let sent = || match ask(&program, &MachineRequest::Sent { since: 0 }) {
        Ok(MachineReply::Sent { next, .. }) => next,
        other => panic!("{other:?}"),
    };
    let before = sent();
    let _ = ask(&program, &MachineRequest::Send { socket: udp });
    assert_eq!(sent(), before);
    let lapsed = connect(&program, Protocol::Tcp, "192.0.2.10:40001");
    assert_eq!(lapsed, Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn the_clock_is_the_hosts_at_its_rate() {
    let node = Node::start(&["--clock-rate=-500000"]);
    let (control, program) = (node.control(), node.program());
    let (begin, first) = (Instant::now(), control.clock().expect("a clock"));
    thread::sleep(Duration::from_millis(300));
    let second = control.clock().expect("a clock");
    let most = begin.elapsed().as_nanos() as u64 / 2 + 2_000_000;
    assert!(second - first <= most, "{} of {most}", second - first);
    let jump = MachineRequest::Advance { milliseconds: 5000 };
    ask(&program, &jump).expect("it jumps");
    assert!(control.clock().expect("a clock") >= second + 5_000_000_000);
}

#[test]
fn its_socket_is_its_own() {
    let mut node = Node::start(&[]);
    let mode = std::fs::metadata(&node.socket)
        .expect("a socket")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let second = lab_node(&node.socket, &[]).output().expect("it runs");
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another node serves"), "{said}");
    let status = node.process.terminate(LONGEST).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(!node.socket.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("device");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let log = folder.path().join("log");
    let mut command = lab_node(&socket, &[]);
    let mut process = Process::start("lab node", &mut command, &log).expect("it starts");
    process
        .wait_until(LONGEST, || SocketDevice::connect(&socket).is_ok())
        .expect("it serves");
    let file = lab_node(&log, &[]).output().expect("it runs");
    assert_eq!(file.status.code(), Some(2));
    let said = String::from_utf8_lossy(&file.stderr);
    assert!(said.contains("is no socket"), "{said}");
}

#[test]
fn more_programs_than_the_driver_has_files_are_told_so() {
    let node = Node::start(&[]);
    let mut open = Vec::new();
    let error = (0..1000).find_map(|_| match Control::open(&node.socket) {
        Ok(control) => {
            open.push(control);
            None
        }
        Err(error) => Some(error),
    });
    let error = error.expect("the driver has a limit");
    assert!(error.to_string().contains("not now"), "{error}");
    drop::<Vec<Control>>(open);
    until(|| Control::open(&node.socket).ok().map(drop::<Control>));
}
