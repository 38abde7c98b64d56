// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The agent at work: what happens goes into the state machine of `clinet-slices`, and what it
//! answers is done.
//!
//! There is one queue of news and one loop. Whatever may take its time is done beside it, by a task
//! for the directory or a thread for the module and the system, and ends as news.

mod growth;
mod module;
mod requests;
mod say;
mod system;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clinet_slices::agent::{Config as Membership, Fence, Module as Has};
use clinet_slices::names::{Identity, Key, Name, Names};
use clinet_slices::{Agent, Effect, Event, Now};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tracing::{error, info};

use crate::config::Config;
use crate::directory::{Directory, Link};
use crate::identity::identity;
use crate::metrics::{Metrics, server};
use crate::module::{Module, Role};
use crate::platform;
use crate::state::StateFile;
use crate::worker::Worker;
use growth::Slices;
use system::System;

/// What answers at once, or is not there.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries of what failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Something that happened.
enum News {
    /// For the state machine.
    Event(Event),
    /// The module's command is done, or failed, and this is what it has now.
    Commanded(Has),
    /// The module changed by itself.
    ModuleChanged,
}

/// A task that ends with its handle.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The agent of this node.
struct Runner {
    config: Config,
    identity: Identity,
    agent: Agent,
    directory: Directory,
    /// The device with the control role.
    control: Worker<Module>,
    /// The device for reading, which does not wait for commands that take their time.
    observer: Worker<Module>,
    system: System,
    state: StateFile,
    metrics: Metrics,
    /// The slices of this node, for who counts the ports in use.
    slices: watch::Sender<Slices>,
    news: mpsc::UnboundedSender<News>,
    began: Instant,
    /// When the state machine wants to be called at the latest, by this node's own clock.
    wake: Option<u64>,
    /// The module has a command to do.
    commanding: bool,
    /// Where the module's fence was last.
    fence: Fence,
    watch: Option<Task>,
    lease: Option<Task>,
}

/// Runs until `stop` is over. Then everything stays as it is: what is granted, the keys and the
/// lease, so that another agent goes on from there.
///
/// # Errors
///
/// What no waiting mends: a file that cannot be used, an address that another program has, another
/// boot of the machine.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::pin!(stop);
    let metrics = Metrics::new(&config);
    let listener = server::listen(config.metrics).await?;
    let observer = Module::new(config.device.clone(), Role::Observer);
    let observer = Worker::start("observer", observer)?;
    let shown = (metrics.clone(), observer.clone());
    tokio::spawn(server::serve(listener, move || {
        module::metrics(shown.0.clone(), shown.1.clone())
    }));
    let (news, mut queue) = mpsc::unbounded_channel();
    let mut runner = tokio::select! {
        () = &mut stop => return Ok(()),
        runner = Runner::start(config, metrics, observer, news) => runner?,
    };
    runner.hear(News::Event(Event::Timer)).await?;
    loop {
        let sleep = tokio::time::sleep(runner.time_left());
        let news = tokio::select! {
            () = &mut stop => break,
            Some(news) = queue.recv() => news,
            () = sleep => News::Event(Event::Timer),
        };
        tokio::select! {
            () = &mut stop => break,
            heard = runner.hear(news) => heard?,
        }
    }
    info!("ends; grants, keys and addresses stay as they are");
    Ok(())
}

impl Runner {
    /// Begins with what the file remembers and what the module has.
    async fn start(
        config: Config,
        metrics: Metrics,
        observer: Worker<Module>,
        news: mpsc::UnboundedSender<News>,
    ) -> anyhow::Result<Self> {
        Metrics::state(&metrics.agent_state, say::STATES, "starting");
        let identity = identity(&config).context("which machine is this?")?;
        let state = StateFile::open(config.state.clone())?;
        let link = Link::new(&config.etcd, Some(Box::new(metrics.clone())))?;
        let names = Names {
            cluster: config.cluster.clone(),
            pool: config.pool.clone(),
        };
        let device = config.device.clone();
        let control = Worker::start("control", Module::new(device.clone(), Role::Control))?;
        let system = System::start(platform::open(&config)?, &config)?;
        info!(
            "node {} of pool {} in cluster {}: machine {}, boot {}",
            config.node, config.pool, config.cluster, identity.machine, identity.boot
        );
        let has = module::first(&control).await;
        module::follow(device.clone(), news.clone())?;
        let (slices, seen) = watch::channel(Slices::new());
        let counter = Worker::start("counter", Module::new(device, Role::Observer))?;
        tokio::spawn(growth::watch(counter, seen, metrics.clone(), news.clone()));
        let membership = Membership {
            identity: identity.clone(),
            pool: config.pool.clone(),
            version: Name::new(env!("CARGO_PKG_VERSION"))?,
            start: [config.ports.slices; 2],
        };
        let fence = has.fence;
        Ok(Self {
            identity,
            agent: mutated(Agent::new(membership, state.kept(), has))?,
            directory: Directory::new(link, names),
            control,
            observer,
            system,
            state,
            metrics,
            slices,
            news,
            began: Instant::now(),
            wake: None,
            commanding: false,
            fence,
            watch: None,
            lease: None,
            config,
        })
    }

