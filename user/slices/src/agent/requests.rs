// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which request an agent sends next.

use super::{Agent, Effect, Note, Pending, Request, Step};
use crate::choice::{self, Bounds};
use crate::directory::Transaction;
use crate::names::{Key, NodeId, Protocol};
use crate::records::{Tenure, Value};
use crate::rules::{self, MOST_RECORDS, Seen, Standing, Verdict, Wait};
use crate::time::Now;

/// The next request, if there is one now; and when there may be one.
#[derive(Default)]
struct Next {
    request: Option<Request>,
    at: Option<u64>,
}

impl Next {
    fn offer(&mut self, step: Step, gains: &[Seen], transaction: Transaction) {
        let gains = gains.iter().map(gain).collect();
        self.request.get_or_insert(Request {
            step,
            gains,
            transaction,
        });
    }

    fn at(&mut self, at: u64) {
        self.at = Some(self.at.map_or(at, |other| other.min(at)));
    }
}

fn gain(seen: &Seen) -> (Key, u64) {
    (seen.key.clone(), seen.record.timing.lifetime)
}

impl Agent {
    /// Sends the next request, unless one is under way or it is too early.
    pub(super) fn ask(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.lease.is_none() && !self.lease_asked {
            self.lease_asked = true;
            effects.push(Effect::Lease);
        }
        self.due = None;
        if self.pending.is_some() {
            return;
        }
        if now.own < self.retry {
            self.due = Some(self.retry);
            return;
        }
        if !self.complete {
            let id = self.send(now, None);
            effects.push(Effect::Read(id));
            return;
        }
        let next = self.next(now);
        self.due = next.at;
        if let Some(request) = next.request {
            self.due = None;
            let transaction = request.transaction.clone();
            let id = self.send(now, Some(request));
            effects.push(Effect::Commit(id, transaction));
        } else if self.name_is_taken() {
            self.retry = now.own + self.timing().renewal();
            self.due = Some(self.retry);
            effects.push(Effect::Say(Note::NameTaken));
        }
    }

    fn send(&mut self, now: Now, request: Option<Request>) -> u64 {
        self.last_id += 1;
        self.pending = Some(Pending {
            id: self.last_id,
            sent: now,
            floor: self.kept.revision,
            request,
        });
        self.last_id
    }

    fn name_is_taken(&self) -> bool {
        let identity = &self.config.identity;
        self.view
            .node(&identity.node)
            .is_some_and(|(node, _)| (node.machine, node.boot) != (identity.machine, identity.boot))
    }

    /// The first of the steps that may be made, by their urgency.
    fn next(&self, now: Now) -> Next {
        let mut next = Next::default();
        let Some(standing) = self.standing() else {
            self.next_join(&mut next);
            return next;
        };
        if self.giving_up {
            self.next_leave(now, &standing, &mut next);
        } else {
            for protocol in Protocol::ALL {
                self.next_surplus(protocol, &standing, &mut next);
            }
            self.next_renewal(now, &standing, &mut next);
            self.next_retake(&standing, &mut next);
            self.next_reserve(now, &standing, &mut next);
            for protocol in Protocol::ALL {
                self.next_slice(now, protocol, &standing, &mut next);
            }
        }
        self.next_quarantine(now, &standing, &mut next);
        next
    }

    fn next_join(&self, next: &mut Next) {
        let (Some(_), Some(lease)) = (self.conf(), self.lease) else {
            return;
        };
        let config = &self.config;
        let (identity, pool, version) = (&config.identity, &config.pool, &config.version);
        let join = rules::join(&self.view, identity, lease, pool, version);
        if let Verdict::Now(transaction) = join {
            next.offer(Step::Join, &[], transaction);
        }
    }

