//! Takes opened calls under typed keys. Gives each back once: answered, cancelled, evicted or left at the end.
//! Never grows past its bound: when it is full the oldest calls go first, and the caller ends them as evicted.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::frame::Id;
use crate::record::{Outcome, Record, Target, names};

/// Which way a request goes. The id spaces of the two directions are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// Where an id is unique: a session whose answers may come on any stream, or one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Session(u64),
    Exchange(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub scope: Scope,
    pub direction: Direction,
    pub id: Id,
}

/// A request that has no end yet. The record is complete but for that end.
#[derive(Debug)]
pub struct OpenCall {
    pub record: Record,
    pub target: Option<Target>,
    pub initialize: bool,
    pub started: Moment,
}

impl OpenCall {
    /// The record of the call, now that it has ended.
    #[must_use]
    pub fn end(self, outcome: Outcome, response_bytes: u64, now: Moment) -> Record {
        let mut record = self.record;
        record.target = self.target;
        record.duration = now
            .monotonic
            .saturating_duration_since(self.started.monotonic);
        record.outcome = outcome;
        record.response_bytes = response_bytes;
        record
    }
}

/// The open calls of a hop.
#[derive(Debug)]
pub struct Calls {
    open: HashMap<Key, OpenCall>,
    max: usize,
    /// A call that has been open for longer is a long one.
    long_after: Duration,
    /// Set at the end of the hop: how every call ends from now on.
    shut: Option<Outcome>,
}

impl Calls {
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            open: HashMap::new(),
            max: max.max(1),
            long_after: Duration::MAX,
            shut: None,
        }
    }

    /// Adds a call. Gives back those that end by it: an older one under the same key, the oldest of a full table, or
    /// the call itself when the hop has ended.
    pub fn open(&mut self, key: Key, call: OpenCall) -> Vec<(OpenCall, Outcome)> {
        if let Some(outcome) = self.shut {
            return vec![(call, outcome)];
        }
        let mut evicted = Vec::new();
        if self.open.len() >= self.max && !self.open.contains_key(&key) {
            self.evict(&mut evicted);
        }
        evicted.extend(self.open.insert(key, call));
        evicted
            .into_iter()
            .map(|call| (call, Outcome::Evicted))
            .collect()
    }

    /// Makes room for a sixteenth of the table, so that a full table is not searched for every call.
    fn evict(&mut self, evicted: &mut Vec<OpenCall>) {
        let mut starts: Vec<_> = self.open.values().map(|c| c.started.monotonic).collect();
        let last = (starts.len() / 16).min(starts.len().saturating_sub(1));
        let (_, &mut limit, _) = starts.select_nth_unstable(last);
        evicted.extend(
            self.open
                .extract_if(|_, call| call.started.monotonic <= limit)
                .map(|(_, call)| call),
        );
    }

    pub fn close(&mut self, key: &Key) -> Option<OpenCall> {
        self.open.remove(key)
    }

    /// The same, if the call is the one that is meant.
    pub fn close_if(&mut self, key: &Key, meant: impl Fn(&OpenCall) -> bool) -> Option<OpenCall> {
        self.open
            .get(key)
            .is_some_and(meant)
            .then(|| self.close(key))?
    }

    /// The call that went this way and waits alone: of several nobody can say which one is meant.
    pub fn only(&self, scope: Scope, direction: Direction) -> Option<(&Key, &OpenCall)> {
        let here = |key: &Key| (key.scope, key.direction) == (scope, direction);
        let mut waiting = self.open.iter().filter(|(key, _)| here(key));
        match (waiting.next(), waiting.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Every call of one session or exchange.
    pub fn take_scope(&mut self, scope: Scope) -> Vec<OpenCall> {
        self.open
            .extract_if(|key, _| key.scope == scope)
            .map(|(_, call)| call)
            .collect()
    }

    /// Every call, and none is kept any more.
    pub fn shut(&mut self, outcome: Outcome) -> Vec<OpenCall> {
        self.shut = Some(outcome);
        self.open.drain().map(|(_, call)| call).collect()
    }

    pub fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    pub fn set_long_after(&mut self, long_after: Duration) {
        self.long_after = long_after;
    }

    /// How many have been open for too long. A listener is not meant to end.
    #[must_use]
    pub fn long(&self, now: Moment) -> usize {
        let is_long = |call: &&OpenCall| {
            let age = now
                .monotonic
                .saturating_duration_since(call.started.monotonic);
            age > self.long_after && &*call.record.method != names::SUBSCRIPTIONS_LISTEN
        };
        self.open.values().filter(is_long).count()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, &OpenCall)> {
        self.open.iter()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
