// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A thread of its own for what may block: the module, the system's programs.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// The thread did not answer in time, or is gone.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl std::fmt::Display for Silent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("no answer in time")
    }
}

impl std::error::Error for Silent {}

/// A thread that owns a `T` and does one job after the other with it.
pub struct Worker<T> {
    jobs: mpsc::Sender<Job<T>>,
}

impl<T> Clone for Worker<T> {
    fn clone(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
        }
    }
}

impl<T: Send + 'static> Worker<T> {
    /// Starts the thread. It ends when the last handle is dropped.
    ///
    /// # Errors
    ///
    /// The system has no more threads.
    pub fn start(name: &str, mut owned: T) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job<T>>();
        // The work is calls of the kernel and small parsing.
        let builder = thread::Builder::new()
            .name(name.into())
            .stack_size(256 << 10);
        builder.spawn(move || {
            while let Ok(job) = queue.recv() {
                job(&mut owned);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Does a job and waits for it, for so long. A job that is late is done nevertheless, and those
    /// after it wait.
    ///
    /// # Errors
    ///
    /// It was not done in time.
    pub async fn run<R: Send + 'static>(
        &self,
        patience: Duration,
        job: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, Silent> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |owned: &mut T| {
            // Nobody waits any more for an answer that is late.
            let _ = answer.send(job(owned));
        });
        self.jobs.send(job).map_err(|_| Silent)?;
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(result)) => Ok(result),
            _ => Err(Silent),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Worker;

    #[tokio::test]
    async fn jobs_are_done_in_order_and_late_ones_are_not_waited_for() {
        let worker = Worker::start("test", Vec::new()).unwrap();
        let long = Duration::from_secs(10);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let late = worker
            .run(Duration::from_millis(1), move |list: &mut Vec<u32>| {
                let _ = wait.recv();
                list.push(1);
            })
            .await;
        assert!(late.is_err());
        go.send(()).unwrap();
        let list = worker.run(long, |list| {
            list.push(2);
            list.clone()
        });
        assert_eq!(list.await.unwrap(), [1, 2]);
    }
}
