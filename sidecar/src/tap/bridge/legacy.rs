//! Takes the messages of one legacy client and those of its child. Gives each to the other: a session.
//! Never shares its child, never takes a lost connection for a cancel, never sends a message on two streams.
//!
//! Streamable HTTP has a stream for each POST with requests and one that the client opens by GET; HTTP+SSE has one.
//! A stream may lose its client: what comes for it waits in the history, as far as there is room.

mod hear;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Bridge;
use super::budget::Spent;
use super::caller::Holder;
use super::child::{Child, Gone};
use super::events::{EventBody, EventId, Finish, Outlet, Owner, Pace, event, priming};
use super::history::History;
use super::request::{Place, Posted};
use super::routes::{Routes, STANDALONE};
use super::rules::Rules;
use crate::clock;
use crate::counters::Counters;
use crate::frame::{Kind, Message, Scanner, Slot};
use crate::record::Outcome;
use crate::session::{Peers, Scope};
use crate::tap::stdio::guard::Exit;

/// The first revision whose streams begin with an event without data, so that a client can always come back.
const PRIMED_SINCE: &str = "2025-11-25";

/// Which of the two legacy transports a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Streamable,
    /// HTTP+SSE of 2024-11-05.
    Sse,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its client said so, or left the only stream it has.
    Client,
    Idle,
    /// We cut it off: its client reads too little, or there is no room for what it was to hear.
    Cut,
    /// The child has ended.
    Child(Exit),
    /// We end.
    Shutdown,
}

/// The answer to `initialize`, on which it depends whether there is a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Initialized {
    pub refused: bool,
}

/// One client and its child.
#[derive(Debug)]
pub(super) struct Session {
    pub id: Box<str>,
    scope: Scope,
    hash: u64,
    pub wire: Wire,
    /// The program that was started for it, as messages name it.
    pub command: String,
    bridge: Weak<Bridge>,
    child: Child,
    pace: Pace,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    routes: Routes,
    streams: HashMap<u64, Arc<Outlet>>,
    history: History,
    last_stream: u64,
    last_event: u64,
    /// The client waits for the answer to its `initialize`.
    initialize: Option<oneshot::Sender<Initialized>>,
    version: Option<Box<str>>,
    peers: Peers,
    holder: Holder,
    used: Instant,
    draining: bool,
    ended: Option<Why>,
}

impl Session {
    /// A session for a child; [`Hearer`] is what the child's task sees of it.
    pub fn new(
        bridge: &Arc<Bridge>,
        rules: &Rules,
        child: Child,
        id: Box<str>,
        wire: Wire,
        holder: Holder,
    ) -> Self {
        let hash = bridge.hash_session(id.as_bytes());
        let pace = rules.pace;
        let kept = match wire {
            Wire::Streamable => pace.max_bytes,
            // Nobody can come back to its stream.
            Wire::Sse => 0,
        };
        Self {
            id,
            scope: Scope::Session(hash),
            hash,
            wire,
            command: rules.command(),
            bridge: Arc::downgrade(bridge),
            child,
            pace,
            state: Mutex::new(State {
                routes: Routes::default(),
                streams: HashMap::from([(STANDALONE, Outlet::new(pace))]),
                history: History::new(kept),
                last_stream: STANDALONE,
                last_event: 0,
                initialize: None,
                version: None,
                peers: Peers::default(),
                holder,
                used: clock::instant(),
                draining: false,
                ended: None,
            }),
        }
    }

    /// Whether somebody may use the session, and whether there still is one.
    pub fn admits(&self, holder: &Holder) -> bool {
        let mut state = self.lock();
        let admitted = state.ended.is_none() && state.holder.admits(holder);
        if admitted {
            state.used = clock::instant();
        }
        admitted
    }

    /// Whether the body of a request is worth reading, as its head says.
    pub fn knows(&self, holder: &Holder) -> bool {
        let mut state = self.lock();
        let known = state.ended.is_none() && state.holder.knows(holder);
        if known {
            state.used = clock::instant();
        }
        known
    }

    /// Where the messages of the client belong.
    pub fn place(&self) -> Place {
        Place {
            scope: self.scope,
            session: Some(self.hash),
            peers: self.lock().peers.clone(),
        }
    }

