//! Takes streams of a session that end before their answer. Gives that the call waits for it, and ends once: answered on
//! the stream that takes up from there, or with the session.
//! Never counts a call as answered that nobody was answered.

use serde_json::{Value, json};
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body, HttpPeer, Request};
use tests::otlp::{Mode, Receiver, Span};
use tests::python::{Client, HttpServer, Telemetry};
use tests::sidecar::Proxy;

use std::time::Duration;

const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t"}}"#;
const SESSION: (&str, &str) = ("mcp-session-id", "s-1");

fn start(upstream: &str, env: &[(&str, &str)]) -> (Receiver, Proxy) {
    let receiver = Receiver::start(Mode::Accept);
    let options = ["--otlp-endpoint", &receiver.grpc_url()];
    let proxy = Proxy::start_with(upstream, &options, env);
    (receiver, proxy)
}

fn client(proxy: &Proxy) -> HttpClient {
    HttpClient::connect(proxy.address()).expect("the sidecar listens")
}

fn only_call(spans: &[Span], method: &str) -> Span {
    let mut calls = spans
        .iter()
        .filter(|span| span.is_call() && span.text("mcp.method.name") == method);
    match (calls.next(), calls.next()) {
        (Some(call), None) => call.clone(),
        _ => panic!("not one {method} in {spans:#?}"),
    }
}

/// A stream that says its place and then breaks off.
fn broken(_: &Request) -> Answer {
    let priming = b"id: e-1\ndata:\n\n".to_vec();
    let chunks = vec![(Duration::ZERO, priming)];
    Answer::new(200, "text/event-stream", Body::Broken(chunks))
}

#[test]
fn a_call_whose_stream_broke_is_answered_on_the_one_that_resumes_it() {
    let upstream = HttpPeer::start(|request| match request.method.as_str() {
        "GET" => Answer::sse(&["id: e-2\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n"]),
        _ => broken(request),
    })
    .expect("a port on loopback");
    let (receiver, proxy) = start(&upstream.url(""), &[]);
    let mut first = client(&proxy);
    let cut = first.post("/mcp", &[SESSION], CALL);
    assert!(cut.is_err(), "the break passes: {cut:?}");
    let headers = [
        SESSION,
        ("last-event-id", "e-1"),
        ("accept", "text/event-stream"),
    ];
    let resumed = client(&proxy).send("GET", "/mcp", &headers, b"");
    assert_eq!(resumed.expect("an answer").status, 200);
    let call = only_call(&receiver.wait_for_calls(1), "tools/call");
    assert_eq!(call.text("toolspan.outcome"), "ok");
    let summary = proxy.stop();
    summary.assert_conserved();
    assert_eq!(
        (summary.count("calls_seen"), summary.count("late_answers")),
        (1, 0)
    );
}

#[test]
fn a_call_that_nobody_comes_back_for_ends_with_its_session() {
    let upstream = HttpPeer::start(broken).expect("a port on loopback");
    let (receiver, proxy) = start(&upstream.url(""), &[("TOOLSPAN_SESSION_IDLE_SECONDS", "1")]);
    assert!(client(&proxy).post("/mcp", &[SESSION], CALL).is_err());
    let call = only_call(&receiver.wait_for_calls(1), "tools/call");
    assert_eq!(call.text("toolspan.outcome"), "client_gone");
    // Its client was last seen long before the session was given up.
    assert!(call.end - call.start < 1_000_000_000, "{call:?}");
    proxy.stop().assert_conserved();
}

#[test]
fn a_session_ends_when_a_call_that_was_too_large_to_hold_learns_that_it_is_gone() {
    let upstream = HttpPeer::start(|request| {
        if request.body.len() > 1000 {
            return Answer::new(404, "application/json", Body::Whole(b"{}".to_vec()));
        }
        broken(request)
    })
    .expect("a port on loopback");
    let (receiver, proxy) = start(&upstream.url(""), &[("TOOLSPAN_MAX_INJECT_BYTES", "1000")]);
    assert!(client(&proxy).post("/mcp", &[SESSION], CALL).is_err());
    let mut large = br#"{"jsonrpc":"2.0","id":8,"method":"tools/list"}"#.to_vec();
    large.resize(2000, b' ');
    let gone = client(&proxy).post("/mcp", &[SESSION], &large);
    assert_eq!(gone.expect("an answer").status, 404);
    let spans = receiver.wait_for_calls(2);
    let waited = only_call(&spans, "tools/call");
    assert_eq!(waited.text("toolspan.outcome"), "server_gone");
    proxy.stop().assert_conserved();
}

