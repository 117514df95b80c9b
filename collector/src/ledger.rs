//! Takes what happens to every export and block.
//! Gives counters whose sums must agree: accepted = stored + pending + dead-lettered + lost, for each sink.
//! Never holds a label that a peer chooses.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::otlp::Signal;
use crate::wal::Log;

/// A number that only grows, or a level that is set.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn set(&self, level: u64) {
        self.0.store(level, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why an export as a whole was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Malformed,
    TooLarge,
    LogFull,
    /// More bytes at once than memory is set aside for.
    Busy,
    LogUnavailable,
    /// A wrong path, method, media type or encoding, or a body that never ended.
    Protocol,
}

impl Refused {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Malformed, "malformed"),
        (Self::TooLarge, "too_large"),
        (Self::LogFull, "log_full"),
        (Self::Busy, "busy"),
        (Self::LogUnavailable, "log_unavailable"),
        (Self::Protocol, "protocol"),
    ];
}

/// Counters of one signal, in spans or points.
#[derive(Debug, Default)]
pub struct Items {
    pub accepted: Counter,
    pub rejected: Counter,
}

/// Counters of one sink, in spans and points.
#[derive(Debug, Default)]
pub struct SinkLedger {
    pub name: &'static str,
    /// What the log held for this sink at the start.
    pub replayed: Counter,
    pub stored: Counter,
    pub dead_lettered: Counter,
    /// Set by [`Ledger::refresh`].
    pub pending: Counter,
    /// What is no longer pending, of everything the log held or holds: it counts with the log's own sum.
    pub settled: Counter,
    /// Log numbers that could not be read any more.
    pub lost_entries: Counter,
    /// The items in them, if they were lost since the start.
    pub lost_items: Counter,
    pub blocks: Counter,
    pub retries: Counter,
    /// Blocks whose rows were not the items acknowledged for them.
    pub uneven_blocks: Counter,
}

/// All counters of the process.
#[derive(Debug, Default)]
pub struct Ledger {
    exports_accepted: Counter,
    exports_refused: [Counter; Refused::ALL.len()],
    traces: Items,
    metrics: Items,
    pub log_bytes: Counter,
    pub sinks: Vec<SinkLedger>,
}

/// A counter that every sink has: its name, its kind, and where it stands.
type OfSink = (&'static str, &'static str, fn(&SinkLedger) -> &Counter);

const OF_SINKS: [OfSink; 9] = [
    ("sink_replayed_items", "gauge", |sink| &sink.replayed),
    ("sink_stored_items_total", "counter", |sink| &sink.stored),
    ("sink_dead_lettered_items_total", "counter", |sink| {
        &sink.dead_lettered
    }),
    ("sink_pending_items", "gauge", |sink| &sink.pending),
    ("sink_lost_entries_total", "counter", |sink| {
        &sink.lost_entries
    }),
    ("sink_lost_items_total", "counter", |sink| &sink.lost_items),
    ("sink_blocks_total", "counter", |sink| &sink.blocks),
    ("sink_retries_total", "counter", |sink| &sink.retries),
    ("sink_uneven_blocks_total", "counter", |sink| {
        &sink.uneven_blocks
    }),
];

impl SinkLedger {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }
}

/// One line of the answer at `/metrics`.
struct Sample {
    name: &'static str,
    kind: &'static str,
    labels: String,
    value: u64,
}

fn sample(name: &'static str, kind: &'static str, labels: String, counter: &Counter) -> Sample {
    Sample {
        name,
        kind,
        labels,
        value: counter.get(),
    }
}

impl Ledger {
    pub fn new(sinks: Vec<SinkLedger>) -> Self {
        Self {
            sinks,
            ..Self::default()
        }
    }

    pub fn items(&self, signal: Signal) -> &Items {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        }
    }

    pub fn accept(&self, signal: Signal, accepted: u64, rejected: u64) {
        self.exports_accepted.add(1);
        self.items(signal).accepted.add(accepted);
        self.items(signal).rejected.add(rejected);
    }

    pub fn refuse(&self, why: Refused) {
        for ((reason, _), counter) in Refused::ALL.iter().zip(&self.exports_refused) {
            if *reason == why {
                counter.add(1);
            }
        }
    }

    pub fn accepted_items(&self) -> u64 {
        self.traces
            .accepted
            .get()
            .saturating_add(self.metrics.accepted.get())
    }

    /// Brings the levels up to date: the log is this far, and takes these bytes.
    pub fn refresh(&self, log: &Log) {
        self.log_bytes.set(log.used_bytes());
        let durable = log.progress().borrow().items;
        for sink in &self.sinks {
            sink.pending.set(durable.saturating_sub(sink.settled.get()));
        }
    }

    fn samples(&self) -> Vec<Sample> {
        let exports = |result: &str, counter| {
            let labels = format!("result=\"{result}\"");
            sample("exports_total", "counter", labels, counter)
        };
        let refused = Refused::ALL.iter().zip(&self.exports_refused);
        let mut samples = vec![exports("accepted", &self.exports_accepted)];
        samples.extend(refused.map(|((_, reason), counter)| exports(reason, counter)));
        for signal in [Signal::Traces, Signal::Metrics] {
            let items = self.items(signal);
            for (result, counter) in [("accepted", &items.accepted), ("rejected", &items.rejected)]
            {
                let labels = format!("signal=\"{}\",result=\"{result}\"", signal.as_str());
                samples.push(sample("items_total", "counter", labels, counter));
            }
        }
        samples.push(sample("log_bytes", "gauge", String::new(), &self.log_bytes));
        for (name, kind, counter) in OF_SINKS {
            for sink in &self.sinks {
                let labels = format!("sink=\"{}\"", sink.name);
                samples.push(sample(name, kind, labels, counter(sink)));
            }
        }
        samples
    }

    /// The counters in the text format of Prometheus.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let mut last = "";
        for sample in self.samples() {
            let Sample {
                name, kind, value, ..
            } = sample;
            if name != last {
                let _ = writeln!(text, "# TYPE toolspan_collector_{name} {kind}");
                last = name;
            }
            let _ = writeln!(
                text,
                "toolspan_collector_{}{} {value}",
                name,
                braced(&sample.labels)
            );
        }
        text
    }

    /// The counters that are not 0, for the last log line.
    pub fn line(&self) -> String {
        let counted = self.samples().into_iter().filter(|sample| sample.value > 0);
        let words = counted
            .map(|sample| format!("{}{}={}", sample.name, braced(&sample.labels), sample.value));
        words.collect::<Vec<_>>().join(" ")
    }
}

fn braced(labels: &str) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    }
}