    /// Why the session has ended, if it has.
    pub fn ended(&self) -> Option<Why> {
        self.lock().ended
    }

    pub async fn send(&self, line: Bytes, spent: Arc<Spent>) -> Result<(), Gone> {
        self.lock().used = clock::instant();
        self.child.send(line, spent).await
    }

    /// Waits for the answer to `initialize`; the sender goes when the session ends first.
    pub fn await_initialize(&self) -> oneshot::Receiver<Initialized> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        state.initialize = Some(sender).filter(|_| state.ended.is_none());
        receiver
    }

    /// Opens a stream for the requests of a POST, before they are sent; none when the session has ended.
    pub fn open_stream(self: &Arc<Self>, posted: &Posted) -> Option<EventBody> {
        let mut state = self.lock();
        if state.ended.is_some() {
            return None;
        }
        state.used = clock::instant();
        state.last_stream += 1;
        let stream = state.last_stream;
        let mut first = Vec::new();
        if state.version.as_deref().is_some_and(|v| v >= PRIMED_SINCE) {
            let id = state.next_event(stream);
            first.push(priming(id));
        }
        let outlet = Outlet::new(self.pace);
        let body = outlet.attach(first, 0, Owner::Stream(Arc::clone(self), stream));
        // Before its requests: what somebody reads is not forgotten.
        state.streams.insert(stream, outlet);
        for message in requests(&posted.scanner) {
            let over = state.routes.open(&message, &posted.body, stream);
            let over = over.and_then(|over| state.streams.remove(&over));
            if let Some(outlet) = over {
                outlet.finish(Finish::Done);
            }
            state.shrink();
        }
        Some(body)
    }

    /// Notes the requests of a client whose answers all go to one stream.
    pub fn open_requests(&self, posted: &Posted) {
        let mut state = self.lock();
        state.used = clock::instant();
        for message in requests(&posted.scanner) {
            state.routes.open(&message, &posted.body, STANDALONE);
            state.shrink();
        }
    }

    /// Attaches the standalone stream; none when a client reads it already.
    pub fn open_standalone(self: &Arc<Self>) -> Option<EventBody> {
        let mut state = self.lock();
        let outlet = state.streams.get(&STANDALONE).cloned()?;
        if outlet.is_attached() {
            return None;
        }
        let missed = state.history.missed(STANDALONE);
        let up_to = state.last_event;
        let owner = Owner::Stream(Arc::clone(self), STANDALONE);
        Some(outlet.attach(missed, up_to, owner))
    }

    /// The stream of an HTTP+SSE session, which begins with the place to POST to.
    pub fn open_only(self: &Arc<Self>, endpoint: &str) -> Option<EventBody> {
        let state = self.lock();
        let outlet = state.streams.get(&STANDALONE)?;
        let first = vec![event(None, "endpoint", &[endpoint.as_bytes()])];
        Some(outlet.attach(first, 0, Owner::Session(Arc::clone(self))))
    }

    /// Goes on with a stream behind an event; none when nothing is known of it.
    pub fn resume(self: &Arc<Self>, last: EventId) -> Option<EventBody> {
        let mut state = self.lock();
        let live = state.streams.get(&last.stream).cloned();
        if live.is_none() && !state.history.knows(last) {
            return None;
        }
        let outlet = live.unwrap_or_else(|| {
            let over = Outlet::new(self.pace);
            over.finish(Finish::Done);
            over
        });
        let unseen = state.history.after(last);
        let up_to = state.last_event;
        let owner = Owner::Stream(Arc::clone(self), last.stream);
        Some(outlet.attach(unseen, up_to, owner))
    }

    /// The client waits no more for what these notifications cancel.
    pub fn cancel(&self, posted: &Posted) {
        let cancels = posted.scanner.messages().filter(|message| {
            message.kind() == Kind::Notification
                && message.text(Slot::Method).as_deref() == Some("notifications/cancelled")
        });
        for message in cancels {
            let mut state = self.lock();
            let Some(stream) = state.routes.cancel(&message, &posted.body) else {
                continue;
            };
            let outlet = state.streams.get(&stream);
            let read = outlet.is_some_and(|outlet| outlet.is_attached());
            if stream == STANDALONE || !read {
                state.abandon(stream);
            }
        }
    }

    /// A client has left one of its streams.
    pub fn client_left(&self, stream: u64) {
        let mut state = self.lock();
        state.used = clock::instant();
        state.abandon(stream);
    }

    /// The one stream that the client has is over: it left, or we cut it; or all was said, because we end.
    pub fn stream_left(&self, finish: Option<Finish>) {
        self.end(match finish {
            Some(Finish::Done) => Why::Shutdown,
            Some(Finish::Cut) => Why::Cut,
            None => Why::Client,
        });
    }

    /// Ends the session if nobody has read or sent anything for so long.
    pub fn end_if_idle(&self, now: Instant, limit: Duration) {
        let state = self.lock();
        let read = state.streams.values().any(|outlet| outlet.is_attached());
        if !read && now.saturating_duration_since(state.used) >= limit {
            // In one step, so that no request comes in between.
            self.end_locked(state, Why::Idle);
        }
    }

    /// No more than what is under way: the streams that carry no answer end.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        if (self.wire == Wire::Streamable || state.routes.is_empty())
            && let Some(outlet) = state.streams.get(&STANDALONE)
        {
            outlet.finish(Finish::Done);
        }
    }

    /// Ends the session and its child.
    pub fn end(&self, why: Why) {
        self.end_locked(self.lock(), why);
    }

    fn end_locked(&self, mut state: MutexGuard<'_, State>, why: Why) {
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(why);
        let streams = std::mem::take(&mut state.streams);
        state.initialize = None;
        let lost = state.history.lost();
        drop(state);
        self.child.end();
        let finish = match why {
            Why::Cut | Why::Child(_) | Why::Shutdown => Finish::Cut,
            Why::Client | Why::Idle => Finish::Done,
        };
        for outlet in streams.values() {
            outlet.finish(finish);
        }
        let Some(bridge) = self.bridge.upgrade() else {
            return;
        };
        bridge.forget(&self.id);
        Counters::add(&bridge.counters.undelivered, lost);
        self.end_calls(why);
    }

    /// What was opened behind the end of the session has to end, too.
    pub fn end_late_calls(&self) {
        if let Some(why) = self.ended() {
            self.end_calls(why);
        }
    }

    fn end_calls(&self, why: Why) {
        let hop = self.bridge.upgrade().and_then(|bridge| bridge.hop());
        // At our own end every call ends by that, all at once.
        if let (Some(hop), false) = (hop, why == Why::Shutdown) {
            let (outcome, error) = match why {
                Why::Child(_) => (Outcome::ServerGone, Some("server_gone")),
                Why::Cut => (Outcome::Evicted, Some("evicted")),
                _ => (Outcome::ClientGone, None),
            };
            hop.end_session(self.hash, outcome, error, clock::now());
        }
    }

    /// Waits until nothing of the child is left.
    pub async fn over(&self) {
        self.child.over().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets what nobody waits for on a stream, and the stream with it.
    fn abandon(&mut self, stream: u64) {
        if self.routes.abandon(stream) && stream != STANDALONE {
            self.streams.remove(&stream);
        }
    }

    /// Keeps no more of requests than may be kept. On the one stream of HTTP+SSE an answer arrives without that.
    fn shrink(&mut self) {
        let streams = &self.streams;
        let is_read = |stream| {
            streams
                .get(&stream)
                .is_some_and(|outlet| outlet.is_attached())
        };
        let closed = self
            .routes
            .shrink(|stream| stream == STANDALONE || !is_read(stream));
        let over = closed.filter(|closed| closed.last && closed.stream != STANDALONE);
        if let Some(over) = over {
            self.streams.remove(&over.stream);
        }
    }

    fn next_event(&mut self, stream: u64) -> EventId {
        self.last_event += 1;
        EventId {
            stream,
            number: self.last_event,
        }
    }
}

fn requests(scanner: &Scanner) -> impl Iterator<Item = Message<'_>> {
    scanner
        .messages()
        .filter(|message| message.kind() == Kind::Request)
}

#[cfg(test)]
mod tests;
