//! Takes the counters and what is open now. Gives the text of Prometheus' exposition format 0.0.4.
//! Names are those of the exported metrics, with `_` for `.`; a sum ends in `_total`.
//! Never labels by anything that peers send: the only labels are hops, reasons and results.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use super::board::{Board, Station};
use super::process::Usage;
use crate::clock;
use crate::counters::{Counters, PARTS, SUMS};
use crate::record::names;
use crate::record::names::table::{Instrument, Metric};
use crate::switches::Switch;

pub(super) fn page(board: &Board) -> String {
    let mut page = Page::default();
    let version = env!("CARGO_PKG_VERSION");
    page.head(&names::BUILD_INFO);
    page.line(&names::BUILD_INFO, Some(version), 1);
    page.one(&names::READY, u8::from(board.is_ready()));
    counters(&mut page, &board.counters);
    hops(&mut page, board);
    let (records, bytes) = board.telemetry.waiting();
    page.one(&names::QUEUE_RECORDS, records);
    page.one(&names::QUEUE_BYTES, bytes);
    process(&mut page, board);
    page.0
}

fn counters(page: &mut Page, counters: &Counters) {
    for sum in SUMS {
        page.one(&sum.metric, Counters::get((sum.field)(counters)));
    }
    for parts in PARTS {
        page.head(&parts.metric);
        for (word, value) in (parts.values)(counters) {
            page.line(&parts.metric, Some(word), value);
        }
    }
}

/// In the order of `of`.
const HOP_GAUGES: [Metric; 6] = [
    names::CALLS_OPEN,
    names::CALLS_LONG,
    names::OPEN_SESSIONS,
    names::OPEN_CONNECTIONS,
    names::INJECTION_ON,
    names::TELEMETRY_ON,
];

/// A hop that was removed may still drain under a name that is in use again: those are one line.
fn hops(page: &mut Page, board: &Board) {
    let mut now: BTreeMap<String, [u64; HOP_GAUGES.len()]> = BTreeMap::new();
    for station in board.stations() {
        let sums = now.entry(station.name.clone()).or_default();
        for (sum, value) in sums.iter_mut().zip(of(board, &station)) {
            *sum += value;
        }
    }
    for (index, gauge) in HOP_GAUGES.iter().enumerate() {
        page.head(gauge);
        for (hop, values) in &now {
            let value = values.get(index).copied().unwrap_or_default();
            let value = if gauge.name.ends_with("_on") {
                value.min(1)
            } else {
                value
            };
            page.line(gauge, Some(hop), value);
        }
    }
}

fn of(board: &Board, station: &Station) -> [u64; HOP_GAUGES.len()] {
    let hop = station.hop.as_deref();
    [
        hop.map_or(0, |hop| hop.open_calls() as u64),
        hop.map_or(0, |hop| hop.long_calls(clock::now()) as u64),
        hop.map_or(0, |hop| hop.open_sessions() as u64),
        station.connections.get(),
        u64::from(board.is_on(Switch::Injection, station)),
        u64::from(board.is_on(Switch::Telemetry, station)),
    ]
}

fn process(page: &mut Page, board: &Board) {
    let since = board.started.wall.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_secs_f64();
    page.one(&names::PROCESS_START, since);
    let usage = Usage::read();
    if let Some(seconds) = usage.cpu_seconds {
        page.one(&names::PROCESS_CPU, seconds);
    }
    for (metric, value) in [
        (names::PROCESS_MEMORY, usage.resident_bytes),
        (names::PROCESS_OPEN_FDS, usage.open_fds),
        (names::PROCESS_MAX_FDS, usage.max_fds),
    ] {
        if let Some(value) = value {
            page.one(&metric, value);
        }
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, metric: &Metric) {
        let (name, description) = (metric.page_name(), metric.description);
        let kind = match metric.instrument {
            Instrument::Sum | Instrument::Counter => "counter",
            Instrument::Level | Instrument::Gauge | Instrument::Histogram => "gauge",
        };
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {description}\n# TYPE {name} {kind}");
    }

    /// One series: the word is the value of the metric's label.
    fn line(&mut self, metric: &Metric, word: Option<&str>, value: impl Display) {
        let name = metric.page_name();
        let _ = match metric.label.zip(word) {
            None => writeln!(self.0, "{name} {value}"),
            Some((label, word)) => {
                writeln!(self.0, "{name}{{{label}=\"{}\"}} {value}", escaped(word))
            }
        };
    }

    /// A metric of one series.
    fn one(&mut self, metric: &Metric, value: impl Display) {
        self.head(metric);
        self.line(metric, None, value);
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
