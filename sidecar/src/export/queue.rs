//! Takes records from the threads that forward traffic. Gives them to the telemetry thread in one swap.
//! Bounded in records and in bytes; what was taken counts until its export has ended.
//! Never waits for anything but a lock that is held for one push or one swap.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::record::{CallRecord, Record, SessionRecord, Target};

/// The consumer is woken by the first record and again by this many.
pub(super) const WAKE_AT: usize = 512;
/// Sessions only feed a histogram; this many may wait.
const MAX_SESSIONS: usize = 1024;
/// A buffer that grew beyond this in a burst is given back.
const KEEP_CAPACITY: usize = 1024;

/// How much may wait for export, counting what is being exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    pub max_records: usize,
    pub max_bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            max_records: 8192,
            max_bytes: 4 * 1024 * 1024,
        }
    }
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    Kept,
    Full,
    Closed,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Record>,
    sessions: Vec<SessionRecord>,
    /// Records and bytes of `calls` and of everything taken and not yet released.
    held: Held,
    /// Set once: nothing is taken in any more, and the consumer ends by then.
    closed: Option<Instant>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub records: usize,
    pub bytes: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Notify,
    limits: QueueLimits,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self {
            state: Mutex::default(),
            wake: Notify::new(),
            limits,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, record: Record) -> Push {
        let bytes = weight(&record);
        let mut state = self.state();
        if state.closed.is_some() {
            return Push::Closed;
        }
        if state.held.records >= self.limits.max_records
            || state.held.bytes + bytes > self.limits.max_bytes
        {
            return Push::Full;
        }
        state.held.records += 1;
        state.held.bytes += bytes;
        state.calls.push(record);
        let waiting = state.calls.len();
        drop(state);
        if waiting == 1 || waiting == WAKE_AT {
            self.wake.notify_one();
        }
        Push::Kept
    }

    pub(super) fn push_session(&self, record: SessionRecord) {
        let mut state = self.state();
        if state.closed.is_none() && state.sessions.len() < MAX_SESSIONS {
            state.sessions.push(record);
        }
    }

    /// Waits until the first record came, `WAKE_AT` of them did, or the queue was closed.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Swaps what waits against the caller's empty buffers.
    pub(super) fn take(&self, calls: &mut Vec<Record>, sessions: &mut Vec<SessionRecord>) {
        if calls.capacity() > KEEP_CAPACITY {
            *calls = Vec::new();
        }
        let mut state = self.state();
        std::mem::swap(&mut state.calls, calls);
        std::mem::swap(&mut state.sessions, sessions);
    }

    /// Says that records which were taken are gone.
    pub(super) fn release(&self, gone: Held) {
        let mut state = self.state();
        state.held.records = state.held.records.saturating_sub(gone.records);
        state.held.bytes = state.held.bytes.saturating_sub(gone.bytes);
    }

    /// Records that wait here, without those that were taken.
    pub(super) fn len(&self) -> usize {
        self.state().calls.len()
    }

    pub(super) fn held(&self) -> Held {
        self.state().held
    }

    pub(super) fn close(&self, deadline: Instant) {
        self.state().closed.get_or_insert(deadline);
        self.wake.notify_one();
    }

    pub(super) fn closed(&self) -> Option<Instant> {
        self.state().closed
    }
}

/// About how many bytes a record holds; texts shared between calls count for none of them.
pub(super) fn weight(record: &CallRecord) -> usize {
    let target = match &record.target {
        Some(Target::Tool(text) | Target::Prompt(text) | Target::Resource(text)) => text.len(),
        None => 0,
    };
    size_of::<CallRecord>()
        + record.method.len()
        + record.request_id.len()
        + record.context.tracestate.len()
        + target
}
