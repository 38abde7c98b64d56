// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kinds of steps, and what each does to the model.

use std::net::IpAddr;

use crate::error::Errno;
use crate::hooks::Hook;
use crate::option::{Argument, SocketOption};
use crate::recorder::Policy;
use crate::socket::{Shutdown, Socket};
use crate::trace::compare::{are_conns, write_conns, write_infos};
use crate::trace::format::{Port, Step};
use crate::trace::play::{CannotRun, Outcome, Player};

/// The bytes of a message whose length the scenario does not show, because it
/// was not sent.
const LENGTH: usize = 4;
const POLLIN: u32 = 1;
const POLLOUT: u32 = 4;
const POLLRDNORM: u32 = 0x40;

/// Milliseconds that the recording driver waited in accept and recv. It looked
/// once before and never again: what came meanwhile it did not see.
const ACCEPT_PATIENCE: u64 = 1500;
const RECEIVE_PATIENCE: u64 = 300;

pub(super) fn done(result: Result<(), Errno>) -> Result<i64, Errno> {
    result.map(|()| 0)
}

pub(super) fn sent(result: Result<usize, Errno>) -> Result<i64, Errno> {
    result.map(|length| length as i64)
}

impl<'a> Player<'a> {
    pub(super) fn slot(&self, step: &Step) -> Result<&Socket, CannotRun> {
        let name = step.sock.as_ref().ok_or("it names no socket")?;
        let socket = self.slots.get(name);
        socket.ok_or_else(|| format!("socket {name} is not there"))
    }

    /// Does the step use a socket that is not there, and was told so?
    fn is_of_closed(&self, step: &Step) -> bool {
        let is_there = |name: &String| self.slots.contains_key(name);
        let names_none = step.sock.as_ref().is_some_and(|name| !is_there(name));
        names_none && step.step != "socket" && step.errno == Errno::EBADF
    }

    /// The port that a step gives.
    fn port(&self, port: &Port) -> Result<u16, CannotRun> {
        let name = match port {
            Port::Number(number) => return Ok(*number),
            Port::Name(name) => name,
        };
        if let Some(port) = self.names.get(name) {
            return Ok(port);
        }
        let slot = name.split('.').next().and_then(|slot| self.slots.get(slot));
        slot.map(|socket| socket.name().1)
            .ok_or_else(|| format!("nobody has port {name}"))
    }

    /// The destination that a step gives, if it gives one.
    pub(super) fn destination(&self, step: &Step) -> Result<Option<(IpAddr, u16)>, CannotRun> {
        match (address(step)?, &step.port) {
            (Some(address), Some(port)) => Ok(Some((address, self.port(port)?))),
            (None, None) => Ok(None),
            _ => Err("an address without a port, or a port without an address".to_owned()),
        }
    }

