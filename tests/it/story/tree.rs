//! Takes the store of clients and servers that trace themselves, with a sidecar between. Gives that every call reads
//! client, sidecar, server from the top, and is marked once.
//! Never takes spans by their names: who is below whom is said by their ids, and who they are by their resource.

use serde_json::{Value, json};
use tests::collector::{self, Collector};
use tests::python::{Client, HttpServer, Sent};
use tests::sidecar::{Proxy, argument};

use super::check::text;
use super::{sidecar_options, telemetry};

const CLIENT: &str = "fixture-client";
const SERVER: &str = "fixture-server";

/// From the client's span down: whose span it is, which side it stands for, and whether it is marked.
type Level = (&'static str, &'static str, bool);

const ONE_SPAN: [Level; 3] = [
    (CLIENT, "Client", false),
    ("sidecar", "Server", true),
    (SERVER, "Server", false),
];
const A_PAIR: [Level; 4] = [
    (CLIENT, "Client", false),
    ("sidecar", "Server", true),
    ("sidecar", "Client", false),
    (SERVER, "Server", false),
];

/// Where a hop makes one span of a call.
pub fn check(collector: &Collector, sent: &[Sent]) {
    check_levels(collector, sent, &ONE_SPAN);
    check_printed(collector, sent);
}

fn check_levels(collector: &Collector, sent: &[Sent], expected: &[Level]) {
    let sql = "SELECT \"TraceId\", \"SpanId\", \"ParentSpanId\", \"ServiceName\", \"SpanKind\", \"IsCall\" \
        FROM spans WHERE \"JsonRpcRequestId\" <> ''";
    let spans = collector.query_until(sql, |rows| rows.len() >= sent.len() * expected.len());
    for request in sent {
        let mut at = request.span_id.as_str();
        let mut levels = vec![level(one(&spans, "SpanId", at), request)];
        while levels.len() < expected.len() {
            let below = one(&spans, "ParentSpanId", at);
            levels.push(level(below, request));
            at = text(below, "SpanId");
        }
        assert_eq!(levels, expected, "{request:?}");
    }
    let known = sent.len() * expected.len();
    assert_eq!(spans.len(), known, "nothing else is a request");
}

/// The only span that has this there.
fn one<'a>(spans: &'a [Value], column: &str, id: &str) -> &'a Value {
    let found: Vec<_> = spans
        .iter()
        .filter(|span| text(span, column) == id)
        .collect();
    let [span] = found.as_slice() else {
        panic!("{} spans with the {column} {id}: {spans:#?}", found.len());
    };
    span
}

fn level(span: &Value, request: &Sent) -> Level {
    assert_eq!(text(span, "TraceId"), request.trace_id, "{span}");
    let service = match text(span, "ServiceName") {
        CLIENT => CLIENT,
        SERVER => SERVER,
        _ => "sidecar",
    };
    let kind = match text(span, "SpanKind") {
        "Client" => "Client",
        "Server" => "Server",
        other => panic!("{other}: {span}"),
    };
    (service, kind, span["IsCall"] == true)
}

/// The same as a person reads it.
fn check_printed(collector: &Collector, sent: &[Sent]) {
    let trace = sent.last().map_or("", |request| &request.trace_id);
    let store = collector.store();
    let printed = collector::run(&["trace", "--store", argument(&store), trace])
        .unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<_> = printed
        .lines()
        .filter(|line| line.contains(" ms "))
        .collect();
    let [client, sidecar, server] = lines.as_slice() else {
        panic!("three spans, not:\n{printed}");
    };
    assert!(
        client.starts_with("  MCP send ") && client.contains(CLIENT),
        "{printed}"
    );
    assert!(sidecar.starts_with("* \u{2514}\u{2500} "), "{printed}");
    assert!(
        server.starts_with("     \u{2514}\u{2500} ") && server.contains(SERVER),
        "{printed}"
    );
}

#[test]
fn a_server_that_traces_itself_is_below_the_inner_span_of_a_pair() {
    let collector = Collector::start();
    let own = telemetry(&collector, "acme");
    let server = HttpServer::start(&own, &[]);
    let options = [&sidecar_options(&collector, "acme")[..], &["--span-pair"]].concat();
    let proxy = Proxy::start(&server.url(""), &options);
    let mut client = Client::new("auto");
    client.telemetry = own;
    let script = json!([{"call": "echo", "arguments": {"text": "x"}}, {"call": "tool_error"}]);
    let sent = client.run_http(&proxy.url("/mcp"), &script);
    server.stop();
    assert!(sent.len() > 2, "a handshake and two calls: {sent:?}");
    let summary = proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), sent.len() as u64);
    check_levels(&collector, &sent, &A_PAIR);
}