/// The first event of a stream that carries this, with its id.
fn id_of_event(client: &mut HttpClient) -> String {
    let mut text = String::new();
    loop {
        let chunk = client.next_chunk().expect("a chunk").expect("a chunk");
        text.push_str(&String::from_utf8_lossy(&chunk));
        let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        // Lines end in the server's own way.
        let whole = text.ends_with("\n\n") || text.ends_with("\r\n\r\n");
        if let (Some(id), true) = (ids.next_back(), whole) {
            return id.to_owned();
        }
    }
}

#[test]
fn a_call_of_a_client_that_lost_its_connection_is_answered_when_it_comes_back() {
    let server = HttpServer::start(&Telemetry::default(), &["--resumable"]);
    let (receiver, proxy) = start(&server.url(""), &[]);
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let hello = client(&proxy).post("/mcp", &[], hello.to_string().as_bytes());
    let hello = hello.expect("an answer");
    let session = hello.header("mcp-session-id").expect("a session");
    let session = ("mcp-session-id", session);
    let version = ("mcp-protocol-version", "2025-11-25");
    let ready = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let ready = client(&proxy).post("/mcp", &[session, version], ready);
    assert_eq!(ready.expect("an answer").status, 202);
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "slow", "arguments": {"seconds": 1.0}}});
    let mut first = client(&proxy);
    let accept = ("accept", "application/json, text/event-stream");
    let kind = ("content-type", "application/json");
    let headers = [session, version, accept, kind];
    first
        .begin("POST", "/mcp", &headers, call.to_string().as_bytes())
        .expect("a head");
    let last = id_of_event(&mut first);
    drop(first);
    let accept = ("accept", "text/event-stream");
    let headers = [session, version, accept, ("last-event-id", &*last)];
    let mut second = client(&proxy);
    second.begin("GET", "/mcp", &headers, b"").expect("a head");
    let mut text = String::new();
    while !text.contains("\"id\":7") {
        let chunk = second.next_chunk().expect("a chunk").expect("the answer");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let call = only_call(&receiver.wait_for_calls(2), "tools/call");
    assert_eq!(call.text("toolspan.outcome"), "ok");
    let took = call.end - call.start;
    assert!(took > 900_000_000, "all of it is its duration: {took}");
    drop(second);
    let end = client(&proxy).send("DELETE", "/mcp", &[session, version], b"");
    assert_eq!(end.expect("an answer").status, 200);
    server.stop();
    proxy.stop().assert_conserved();
}

#[test]
fn a_server_that_lets_its_client_poll_is_asked_again_and_the_call_is_one() {
    let server = HttpServer::start(&Telemetry::default(), &["--resumable"]);
    let (receiver, proxy) = start(&server.url(""), &[]);
    let script = json!([{"call": "polled"}, {"call": "echo", "arguments": {"text": "after"}}]);
    let sent = Client::new("legacy").run_http(&proxy.url("/mcp"), &script);
    let polled = sent
        .iter()
        .find(|sent| sent.target.as_deref() == Some("polled"));
    let polled = polled.expect("it was sent");
    assert_eq!(
        (polled.outcome.as_str(), polled.detail.as_deref()),
        ("ok", Some("polled"))
    );
    let spans = receiver.wait_for_calls(sent.len());
    let mut found = spans
        .iter()
        .filter(|span| span.parent_span_id == polled.span_id);
    let (Some(span), None) = (found.next(), found.next()) else {
        panic!("the call is not one: {spans:#?}");
    };
    assert_eq!(span.text("toolspan.outcome"), "ok");
    server.stop();
    let summary = proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), sent.len() as u64);
}

fn batch() -> Vec<u8> {
    json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a"}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "1", "method": "tools/call", "params": {"name": "b"}},
    ])
    .to_string()
    .into_bytes()
}

