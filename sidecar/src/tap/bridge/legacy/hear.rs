//! Takes the lines of a session's child. Gives each to the stream that it belongs to.
//! Never sends one on two streams, and never reads on before the line has its place.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::warn;

use super::{Initialized, Session, State, Why};
use crate::clock;
use crate::counters::Counters;
use crate::frame::line::Edit;
use crate::frame::{Id, Kind, Message, Scanner, Slot};
use crate::record::Outcome;
use crate::session::{Arrival, Direction, Key};
use crate::tap::bridge::Bridge;
use crate::tap::bridge::child::Hearer;
use crate::tap::bridge::events::{Finish, Pushed, event};
use crate::tap::bridge::legacy::Wire;
use crate::tap::bridge::lines::{pieces, scan, without_returns};
use crate::tap::bridge::routes::{Closed, STANDALONE};
use crate::tap::stdio::guard::Exit;

impl Hearer for Session {
    async fn line(self: &Arc<Self>, line: Bytes) {
        let Some(bridge) = self.bridge.upgrade() else {
            return;
        };
        let line = without_returns(line);
        let scanned = scan(&line);
        bridge.count(scanned.as_ref());
        let Some(scanner) = scanned else { return };
        let Some(placed) = self.take_in(&bridge, &scanner) else {
            Counters::add(&bridge.counters.undelivered, 1);
            return;
        };
        drop(scanner);
        let pieces = pieces(&line, 0..line.len(), &placed.edits);
        let lost = self.deliver(placed.stream, pieces).await;
        Counters::add(&bridge.counters.undelivered, lost);
        if let Some((waiting, initialized)) = placed.initialized {
            // A client that is gone is told nothing.
            let _ = waiting.send(initialized);
        }
        if placed.last {
            self.close_stream(placed.stream);
        }
    }

    fn too_long(self: &Arc<Self>, beginning: &[u8]) {
        warn!(
            bytes = beginning.len(),
            "a message of the command is too large"
        );
        let mut scanner = Scanner::new();
        // It is not complete, but the id of an answer mostly stands at its beginning.
        let _ = scanner.feed(beginning);
        let mut state = self.lock();
        let id = scanner.messages().next().and_then(|message| message.id());
        let closed = id.as_ref().and_then(|id| state.routes.close(id));
        let outlet = closed.and_then(|closed| state.streams.remove(&closed.stream));
        if closed.is_some() {
            // Who waits for a session waits in vain: the first answer of all was this one.
            state.initialize = None;
        }
        drop(state);
        if let Some(outlet) = outlet {
            outlet.finish(Finish::Cut);
        }
        let Some(bridge) = self.bridge.upgrade() else {
            return;
        };
        Counters::add(&bridge.counters.undelivered, 1);
        if let (Some(hop), Some(id)) = (bridge.hop(), id) {
            let key = Key {
                scope: self.scope,
                direction: Direction::ToServer,
                id,
            };
            hop.end_key(&key, Outcome::Unread, clock::now());
        }
        if closed.is_some() && self.wire == Wire::Sse {
            // Its one stream was cut, and there is no way back to it.
            self.end(Why::Client);
        }
    }

    fn ended(self: &Arc<Self>, exit: Exit) {
        if Session::ended(self).is_none() {
            warn!(?exit, "the command of a session has ended by itself");
        }
        self.end(Why::Child(exit));
    }
}

impl Session {
    /// Observes what the child said, and finds the stream it belongs to; none when it belongs nowhere.
    fn take_in(&self, bridge: &Bridge, scanner: &Scanner) -> Option<Placed> {
        let mut state = self.lock();
        let mut placed: Option<Placed> = None;
        for message in scanner.messages() {
            let found = match message.kind() {
                Kind::Response => {
                    let Some((id, closed)) = state.close(&message) else {
                        if let Some(hop) = bridge.hop() {
                            hop.answer(&message, None, clock::now());
                        }
                        continue;
                    };
                    self.answered(bridge, &mut state, &message, id);
                    Placed {
                        stream: closed.stream,
                        edits: Vec::new(),
                        last: closed.last,
                        initialized: state.initialized(&message),
                    }
                }
                Kind::Request | Kind::Notification => {
                    let edits = self.asked(bridge, &state, &message);
                    let open = state
                        .streams
                        .get(&STANDALONE)
                        .is_some_and(|outlet| outlet.is_attached());
                    Placed {
                        stream: state.routes.stream_for(&message, open),
                        edits,
                        last: false,
                        initialized: None,
                    }
                }
                Kind::Invalid => continue,
            };
            match &mut placed {
                None => placed = Some(found),
                Some(first) => {
                    first.last |= found.last;
                    first.edits.extend(found.edits);
                }
            }
        }
        placed
    }

