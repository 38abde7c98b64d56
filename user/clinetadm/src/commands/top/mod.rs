// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm top`.

mod draw;
mod sample;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use anyhow::bail;
use clinet_control::{Control, Error};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};

use crate::{Outcome, Way};
use sample::{Sample, Usage};

/// Shows live what is asked and answered, and what is granted and used.
#[derive(clap::Args)]
#[command(after_help = "\
q ends it, p pauses. A bar is the part of a slice's ports that are in use: at
nine tenths it is red, and this node needs another slice soon.

Example:
  clinetadm top -i 5")]
pub struct Arguments {
    /// Seconds between two looks
    #[arg(short, long, default_value_t = 1, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// What is on the screen.
struct View {
    before: Sample,
    now: Sample,
    /// None: this user may not see the entries.
    usage: Option<Usage>,
    paused: bool,
}

impl View {
    fn new(control: &Control) -> Result<Self, Error> {
        let now = Sample::take(control)?;
        Ok(Self {
            usage: Usage::take(control, now.state.node)?,
            before: now.clone(),
            now,
            paused: false,
        })
    }

    fn look(&mut self, control: &Control) -> Result<(), Error> {
        let now = Sample::take(control)?;
        self.usage = Usage::take(control, now.state.node)?;
        self.before = std::mem::replace(&mut self.now, now);
        Ok(())
    }
}

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    if !io::stdout().is_terminal() {
        bail!("top needs a terminal; for scripts: clinetadm show-stats, clinetadm show --json");
    }
    let control = way.open()?;
    let view = View::new(&control)?;
    let interval = Duration::from_secs(arguments.interval);
    ratatui::run(|terminal| watch(terminal, &control, view, interval))?;
    Ok(Outcome::Done)
}

fn watch(
    terminal: &mut DefaultTerminal,
    control: &Control,
    mut view: View,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut next = Instant::now() + interval;
    loop {
        terminal.draw(|frame| draw::draw(frame, &view))?;
        if event::poll(next.saturating_duration_since(Instant::now()))? {
            match event::read()? {
                Event::Key(key) if ends(key) => return Ok(()),
                Event::Key(key) if key.code == KeyCode::Char('p') => view.paused = !view.paused,
                _ => (),
            }
        }
        if Instant::now() >= next {
            if !view.paused {
                view.look(control)?;
            }
            next = Instant::now() + interval;
        }
    }
}

fn ends(key: KeyEvent) -> bool {
    let interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}
