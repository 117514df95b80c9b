//! Takes the lines of a shared child. Gives each to the request that it belongs to, under the client's own names.
//! Never guesses: what could belong to two requests goes to neither.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::oneshot;
use tracing::warn;

use super::{First, Open, Shared, State};
use crate::clock;
use crate::counters::Counters;
use crate::frame::line::Edit;
use crate::frame::{Message, Scanner, Slot};
use crate::record::Outcome;
use crate::tap::bridge::Bridge;
use crate::tap::bridge::answer::{
    HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, MISSING_CAPABILITY,
    PARSE_ERROR, UNSUPPORTED_VERSION,
};
use crate::tap::bridge::child::Hearer;
use crate::tap::bridge::events::{Finish, Outlet, Pushed, event};
use crate::tap::bridge::ids::{self, Belongs};
use crate::tap::bridge::lines::{pieces, scan, without_returns};
use crate::tap::stdio::guard::Exit;

impl Hearer for Shared {
    async fn line(self: &Arc<Self>, line: Bytes) {
        let Some(bridge) = self.bridge.upgrade() else {
            return;
        };
        let line = without_returns(line);
        let scanned = scan(&line);
        bridge.count(scanned.as_ref());
        let Some(scanner) = scanned else { return };
        let single = scanner.messages().next().filter(|_| !scanner.is_batch());
        let placed = single.and_then(|message| self.place(&bridge, &message, &line));
        match placed {
            Some(placed) => placed.deliver(&line).await,
            None => Counters::add(&bridge.counters.undelivered, 1),
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
        let number = scanner.messages().next().and_then(|message| {
            let id = message.id()?;
            id.text().parse().ok()
        });
        let open = number.and_then(|number: u64| self.lock().open.remove(&number));
        if let Some(bridge) = self.bridge.upgrade() {
            Counters::add(&bridge.counters.undelivered, 1);
        }
        if let Some(open) = open {
            self.end_call(open.key.as_ref(), Outcome::Unread);
            if let Some(first) = open.first {
                // Whoever waited may be gone.
                let _ = first.send(First::TooLarge);
            }
            open.outlet.finish(Finish::Cut);
        }
    }

    fn ended(self: &Arc<Self>, exit: Exit) {
        let mut state = self.lock();
        if !state.asked {
            warn!(?exit, "the command of a caller has ended by itself");
        }
        state.ended = Some(exit);
        let open = std::mem::take(&mut state.open);
        drop(state);
        if let Some(bridge) = self.bridge.upgrade() {
            bridge.forget_caller(self);
        }
        for (_, open) in open {
            self.end_call(open.key.as_ref(), Outcome::ServerGone);
            open.outlet.finish(Finish::Cut);
        }
    }
}

impl Shared {
    /// Observes a message and finds what to do with it; none when it belongs nowhere.
    fn place(&self, bridge: &Bridge, message: &Message<'_>, line: &[u8]) -> Option<Placed> {
        let mut state = self.lock();
        match ids::belongs(message) {
            Belongs::Answer(number) => {
                let Some(open) = state.open.remove(&number) else {
                    if let Some(hop) = bridge.hop() {
                        hop.answer(message, None, clock::now());
                    }
                    return None;
                };
                state.used = clock::instant();
                if open.lists_tools {
                    state.mirrors.learn(line);
                }
                if let (Some(hop), Some(key)) = (bridge.hop(), &open.key) {
                    hop.answer(message, Some(key), clock::now());
                }
                Some(Placed::last(message, number, open))
            }
            Belongs::Ends(number) => {
                let open = state.open.remove(&number)?;
                drop(state);
                self.end_call(open.key.as_ref(), Outcome::CancelledByServer);
                let mut placed = Placed::last(message, number, open);
                // It is no answer, so it cannot be the body of one.
                placed.answers = false;
                Some(placed)
            }
            Belongs::Within(number) => state.within(message, number),
            Belongs::Unnamed => {
                let number = state.only_logging()?;
                state.within(message, number)
            }
            Belongs::Nowhere => None,
        }
    }
}

impl State {
    fn within(&mut self, message: &Message<'_>, number: u64) -> Option<Placed> {
        let open = self.open.get_mut(&number)?;
        open.events += 1;
        Some(Placed {
            edits: ids::restore(message, number, &open.names),
            first: open.first.take(),
            outlet: Arc::clone(&open.outlet),
            number: open.events,
            answers: false,
            last: false,
            status: StatusCode::OK,
        })
    }

    /// The one request that a message without a name can only belong to: the only one, or the only one that asked for
    /// log messages. With several, each guess could show one client what is another's.
    fn only_logging(&self) -> Option<u64> {
        let only = |wanted: fn(&Open) -> bool| {
            let mut found = self.open.iter().filter(|(_, open)| wanted(open));
            let (number, _) = found.next()?;
            found.next().is_none().then_some(*number)
        };
        only(|open| open.logs).or_else(|| only(|open| !open.listens))
    }
}

/// What a message of the child becomes.
#[derive(Debug)]
struct Placed {
    edits: Vec<Edit>,
    /// Who waits for the head of the answer.
    first: Option<oneshot::Sender<First>>,
    outlet: Arc<Outlet>,
    number: u64,
    answers: bool,
    last: bool,
    status: StatusCode,
}

impl Placed {
    fn last(message: &Message<'_>, number: u64, open: Open) -> Self {
        Self {
            edits: ids::restore(message, number, &open.names),
            first: open.first,
            outlet: open.outlet,
            number: open.events + 1,
            answers: true,
            last: true,
            status: status(message),
        }
    }

    /// Gives the message to its client. Waits while the client has too much to read.
    async fn deliver(self, line: &Bytes) {
        let pieces = pieces(line, 0..line.len(), &self.edits);
        if let Some(first) = self.first {
            let head = match self.answers {
                true => First::Answer {
                    status: self.status,
                    json: pieces.concat().into(),
                },
                false => First::Events,
            };
            // Whoever waited may have begun with events by itself, or be gone.
            if first.send(head).is_ok() && self.answers {
                return;
            }
        }
        let event = event(None, "message", &pieces);
        match self.outlet.push(self.number, event).await {
            Pushed::Stalled => self.outlet.finish(Finish::Cut),
            Pushed::Taken | Pushed::Nobody if self.last => self.outlet.finish(Finish::Done),
            Pushed::Taken | Pushed::Nobody => {}
        }
    }
}

/// The status that goes with an answer whose head is not out yet (2026-07-28, Streamable HTTP).
fn status(message: &Message<'_>) -> StatusCode {
    match message
        .integer(Slot::ErrorCode)
        .filter(|_| message.is_error())
    {
        Some(METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(
            HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION | INVALID_PARAMS
            | INVALID_REQUEST | PARSE_ERROR,
        ) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}
