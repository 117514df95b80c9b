//! Takes messages for one SSE stream. Gives them to the client that is attached to it, as events, at the client's pace.
//! Never holds more than its bound (one message always fits), never blocks on a client that is not there.
//!
//! An [`Outlet`] is the stream, an [`EventBody`] the answer that a client reads it from. A legacy stream outlives its
//! body, and another body may take over; a request of the newest protocol dies with its body.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior};

use super::legacy::Session;
use super::modern::Asked;

/// How often an idle stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// When a client that lost a stream may come back for the rest. The SDKs wait as long where nothing is said.
const RETRY_MILLISECONDS: u64 = 1000;
/// What keeping an event takes besides its text.
pub(super) const OVERHEAD: usize = 128;
/// A comment: every client ignores it.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// All was said.
    Done,
    /// In the middle: the client must see that something is missing.
    Cut,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Taken,
    /// Nobody reads this stream now.
    Nobody,
    /// The client has left it unread for too long.
    Stalled,
}

/// How far and how long a client may be behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub max_bytes: usize,
    /// How long a full stream may hold the child back.
    pub stall: Duration,
}

/// One SSE stream.
#[derive(Debug)]
pub(super) struct Outlet {
    state: Mutex<State>,
    room: Notify,
    pace: Pace,
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Bytes>,
    bytes: usize,
    finish: Option<Finish>,
    waker: Option<Waker>,
    attached: bool,
    /// Bodies that were attached so far: an older one ends when a newer one takes over.
    generation: u64,
    /// The newest event that the body began with.
    begun_with: u64,
}

impl Outlet {
    pub fn new(pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            room: Notify::new(),
            pace,
        })
    }

    pub fn is_attached(&self) -> bool {
        self.lock().attached
    }

    /// Attaches a body, which takes the place of an older one. It begins with `first`, the events up to a number.
    pub fn attach(self: &Arc<Self>, first: Vec<Bytes>, up_to: u64, owner: Owner) -> EventBody {
        let mut state = self.lock();
        state.begun_with = up_to;
        state.generation += 1;
        state.attached = true;
        state.pending = first.into();
        state.bytes = state.pending.iter().map(cost).sum();
        let older = state.waker.take();
        let generation = state.generation;
        drop(state);
        if let Some(older) = older {
            older.wake();
        }
        self.room.notify_waiters();
        let mut keep_alive = tokio::time::interval(KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        keep_alive.reset();
        EventBody {
            outlet: Arc::clone(self),
            generation,
            keep_alive: Box::new(keep_alive),
            owner,
        }
    }

    /// Hands an event to the attached client. Waits while the client has too much to read.
    pub async fn push(&self, number: u64, event: Bytes) -> Pushed {
        // One time for all of it: a client that reads a little now and then does not hold the child back for longer.
        let handed = tokio::time::timeout(self.pace.stall, self.hand_over(number, event)).await;
        handed.unwrap_or(Pushed::Stalled)
    }

    async fn hand_over(&self, number: u64, event: Bytes) -> Pushed {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // From now on no word of room is missed.
            room.as_mut().enable();
            {
                let mut state = self.lock();
                if !state.attached || state.finish.is_some() {
                    return Pushed::Nobody;
                }
                if number <= state.begun_with {
                    return Pushed::Taken;
                }
                if state.bytes == 0 || state.bytes + cost(&event) <= self.pace.max_bytes {
                    state.bytes += cost(&event);
                    state.pending.push_back(event);
                    wake(state);
                    return Pushed::Taken;
                }
            }
            room.await;
        }
    }

    /// Sends the client away; the stream goes on without it.
    pub fn detach(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.attached = false;
        state.pending.clear();
        state.bytes = 0;
        wake(state);
        self.room.notify_waiters();
    }

    /// Nothing more comes; what is pending is still delivered, unless the stream is cut.
    pub fn finish(&self, finish: Finish) {
        let mut state = self.lock();
        if finish == Finish::Cut {
            state.pending.clear();
            state.bytes = 0;
        }
        state.finish.get_or_insert(finish);
        wake(state);
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Who is told that a client has left its stream.
#[derive(Debug)]
pub(super) enum Owner {
    /// A stream of a Streamable HTTP session, which may be resumed.
    Stream(Arc<Session>, u64),
    /// The one stream of an HTTP+SSE session.
    Session(Arc<Session>),
    /// A request of the newest protocol: its end is a cancel.
    Request(Asked),
}

/// The answer that a client reads a stream from.
#[derive(Debug)]
pub(crate) struct EventBody {
    outlet: Arc<Outlet>,
    generation: u64,
    keep_alive: Box<Interval>,
    owner: Owner,
}

/// A stream that was cut: the connection breaks, so that the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut")]
pub(crate) struct CutOff;

impl EventBody {
    /// The next piece of the stream.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutOff>>> {
        let mut state = self.outlet.lock();
        if state.generation != self.generation {
            return Poll::Ready(None);
        }
        if let Some(event) = state.pending.pop_front() {
            state.bytes = state.bytes.saturating_sub(cost(&event));
            drop(state);
            self.outlet.room.notify_waiters();
            self.keep_alive.reset();
            return Poll::Ready(Some(Ok(event)));
        }
        match state.finish {
            Some(Finish::Done) => return Poll::Ready(None),
            Some(Finish::Cut) => return Poll::Ready(Some(Err(CutOff))),
            None => {}
        }
        state.waker = Some(cx.waker().clone());
        drop(state);
        Pin::new(&mut *self.keep_alive)
            .poll_tick(cx)
            .map(|_| Some(Ok(COMMENT)))
    }
}

impl Drop for EventBody {
    /// hyper drops the body when the client goes away: nothing else tells us.
    fn drop(&mut self) {
        let mut state = self.outlet.lock();
        if state.generation != self.generation {
            return;
        }
        state.attached = false;
        state.pending.clear();
        state.bytes = 0;
        state.waker = None;
        let finish = state.finish;
        drop(state);
        self.outlet.room.notify_waiters();
        match &self.owner {
            Owner::Stream(session, stream) => session.client_left(*stream),
            Owner::Session(session) => session.stream_left(finish),
            Owner::Request(asked) => asked.leave(finish),
        }
    }
}

/// What an event takes: many are smaller than what it takes to keep them.
pub(super) fn cost(event: &Bytes) -> usize {
    event.len() + OVERHEAD
}

/// One message as an event; the id is there for a client that may come back.
pub(super) fn event(id: Option<EventId>, name: &str, data: &[&[u8]]) -> Bytes {
    let mut out = Vec::with_capacity(64 + data.iter().map(|part| part.len()).sum::<usize>());
    if let Some(EventId { stream, number }) = id {
        out.extend_from_slice(format!("id: {stream}-{number}\n").as_bytes());
    }
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    for part in data {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// The event without data that begins a stream: from here a client can come back, and so soon.
pub(super) fn priming(EventId { stream, number }: EventId) -> Bytes {
    format!("id: {stream}-{number}\nretry: {RETRY_MILLISECONDS}\ndata: \n\n").into()
}

/// Where an event stands in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventId {
    pub stream: u64,
    pub number: u64,
}

impl EventId {
    /// As it stands in `Last-Event-ID`.
    pub fn parse(text: &str) -> Option<Self> {
        let (stream, number) = text.trim().split_once('-')?;
        Some(Self {
            stream: stream.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests;
