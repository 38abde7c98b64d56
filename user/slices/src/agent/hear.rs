// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an agent makes of what it is told.

use super::{Agent, Effect, Event, Fence, Kept, Module, Note, Pending, Request, Step, Trouble};
use crate::directory::{Entry, Header, View};
use crate::names::Key;
use crate::records::Value;
use crate::time::Now;

impl Agent {
    pub(super) fn hear(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Timer => {}
            Event::Module(module) => self.hear_module(module),
            Event::Lease(lease) => {
                self.lease = Some(lease);
                self.lease_asked = false;
            }
            Event::LeaseLost(lease) => {
                if self.lease == Some(lease) {
                    self.lease = None;
                }
            }
            Event::Snapshot(id, header, entries) => {
                self.hear_snapshot(now, id, header, entries, effects);
            }
            Event::Changes(header, changes) => self.hear_changes(now, header, changes, effects),
            // Perhaps it was replaced by an older one: that shows in the keys, if its revision has
            // grown past what was seen.
            Event::Interrupted => self.complete = false,
            Event::Reply(id, header, done, entries) => {
                self.hear_reply(now, id, header, done, entries, effects);
            }
            Event::Failed(id) => {
                if self.take_pending(id).is_some() {
                    self.retry = now.own + self.timing().retry();
                }
            }
            Event::Want(protocol, slices) => {
                self.want[protocol as usize] = slices.max(self.config.start[protocol as usize]);
            }
        }
    }

    /// The request of this id, unless it is not the one that is under way: late and repeated answers
    /// say nothing.
    fn take_pending(&mut self, id: u64) -> Option<Pending> {
        self.pending.take_if(|pending| pending.id == id)
    }

    fn hear_module(&mut self, module: Module) {
        self.told_busy = false;
        self.sequence = self.sequence.max(module.grants.sequence);
        if module.fence == Fence::Open && !self.giving_up {
            self.unbroken = true;
        }
        self.module = module;
    }

    /// All keys were read: the only answer that can begin or end trouble with the directory.
    fn hear_snapshot(
        &mut self,
        now: Now,
        id: u64,
        header: Header,
        entries: Vec<(Key, Entry)>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Pending { floor, .. }) = self.take_pending(id) else {
            return;
        };
        let conf = entries
            .iter()
            .find_map(|(key, entry)| (*key == Key::Conf).then(|| entry.value.clone()));
        if let Some(Value::Conf(conf)) = &conf
            && conf.check().is_ok()
        {
            self.timing = conf.timing;
        }
        let mut trouble = self.judge(header, floor, conf);
        if trouble.is_none() && !self.accept(now, header, entries, effects) {
            trouble = Some(Trouble::Rollback);
        }
        self.set_trouble(now, trouble, effects);
    }

    /// Whether the directory may be believed.
    fn judge(&self, header: Header, floor: u64, conf: Option<Value>) -> Option<Trouble> {
        let conf = match conf {
            None => return Some(Trouble::NoConf),
            Some(Value::Conf(conf)) => conf,
            Some(_) => return Some(Trouble::Unreadable),
        };
        if let Err(bad) = conf.check() {
            return Some(Trouble::BadConf(bad));
        }
        if self.module.fence != Fence::Never && self.module.fence_time > conf.timing.fence {
            return Some(Trouble::SlowFence);
        }
        if conf.incarnation < self.kept.incarnation {
            return Some(Trouble::Rollback);
        }
        if header.cluster != conf.cluster {
            return Some(Trouble::OtherCluster {
                wanted: conf.cluster,
                found: header.cluster,
            });
        }
        if conf.incarnation > self.kept.incarnation {
            return None;
        }
        self.judge_header(header, floor)
    }

    /// Whether an answer may be believed, in the incarnation that was accepted.
    fn judge_header(&self, header: Header, floor: u64) -> Option<Trouble> {
        if header.cluster != self.kept.cluster {
            return Some(Trouble::OtherCluster {
                wanted: self.kept.cluster,
                found: header.cluster,
            });
        }
        (self.kept.stopped || header.revision < floor).then_some(Trouble::Rollback)
    }

    /// False: it contradicts what was known.
    fn accept(
        &mut self,
        now: Now,
        header: Header,
        entries: Vec<(Key, Entry)>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let incarnation = entries.iter().find_map(|(_, entry)| match &entry.value {
            Value::Conf(conf) => Some(conf.incarnation),
            _ => None,
        });
        let incarnation = incarnation.unwrap_or(self.kept.incarnation);
        if incarnation > self.kept.incarnation {
            // Nothing that was known before says anything about this directory.
            self.view = View::read(header.revision, entries, now.own);
            self.keep(
                Kept {
                    incarnation,
                    cluster: header.cluster,
                    revision: header.revision,
                    stopped: false,
                },
                effects,
            );
        } else {
            if !self.view.replace(header.revision, entries, now.own) {
                return false;
            }
            self.saw(header, effects);
        }
        self.complete = true;
        true
    }

    fn hear_changes(
        &mut self,
        now: Now,
        header: Header,
        changes: Vec<(Key, u64, Option<Entry>)>,
        effects: &mut Vec<Effect>,
    ) {
        if self.conf().is_none() {
            // Perhaps it was just recovered: the next snapshot tells.
            return;
        }
        // A member that is behind may tell of changes, so that the revision says nothing.
        let trouble = self.judge_header(header, 0);
        if trouble.is_some() {
            self.set_trouble(now, trouble, effects);
            return;
        }
        for (key, revision, entry) in changes {
            self.learn(now, key, revision, entry, effects);
        }
        self.saw(header, effects);
    }

    fn hear_reply(
        &mut self,
        now: Now,
        id: u64,
        header: Header,
        done: bool,
        entries: Vec<(Key, Option<Entry>)>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.take_pending(id) else {
            return;
        };
        let Some(request) = pending.request else {
            return;
        };
        let trouble = self.judge_header(header, pending.floor);
        if trouble.is_some() {
            self.set_trouble(now, trouble, effects);
            return;
        }
        self.saw(header, effects);
        let keys = request.gains.iter().map(|(key, _)| key.clone()).collect();
        if done {
            self.gain(pending.sent, now, &request);
            self.view
                .done(request.transaction, header.revision, now.own);
            if request.step != Step::Renew {
                effects.push(Effect::Say(Note::Done(request.step, keys)));
            }
        } else {
            for (key, entry) in entries {
                self.learn(now, key, header.revision, entry, effects);
            }
            effects.push(Effect::Say(Note::Refused(request.step, keys)));
        }
    }

    /// Learns what became of one key. Where `conf` changed all is read anew.
    fn learn(
        &mut self,
        now: Now,
        key: Key,
        revision: u64,
        entry: Option<Entry>,
        effects: &mut Vec<Effect>,
    ) {
        if key == Key::Conf && self.view.entry(&key) != entry.as_ref() {
            self.complete = false;
        } else if !self.view.learn(key, revision, entry, now.own) {
            self.set_trouble(now, Some(Trouble::Rollback), effects);
        }
    }

    /// The records are this node's: until the module's clock as it was before sending, and T (I3).
    /// While all is given up nothing is gained: what this answers was asked for before.
    fn gain(&mut self, sent: Now, heard: Now, request: &Request) {
        if self.giving_up {
            return;
        }
        for (key, lifetime) in &request.gains {
            let until = self.counted_from(sent, heard) + lifetime;
            let held = self.held.entry(key.clone()).or_insert(until);
            *held = until.max(*held);
        }
    }

    #[cfg(not(feature = "mutants"))]
    fn counted_from(&self, sent: Now, _: Now) -> u64 {
        sent.module
    }

    #[cfg(feature = "mutants")]
    fn counted_from(&self, sent: Now, heard: Now) -> u64 {
        match self.mutant {
            Some(super::Mutant::FromReply) => heard.module,
            _ => sent.module,
        }
    }

    /// Remembers the revision of an answer, for the day when the directory is older than that.
    fn saw(&mut self, header: Header, effects: &mut Vec<Effect>) {
        let revision = self.kept.revision.max(header.revision);
        self.keep(
            Kept {
                revision,
                ..self.kept
            },
            effects,
        );
    }

    fn keep(&mut self, kept: Kept, effects: &mut Vec<Effect>) {
        if kept != self.kept {
            self.kept = kept;
            effects.push(Effect::Keep(kept));
        }
    }

    fn set_trouble(&mut self, now: Now, trouble: Option<Trouble>, effects: &mut Vec<Effect>) {
        if trouble == Some(Trouble::Rollback) {
            // Revisions grow: soon this one could not be told from the one that was left.
            let stopped = Kept {
                stopped: true,
                ..self.kept
            };
            self.keep(stopped, effects);
            // Who has seen nothing newer believes it, and may take what this node has.
            let has_nothing = self.held.is_empty() && self.is_away();
            if !self.giving_up && !has_nothing {
                self.give_up(effects);
            }
        }
        if trouble.is_some() {
            self.complete = false;
            let timing = self.timing();
            self.retry = now.own + (timing.renewal() / 10).max(timing.tick);
        }
        if self.trouble != trouble {
            self.trouble = trouble;
            effects.push(Effect::Say(match trouble {
                Some(trouble) => Note::Trouble(trouble),
                None => Note::Fine(self.kept.incarnation),
            }));
        }
    }
}