    fn answered(&self, bridge: &Bridge, state: &mut State, message: &Message<'_>, id: Id) {
        let Some(hop) = bridge.hop() else { return };
        let key = Key {
            scope: self.scope,
            direction: Direction::ToServer,
            id,
        };
        let answered = hop.answer(message, Some(&key), clock::now());
        if let Some(answered) = answered.filter(|answered| answered.initialize) {
            hop.begin_session(self.hash, &answered);
            state.peers = answered.peers;
        }
    }

    /// What the child asks goes on with a context, as it does over pipes.
    fn asked(&self, bridge: &Bridge, state: &State, message: &Message<'_>) -> Vec<Edit> {
        let Some(hop) = bridge.hop() else {
            return Vec::new();
        };
        let (at, now) = ((self.scope, Direction::ToClient), clock::now());
        if message.kind() == Kind::Notification {
            hop.cancel(message, at, now);
            return Vec::new();
        }
        let arrival = Arrival {
            cause: hop.cause(self.scope, Direction::ToServer),
            session: Some(self.hash),
            peers: state.peers.clone(),
            size: usize::try_from(message.bytes()).unwrap_or(usize::MAX),
            ..Arrival::default()
        };
        let opened = hop.open(message, at, &arrival, now);
        opened.map(|opened| opened.edits).unwrap_or_default()
    }

    /// Gives a line to its stream, or keeps it there.
    async fn deliver(&self, stream: u64, pieces: Vec<&[u8]>) -> u64 {
        let (outlet, id, text, lost) = {
            let mut state = self.lock();
            let id = state.next_event(stream);
            let shown = (self.wire == Wire::Streamable).then_some(id);
            let text = event(shown, "message", &pieces);
            let lost = state.history.add(id, text.clone());
            (state.streams.get(&stream).cloned(), id, text, lost)
        };
        let Some(outlet) = outlet else { return lost };
        match (outlet.push(id.number, text).await, self.wire) {
            (Pushed::Taken, _) => self.lock().history.taken(id),
            (Pushed::Nobody, _) => {}
            // It may come back for what it missed.
            (Pushed::Stalled, Wire::Streamable) => outlet.detach(),
            (Pushed::Stalled, Wire::Sse) => {
                outlet.finish(Finish::Cut);
                // It has no other stream, and its connection may stay as it is for long.
                self.end(Why::Client);
            }
        }
        lost
    }

    /// A stream has all its answers.
    fn close_stream(&self, stream: u64) {
        let mut state = self.lock();
        let outlet = match stream {
            STANDALONE if state.draining && state.routes.is_empty() => {
                state.streams.get(&STANDALONE).cloned()
            }
            STANDALONE => None,
            _ => state.streams.remove(&stream),
        };
        drop(state);
        if let Some(outlet) = outlet {
            outlet.finish(Finish::Done);
        }
    }
}

/// Where a line of the child goes.
#[derive(Debug)]
struct Placed {
    stream: u64,
    /// The contexts of the requests in it.
    edits: Vec<Edit>,
    /// The stream has all its answers with it.
    last: bool,
    /// Who waits for it, to be told once it is on its way.
    initialized: Option<(oneshot::Sender<Initialized>, Initialized)>,
}

impl State {
    /// The first answer of all is that to `initialize`.
    fn initialized(
        &mut self,
        message: &Message<'_>,
    ) -> Option<(oneshot::Sender<Initialized>, Initialized)> {
        let waiting = self.initialize.take()?;
        self.version = message.text(Slot::ResultProtocolVersion).map(Into::into);
        let refused = message.is_error();
        Some((waiting, Initialized { refused }))
    }

    /// The request that a response answers. An error without an id can only mean the one that is open.
    fn close(&mut self, message: &Message<'_>) -> Option<(Id, Closed)> {
        let id = match message.id() {
            Some(id) => id,
            None => self.routes.only()?,
        };
        let closed = self.routes.close(&id)?;
        Some((id, closed))
    }
}
