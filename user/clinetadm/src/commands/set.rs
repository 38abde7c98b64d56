// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm set`.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context, bail};
use clinet_control::{Control, Error, FenceAction, Full, Incoming, Mode, Policy, Property};

use crate::{Outcome, Way};

/// Changes settings of the running module.
#[derive(clap::Args)]
#[command(after_help = "\
Properties:
  mode=off|observe|enforce      what is done with questions
  addresses=ADDRESS,...|all     which local addresses are shared (all: but loopback)
  full=admit|refuse             a new 5-tuple without room in the table
  incoming=trust|reserved       TCP to a port outside the port space
  explicit=refuse|admit         UDP and outgoing TCP from such a port
  other-stack=refuse|admit      questions from other IP stacks
  fence=down|panic|none         what happens when the deadline passes
  fence-seconds=1-60            how long that may take

All are looked at before the first is set. They hold until the module is loaded
again; /etc/system is for what shall stay (clinet(4)).

Examples:
  clinetadm set mode=observe
  clinetadm set addresses=192.0.2.10,2001:db8::10 full=refuse")]
pub struct Arguments {
    /// What to what
    #[arg(required = true, value_name = "PROPERTY=VALUE")]
    settings: Vec<String>,
    /// Also what disarms the fence while ports are granted: the deadline lapses
    /// first, and the shared addresses are taken away
    #[arg(long)]
    force: bool,
}

/// As many as the module's list has room for.
const MOST_ADDRESSES: usize = 256;

enum Setting {
    Number(Property, u64),
    Addresses(Vec<IpAddr>),
}

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let settings = arguments.settings.iter().map(|word| {
        let setting = parse(word).with_context(|| format!("the setting {word:?}"))?;
        Ok((word, setting))
    });
    let settings = settings.collect::<anyhow::Result<Vec<_>>>()?;
    let control = way.open()?;
    for (word, setting) in &settings {
        apply(&control, setting, arguments.force).with_context(|| format!("{word} is not set"))?;
    }
    Ok(Outcome::Done)
}

fn apply(control: &Control, setting: &Setting, force: bool) -> Result<(), Error> {
    match setting {
        Setting::Number(property, value) => control.set(*property, *value, force),
        Setting::Addresses(addresses) => control.set_addresses(addresses),
    }
}

fn parse(word: &str) -> anyhow::Result<Setting> {
    let Some((name, value)) = word.split_once('=') else {
        bail!("it has to be PROPERTY=VALUE, as in mode=enforce");
    };
    if name == "addresses" {
        return Ok(Setting::Addresses(addresses(value)?));
    }
    let Ok(property) = Property::from_str(name) else {
        bail!("there is no property {name:?} to set: clinetadm help set names them");
    };
    let number = match property {
        Property::Mode => number::<Mode>(value, Mode::number)?,
        Property::Full => number::<Full>(value, Full::number)?,
        Property::Incoming => number::<Incoming>(value, Incoming::number)?,
        Property::FenceAction => number::<FenceAction>(value, FenceAction::number)?,
        Property::FenceSeconds => match value.parse() {
            Ok(seconds @ 1..=60) => seconds,
            _ => bail!("it has to be 1 to 60 seconds"),
        },
        _ => number::<Policy>(value, Policy::number)?,
    };
    Ok(Setting::Number(property, number.into()))
}

fn number<W: FromStr>(value: &str, number: fn(W) -> u32) -> Result<u32, W::Err> {
    value.parse().map(number)
}

fn addresses(value: &str) -> anyhow::Result<Vec<IpAddr>> {
    if value == "all" {
        return Ok(Vec::new());
    }
    let addresses = value.split(',').map(|text| {
        text.parse()
            .with_context(|| format!("{text:?} is no address"))
    });
    let addresses = addresses.collect::<anyhow::Result<Vec<_>>>()?;
    if addresses.len() > MOST_ADDRESSES {
        bail!(
            "these are {} addresses, and {MOST_ADDRESSES} can be shared; \
             addresses=all shares all but loopback",
            addresses.len()
        );
    }
    Ok(addresses)
}
