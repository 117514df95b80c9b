//! Takes requests of 2026-07-28 and later. Gives each the answer of its caller's child, as JSON or as events.
//! Never shares a child between two credentials or tenants, never lets a client's leaving go unsaid to the child.

mod ask;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Bridge;
use super::answer::{
    HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, MISSING_CAPABILITY,
    PARSE_ERROR, UNSUPPORTED_VERSION,
};
use super::child::{Child, Gone, Hearer};
use super::events::{EventBody, Finish, Outlet, Owner, event};
use super::ids::{self, Belongs, Names};
use super::lines::{pieces, scan, without_returns};
use crate::clock;
use crate::counters::Counters;
use crate::frame::line::Edit;
use crate::frame::{Message, Scanner, Shape, Slot};
use crate::record::Outcome;
use crate::session::Key;
use crate::tap::stdio::guard::Exit;

pub(super) use ask::post;

/// Who shares a child: one credential of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    /// The keyed hash of the credential; none without one.
    pub credential: Option<[u64; 2]>,
    pub tenant: Arc<str>,
}

/// One caller's child.
#[derive(Debug)]
pub(super) struct Shared {
    pub caller: Caller,
    bridge: Weak<Bridge>,
    child: Child,
    max_pending: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    open: HashMap<u64, Open>,
    last: u64,
    used: Instant,
    ended: Option<Exit>,
}

/// A request that has no answer yet.
#[derive(Debug)]
struct Open {
    names: Names,
    listens: bool,
    /// It asked for log messages, which say nothing of where they belong.
    logs: bool,
    key: Option<Key>,
    /// The client has no head of an answer yet.
    first: Option<oneshot::Sender<First>>,
    outlet: Arc<Outlet>,
    events: u64,
    /// The child has been told of it.
    sent: bool,
}

/// A request on its way to the child, seen from its client.
#[derive(Debug)]
struct Asking {
    number: u64,
    first: oneshot::Receiver<First>,
    /// Its answer, if it is events; dropping it is the client's leaving.
    events: EventBody,
    /// What puts the number in the place of the client's names.
    edits: Vec<Edit>,
}

/// The first that a child says for a request decides what the answer is.
#[derive(Debug)]
pub(super) enum First {
    Answer { status: StatusCode, json: Bytes },
    Events,
}

/// A request at the child, from the side of its client.
#[derive(Debug)]
pub(super) struct Asked {
    shared: Arc<Shared>,
    number: u64,
}

impl Asked {
    /// Nobody waits any more.
    pub fn leave(&self) {
        self.shared.leave(self.number);
    }
}

impl Shared {
    pub fn new(bridge: &Arc<Bridge>, child: Child, caller: Caller) -> Self {
        Self {
            caller,
            bridge: Arc::downgrade(bridge),
            child,
            max_pending: bridge.rules().settings.max_replay_bytes,
            state: Mutex::new(State {
                open: HashMap::new(),
                last: 0,
                used: clock::instant(),
                ended: None,
            }),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    pub fn is_idle(&self, now: Instant, limit: Duration) -> bool {
        let state = self.lock();
        state.open.is_empty() && now.saturating_duration_since(state.used) >= limit
    }

    /// Ends the child. What is still open ends with the hop.
    pub fn end(self: &Arc<Self>) {
        if let Some(bridge) = self.bridge.upgrade() {
            bridge.forget_caller(self);
        }
        let open = std::mem::take(&mut self.lock().open);
        self.child.end();
        for open in open.into_values() {
            open.outlet.finish(Finish::Cut);
        }
    }

    /// Streams that only listen end.
    pub fn drain(&self) {
        for open in self.lock().open.values().filter(|open| open.listens) {
            open.outlet.finish(Finish::Done);
        }
    }

    pub async fn over(&self) {
        self.child.over().await;
    }

    /// How the child ended, once it has.
    fn exit(&self) -> Option<Exit> {
        self.lock().ended
    }

    /// Takes a request in: its number, what it will be answered with, and the edits that put the number in.
    fn ask(self: &Arc<Self>, message: &Message<'_>, body: &Bytes, key: Option<Key>) -> Asking {
        let (sender, first) = oneshot::channel();
        let outlet = Outlet::new(self.max_pending);
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let (names, edits) = ids::number(message, body, number);
        let open = Open {
            names,
            listens: message.text(Slot::Method).as_deref() == Some("subscriptions/listen"),
            logs: message.shape(Slot::MetaLogLevel) != Shape::Absent,
            key,
            first: Some(sender),
            outlet: Arc::clone(&outlet),
            events: 0,
            sent: false,
        };
        state.open.insert(number, open);
        drop(state);
        let asked = Asked {
            shared: Arc::clone(self),
            number,
        };
        Asking {
            number,
            first,
            events: outlet.attach(Vec::new(), 0, Owner::Request(asked)),
            edits,
        }
    }

    /// Tells the child of a request.
    async fn send(&self, number: u64, line: Bytes) -> Result<(), Gone> {
        self.child.send(line).await?;
        if let Some(open) = self.lock().open.get_mut(&number) {
            open.sent = true;
        }
        Ok(())
    }

    /// Tells the child something that has no answer.
    async fn notify(&self, line: Bytes) -> Result<(), Gone> {
        self.lock().used = clock::instant();
        self.child.send(line).await
    }

    /// A client waits no more: unless its request has ended, the child is told.
    fn leave(&self, number: u64) {
        let mut state = self.lock();
        state.used = clock::instant();
        let left = state.open.remove(&number);
        drop(state);
        let Some(left) = left else { return };
        if left.sent {
            self.child.send_later(cancel(number));
        }
        self.end_call(left.key.as_ref(), Outcome::ClientGone);
    }

    fn end_call(&self, key: Option<&Key>, outcome: Outcome) {
        let hop = self.bridge.upgrade().and_then(|bridge| bridge.hop());
        if let (Some(hop), Some(key)) = (hop, key) {
            hop.end_key(key, outcome, clock::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Observes a message and finds what to do with it; none when it belongs nowhere.
    fn place(&self, bridge: &Bridge, message: &Message<'_>) -> Option<Placed> {
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
        self.outlet.push(self.number, event).await;
        if self.last {
            self.outlet.finish(Finish::Done);
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

/// What the child is told when a client has left.
fn cancel(number: u64) -> Bytes {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{number},\
         \"reason\":\"the client closed its stream\"}}}}\n"
    )
    .into()
}

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
        let placed = single.and_then(|message| self.place(&bridge, &message));
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
            open.outlet.finish(Finish::Cut);
        }
    }

    fn ended(self: &Arc<Self>, exit: Exit) {
        info!(?exit, "the command of a caller has ended");
        let mut state = self.lock();
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
