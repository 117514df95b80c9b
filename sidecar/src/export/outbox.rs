//! Takes records by the queueful. Gives batches of one tenant each, in the order the calls ended, tenants in turn.
//! Keeps the ledger: every call ends as exported or dropped by exactly one reason.
//! Never does I/O and never reads a clock; one tenant's stuck exports leave room for the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::counters::{Counters, DropReason};
use crate::record::{HopResource, Record};

use super::queue::{Held, weight};

/// Exports under way at a time.
const MAX_FLIGHTS: usize = 4;
/// Exports of one tenant under way at a time.
const MAX_FLIGHTS_OF_ONE: usize = 2;
/// Calls in one export: large enough to share its fixed cost, small enough to build in little memory.
pub(super) const MAX_CALLS: usize = 256;

/// Whose spans and points go together: one tenant, one resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StreamKey {
    pub tenant: Arc<str>,
    pub resource: Arc<HopResource>,
}

#[derive(Debug, Default)]
struct Stream {
    pending: VecDeque<Record>,
    flights: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FlightId(u64);

/// Calls that leave in one export.
#[derive(Debug)]
pub(super) struct Batch {
    pub id: FlightId,
    pub key: StreamKey,
    pub calls: Vec<Record>,
}

#[derive(Debug)]
struct Flight {
    key: StreamKey,
    calls: u64,
    held: Held,
}

/// How an export ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The collector answered; of `spans` it refused some.
    Answered {
        spans: u64,
        rejected: u64,
    },
    Failed(String),
}

#[derive(Debug)]
pub(super) struct Outbox {
    streams: HashMap<StreamKey, Stream>,
    /// Streams with something pending, each once, longest wait first.
    turns: VecDeque<StreamKey>,
    flights: HashMap<FlightId, Flight>,
    next_id: u64,
    pending: usize,
    counters: Arc<Counters>,
}

impl Outbox {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            streams: HashMap::new(),
            turns: VecDeque::new(),
            flights: HashMap::new(),
            next_id: 0,
            pending: 0,
            counters,
        }
    }

    pub(super) fn put(&mut self, record: Record) {
        let key = StreamKey {
            tenant: Arc::clone(&record.tenant.name),
            resource: Arc::clone(&record.hop.resource),
        };
        self.pending += 1;
        let stream = match self.streams.get_mut(&key) {
            Some(stream) => stream,
            None => self.streams.entry(key.clone()).or_default(),
        };
        if stream.pending.is_empty() {
            self.turns.push_back(key);
        }
        stream.pending.push_back(record);
    }

    /// The next export, if one may start now.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        if self.flights.len() >= MAX_FLIGHTS {
            return None;
        }
        for _ in 0..self.turns.len() {
            let key = self.turns.pop_front()?;
            let Some(stream) = self.streams.get_mut(&key) else {
                continue;
            };
            if stream.flights >= MAX_FLIGHTS_OF_ONE {
                self.turns.push_back(key);
                continue;
            }
            let count = stream.pending.len().min(MAX_CALLS);
            let calls: Vec<_> = stream.pending.drain(..count).collect();
            stream.flights += 1;
            if !stream.pending.is_empty() {
                self.turns.push_back(key.clone());
            }
            self.pending -= calls.len();
            return Some(self.depart(key, calls));
        }
        None
    }

    fn depart(&mut self, key: StreamKey, calls: Vec<Record>) -> Batch {
        let id = FlightId(self.next_id);
        self.next_id += 1;
        let flight = Flight {
            key: key.clone(),
            calls: calls.len() as u64,
            held: Held {
                records: calls.len(),
                bytes: calls.iter().map(|call| weight(call)).sum(),
            },
        };
        self.flights.insert(id, flight);
        Batch { id, key, calls }
    }

    /// Books the end of an export. Gives what it held, to be released.
    pub(super) fn settle(&mut self, id: FlightId, verdict: &Verdict) -> Held {
        let Some(flight) = self.flights.remove(&id) else {
            return Held::default();
        };
        match *verdict {
            Verdict::Answered { spans, rejected } => {
                let lost = rejected_calls(flight.calls, spans, rejected);
                Counters::add(&self.counters.exports_ok, 1);
                Counters::add(&self.counters.calls_exported, flight.calls - lost);
                self.counters.drop_calls(DropReason::PartialSuccess, lost);
            }
            Verdict::Failed(_) => {
                Counters::add(&self.counters.exports_failed, 1);
                self.counters
                    .drop_calls(DropReason::ExportFailed, flight.calls);
            }
        }
        if let Some(stream) = self.streams.get_mut(&flight.key) {
            stream.flights -= 1;
            if stream.flights == 0 && stream.pending.is_empty() {
                self.streams.remove(&flight.key);
            }
        }
        flight.held
    }

    /// Ends everything: what waits and what is under way is dropped, because we stop.
    pub(super) fn abandon(&mut self) {
        let calls = self.pending as u64 + self.in_flight();
        self.counters.drop_calls(DropReason::Shutdown, calls);
        self.streams.clear();
        self.turns.clear();
        self.flights.clear();
        self.pending = 0;
    }

    /// Drops what waits, because an operator wants no more exports. Gives what it held, to be released.
    pub(super) fn discard(&mut self) -> Held {
        let mut held = Held::default();
        for stream in self.streams.values_mut() {
            held.records += stream.pending.len();
            held.bytes += stream
                .pending
                .drain(..)
                .map(|call| weight(&call))
                .sum::<usize>();
        }
        self.streams.retain(|_, stream| stream.flights > 0);
        self.turns.clear();
        self.pending = 0;
        self.counters
            .drop_calls(DropReason::SwitchedOff, held.records as u64);
        held
    }

    fn in_flight(&self) -> u64 {
        self.flights.values().map(|flight| flight.calls).sum()
    }
}

/// The collector counts spans, we count calls. Which spans it refused it does not say, so a
/// pair counts as one call lost for every two spans, rounded up.
fn rejected_calls(calls: u64, spans: u64, rejected: u64) -> u64 {
    let spans_a_call = spans.checked_div(calls).unwrap_or(1).max(1);
    rejected.div_ceil(spans_a_call).min(calls)
}

#[cfg(test)]
mod tests;