    pub fn run(&mut self, number: usize, step: &'a Step) -> Result<Option<Outcome>, CannotRun> {
        if let Some(unknown) = step.unknown() {
            return Err(unknown);
        }
        if self.is_of_closed(step) {
            return Ok(Some(Err(Errno::EBADF).into()));
        }
        let length = usize::try_from(step.ret).unwrap_or(0);
        let length = if length == 0 { LENGTH } else { length };
        let result = match step.step.as_str() {
            "socket" => self.socket(step)?,
            "bind" => self.bind(step)?,
            "bind_null" => done(self.slot(step)?.bind_null()),
            "listen" => {
                let backlog = step.backlog.ok_or("it has no backlog")?;
                done(self.slot(step)?.listen(backlog))
            }
            "connect" if step.background => return self.begin_connect(number, step),
            "connect" => {
                let (to, port) = self.destination(step)?.ok_or("it has no address")?;
                done(self.slot(step)?.connect(to, port))
            }
            "join" => {
                self.finish_background(true);
                Ok(0)
            }
            "disconnect" => match step.with.as_deref() {
                Some("NULL address" | "AF_UNSPEC") => done(self.slot(step)?.disconnect()),
                _ => return Err("a disconnect with neither NULL nor AF_UNSPEC".to_owned()),
            },
            "accept" if step.background => {
                self.slot(step)?;
                step.new.as_ref().ok_or("it names no new socket")?;
                return Ok(self.wait_in_background(number, step, ACCEPT_PATIENCE));
            }
            "accept" => self.accept(step)?,
            "send" => sent(self.slot(step)?.send(length)),
            "sendto" | "sendmsg" => {
                let control = match step.control.as_deref() {
                    None | Some("none") => false,
                    Some("pktinfo" | "tos") => true,
                    Some(other) => return Err(format!("control data {other} is not known")),
                };
                let to = self.destination(step)?;
                sent(self.slot(step)?.send_to(to, control, length))
            }
            "recv" if step.background => {
                self.slot(step)?;
                return Ok(self.wait_in_background(number, step, RECEIVE_PATIENCE));
            }
            "recv" => {
                let result = self.slot(step)?.receive();
                if result == Err(Errno::EAGAIN) {
                    self.ip.advance(RECEIVE_PATIENCE);
                }
                sent(result)
            }
            "shutdown" => {
                let how = match step.how {
                    Some(0) => Shutdown::Read,
                    Some(1) => Shutdown::Write,
                    Some(2) => Shutdown::Both,
                    _ => return Err("shutdown ends what?".to_owned()),
                };
                done(self.slot(step)?.shutdown(how))
            }
            "close" => {
                let name = step.sock.as_deref().unwrap_or_default();
                let socket = self.slots.remove(name);
                let socket = socket.ok_or_else(|| format!("socket {name} is not there"))?;
                socket.close();
                Ok(0)
            }
            "setsockopt" => self.set_option(step)?,
            "linger0" => {
                self.slot(step)?.set_linger0();
                Ok(0)
            }
            "nonblock" => {
                let on = step.value.ok_or("it has no value")? != 0;
                self.slot(step)?.set_nonblocking(on);
                Ok(0)
            }
            "poll" => self.poll(number, step)?,
            "so_error" => self.so_error(number, step)?,
            "policy" => {
                // What the other hooks answer is in their calls.
                let is_of_another = match step.hook.as_deref() {
                    None => step.has("isclusterwide") || step.has("ipident"),
                    Some(name) => matches!(name, "isclusterwide" | "ipident"),
                };
                if !is_of_another {
                    self.recorder.set_policy(self.policy(step)?);
                }
                Ok(0)
            }
            "hooks" => self.hooks(step)?,
            "address" => self.address(step)?,
            "wait" => {
                self.ip.advance(step.ms.ok_or("it has no time")?);
                Ok(0)
            }
            "walk" => self.walk(number, step),
            // The model never ends TIME_WAIT early.
            "natural_time_wait" => Ok(0),
            "drain" => self.drain(number, step),
            other => return Err(format!("the step {other} is not known")),
        };
        Ok(Some(result.into()))
    }

    fn socket(&mut self, step: &Step) -> Result<Result<i64, Errno>, CannotRun> {
        const STREAM: u16 = 2;
        const DATAGRAM: u16 = 1;
        const RAW: u16 = 4;
        let family = step.af.ok_or("it has no address family")?;
        let is_known = match step.kind {
            Some(STREAM) => matches!(step.protocol, Some(0 | 6)),
            Some(DATAGRAM) => matches!(step.protocol, Some(0 | 17)),
            _ => true,
        };
        if !is_known {
            return Err("the protocol of the socket is not known".to_owned());
        }
        let socket = match step.kind {
            Some(STREAM) => self.ip.tcp(0, family),
            Some(DATAGRAM) => self.ip.udp(0, family),
            Some(RAW) => self.ip.raw(0, family),
            _ => return Err("the type of the socket is not known".to_owned()),
        };
        let name = step.sock.clone().ok_or("it names no socket")?;
        self.slots.insert(name, socket);
        Ok(Ok(0))
    }

