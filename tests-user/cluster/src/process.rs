// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Processes that the tool starts, and that end with it.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, set_parent_process_death_signal, waitid,
};

/// How often somebody looks whether what he waits for has come.
pub const LOOK: Duration = Duration::from_millis(20);

/// What there is of all clusters.
struct All {
    processes: Vec<Pid>,
    folders: Vec<PathBuf>,
}

static ALL: Mutex<All> = Mutex::new(All {
    processes: Vec::new(),
    folders: Vec::new(),
});

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends all processes and removes all folders of clusters, for a process that is about
/// to end without warning. No process is started any more.
pub fn end_all() {
    let all = all();
    for process in &all.processes {
        // One that has ended gets none, which is as well.
        let _ = kill_process_group(*process, Signal::KILL);
    }
    for folder in &all.folders {
        // What is killed may have written meanwhile; it cannot for long.
        for _ in 0..100 {
            match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => thread::sleep(LOOK),
                _ => break,
            }
        }
    }
    // For ever: whoever starts one waits here.
    std::mem::forget(all);
}

/// This folder is removed by [`end_all`].
pub(crate) fn add_folder(folder: &Path) {
    all().folders.push(folder.to_owned());
}

/// This folder stays.
pub(crate) fn forget_folder(folder: &Path) {
    all().folders.retain(|other| other != folder);
}

/// A process in a group of its own, killed when this is dropped, and by the
/// kernel when the thread that started it ends.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts it. What it says goes to the end of the file `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let what = || format!("cannot start {name} ({})", command.get_program().display());
        let out = File::options().create(true).append(true).open(log)?;
        let error = out.try_clone()?;
        let program = what();
        command.stdin(Stdio::null()).stdout(out).stderr(error);
        command.process_group(0);
        // SAFETY: prctl is a system call that may be made between fork and
        // exec; nothing is allocated.
        unsafe {
            command.pre_exec(|| {
                set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)
            });
        }
        let mut all = all();
        let child = command.spawn().context(program)?;
        all.processes.push(Pid::from_child(&child));
        drop(all);
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child,
        })
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends a signal to it and whatever it started.
    pub fn signal(&self, signal: Signal) {
        // One that has ended gets none, which is as well.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    /// Stops it, and waits until none of its threads runs any more, or it has ended.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let id = WaitId::Pid(Pid::from_child(&self.child));
        // The signal cannot be refused, so this is short. What is waited for is left
        // to others.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(id, options);
    }

    /// Ends it without warning, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        // The signal cannot be refused, so this is short.
        drop(self.child.wait());
        self.forget();
    }

    /// Its number is another's from now on, perhaps.
    fn forget(&self) {
        let pid = Pid::from_child(&self.child);
        all().processes.retain(|other| *other != pid);
    }

    /// Asks it to end, and waits so long for that.
    ///
    /// # Errors
    ///
    /// It did not.
    pub fn terminate(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("{} does not end after SIGTERM", self.name);
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until `is_there`, as long as it runs.
    ///
    /// # Errors
    ///
    /// It ended, or the patience did, with what it said last.
    pub fn wait_until(
        &mut self,
        patience: Duration,
        mut is_there: impl FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        while !is_there() {
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            if Instant::now() > end {
                bail!("{} does not come up: {}", self.name, self.last_words());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        const LINES: usize = 5;
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(LINES).collect();
        let words: Vec<&str> = lines.into_iter().rev().collect();
        if words.is_empty() {
            return "it said nothing".to_owned();
        }
        words.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_stopped_does_not_run_any_more() {
        let folder = tempfile::tempdir().expect("a folder");
        for _ in 0..20 {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]);
            let log = folder.path().join("log");
            let process = Process::start("a loop", &mut command, &log).expect("it starts");
            process.stop();
            let path = format!("/proc/{}/stat", process.child.id());
            let stat = fs::read_to_string(path).expect("it is there");
            let state = stat.rsplit(") ").next().expect("fields");
            assert!(state.starts_with('T'), "{stat}");
        }
    }
}
