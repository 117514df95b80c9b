//! Takes the page of metrics. Gives that it is what the format says, line by line, and what the ledger says at the end.
//! Never reads it leniently: what a strict parser refuses is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use tests::fleet::Fleet;
use tests::otlp::Received;
use tests::process::{PATIENCE, eventually};
use tests::sidecar::Summary;

use super::{Upstream, begin_stream, call_once, hop, next_event, receiver, result, top};

/// Every line by its name and labels, as text, and its value.
type Samples = BTreeMap<String, f64>;

/// Reads the exposition format 0.0.4: HELP, TYPE, then the lines of that name, each name once.
fn parse(page: &str) -> Samples {
    let (mut samples, mut seen) = (Samples::new(), BTreeSet::new());
    let (mut helped, mut current, mut kind) = ("", "", "");
    assert!(page.ends_with('\n'), "the last line ends too");
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').expect("a name and a text");
            assert!(!text.is_empty() && seen.insert(name), "{line}");
            helped = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, word) = rest.split_once(' ').expect("a name and a kind");
            assert_eq!(name, helped, "TYPE follows HELP");
            assert!(["counter", "gauge"].contains(&word), "{line}");
            assert_eq!(word == "counter", name.ends_with("_total"), "{line}");
            (current, kind) = (name, word);
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            assert_eq!(name, current, "lines of one name stand together");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            check_labels(labels);
            let value: f64 = value.parse().expect("a number");
            assert!(kind != "counter" || value >= 0.0, "{line}");
            let before = samples.insert(series.to_owned(), value);
            assert_eq!(before, None, "each series once: {line}");
        }
    }
    samples
}

/// `name="value",...}` with the three escapes and no others.
fn check_labels(text: &str) {
    let Some(mut rest) = text.strip_suffix('}') else {
        panic!("labels end with a brace: {text}");
    };
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").expect("a label");
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let mut end = None;
        let mut bytes = value.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' => assert!(matches!(bytes.next(), Some((_, b'\\' | b'"' | b'n')))),
                b'"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let after = &value[end.expect("a label's value ends") + 1..];
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

fn assert_same(samples: &Samples, summary: &Summary) {
    for (series, field) in [
        ("toolspan_calls_seen_total", "calls_seen"),
        ("toolspan_calls_exported_total", "calls_exported"),
        ("toolspan_messages_total", "messages"),
        ("toolspan_messages_malformed_total", "malformed"),
        ("toolspan_messages_unreadable_total", "unreadable"),
        ("toolspan_answers_late_total", "late_answers"),
        ("toolspan_calls_evicted_total", "evicted"),
    ] {
        let value = samples.get(series).copied();
        assert_eq!(value, Some(summary.count(field) as f64), "{series}");
    }
    let unknown = samples
        .iter()
        .filter(|(series, _)| series.starts_with("toolspan_tenant_unknown_total{"));
    let unknown: f64 = unknown.map(|(_, value)| value).sum();
    assert_eq!(unknown, summary.count("tenant_unknown") as f64);
    let mut reasons = 0;
    for (series, value) in samples {
        let part = |name: &str| {
            let rest = series.strip_prefix(name)?.strip_prefix("{reason=\"")?;
            rest.strip_suffix("\"}")
        };
        let field = match (
            part("toolspan_calls_dropped_total"),
            part("toolspan_not_injected_total"),
        ) {
            (Some(reason), _) => format!("dropped_{reason}"),
            (_, Some(reason)) => format!("not_injected_{reason}"),
            _ => continue,
        };
        reasons += 1;
        assert_eq!(*value, summary.count(&field) as f64, "{series}");
    }
    assert!(reasons >= 13, "every reason has its line");
}

/// The README lists every name; of ours without their common beginning.
fn assert_documented(samples: &Samples) {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    for series in samples.keys() {
        let name = series.split('{').next().unwrap_or_default();
        let name = name.strip_prefix("toolspan").unwrap_or("process_*");
        assert!(readme.contains(name), "README says nothing of {series}");
    }
}

#[test]
fn the_page_is_strict_and_says_what_the_ledger_says() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let odd = hop("a \\\"quoted\\\\ hop", &upstream, "max_inject_bytes = 90");
    let fleet = Fleet::start(&(top(&receiver, "") + &hop("one", &upstream, "") + &odd));
    let mut client = fleet.connect("one");
    for id in 0..30 {
        call_once(&mut client, id);
    }
    call_once(&mut fleet.connect("a \"quoted\\ hop"), 30);
    client.post("/mcp", &[], b"no json").expect("an answer");
    eventually("every export", PATIENCE, || {
        (fleet.metric("toolspan_calls_exported_total") >= 31.0).then_some(())
    });
    let answer = fleet.ask("GET", "/metrics");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let samples = parse(&answer.text());
    assert_documented(&samples);
    for (series, least) in [
        ("toolspan_build_info{version=\"0.1.0\"}", 1.0),
        ("toolspan_exports_total{result=\"ok\"}", 1.0),
        ("toolspan_open_connections{hop=\"one\"}", 1.0),
        ("toolspan_injection_on{hop=\"a \\\"quoted\\\\ hop\"}", 1.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 5.0),
        ("process_start_time_seconds", 1e9),
    ] {
        let value = samples.get(series).copied();
        assert!(
            value.is_some_and(|value| value >= least),
            "{series}: {value:?}"
        );
    }
    let (summary, _) = fleet.stop();
    assert_eq!(summary.count("calls_exported"), 31);
    assert_eq!(summary.count("malformed"), 1);
    assert_eq!(summary.count("not_injected_too_large"), 1);
    assert_same(&samples, &summary);
}

/// The newest value of a gauge that was exported.
fn exported(received: &Received, name: &str) -> Option<i64> {
    let export = received.metrics.last()?;
    let scopes = export
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics);
    let mut metrics = scopes.flat_map(|scope| &scope.metrics);
    let found = metrics.find(|metric| metric.name == name)?;
    let Some(metric::Data::Gauge(gauge)) = &found.data else {
        panic!("{name} is no gauge");
    };
    match gauge.data_points.as_slice() {
        [point] => match point.value {
            Some(number_data_point::Value::AsInt(value)) => Some(value),
            ref other => panic!("{name} is {other:?}"),
        },
        more => panic!("{name} has {} points", more.len()),
    }
}

#[test]
fn a_call_that_does_not_end_is_seen_while_it_is_open() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let limits = "long_call_after_seconds = 1\nmetrics_interval_seconds = 1";
    let fleet = Fleet::start(&(top(&receiver, limits) + &hop("one", &upstream, "")));
    let levels = || {
        ["open", "long"].map(|word| fleet.metric(&format!("toolspan_calls_{word}{{hop=\"one\"}}")))
    };
    assert_eq!(levels(), [0.0, 0.0]);
    let mut client = fleet.connect("one");
    begin_stream(&mut client, 7);
    let mut stream = upstream.stream();
    eventually("the call to be a long one", PATIENCE, || {
        (levels() == [1.0, 1.0]).then_some(())
    });
    let exported = |received: &Received| {
        ["toolspan.calls.open", "toolspan.calls.long"].map(|name| exported(received, name))
    };
    receiver.wait("a long call", |received| {
        exported(received) == [Some(1), Some(1)]
    });
    stream.event(&result(7));
    assert!(next_event(&mut client).contains("result"));
    stream.end();
    assert_eq!(levels(), [0.0, 0.0]);
    receiver.wait("its end", |received| {
        exported(received) == [Some(0), Some(0)]
    });
    let _in_order = fleet.stop();
}