    /// A bind to a wildcard does not show its port, but its result does. If it
    /// failed, the ports of the other sockets are what may have been in its way.
    fn bind(&mut self, step: &Step) -> Result<Result<i64, Errno>, CannotRun> {
        let socket = self.slot(step)?;
        let address = address(step)?;
        let port = match (&step.port, &step.name) {
            (Some(port), _) => self.port(port)?,
            (None, Some(Some((_, Port::Number(port))))) => *port,
            (None, Some(Some((_, Port::Name(_))))) => 0,
            _ => return self.bind_in_use(socket, address),
        };
        Ok(done(socket.bind(address, port)))
    }

    fn bind_in_use(
        &self,
        socket: &Socket,
        address: Option<IpAddr>,
    ) -> Result<Result<i64, Errno>, CannotRun> {
        let others = self.slots.values().filter(|other| other.is_like(socket));
        let ports = others.map(|other| other.name().1).filter(|&port| port != 0);
        let mut results = ports.map(|port| socket.bind(address, port));
        let failed = results.find(Result::is_err);
        failed
            .map(done)
            .ok_or_else(|| "its port is not known".to_owned())
    }

    /// On two CPUs the poll before the accept may miss its wake-up. Then the
    /// connection stays in the queue, and later steps show whether it was one.
    fn accept(&mut self, step: &Step) -> Result<Result<i64, Errno>, CannotRun> {
        let new = step.new.clone().ok_or("it names no new socket")?;
        let listener = self.slot(step)?;
        let missed = (step.ret, step.errno) == (-1, Errno::EAGAIN) && listener.is_acceptable();
        let result = if missed {
            Err(Errno::EAGAIN)
        } else {
            listener.accept()
        };
        Ok(match result {
            Ok(socket) => {
                self.slots.insert(new, socket);
                Ok(0)
            }
            Err(errno) => {
                if errno == Errno::EAGAIN {
                    self.ip.advance(ACCEPT_PATIENCE);
                }
                Err(errno)
            }
        })
    }

    fn set_option(&mut self, step: &Step) -> Result<Result<i64, Errno>, CannotRun> {
        let named = step.option.as_deref().and_then(SocketOption::named);
        let option = match (step.level, step.optname) {
            (Some(level), Some(number)) => SocketOption { level, number },
            _ => named.ok_or("it has no option by level and number, or by a known name")?,
        };
        let shown = step.option.clone().unwrap_or_default();
        if option.name().is_none() && step.errno != Errno::ENOPROTOOPT {
            return Err(format!(
                "the socket option {shown} ({option:?}) is not known"
            ));
        }
        if named.is_some_and(|named| named != option) {
            return Err(format!("the socket option {shown} is not {option:?}"));
        }
        match option.argument() {
            // The recording does not show the size, but an int is an error.
            Argument::Byte if step.errno == Errno::EINVAL => return Ok(Err(Errno::EINVAL)),
            Argument::Structure | Argument::Name if step.errno == Errno(0) => {
                if option == SocketOption::SO_LINGER {
                    return Err("how long it lingers is not known".to_owned());
                }
                return Ok(done(self.slot(step)?.set_structure(option)));
            }
            _ => {}
        }
        let value = step.value.ok_or("it has no value")?;
        Ok(done(self.slot(step)?.set_option(option, value)))
    }

    fn poll(&mut self, number: usize, step: &Step) -> Result<Result<i64, Errno>, CannotRun> {
        let events = step.events.ok_or("it has no events")?;
        if events == 0 || events & !(POLLIN | POLLOUT | POLLRDNORM) != 0 {
            return Err("it polls for more than POLLIN, POLLRDNORM and POLLOUT".to_owned());
        }
        let timeout = step.timeout_ms.ok_or("it has no time")?;
        let revents = {
            let socket = self.slot(step)?;
            let writable = if socket.is_writable() { POLLOUT } else { 0 };
            let readable = if socket.is_readable() {
                POLLIN | POLLRDNORM
            } else {
                0
            };
            events & (writable | readable)
        };
        if revents == 0 {
            self.ip.advance(timeout);
        }
        if step.revents.is_some_and(|expected| expected != revents) {
            let expected = format!("revents {}", step.revents.unwrap_or(0));
            self.differ(number, step, expected, format!("revents {revents}"));
        }
        // No recording shows what a poll returns that found something.
        Ok(Ok(if revents == 0 {
            0
        } else {
            step.ret.clamp(0, 1)
        }))
    }

