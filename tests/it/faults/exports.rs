//! Takes a collector that is dead, slow, erring or silent. Gives that calls do not notice, and that the ledger holds:
//! seen = recorded + dropped.
//! Never measures against the clock of another machine: the collector's delay is far above any call's time.

use std::time::{Duration, Instant};

use tests::hop::{Hop, empty_result};
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, HttpPeer};
use tests::otlp::{Mode, Receiver, dead_endpoint};
use tests::sidecar::{Proxy, Summary};

const CALLS: usize = 300;
/// What a slow collector takes for each export.
const DELAY: Duration = Duration::from_secs(20);

/// Makes calls one after another through a hop that exports to `endpoint`.
fn calls_through(endpoint: &str, options: &[&str]) -> (Vec<Vec<u8>>, Duration, Summary) {
    let upstream = HttpPeer::start(|request| {
        let id = request.json()["id"].clone();
        Answer::json(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}"#
        ))
    })
    .expect("a port on loopback");
    let mut all = vec!["--tenant", "acme", "--otlp-endpoint", endpoint];
    all.extend_from_slice(options);
    let proxy = Proxy::start(&upstream.url(""), &all);
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    let started = Instant::now();
    let answers = (0..CALLS)
        .map(|id| {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#
            );
            let response = client
                .post("/mcp", &[], body.as_bytes())
                .expect("an answer");
            assert_eq!(response.status, 200);
            response.body
        })
        .collect();
    let took = started.elapsed();
    let stopping = Instant::now();
    let summary = proxy.stop();
    assert!(
        stopping.elapsed() < DELAY / 2,
        "the end waited {:?} for the collector",
        stopping.elapsed()
    );
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), CALLS as u64);
    (answers, took, summary)
}

/// The answers a client gets are the same, and none waited for an export.
fn assert_unaffected(answers: &[Vec<u8>], took: Duration) {
    assert!(took < DELAY / 2, "{CALLS} calls took {took:?}");
    for (id, answer) in answers.iter().enumerate() {
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}"#);
        assert_eq!(String::from_utf8_lossy(answer), expected);
    }
}

/// Exports to a receiver that behaves like this; gives the summary and the marked spans that it acknowledged.
fn with(mode: Mode, protocol: &str) -> (Summary, u64) {
    let receiver = Receiver::start(mode);
    let endpoint = match protocol {
        "grpc" => receiver.grpc_url(),
        _ => receiver.http_url(),
    };
    let (answers, took, summary) = calls_through(&endpoint, &["--otlp-protocol", protocol]);
    assert_unaffected(&answers, took);
    let spans = receiver.received().spans();
    let acknowledged = spans.iter().filter(|span| span.is_call()).count() as u64;
    (summary, acknowledged)
}

#[test]
fn with_a_healthy_collector_every_call_is_exported() {
    for protocol in ["grpc", "http/protobuf"] {
        let (summary, acknowledged) = with(Mode::Accept, protocol);
        assert_eq!(summary.count("calls_exported"), CALLS as u64);
        assert_eq!(acknowledged, CALLS as u64);
    }
}

#[test]
fn a_dead_collector_delays_nothing_and_every_drop_is_counted() {
    for protocol in ["grpc", "http/protobuf"] {
        let (_bound, endpoint) = dead_endpoint();
        let (answers, took, summary) = calls_through(&endpoint, &["--otlp-protocol", protocol]);
        assert_unaffected(&answers, took);
        assert_eq!(summary.dropped(), CALLS as u64);
    }
}

#[test]
fn a_slow_collector_delays_nothing() {
    for protocol in ["grpc", "http/protobuf"] {
        let (summary, acknowledged) = with(Mode::Slow(DELAY), protocol);
        // It said yes to none before the end came.
        assert_eq!(summary.count("calls_exported"), 0);
        assert_eq!(acknowledged, 0);
    }
}

#[test]
fn a_silent_collector_delays_nothing() {
    for protocol in ["grpc", "http/protobuf"] {
        let (summary, _) = with(Mode::Hang, protocol);
        assert_eq!(summary.dropped(), CALLS as u64);
    }
}

#[test]
fn a_collector_that_is_busy_is_asked_again_and_every_drop_is_counted() {
    for protocol in ["grpc", "http/protobuf"] {
        let (summary, _) = with(Mode::Unavailable, protocol);
        assert_eq!(summary.dropped(), CALLS as u64);
    }
}

#[test]
fn a_collector_that_refuses_is_not_asked_again() {
    for protocol in ["grpc", "http/protobuf"] {
        let (summary, _) = with(Mode::Refuse, protocol);
        assert_eq!(summary.count("dropped_export_failed"), CALLS as u64);
    }
}

#[test]
fn a_collector_that_was_busy_gets_the_calls_later() {
    let hop = Hop::start(Mode::Unavailable, empty_result);
    let mut client = hop.client();
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    client.post("/mcp", &[], call).expect("an answer");
    hop.receiver
        .wait("an attempt", |received| received.attempts > 0);
    hop.receiver.set_mode(Mode::Accept);
    assert_eq!(hop.receiver.wait_for_calls(1).len(), 1);
    let summary = hop.proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_exported"), 1);
}

#[test]
fn what_a_collector_rejects_is_counted_as_dropped() {
    let (summary, _) = with(Mode::Partial(1), "grpc");
    let rejected = summary.count("dropped_partial_success");
    assert!(rejected > 0, "each export lost one");
    assert_eq!(summary.count("calls_exported"), CALLS as u64 - rejected);
}

#[test]
fn spans_leave_within_a_second() {
    let hop = Hop::start(Mode::Accept, empty_result);
    let mut client = hop.client();
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    client.post("/mcp", &[], call).expect("an answer");
    let answered = Instant::now();
    assert_eq!(hop.receiver.wait_for_calls(1).len(), 1);
    // A second, and what a busy machine adds to it.
    assert!(
        answered.elapsed() < Duration::from_secs(3),
        "the span came after {:?}",
        answered.elapsed()
    );
}

#[test]
fn one_export_holds_spans_of_one_tenant() {
    let receiver = Receiver::start(Mode::Accept);
    let upstream = HttpPeer::start(|_| Answer::json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#))
        .expect("a port on loopback");
    let url = receiver.grpc_url();
    let options = ["--tenant-from", "header:X-Tenant", "--otlp-endpoint", &url];
    let proxy = Proxy::start(&upstream.url(""), &options);
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let too_long = "x".repeat(129);
    let tenants = [Some("acme"), Some("globex"), None, Some(too_long.as_str())];
    for i in 0..40 {
        let tenant = tenants.get(i % 4).copied().flatten();
        let headers: Vec<(&str, &str)> =
            tenant.map(|name| ("X-Tenant", name)).into_iter().collect();
        client.post("/mcp", &headers, call).expect("an answer");
    }
    let spans = receiver.wait_for_calls(40);
    let of = |name: &str| {
        spans
            .iter()
            .filter(|span| span.text("tenant.id") == name)
            .count()
    };
    assert_eq!((of("acme"), of("globex"), of("unknown")), (10, 10, 20));
    for export in receiver.received().traces {
        let one = tests::otlp::Received {
            traces: vec![export],
            ..Default::default()
        };
        let mut names: Vec<String> = one
            .spans()
            .iter()
            .map(|span| span.text("tenant.id").to_owned())
            .collect();
        names.dedup();
        assert_eq!(names.len(), 1, "one export holds {names:?}");
    }
}
