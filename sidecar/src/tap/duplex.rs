//! Takes complete messages of a connection on which both directions share one place for their calls: pipes, WebSocket.
//! Gives the calls that begin and end with them, and the splices.
//! Never reads or writes a byte of the connection itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::frame::line::{Edit, Line};
use crate::frame::{Kind, Message, Scanner};
use crate::record::NotInjected;
use crate::session::{Arrival, Direction, Hop, Peers, Scope};

/// What both directions of one connection share.
#[derive(Debug)]
pub(super) struct Duplex {
    pub hop: Arc<Hop>,
    pub scope: Scope,
    /// Under which its session is recorded.
    pub session: u64,
    peers: Mutex<Peers>,
}

impl Duplex {
    pub fn new(hop: Arc<Hop>, scope: Scope, session: u64) -> Self {
        Self {
            hop,
            scope,
            session,
            peers: Mutex::default(),
        }
    }

    /// Sees one line or message that goes this way; `arrival` says what is known of it beforehand.
    pub fn line(&self, direction: Direction, line: &Line<'_>, arrival: &Arrival<'_>) -> Vec<Edit> {
        let Ok(scanner) = line.scanned else {
            self.hop.count(None);
            return Vec::new();
        };
        self.hop.count(Some(scanner));
        let whole = line.held && !scanner.overflowed();
        let reason = (!whole).then_some(NotInjected::TooLarge);
        let arrival = Arrival {
            untouchable: arrival.untouchable.or(reason),
            size: usize::try_from(scanner.fed()).unwrap_or(usize::MAX),
            ..arrival.clone()
        };
        let mut edits = Vec::new();
        for message in scanner.messages() {
            edits.extend(self.message(&message, direction, &arrival));
        }
        self.limit(scanner, edits)
    }

    /// A batch may grow by several contexts; each was measured alone.
    fn limit(&self, scanner: &Scanner, mut edits: Vec<Edit>) -> Vec<Edit> {
        let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
        let fed = usize::try_from(scanner.fed()).unwrap_or(usize::MAX);
        if scanner.is_batch() && fed.saturating_add(added) > self.hop.max_inject_bytes {
            self.hop.counters().skip_injection(NotInjected::TooLarge);
            edits.clear();
        }
        edits
    }

    fn message(
        &self,
        message: &Message<'_>,
        direction: Direction,
        arrival: &Arrival<'_>,
    ) -> Vec<Edit> {
        let at = (self.scope, direction);
        let now = clock::now();
        match message.kind() {
            Kind::Request => {
                let arrival = Arrival {
                    cause: (direction == Direction::ToClient)
                        .then(|| self.hop.cause(self.scope, Direction::ToServer))
                        .flatten(),
                    peers: self.lock_peers().clone(),
                    ..arrival.clone()
                };
                let opened = self.hop.open(message, at, &arrival, now);
                return opened.map(|opened| opened.edits).unwrap_or_default();
            }
            Kind::Notification => self.hop.cancel(message, at, now),
            Kind::Response => {
                let key = self.hop.answered(message, self.scope, direction.reversed());
                let answered = self.hop.answer(message, key.as_ref(), now);
                if let Some(answered) = answered.filter(|a| a.initialize) {
                    *self.lock_peers() = answered.peers.clone();
                    self.hop.begin_session(self.session, &answered);
                }
            }
            Kind::Invalid => {}
        }
        Vec::new()
    }

    fn lock_peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