    fn so_error(&mut self, number: usize, step: &Step) -> Result<Result<i64, Errno>, CannotRun> {
        let error = self.slot(step)?.take_error().map_or(0, |errno| errno.0);
        if let Some(expected) = step.so_error.filter(|&expected| expected != error) {
            let got = format!("SO_ERROR {error}");
            self.differ(number, step, format!("SO_ERROR {expected}"), got);
        }
        Ok(Ok(i64::from(error)))
    }

    /// Answers from now on. A foreign end has two names here.
    fn policy(&self, step: &Step) -> Result<Option<Policy>, CannotRun> {
        if let Some(hook) = step.hook.as_deref().filter(|&hook| hook != "connect2") {
            return Err(format!("a policy of {hook} is not known"));
        }
        match step.accept.as_deref() {
            Some("all") => return Ok(None),
            Some(other) => return Err(format!("to accept {other} is not known")),
            None => {}
        }
        let outgoing = match step.dir.as_deref() {
            None | Some("any") => None,
            Some("out") => Some(true),
            Some("in") => Some(false),
            Some(other) => return Err(format!("the direction {other} is not known")),
        };
        let port = |port: Option<&Port>| port.map(|port| self.port(port)).transpose();
        let value = step.value.ok_or("it has no value")?;
        Ok(Some(Policy {
            outgoing,
            protocol: step.proto,
            local: parsed(step.laddr.as_ref())?,
            local_port: port(step.lport.as_ref())?,
            foreign: parsed(step.faddr.as_ref().or(step.addr.as_ref()))?,
            foreign_port: port(step.fport.as_ref().or(step.port.as_ref()))?,
            skip: step.skip.unwrap_or(0),
            count: u64::try_from(step.count.unwrap_or(-1)).ok(),
            value: i32::try_from(value).map_err(|_| "the answer is no int")?,
        }))
    }

    fn hooks(&mut self, step: &Step) -> Result<Result<i64, Errno>, CannotRun> {
        let names = step.set.as_ref().ok_or("it has no set of hooks")?;
        let mut hooks = Vec::new();
        for name in names {
            let hook = Hook::named(name);
            hooks.push(hook.ok_or_else(|| format!("the hook {name} is not known"))?);
        }
        self.recorder.set(&hooks);
        Ok(Ok(0))
    }

    fn address(&mut self, step: &Step) -> Result<Result<i64, Errno>, CannotRun> {
        let interface = step.interface.as_deref().ok_or("it has no interface")?;
        let up = step.up.ok_or("neither up nor down")?;
        if !self.ip.set_interface(0, interface, up) {
            return Err(format!("the interface {interface} is not known"));
        }
        Ok(Ok(0))
    }

    fn walk(&mut self, number: usize, step: &Step) -> Result<i64, Errno> {
        let mut infos = Vec::new();
        let result = self.ip.walk(0, |info| {
            infos.push(*info);
            0
        });
        let expected = step.conns.as_deref().unwrap_or_default();
        if !are_conns(&mut self.names, expected, infos.clone()) {
            let got = write_infos(&self.names, &infos);
            self.differ(number, step, write_conns(expected), got);
        }
        Ok(i64::from(result))
    }

    /// Closes what is open, and lets the rest end.
    fn drain(&mut self, number: usize, step: &Step) -> Result<i64, Errno> {
        for (_, socket) in std::mem::take(&mut self.slots) {
            socket.close();
        }
        let left = self.ip.drain();
        if left > 0 {
            self.differ(number, step, "no conn", format!("{left} conns left"));
        }
        Ok(0)
    }
}

/// The address that a step gives; without one it is the wildcard.
fn address(step: &Step) -> Result<Option<IpAddr>, CannotRun> {
    parsed(step.addr.as_ref())
}

fn parsed(text: Option<&String>) -> Result<Option<IpAddr>, CannotRun> {
    let parse = |text: &String| {
        let parsed = text.parse();
        parsed.map_err(|_| format!("{text} is no address"))
    };
    text.map(parse).transpose()
}
