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
use crate::tap::bridge::child::{Hearer, Skipped};
use crate::tap::bridge::events::{Finish, Pushed, event};
use crate::tap::bridge::heard::{Heard, hear, refusals, skip};
use crate::tap::bridge::legacy::Wire;
use crate::tap::bridge::lines::pieces;
use crate::tap::bridge::routes::{Answered, STANDALONE};
use crate::tap::stdio::guard::Exit;

impl Hearer for Session {
    async fn line(self: &Arc<Self>, line: Bytes) {
        let Some(Heard {
            bridge,
            line,
            scanner,
        }) = hear(&self.bridge, line)
        else {
            return;
        };
        let Some(placed) = self.take_in(&bridge, &scanner, &line) else {
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

    fn too_long(self: &Arc<Self>, skipped: Skipped) {
        let Some((bridge, scanner)) = skip(&self.bridge, skipped) else {
            return;
        };
        for line in refusals(&scanner) {
            self.child.send_later(line);
        }
        let mut cut = false;
        for message in scanner.messages() {
            cut |= message.kind() == Kind::Response && self.cut_off(&bridge, &message);
        }
        if cut && self.wire == Wire::Sse {
            // Its one stream was cut, and there is no way back to it.
            self.end(Why::Cut);
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
    pub(super) fn take_in(
        &self,
        bridge: &Bridge,
        scanner: &Scanner,
        line: &[u8],
    ) -> Option<Placed> {
        let mut state = self.lock();
        let mut placed: Option<Placed> = None;
        for message in scanner.messages() {
            let found = match message.kind() {
                Kind::Response => match self.answered(bridge, &mut state, &message, line) {
                    Some(found) => found,
                    None => continue,
                },
                Kind::Request | Kind::Notification => {
                    let edits = self.asked(bridge, &state, &message);
                    let open = state
                        .streams
                        .get(&STANDALONE)
                        .is_some_and(|outlet| outlet.is_attached());
                    Placed {
                        edits,
                        ..Placed::on(state.routes.stream_for(&message, line, open))
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

    /// The end of a call.
    fn answered(
        &self,
        bridge: &Bridge,
        state: &mut State,
        message: &Message<'_>,
        line: &[u8],
    ) -> Option<Placed> {
        let Some(Answered { id, closed }) = state.routes.answer(message, line) else {
            // Where there is but one stream nobody else could be meant: the client may make of it what it can.
            let known = self.wire == Wire::Sse;
            // Its call may be open even where so many were that its route is forgotten.
            let key = message.id().filter(|_| known).map(|id| self.key(id));
            if let Some(hop) = bridge.hop() {
                hop.answer(message, key.as_ref(), clock::now());
            }
            return known.then(|| Placed::on(STANDALONE));
        };
        if let (Some(hop), Some(id)) = (bridge.hop(), id) {
            let answered = hop.answer(message, Some(&self.key(id)), clock::now());
            if let Some(answered) = answered.filter(|answered| answered.initialize) {
                hop.begin_session(self.hash, &answered);
                state.peers = answered.peers;
            }
        }
        Some(Placed {
            last: closed.last,
            initialized: state.initialized(message),
            ..Placed::on(closed.stream)
        })
    }

    /// An answer that was not held: who waits for it waits in vain. False when nobody does.
    fn cut_off(&self, bridge: &Bridge, message: &Message<'_>) -> bool {
        let mut state = self.lock();
        let Some(Answered { id, closed }) = state.routes.answer(message, &[]) else {
            return false;
        };
        // The first answer of all would have begun the session.
        state.initialize = None;
        let outlet = state.streams.remove(&closed.stream);
        drop(state);
        if let Some(outlet) = outlet {
            outlet.finish(Finish::Cut);
        }
        if let (Some(hop), Some(id)) = (bridge.hop(), id) {
            hop.end_key(&self.key(id), Outcome::Unread, clock::now());
        }
        true
    }

    /// A call of the client.
    fn key(&self, id: Id) -> Key {
        Key {
            scope: self.scope,
            direction: Direction::ToServer,
            id,
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
            // Without it the child could name any tenant in the baggage that it writes.
            standing: Some(&state.holder.standing),
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
                self.end(Why::Cut);
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
pub(super) struct Placed {
    pub stream: u64,
    /// The contexts of the requests in it.
    edits: Vec<Edit>,
    /// The stream has all its answers with it.
    last: bool,
    /// Who waits for it, to be told once it is on its way.
    initialized: Option<(oneshot::Sender<Initialized>, Initialized)>,
}

impl Placed {
    fn on(stream: u64) -> Self {
        Self {
            stream,
            edits: Vec::new(),
            last: false,
            initialized: None,
        }
    }
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
}
