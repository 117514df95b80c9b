//! Takes what begins, uses and ends the legacy sessions of a hop. Gives what is known of each, and its record at its end.
//! Never keeps more sessions than its bound; one that nobody uses and that has nothing to wait for is not kept at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::record::{HopInfo, SessionRecord, Tenant};

use super::{Answered, Peers};

/// What began with the answer to `initialize`.
#[derive(Debug)]
pub(super) struct Begun {
    hop: Arc<HopInfo>,
    pub peers: Peers,
    pub tenant: Tenant,
    network_protocol_version: Option<&'static str>,
    pub at: Moment,
}

impl Begun {
    fn end(self, error_type: Option<&'static str>, now: Moment) -> SessionRecord {
        SessionRecord {
            hop: self.hop,
            tenant: self.tenant,
            protocol_version: self.peers.protocol_version,
            network_protocol_version: self.network_protocol_version,
            duration: now.monotonic.saturating_duration_since(self.at.monotonic),
            error_type,
        }
    }
}

#[derive(Debug)]
struct Session {
    /// None when we did not see it begin.
    begun: Option<Begun>,
    /// Exchanges that are under way, streams among them.
    active: u32,
    /// The last time one of them began or ended.
    last: Moment,
    /// An exchange left calls open, for another stream to answer.
    parked: bool,
    /// Open HTTP+SSE streams of which it is the other half.
    streams: u32,
}

/// The legacy sessions of a hop, by the keyed hash of their id.
#[derive(Debug)]
pub struct Sessions {
    known: HashMap<u64, Session>,
    begun: usize,
    max: usize,
}

impl Sessions {
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            known: HashMap::new(),
            begun: 0,
            max: max.max(1),
        }
    }

    #[must_use]
    pub fn peers(&self, id: u64) -> Peers {
        let begun = self.known.get(&id).and_then(|s| s.begun.as_ref());
        begun.map(|begun| begun.peers.clone()).unwrap_or_default()
    }

    fn at(&mut self, id: u64, now: Moment) -> &mut Session {
        self.known.entry(id).or_insert(Session {
            begun: None,
            active: 0,
            last: now,
            parked: false,
            streams: 0,
        })
    }

    /// An exchange of the session begins.
    pub fn enter(&mut self, id: u64, now: Moment) -> Peers {
        let session = self.at(id, now);
        session.active = session.active.saturating_add(1);
        session.last = now;
        self.peers(id)
    }

    /// It ends; `parked` when calls of it stay open.
    pub fn leave(&mut self, id: u64, parked: bool, now: Moment) {
        let Some(session) = self.known.get_mut(&id) else {
            return;
        };
        session.active = session.active.saturating_sub(1);
        session.last = now;
        session.parked |= parked;
        if session.active == 0 && !session.parked && session.begun.is_none() {
            self.known.remove(&id);
        } else if parked && self.known.len() / 2 > self.max {
            // Their calls were evicted long ago: there are more of these than calls may be open.
            self.known.retain(|_, s| s.begun.is_some() || s.active > 0);
        }
    }

    /// An HTTP+SSE stream named the session's URI.
    pub fn open_stream(&mut self, id: u64, now: Moment) {
        self.enter(id, now);
        let session = self.at(id, now);
        session.streams = session.streams.saturating_add(1);
    }

    /// It ends; true when it was the last of the session.
    pub fn close_stream(&mut self, id: u64, now: Moment) -> bool {
        let Some(session) = self.known.get_mut(&id) else {
            return false;
        };
        session.streams = session.streams.saturating_sub(1);
        let last = session.streams == 0;
        self.leave(id, false, now);
        last
    }

    #[must_use]
    pub fn has_stream(&self, id: u64) -> bool {
        self.known.get(&id).is_some_and(|s| s.streams > 0)
    }

    /// The session's `initialize` was answered; gives back the session that had to go because there were too many.
    pub fn begin(&mut self, id: u64, answered: &Answered) -> Option<SessionRecord> {
        let now = answered.started;
        let begun = Begun {
            hop: Arc::clone(&answered.hop),
            peers: answered.peers.clone(),
            tenant: answered.tenant.clone(),
            network_protocol_version: answered.network_protocol_version,
            at: now,
        };
        if self.at(id, now).begun.replace(begun).is_some() {
            return None;
        }
        self.begun += 1;
        if self.begun <= self.max {
            return None;
        }
        let others = self.known.iter().filter(|(other, _)| **other != id);
        let oldest = others
            .filter_map(|(other, s)| Some((*other, s.begun.as_ref()?.at.monotonic)))
            .min_by_key(|(_, at)| *at)?;
        self.end(oldest.0, Some("evicted"), now)
    }

    /// The session ends; none when we did not see it begin.
    pub fn end(
        &mut self,
        id: u64,
        error_type: Option<&'static str>,
        now: Moment,
    ) -> Option<SessionRecord> {
        let begun = self.known.remove(&id)?.begun?;
        self.begun = self.begun.saturating_sub(1);
        Some(begun.end(error_type, now))
    }

    /// The sessions that were left at least this long ago and not used since, with the time they were left.
    #[must_use]
    pub fn idle(&self, limit: Duration, now: Moment) -> Vec<(u64, Moment)> {
        let idle = |session: &Session| {
            let since = now
                .monotonic
                .saturating_duration_since(session.last.monotonic);
            session.active == 0 && since >= limit
        };
        let known = self.known.iter().filter(|(_, session)| idle(session));
        known.map(|(id, session)| (*id, session.last)).collect()
    }

    /// Sessions that began and have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.begun
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begun == 0
    }

    /// Sessions something is kept of.
    #[cfg(test)]
    pub fn known(&self) -> usize {
        self.known.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&u64, &Begun)> {
        let known = self.known.iter();
        known.filter_map(|(id, session)| Some((id, session.begun.as_ref()?)))
    }

    pub fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// Ends all of them.
    pub fn drain(&mut self, now: Moment) -> Vec<SessionRecord> {
        self.begun = 0;
        let all = self.known.drain().filter_map(|(_, session)| session.begun);
        all.map(|begun| begun.end(None, now)).collect()
    }
}