    /// This node's own clock.
    fn own(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Until the state machine wants to be called.
    fn time_left(&self) -> Duration {
        let left = self.wake.map(|at| at.saturating_sub(self.own()));
        left.map_or(Duration::from_secs(3600), Duration::from_nanos)
    }

    /// Both clocks. Without the module's nothing can be decided, and nothing has to be: it is waited
    /// for.
    async fn now(&self) -> Now {
        let mut silent = false;
        loop {
            let own = self.own();
            let asked = self
                .observer
                .run(PATIENCE, |module| module.with(|control| control.clock()));
            let reason = match asked.await {
                Ok(Ok(module)) => {
                    if silent {
                        info!("the module answers again");
                    }
                    return Now { own, module };
                }
                Ok(Err(error)) => error.to_string(),
                Err(late) => late.to_string(),
            };
            if !silent {
                error!("the module does not tell its time: {reason}");
                self.metrics.module_up.set(0);
                silent = true;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes in what happened, and does what follows.
    async fn hear(&mut self, news: News) -> anyhow::Result<()> {
        let event = match news {
            News::Event(event) => event,
            News::Commanded(has) => {
                self.commanding = false;
                self.same_boot()?;
                self.fence = has.fence;
                Event::Module(has)
            }
            News::ModuleChanged => match self.look_at_module().await {
                Some(has) => {
                    self.fence = has.fence;
                    Event::Module(has)
                }
                None => return Ok(()),
            },
        };
        // Changes that were seen raise the revision too, and there are many; it is kept with the next
        // answer.
        let answered = matches!(event, Event::Reply(..) | Event::Snapshot(..));
        let now = self.now().await;
        let effects = self.agent.step(now, event);
        if answered {
            self.keep(self.agent.kept()).await;
        }
        for effect in effects {
            self.perform(effect).await;
        }
        self.wake = self.agent.wake(now);
        self.show();
        Ok(())
    }

    /// A module that was booted anew knows nothing of what this agent granted, and the directory
    /// knows this agent by the boot before. Only a simulated machine can be booted under its agent.
    fn same_boot(&self) -> anyhow::Result<()> {
        if self.config.machine.boot_file.is_none() {
            return Ok(());
        }
        let present = identity(&self.config).context("which machine is this?")?;
        if present != self.identity {
            bail!(
                "the machine is another one by now (machine {}, boot {}): start clinetd anew",
                present.machine,
                present.boot
            );
        }
        Ok(())
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Keep(kept) => self.keep(kept).await,
            Effect::Lease => self.ask_for_lease(),
            Effect::Read(id) => self.read(id),
            Effect::Commit(id, transaction) => self.commit(id, transaction),
            Effect::Module(command) => self.command(command),
            Effect::Ephemeral(protocol, ports) => self.system.set_range(protocol, ports),
            Effect::Addresses(up) => self.system.set_addresses(up),
            Effect::Say(note) => say::say(&note),
        }
    }

    /// Nothing follows before it is on the disk.
    async fn keep(&mut self, kept: clinet_slices::agent::Kept) {
        while let Err(error) = self.state.keep(kept) {
            error!("nothing is done before the state is on the disk: {error:#}");
            tokio::time::sleep(PATIENCE).await;
        }
    }

    /// Brings the metrics up to date.
    fn show(&self) {
        let held: Vec<&Key> = self.agent.held().keys().collect();
        let present = say::state(&self.agent, self.fence);
        Metrics::state(&self.metrics.agent_state, say::STATES, present);
        self.slices.send_if_modified(|slices| {
            let now = growth::slices(&self.agent, &held);
            let changed = *slices != now;
            *slices = now;
            changed
        });
        growth::show(&self.agent, &self.slices.borrow(), &self.metrics);
    }
}

/// Builds a fault in that tests have to find.
#[cfg(feature = "mutants")]
fn mutated(agent: Agent) -> anyhow::Result<Agent> {
    use clinet_slices::agent::Mutant;

    let mutant = match std::env::var("CLINET_MUTANT").as_deref() {
        Ok("short-wait") => Some(Mutant::ShortWait),
        Ok("no-wait") => Some(Mutant::NoWait),
        Ok("from-reply") => Some(Mutant::FromReply),
        Ok("no-fence") => Some(Mutant::NoFence),
        Ok("") | Err(_) => None,
        Ok(other) => bail!("CLINET_MUTANT={other}: there is no such fault"),
    };
    Ok(agent.with_mutant(mutant))
}

#[cfg(not(feature = "mutants"))]
fn mutated(agent: Agent) -> anyhow::Result<Agent> {
    Ok(agent)
}
