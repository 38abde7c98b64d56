// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module's functions as one kernel thread calls them.

use std::marker::PhantomData;
use std::ptr;

use anyhow::anyhow;

use crate::api::{Functions, IpConnect2, IpDisconnect, STATS, Stat};
use crate::error::Result;
use crate::kernel::{ip, thread};
use crate::keys::{INET6, Tuple};

const GLOBAL_STACK: i32 = 0;

/// Calls a function with the ends of a tuple between its other arguments.
macro_rules! call {
    ($function:ident, [$($first:expr),*], $tuple:ident, [$($last:expr),*]) => {
        $function(
            $($first,)*
            INET6,
            $tuple.laddr(),
            $tuple.lport(),
            $tuple.faddr(),
            $tuple.fport(),
            $($last),*
        )
    };
}

/// What a hook variable of ip holds.
fn ip_hook(name: &str) -> Result<*const ()> {
    match ip::hook(name) {
        0 => Err(anyhow!("the module did not set ip's {name}").into()),
        hook => Ok(ptr::with_exposed_provenance(hook as usize)),
    }
}

/// The module as one kernel thread calls it. Not `Send`.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    functions: &'a Functions,
    not_send: PhantomData<*mut ()>,
}

impl<'a> Caller<'a> {
    /// Makes this thread a kernel thread; `functions` are of a module that
    /// stays for `'a`.
    pub(crate) fn new(functions: &'a Functions) -> Self {
        thread::attach();
        Self {
            functions,
            not_send: PhantomData,
        }
    }

    /// `cl_inet_connect2`, outgoing: the call, looked up once.
    ///
    /// # Errors
    /// No such function, as everywhere here.
    pub fn connect2(&self) -> Result<impl Fn(&Tuple) -> i32> {
        let connect2 = self.functions.connect2()?;
        Ok(move |tuple: &Tuple| {
            // SAFETY: 16 readable bytes each, which live during the call;
            // this thread is attached, as it made the Caller.
            unsafe { call!(connect2, [tuple.protocol(), 1], tuple, []) }
        })
    }

    /// `cl_inet_disconnect`, looked up once.
    ///
    /// # Errors
    /// No such function.
    pub fn disconnect(&self) -> Result<impl Fn(&Tuple) + use<>> {
        let disconnect = self.functions.disconnect()?;
        Ok(move |tuple: &Tuple| {
            // SAFETY: as in `connect2`.
            unsafe {
                call!(disconnect, [tuple.protocol()], tuple, []);
            }
        })
    }

    /// ip's `cl_inet_connect2`, outgoing, in the global stack: what the
    /// variable held when this was called.
    ///
    /// # Errors
    /// The module is not attached.
    pub fn ip_connect2(&self) -> Result<impl Fn(&Tuple) -> i32> {
        let hook = ip_hook("cl_inet_connect2")?;
        // SAFETY: the module set the variable, and ip says what is called
        // through it; a function pointer is a pointer that is not NULL.
        let connect2 = unsafe { std::mem::transmute::<*const (), IpConnect2>(hook) };
        Ok(move |tuple: &Tuple| {
            // SAFETY: as in `connect2`; the arguments may be NULL.
            unsafe {
                call!(
                    connect2,
                    [GLOBAL_STACK, tuple.protocol(), 1],
                    tuple,
                    [ptr::null_mut()]
                )
            }
        })
    }

    /// ip's `cl_inet_disconnect`, in the same way.
    ///
    /// # Errors
    /// The module is not attached.
    pub fn ip_disconnect(&self) -> Result<impl Fn(&Tuple) + use<>> {
        let hook = ip_hook("cl_inet_disconnect")?;
        // SAFETY: as in `ip_connect2`.
        let disconnect = unsafe { std::mem::transmute::<*const (), IpDisconnect>(hook) };
        Ok(move |tuple: &Tuple| {
            // SAFETY: as in `ip_connect2`.
            unsafe {
                call!(
                    disconnect,
                    [GLOBAL_STACK, tuple.protocol()],
                    tuple,
                    [ptr::null_mut()]
                );
            }
        })
    }

    /// `clinet_query` without the longer answer, looked up once.
    ///
    /// # Errors
    /// No such function.
    pub fn query(&self) -> Result<impl Fn(&Tuple) -> i32> {
        let query = self.functions.query()?;
        Ok(move |tuple: &Tuple| {
            // SAFETY: as in `connect2`; the answer may be NULL.
            unsafe { call!(query, [tuple.protocol()], tuple, [ptr::null_mut(), 0]) }
        })
    }

    /// `clinet_install`.
    ///
    /// # Errors
    /// No such function.
    pub fn install(&self, owner: u32, tuple: &Tuple) -> Result<i32> {
        let install = self.functions.install()?;
        // SAFETY: as in `connect2`.
        Ok(unsafe { call!(install, [owner, tuple.protocol()], tuple, []) })
    }

    /// `cl_inet_bind` of the tuple's local endpoint.
    ///
    /// # Errors
    /// No such function.
    pub fn bind(&self, tuple: &Tuple) -> Result<()> {
        let bind = self.functions.bind()?;
        // SAFETY: as in `connect2`.
        unsafe { bind(tuple.protocol(), INET6, tuple.laddr(), tuple.lport()) };
        Ok(())
    }

    /// `cl_inet_unbind` of the tuple's local endpoint.
    ///
    /// # Errors
    /// No such function.
    pub fn unbind(&self, tuple: &Tuple) -> Result<()> {
        let unbind = self.functions.unbind()?;
        // SAFETY: as in `connect2`.
        unsafe { unbind(tuple.protocol(), INET6, tuple.laddr(), tuple.lport()) };
        Ok(())
    }

    /// `clinet_purge`.
    ///
    /// # Errors
    /// No such function.
    pub fn purge(&self, owner: u32) -> Result<i32> {
        let purge = self.functions.purge()?;
        // SAFETY: a number; this thread is attached.
        Ok(unsafe { purge(owner) })
    }

    /// `clinet_sweep`.
    ///
    /// # Errors
    /// No such function.
    pub fn sweep(&self) -> Result<()> {
        let sweep = self.functions.sweep()?;
        // SAFETY: no arguments; this thread is attached and may sleep.
        unsafe { sweep() };
        Ok(())
    }

    /// `clinet_audit`.
    ///
    /// # Errors
    /// No such function.
    pub fn audit(&self) -> Result<i32> {
        let audit = self.functions.audit()?;
        // SAFETY: no arguments; this thread is attached.
        Ok(unsafe { audit() })
    }

    /// `clinet_memory`.
    ///
    /// # Errors
    /// No such function.
    pub fn memory(&self) -> Result<u64> {
        let memory = self.functions.memory()?;
        // SAFETY: no arguments; this thread is attached.
        Ok(unsafe { memory() })
    }

    /// One counter of `clinet_stats`.
    ///
    /// # Errors
    /// No such function, or it fails.
    pub fn stat(&self, stat: Stat) -> Result<u64> {
        let stats = self.functions.stats()?;
        let mut values = [0_u64; STATS];
        // SAFETY: writes at most as many bytes as it is told.
        let errno = unsafe { stats(values.as_mut_ptr(), size_of_val(&values)) };
        if errno != 0 {
            return Err(anyhow!("clinet_stats answered errno {errno}").into());
        }
        Ok(values[stat as usize])
    }
}
