// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an agent is told, and what it asks for.

use crate::directory::{Entry, Header, Transaction};
use crate::names::{Key, Protocol, Range};
use crate::records::LeaseId;
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is [`Agent::wake`](super::Agent::wake) o'clock, or later.
    Timer,
    /// The module's state, read after the last command to it was done or failed. Also whenever it
    /// changed by itself (lapsed, fenced).
    Module(Module),
    /// The lease that [`Effect::Lease`] asked for.
    Lease(LeaseId),
    /// The lease has ended, or the directory says that it does not know it.
    LeaseLost(LeaseId),
    /// All keys, in answer to [`Effect::Read`] of this id. Read in one go, linearizably.
    Snapshot(u64, Header, Vec<(Key, Entry)>),
    /// Keys that changed, in the order of the changes, each with the revision of its change. Nothing
    /// may be missing since the last snapshot.
    Changes(Header, Vec<(Key, u64, Option<Entry>)>),
    /// No more changes will be told of until all keys were read again.
    Interrupted,
    /// The answer to [`Effect::Commit`] of this id: whether it was done, and if not, all keys that it
    /// compared.
    Reply(u64, Header, bool, Vec<(Key, Option<Entry>)>),
    /// The request of this id has no answer, and will have none: it may have been done or not, and
    /// may still be done.
    Failed(u64),
    /// The machine needs so many slices of a protocol by now.
    Want(Protocol, u32),
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Store this where a restart and a reboot find it, before anything that follows.
    Keep(Kept),
    /// Get a lease of 15 seconds and keep it alive: answered by [`Event::Lease`].
    Lease,
    /// Read all keys, and tell what changes from there on: answered by [`Event::Snapshot`] or
    /// [`Event::Failed`].
    Read(u64),
    /// Have this done: answered by [`Event::Reply`] or [`Event::Failed`], however long it takes. Not
    /// to be sent twice.
    Commit(u64, Transaction),
    /// A command to the module: answered by [`Event::Module`].
    Module(Command),
    /// Set the range of ephemeral ports. Not persistent.
    Ephemeral(Protocol, Range),
    /// Bring the shared addresses up, or tell who does; false: they are about to be taken away.
    Addresses(bool),
    /// Something to log.
    Say(Note),
}

/// A command to the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Set all that is granted.
    Grants(Grants),
    /// Set the deadline.
    Deadline {
        /// The epoch of the grants.
        epoch: u64,
        /// Above that of any command before.
        sequence: u64,
        /// A value of the module's clock.
        deadline: u64,
    },
    /// Lapse the deadline and take the shared addresses away.
    Fence,
    /// Bring them back.
    Unfence {
        /// The epoch of the grants.
        epoch: u64,
        /// Above that of any command before.
        sequence: u64,
        /// No record was ever lost since they were taken away: what the fence stopped may resume.
        /// If not, TCP connections of the shared addresses have to end, and no UDP socket may be
        /// bound to a port of the port space that is not granted: to be awaited before.
        kept: bool,
    },
}

/// All that the module is granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grants {
    /// The node's lease.
    pub epoch: u64,
    /// Above that of any command before.
    pub sequence: u64,
    /// A value of the module's clock.
    pub deadline: u64,
    /// The port spaces, by [`Protocol`].
    pub space: [Option<Range>; 2],
    /// The ports, by [`Protocol`]: sorted, no two ranges adjacent. Those outside the space are
    /// reserved ones.
    pub ports: [Vec<Range>; 2],
}

/// What the module has: its grants as they were set, and where its fence is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Module {
    /// Its grants.
    pub grants: Grants,
    /// Where the fence is.
    pub fence: Fence,
    /// The fence takes so long at most, in nanoseconds.
    pub fence_time: u64,
}

/// Where a module's fence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fence {
    /// It is set to do nothing: the promise covers new 5-tuples only.
    Never,
    /// The addresses are not touched.
    Open,
    /// They are being taken away or brought back, or it was not done in time.
    Moving,
    /// They are away.
    Closed,
}

/// What a node has to remember, whatever happens to its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Kept {
    /// The last incarnation that was accepted; 0: none yet.
    pub incarnation: u64,
    /// The id of its etcd cluster.
    pub cluster: u64,
    /// The highest revision that was seen of it.
    pub revision: u64,
    /// A lower one was seen after that: nothing is believed before the next incarnation.
    pub stopped: bool,
}

/// Why an agent does not act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Trouble {
    /// Nobody founded the cluster.
    #[error(
        "the directory has no configuration: clinetadm cluster found, or recover if it had one"
    )]
    NoConf,
    /// It cannot be read, or nodes could not share by it.
    #[error("the configuration in the directory is refused: {0}")]
    BadConf(crate::records::BadConf),
    /// It cannot be read.
    #[error("the configuration in the directory cannot be read")]
    Unreadable,
    /// Another etcd than the one that the configuration was written for.
    #[error(
        "this is another etcd cluster ({found:x}, not {wanted:x}): clinetadm cluster recover if it was restored"
    )]
    OtherCluster {
        /// That of the configuration, or the one before.
        wanted: u64,
        /// The one that answers.
        found: u64,
    },
    /// The directory is older than it was.
    #[error("the directory has gone back in time: clinetadm cluster recover after a restore")]
    Rollback,
    /// Packets might leave after Q.
    #[error("the module's fence takes longer than the configuration's F")]
    SlowFence,
}

/// A decision, for the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// Nothing is done until this is mended.
    Trouble(Trouble),
    /// It was.
    Fine(u64),
    /// A step that was made.
    Done(Step, Vec<Key>),
    /// A step that was not, because the directory has changed: it is thought over.
    Refused(Step, Vec<Key>),
    /// Another machine, or another boot of this one, has this node's name: waiting for its end.
    NameTaken,
    /// Something granted has no record any more.
    Lost(Key),
    /// All is being given up.
    GivingUp,
    /// All was given up.
    GaveUp,
}

/// The steps of [`crate::rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// [`crate::rules::join`]
    Join,
    /// [`crate::rules::take`]
    Take,
    /// [`crate::rules::take_over`]
    TakeOver,
    /// [`crate::rules::renew`]
    Renew,
    /// [`crate::rules::retake`]
    Retake,
    /// [`crate::rules::quarantine`]
    Quarantine,
    /// [`crate::rules::leave`]
    Leave,
}