    /// The records that name this node, this machine and this boot.
    pub(super) fn own_records(&self) -> impl Iterator<Item = Seen<'_>> {
        self.seen()
            .filter(|seen| seen.record.is_of(&self.config.identity))
    }

    fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        self.view
            .records()
            .map(|(key, record, revision, since)| Seen {
                key,
                record,
                revision,
                since,
            })
    }

    /// Slices that are no neighbours of the others: a request was done whose answer was lost, and
    /// another slice was asked for. The module was never granted them, so they can go at once.
    fn next_surplus(&self, protocol: Protocol, standing: &Standing, next: &mut Next) {
        let number = |seen: &Seen| match seen.key {
            Key::Slice(of, first) if *of == protocol => standing.conf.number(protocol, *first),
            _ => None,
        };
        let own: Vec<(u32, Seen)> = self
            .own_records()
            .filter_map(|seen| Some((number(&seen)?, seen)))
            .collect();
        let is_held = |(_, seen): &(u32, Seen)| self.held.contains_key(seen.key);
        let runs = own.chunk_by(|one, other| one.0 + 1 == other.0);
        let kept = runs.max_by_key(|run| (run.iter().any(is_held), run.len()));
        let kept = kept.map_or(0..0, |run| run[0].0..run[0].0 + run.len() as u32);
        let surplus: Vec<Seen> = own
            .iter()
            .filter(|one| !kept.contains(&one.0) && !is_held(one))
            .map(|(_, seen)| seen.clone())
            .take(MOST_RECORDS)
            .collect();
        if !surplus.is_empty() {
            let transaction = rules::leave(standing, &surplus);
            next.request.get_or_insert(Request {
                step: Step::Leave,
                gains: Vec::new(),
                transaction,
            });
        }
    }

    /// Records of this session are renewed when a third of T is over; the nearest deadline first.
    fn next_renewal(&self, now: Now, standing: &Standing, next: &mut Next) {
        let until = |seen: &Seen| self.held.get(seen.key).copied().unwrap_or(0);
        let mut due: Vec<Seen> = Vec::new();
        for seen in self.own_records().filter(|seen| is_current(standing, seen)) {
            let timing = &seen.record.timing;
            let left = until(&seen).saturating_sub(now.module);
            let enough = timing.lifetime - timing.renewal().min(timing.lifetime);
            if left <= enough {
                due.push(seen);
            } else {
                next.at(now.own + (left - enough));
            }
        }
        if !due.is_empty() {
            due.sort_by_key(until);
            due.truncate(MOST_RECORDS);
            next.offer(Step::Renew, &due, rules::renew(standing, &due));
        }
    }

    fn next_retake(&self, standing: &Standing, next: &mut Next) {
        let old: Vec<Seen> = self
            .own_records()
            .filter(|seen| !is_current(standing, seen))
            .filter(|seen| rules::may_retake(standing, seen.record))
            .take(MOST_RECORDS)
            .collect();
        if !old.is_empty() {
            next.offer(Step::Retake, &old, rules::retake(standing, &old));
        }
    }

    /// Ports that are reserved for this node.
    fn next_reserve(&self, now: Now, standing: &Standing, next: &mut Next) {
        let node = &self.config.identity.node;
        for seen in self.seen() {
            let mine = seen.record.heir.as_ref() == Some(node);
            if mine && matches!(seen.key, Key::Reserve(..)) {
                self.next_take_over(now, standing, &seen, next);
            }
        }
    }

    fn next_slice(&self, now: Now, protocol: Protocol, standing: &Standing, next: &mut Next) {
        let is_slice = |seen: &Seen| matches!(seen.key, Key::Slice(of, _) if *of == protocol);
        let mine = self.own_records().filter(is_slice).count();
        if mine as u64 >= u64::from(self.wanted(protocol)) {
            return;
        }
        let conf = standing.conf;
        let places = choice::places(&self.view, conf, protocol, standing.identity);
        let bounds = Bounds {
            start: self.config.start[protocol as usize],
            want: self.wanted(protocol),
            nodes: u32::try_from(self.nodes().count()).unwrap_or(u32::MAX),
        };
        for n in choice::next(&places, bounds, &standing.identity.node) {
            let Some(range) = conf.nth(protocol, n) else {
                continue;
            };
            let key = Key::Slice(protocol, range.first);
            match self.seen_record(&key) {
                Some(seen) => self.next_take_over(now, standing, &seen, next),
                None => match self.take(now, standing, &key, range.last) {
                    Verdict::Now(transaction) => {
                        let gains = vec![(key, conf.timing.lifetime)];
                        next.request.get_or_insert(Request {
                            step: Step::Take,
                            gains,
                            transaction,
                        });
                    }
                    Verdict::At(at) => next.at(at),
                    Verdict::No => {}
                },
            }
            if next.request.is_some() {
                return;
            }
        }
    }

    fn take(&self, now: Now, standing: &Standing, key: &Key, last: u16) -> Verdict {
        let gone = self.view.known(key).map(|known| known.since);
        rules::take(standing, key, last, gone, now.own, self.wait())
    }

    fn seen_record(&self, key: &Key) -> Option<Seen<'_>> {
        let (key, known) = self.view.key(key)?;
        let entry = known.entry.as_ref()?;
        match &entry.value {
            Value::Record(record) => Some(Seen {
                key,
                record,
                revision: entry.revision,
                since: known.since,
            }),
            _ => None,
        }
    }

    fn next_take_over(&self, now: Now, standing: &Standing, seen: &Seen, next: &mut Next) {
        match rules::take_over(standing, seen, now.own, self.wait()) {
            Verdict::Now(transaction) => {
                let gains = vec![(seen.key.clone(), standing.conf.timing.lifetime)];
                next.request.get_or_insert(Request {
                    step: Step::TakeOver,
                    gains,
                    transaction,
                });
            }
            Verdict::At(at) => next.at(at),
            Verdict::No => {}
        }
    }

    /// Records of dead owners. All nodes see them at the same moment; they go in turn, beginning
    /// with the next one by name after the owner, so that one request is enough.
    fn next_quarantine(&self, now: Now, standing: &Standing, next: &mut Next) {
        for seen in self.seen() {
            let Tenure::Own(owner) = &seen.record.tenure else {
                continue;
            };
            let Verdict::Now(transaction) = rules::quarantine(standing, &self.view, &seen) else {
                continue;
            };
            let gone = self.view.known(&Key::Node(owner.node.clone()));
            let since = gone.map_or(seen.since, |known| known.since.max(seen.since));
            let turn = since + self.turn_after(&owner.node) * standing.conf.timing.retry();
            if now.own < turn {
                next.at(turn);
                continue;
            }
            next.request.get_or_insert(Request {
                step: Step::Quarantine,
                gains: Vec::new(),
                transaction,
            });
            return;
        }
    }

    /// How many nodes that live are between `node` and this one, by name, around the circle.
    fn turn_after(&self, node: &NodeId) -> u64 {
        let me = &self.config.identity.node;
        let between = |other: &NodeId| {
            let (after, before) = (other > node, other < me);
            if me > node {
                after && before
            } else {
                after || before
            }
        };
        self.nodes().filter(|other| between(other)).count() as u64
    }

    /// The nodes of this pool that live.
    fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.view
            .entries()
            .filter_map(|(key, entry, _)| match (key, &entry.value) {
                (Key::Node(node), Value::Node(value)) if value.pool == self.config.pool => {
                    Some(node)
                }
                _ => None,
            })
    }

    /// Once nothing is sent and the last packet has arrived, the records go.
    fn next_leave(&self, now: Now, standing: &Standing, next: &mut Next) {
        let Some(away) = self.away else {
            return;
        };
        let records: Vec<Seen> = self.own_records().take(MOST_RECORDS).collect();
        if records.is_empty() {
            return;
        }
        let arrived = away + standing.conf.timing.lingered();
        if now.own < arrived {
            next.at(arrived);
        } else {
            let transaction = rules::leave(standing, &records);
            next.request.get_or_insert(Request {
                step: Step::Leave,
                gains: Vec::new(),
                transaction,
            });
        }
    }

    #[cfg(not(feature = "mutants"))]
    fn wait(&self) -> Wait {
        crate::time::Timing::quarantine
    }

    #[cfg(feature = "mutants")]
    fn wait(&self) -> Wait {
        super::mutant::wait(self.mutant)
    }
}

/// The record is of this session, and not in quarantine.
fn is_current(standing: &Standing, seen: &Seen) -> bool {
    match &seen.record.tenure {
        Tenure::Own(owner) => {
            owner.epoch == standing.lease && seen.record.incarnation == standing.conf.incarnation
        }
        _ => false,
    }
}
