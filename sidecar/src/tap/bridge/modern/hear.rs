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
use crate::frame::{Message, Slot};
use crate::record::Outcome;
use crate::session::creates_task;
use crate::tap::bridge::Bridge;
use crate::tap::bridge::answer::{
    HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, MISSING_CAPABILITY,
    PARSE_ERROR, UNSUPPORTED_VERSION,
};
use crate::tap::bridge::child::{Hearer, Skipped};
use crate::tap::bridge::events::{Finish, Outlet, Pushed, event};
use crate::tap::bridge::heard::{Heard, hear, skip};
use crate::tap::bridge::ids::{self, Belongs};
use crate::tap::bridge::lines::pieces;
use crate::tap::stdio::guard::Exit;

impl Hearer for Shared {
    async fn line(self: &Arc<Self>, line: Bytes) {
        let Some(Heard {
            bridge,
            line,
            scanner,
        }) = hear(&self.bridge, line)
        else {
            return;
        };
        let single = scanner.messages().next().filter(|_| !scanner.is_batch());
        let placed = single.and_then(|message| self.place(&bridge, &message, &line));
        match placed {
            Some(placed) => placed.deliver(&line).await,
            None => Counters::add(&bridge.counters.undelivered, 1),
        }
    }

    fn too_long(self: &Arc<Self>, skipped: Skipped) {
        let Some((_, scanner)) = skip(&self.bridge, skipped) else {
            return;
        };
        let single = scanner.messages().next().filter(|_| !scanner.is_batch());
        let open = single.and_then(|message| {
            let mut state = self.lock();
            match state.belongs(&message) {
                Belongs::Answer(number) | Belongs::Ends(number) => state.open.remove(&number),
                _ => None,
            }
        });
        let Some(open) = open else { return };
        self.end_call(open.key.as_ref(), Outcome::Unread);
        if let Some(first) = open.first {
            // Whoever waited may be gone.
            let _ = first.send(First::TooLarge);
        }
        open.outlet.finish(Finish::Cut);
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
        match state.belongs(message) {
            Belongs::Answer(number) => {
                let Some(open) = state.open.remove(&number) else {
                    if let Some(hop) = bridge.hop() {
                        hop.answer(message, None, clock::now());
                    }
                    return None;
                };
                state.used = clock::instant();
                state.has_task |= creates_task(message);
                // What came before this request has been read.
                state.unclear.take_if(|last| number > *last);
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
            Belongs::Unnamed | Belongs::NamelessError | Belongs::Nowhere => None,
        }
    }
}

impl State {
    /// Where a message belongs: of what names nothing, only what can belong to one request alone. With several, each
    /// guess could show one client what is another's.
    fn belongs(&self, message: &Message<'_>) -> Belongs {
        let named = match ids::belongs(message) {
            Belongs::Unnamed => self.only_logging().map(Belongs::Within),
            Belongs::NamelessError => self.only_blamed().map(Belongs::Answer),
            named => Some(named),
        };
        named.unwrap_or(Belongs::Nowhere)
    }

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

    /// The one request that a notification without a name can belong to: the only one that asked for log messages, or
    /// the only one.
    fn only_logging(&self) -> Option<u64> {
        self.only(|open| open.logs)
            .or_else(|| self.only(|open| !open.listens))
    }

    /// The one request that an error without a name can belong to: the child has been told of nothing else that it could
    /// mean, and has not shown yet that it took the request.
    fn only_blamed(&self) -> Option<u64> {
        let number = self.only(|_| true).filter(|_| self.unclear.is_none())?;
        let open = self.open.get(&number)?;
        let taken = open.listens && open.events > 0;
        (open.sent && !taken).then_some(number)
    }

    fn only(&self, wanted: fn(&Open) -> bool) -> Option<u64> {
        let mut found = self.open.iter().filter(|(_, open)| wanted(open));
        let (number, _) = found.next()?;
        found.next().is_none().then_some(*number)
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

#[cfg(test)]
mod tests;
