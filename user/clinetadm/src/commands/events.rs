// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm events`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use clinet_control::{Attached, Event, EventMask, EventType, Events, FenceState, Mode, Tuple};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::output::{Field, Format, Rows};
use crate::{Outcome, Way};

/// Shows what happens in the module, as it happens.
#[derive(clap::Args)]
#[command(after_help = "\
Types: refused, lapsed, fenced, conflict, grants, mode, attach, lost. The last
one is always shown: it says how many events were overwritten before they were
read.

Fields: time (UTC), type, reason, proto, local, lport, foreign, fport, dir,
owner, stack, error, value, seq. An event that was only counted, since the mode
is observe, has error -. Ends at an interrupt. With --json each event is a line.

Examples:
  clinetadm events
  clinetadm events -t refused,conflict
  clinetadm events -t fenced -n 1 | mail -s fenced root
  clinetadm events --json | jq .reason")]
pub struct Arguments {
    /// Only these types
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE,...",
        value_delimiter = ','
    )]
    types: Vec<EventType>,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    #[command(flatten)]
    format: Format,
}

/// An event, and when it was.
struct Row {
    event: Event,
    time: SystemTime,
}

const FIELDS: &[Field<Row>] = &[
    Field::text("time", |row, out| {
        write!(out, "{}", humantime::format_rfc3339_millis(row.time))
    }),
    Field::text("type", |row, out| write!(out, "{}", row.event.kind)),
    Field::text("reason", |row, out| {
        row.event
            .reason
            .map_or(Ok(()), |reason| write!(out, "{reason}"))
    }),
    Field::text("proto", |row, out| {
        of_tuple(row, |tuple| write!(out, "{}", tuple.protocol))
    }),
    Field::text("local", |row, out| {
        of_tuple(row, |tuple| write!(out, "{}", tuple.local.ip()))
    }),
    Field::number("lport", |row, out| {
        of_tuple(row, |tuple| write!(out, "{}", tuple.local.port()))
    }),
    Field::text("foreign", |row, out| {
        of_tuple(row, |tuple| write!(out, "{}", tuple.foreign.ip()))
    }),
    Field::number("fport", |row, out| {
        of_tuple(row, |tuple| write!(out, "{}", tuple.foreign.port()))
    }),
    Field::text("dir", |row, out| {
        of_tuple(row, |_| out.write_all(direction(&row.event)))
    }),
    Field::number("owner", |row, out| match row.event.owner {
        0 => Ok(()),
        owner => write!(out, "{owner}"),
    }),
    Field::number("stack", |row, out| {
        of_tuple(row, |_| write!(out, "{}", row.event.stack))
    }),
    Field::text("error", error),
    Field::text("value", value),
    Field::number("seq", |row, out| write!(out, "{}", row.event.sequence)),
];

const USUAL: &[&str] = &[
    "time", "type", "reason", "proto", "local", "lport", "foreign", "fport", "owner", "error",
    "value",
];

fn of_tuple(row: &Row, write: impl FnOnce(&Tuple) -> io::Result<()>) -> io::Result<()> {
    row.event.tuple.as_ref().map_or(Ok(()), write)
}

fn direction(event: &Event) -> &'static [u8] {
    if event.outgoing { b"out" } else { b"in" }
}

fn error(row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
    let Some(errno) = row.event.error.filter(|_| row.event.enforced) else {
        return Ok(());
    };
    match errno.name() {
        Some(name) => out.write_all(name.as_bytes()),
        None => write!(out, "{}", errno.0),
    }
}

/// In words, where the value has some.
fn value(row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
    let value = row.event.value;
    let number = u32::try_from(value).unwrap_or(u32::MAX);
    match row.event.kind {
        EventType::Refused | EventType::Conflict | EventType::Lapsed => Ok(()),
        EventType::Mode => write!(out, "{}", Mode::from(number)),
        EventType::Attach => write!(out, "{}", Attached::from(number)),
        EventType::Fenced => write!(out, "{}", FenceState::from(number)),
        _ => write!(out, "{value}"),
    }
}

/// Wide enough for what comes, with addresses of IPv4.
fn width(field: &str) -> usize {
    match field {
        "time" => "2026-01-01T00:00:00.000Z".len(),
        "type" => "conflict".len(),
        "reason" => "not-granted".len(),
        "local" | "foreign" => SocketAddr::from(([255; 4], 0)).ip().to_string().len(),
        "error" => "EADDRNOTAVAIL".len(),
        "value" => "unfencing".len(),
        _ => 5,
    }
}

/// So often it is looked whether anybody still reads.
const LOOK: Duration = Duration::from_secs(1);

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let mut rows = Rows::new(&arguments.format, FIELDS, USUAL)?.live(width);
    let mask = match &arguments.types[..] {
        [] => EventMask::ALL,
        types => types.iter().copied().collect(),
    };
    let control = way.open()?;
    let mut events = control.events(mask)?;
    let zero = zero_of_the_clock(control.clock()?);
    let end = arguments.seconds.map(Duration::from_secs);
    let end = end.and_then(|time| Instant::now().checked_add(time));
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(event) = next(&mut events, &mut rows, end)? else {
            break;
        };
        let time = zero + Duration::from_nanos(event.time);
        rows.add(&Row { event, time })?;
        left -= 1;
    }
    rows.end()?;
    Ok(Outcome::Done)
}

/// What is there is shown before this waits for more.
fn next(
    events: &mut Events<'_>,
    rows: &mut Rows<Row>,
    end: Option<Instant>,
) -> anyhow::Result<Option<Event>> {
    if let Some(event) = events.next(Some(Duration::ZERO))? {
        return Ok(Some(event));
    }
    rows.flush()?;
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let time = left.map_or(LOOK, |left| left.min(LOOK));
        let event = events.next(Some(time))?;
        if event.is_some() || left == Some(time) || nobody_reads() {
            return Ok(event);
        }
    }
}

/// Is the other end of the pipe closed? `clinetadm events | head -1` is then over,
/// and not only when something happens.
fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut files = [PollFd::new(&stdout, PollFlags::empty())];
    let ended = PollFlags::ERR | PollFlags::HUP;
    poll(&mut files, Some(&Timespec::default())).is_ok() && files[0].revents().intersects(ended)
}

/// When the module's clock was 0.
fn zero_of_the_clock(now: u64) -> SystemTime {
    let now = Duration::from_nanos(now);
    SystemTime::now()
        .checked_sub(now)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
