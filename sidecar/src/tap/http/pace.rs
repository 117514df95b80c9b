//! Takes what the bodies of one HTTP/2 stream say of who has the next move. Gives the task of the stream the word when
//! the client has had it for too long.
//! Never blames the client while the server, or we, have the next move.
//!
//! On HTTP/1.1 the guard of the connection sees this in the bytes. Here many streams share a connection, and only
//! their bodies know which of them waits for what.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::{Sleep, sleep};

use super::guard::Bounds;
use crate::counters::Refusal;

/// Whose move it is on one side of a stream: the client's when odd. Each change is another turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Turn(u64);

impl Turn {
    fn is_clients(self) -> bool {
        self.0 % 2 == 1
    }

    /// True when it has become the client's.
    fn set(&mut self, clients: bool) -> bool {
        let changes = self.is_clients() != clients;
        self.0 += u64::from(changes);
        changes && clients
    }
}

/// What the client owes on one stream.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// More of its request's body.
    request: Turn,
    /// Room for more of the answer.
    answer: Turn,
    /// The task of the stream, while it is not running: a body may be read elsewhere.
    task: Option<Waker>,
}

impl Pace {
    /// The request's body was read, and had nothing, or something.
    pub fn request(&self, waits: bool) {
        let mut state = self.lock();
        if state.request.set(waits)
            && let Some(task) = state.task.take()
        {
            drop(state);
            task.wake();
        }
    }

    /// A piece of the answer was given away, or the next is asked for: then there was room for the last.
    pub fn answer(&self, given: bool) {
        self.lock().answer.set(given);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that runs through one turn of the client's.
#[derive(Debug, Default)]
struct Clock(Option<(Turn, Pin<Box<Sleep>>)>);

impl Clock {
    fn poll(&mut self, turn: Turn, limit: std::time::Duration, cx: &mut Context<'_>) -> Poll<()> {
        if !turn.is_clients() {
            self.0 = None;
        } else if self.0.as_ref().is_none_or(|(other, _)| *other != turn) {
            self.0 = Some((turn, Box::pin(sleep(limit))));
        }
        match &mut self.0 {
            Some((_, sleep)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// The clocks of a stream's task.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    request: Clock,
    answer: Clock,
}

impl Clocks {
    /// Lets the exchange go on until it has ended, or the client has been slow for too long.
    pub fn poll(
        &mut self,
        pace: &Pace,
        bounds: &Bounds,
        exchange: Pin<&mut impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        pace.lock().task = None;
        if exchange.poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let (request, answer) = {
            let mut state = pace.lock();
            state.task = Some(cx.waker().clone());
            (state.request, state.answer)
        };
        if self.request.poll(request, bounds.body_idle, cx).is_ready() {
            return Poll::Ready(Err(Refusal::SlowBody));
        }
        if self.answer.poll(answer, bounds.write_idle, cx).is_ready() {
            return Poll::Ready(Err(Refusal::SlowReader));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
