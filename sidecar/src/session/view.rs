//! Takes the tables of a hop. Gives what is open as an operator may see it: how many, and the newest of them.
//! Never shows an argument, a resource or the id of a session, and changes nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Calls, Direction, Hop, Peers, lock};
use crate::clock::Moment;
use crate::counters::Waiting;
use crate::record::Target;

/// One open call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    pub method: Box<str>,
    /// The name of a tool or a prompt.
    pub target: Option<Box<str>>,
    pub request_id: Box<str>,
    pub direction: Direction,
    pub tenant: Arc<str>,
    /// The keyed hash of the session's id.
    pub session: Option<u64>,
    pub age: Duration,
}

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// The keyed hash of its id.
    pub id: u64,
    pub peers: Peers,
    pub tenant: Arc<str>,
    pub age: Duration,
}

impl Waiting for Mutex<Calls> {
    fn open(&self) -> u64 {
        lock(self).len() as u64
    }

    fn long(&self, now: Moment) -> u64 {
        lock(self).long(now) as u64
    }
}

impl Hop {
    /// From now on a call that is open for longer is a long one.
    pub fn set_long_after(&self, long_after: Duration) {
        lock(&self.calls).set_long_after(long_after);
    }

    #[must_use]
    pub fn long_calls(&self, now: Moment) -> usize {
        lock(&self.calls).long(now)
    }

    #[must_use]
    pub fn open_calls(&self) -> usize {
        lock(&self.calls).len()
    }

    #[must_use]
    pub fn open_sessions(&self) -> usize {
        lock(&self.sessions).len()
    }

    /// The open calls that began last, newest first.
    #[must_use]
    pub fn newest_calls(&self, most: usize, now: Moment) -> Vec<CallView> {
        let calls = lock(&self.calls);
        let mut all: Vec<_> = calls.iter().collect();
        all.sort_unstable_by_key(|(_, call)| std::cmp::Reverse(call.started.monotonic));
        let newest = all.into_iter().take(most);
        newest
            .map(|(key, call)| CallView {
                method: call.record.method.clone(),
                target: match &call.target {
                    Some(Target::Tool(name) | Target::Prompt(name)) => Some(name.clone()),
                    Some(Target::Resource(_)) | None => None,
                },
                request_id: call.record.request_id.clone(),
                direction: key.direction,
                tenant: Arc::clone(&call.record.tenant.name),
                session: call.record.session,
                age: age(call.started, now),
            })
            .collect()
    }

    /// The open sessions that began last, newest first.
    #[must_use]
    pub fn newest_sessions(&self, most: usize, now: Moment) -> Vec<SessionView> {
        let sessions = lock(&self.sessions);
        let mut all: Vec<_> = sessions.iter().collect();
        all.sort_unstable_by_key(|(_, session)| std::cmp::Reverse(session.at.monotonic));
        let newest = all.into_iter().take(most);
        newest
            .map(|(id, session)| SessionView {
                id: *id,
                peers: session.peers.clone(),
                tenant: Arc::clone(&session.tenant.name),
                age: age(session.at, now),
            })
            .collect()
    }
}

fn age(began: Moment, now: Moment) -> Duration {
    now.monotonic.saturating_duration_since(began.monotonic)
}
