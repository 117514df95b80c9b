//! Takes the counters and what is open now. Gives the text of Prometheus' exposition format 0.0.4.
//! Names are those of the exported metrics, with `_` for `.`; a sum ends in `_total`.
//! Never labels by anything that peers send: the only labels are hops, reasons and results.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use super::board::{Board, Station};
use super::process::Usage;
use crate::counters::{Counters, PARTS, SUMS};
use crate::switches::Switch;

pub(super) fn page(board: &Board) -> String {
    let mut page = Page::default();
    page.head("toolspan_build_info", "gauge", "The version that runs");
    page.line(
        "toolspan_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1,
    );
    let ready = u8::from(board.is_ready());
    page.gauge(
        "toolspan_ready",
        "1 while clients are accepted, 0 while we drain",
        ready,
    );
    counters(&mut page, &board.counters);
    hops(&mut page, board);
    let (records, bytes) = board.telemetry.waiting();
    page.gauge(
        "toolspan_queue_records",
        "Calls that wait for the collector",
        records,
    );
    page.gauge(
        "toolspan_queue_bytes",
        "About how many bytes those calls hold",
        bytes,
    );
    process(&mut page, board);
    page.0
}

fn counters(page: &mut Page, counters: &Counters) {
    for sum in SUMS {
        let name = total(sum.name);
        page.head(&name, "counter", sum.description);
        page.line(&name, &[], Counters::get((sum.field)(counters)));
    }
    for parts in PARTS {
        let name = total(parts.name);
        page.head(&name, "counter", parts.description);
        for (word, value) in (parts.values)(counters) {
            page.line(&name, &[(parts.label, word)], value);
        }
    }
}

/// A hop that was removed may still drain under a name that is in use again: those are one line.
fn hops(page: &mut Page, board: &Board) {
    let mut now: BTreeMap<String, [u64; 5]> = BTreeMap::new();
    for station in board.stations() {
        let sums = now.entry(station.name.clone()).or_default();
        for (sum, value) in sums.iter_mut().zip(of(board, &station)) {
            *sum += value;
        }
    }
    for (index, (name, description)) in [
        ("toolspan_open_calls", "Calls that wait for their answer"),
        ("toolspan_open_sessions", "Sessions that have not ended"),
        ("toolspan_open_connections", "Connections of clients"),
        ("toolspan_injection_on", "1 where requests get a context"),
        ("toolspan_telemetry_on", "1 where calls are recorded"),
    ]
    .into_iter()
    .enumerate()
    {
        page.head(name, "gauge", description);
        for (hop, values) in &now {
            let value = values.get(index).copied().unwrap_or_default();
            let value = if name.ends_with("_on") {
                value.min(1)
            } else {
                value
            };
            page.line(name, &[("hop", hop)], value);
        }
    }
}

fn of(board: &Board, station: &Station) -> [u64; 5] {
    let hop = station.hop.as_deref();
    [
        hop.map_or(0, |hop| hop.open_calls() as u64),
        hop.map_or(0, |hop| hop.open_sessions() as u64),
        station.connections.get(),
        u64::from(board.is_on(Switch::Injection, station)),
        u64::from(board.is_on(Switch::Telemetry, station)),
    ]
}

/// The names of Prometheus' own client libraries.
fn process(page: &mut Page, board: &Board) {
    let since = board.started.wall.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_secs_f64();
    page.gauge(
        "process_start_time_seconds",
        "When we began, in seconds of the epoch",
        since,
    );
    let usage = Usage::read();
    if let Some(seconds) = usage.cpu_seconds {
        page.head("process_cpu_seconds_total", "counter", "Time of all cores");
        page.line("process_cpu_seconds_total", &[], seconds);
    }
    for (name, description, value) in [
        (
            "process_resident_memory_bytes",
            "Memory in use",
            usage.resident_bytes,
        ),
        ("process_open_fds", "Open file descriptors", usage.open_fds),
        (
            "process_max_fds",
            "File descriptors that may be open",
            usage.max_fds,
        ),
    ] {
        if let Some(value) = value {
            page.gauge(name, description, value);
        }
    }
}

fn total(name: &str) -> String {
    format!("{}_total", name.replace('.', "_"))
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, description: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {description}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.0, "{name} {value}"),
            false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn gauge(&mut self, name: &str, description: &str, value: impl Display) {
        self.head(name, "gauge", description);
        self.line(name, &[], value);
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