/// Both calls of a batch have their own span and end, however the answers come.
#[test]
fn a_batch_is_as_many_calls_as_it_has_requests() {
    let one = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let other = r#"{"jsonrpc":"2.0","id":"1","result":{"isError":true}}"#;
    let answers = [
        Answer::json(format!("[{other},{one}]")),
        Answer::sse(&[&format!("data: [{one},{other}]\n\n")]),
        Answer::sse(&[&format!("data: {other}\n\n"), &format!("data: {one}\n\n")]),
    ];
    for answer in answers {
        let upstream = HttpPeer::start(move |_| answer.clone()).expect("a port on loopback");
        let (receiver, proxy) = start(&upstream.url(""), &[]);
        client(&proxy)
            .post("/mcp", &[], &batch())
            .expect("an answer");
        let spans = receiver.wait_for_calls(2);
        let outcome = |tool: &str| {
            let mut of = spans.iter().filter(|s| s.text("gen_ai.tool.name") == tool);
            of.next()
                .map(|span| span.text("toolspan.outcome").to_owned())
        };
        assert_eq!(outcome("a").as_deref(), Some("ok"));
        assert_eq!(outcome("b").as_deref(), Some("tool_error"));
        let [request] = upstream.take_requests().try_into().expect("one request");
        let contexts = request.json();
        let contexts: Vec<&Value> = contexts.as_array().expect("a batch").iter().collect();
        for (index, injected) in [(0, true), (1, false), (2, true)] {
            let meta = &contexts[index]["params"]["_meta"]["traceparent"];
            assert_eq!(meta.is_string(), injected, "{meta}");
        }
        proxy.stop().assert_conserved();
    }
}

#[test]
fn a_subscription_is_open_until_its_client_closes_it_and_that_is_its_cancel() {
    let acknowledged = concat!(
        r#"data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{}}"#,
        "\n\n"
    );
    let upstream = HttpPeer::start(move |_| {
        let chunks = vec![(Duration::ZERO, acknowledged.as_bytes().to_vec())];
        Answer::new(200, "text/event-stream", Body::Held(chunks))
    })
    .expect("a port on loopback");
    let (receiver, proxy) = start(&upstream.url(""), &[]);
    let listen = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28"}}});
    let mut stream = client(&proxy);
    let kind = ("content-type", "application/json");
    stream
        .begin("POST", "/mcp", &[kind], listen.to_string().as_bytes())
        .expect("a head");
    stream.next_chunk().expect("a chunk").expect("an event");
    assert_eq!(receiver.received().spans(), [], "it is open");
    drop(stream);
    let call = only_call(&receiver.wait_for_calls(1), "subscriptions/listen");
    assert_eq!(call.text("toolspan.outcome"), "cancelled_by_client");
    tests::process::eventually("the end at the server", tests::process::PATIENCE, || {
        (upstream.connections() == 0).then_some(())
    });
    proxy.stop().assert_conserved();
}

#[test]
fn what_a_server_asks_in_the_stream_of_a_call_belongs_to_that_call() {
    let asks =
        r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"maxTokens":1}}"#;
    let stream = format!("id: 1\nevent: message\ndata: {asks}\n\n");
    let answer = "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n";
    let script = move |request: &Request| match request.json()["method"].as_str() {
        Some("tools/call") => Answer::sse(&[&stream, answer]),
        _ => Answer::new(202, "text/plain", Body::Whole(Vec::new())),
    };
    let upstream = HttpPeer::start(script).expect("a port on loopback");
    let (receiver, proxy) = start(&upstream.url(""), &[]);
    let mut one = client(&proxy);
    let got = one
        .post("/mcp", &[SESSION], CALL)
        .expect("an answer")
        .text();
    let data = got
        .strip_prefix("id: 1\nevent: message\ndata: ")
        .and_then(|rest| rest.strip_suffix(&format!("\n\n{answer}")))
        .unwrap_or_else(|| panic!("all else is as it was: {got}"));
    tests::splice::judge_all_injected(asks.as_bytes(), data.as_bytes())
        .unwrap_or_else(|why| panic!("{why}"));
    let reply = br#"{"jsonrpc":"2.0","id":1,"result":{"role":"user"}}"#;
    one.post("/mcp", &[SESSION], reply).expect("an answer");
    let spans = receiver.wait_for_calls(2);
    let (call, back) = (
        only_call(&spans, "tools/call"),
        only_call(&spans, "sampling/createMessage"),
    );
    assert_eq!((call.kind, back.kind), (2, 3));
    assert_eq!(back.parent_span_id, call.span_id);
    assert_eq!(back.text("toolspan.parent.source"), "call");
    assert_eq!(back.text("toolspan.outcome"), "ok");
    proxy.stop().assert_conserved();
}
