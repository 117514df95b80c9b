//! Takes the transport of 2024-11-05: one stream of events, and the URI it names for requests. Gives that nothing of it
//! changes but the context, and that every call is recorded once, wherever its answer comes.
//! Never lets two streams share a scripted server.

use serde_json::json;
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body, HttpPeer, Live, Request};
use tests::node::NodeServer;
use tests::otlp::{Mode, Receiver, Span};
use tests::python::{Client, HttpServer, Sent, Telemetry};
use tests::sidecar::Proxy;
use tests::splice;

use std::sync::mpsc::Sender;

/// The calls that real peers make.
fn assert_recorded(sent: &[Sent], spans: &[Span]) {
    let calls = spans.iter().filter(|span| span.is_call()).count();
    assert_eq!(calls, sent.len(), "each request is one call");
    for request in sent {
        let mut found = spans
            .iter()
            .filter(|span| span.is_call() && span.parent_span_id == request.span_id);
        let (Some(span), None) = (found.next(), found.next()) else {
            panic!("{request:?} is not recorded once in {spans:#?}");
        };
        let outcome = request.outcome.split(':').next().unwrap_or_default();
        assert_eq!(span.text("toolspan.outcome"), outcome, "{request:?}");
        assert_eq!(span.text("mcp.method.name"), request.method);
    }
}

fn run(upstream: &str, script: &serde_json::Value) {
    let receiver = Receiver::start(Mode::Accept);
    let proxy = Proxy::start(upstream, &["--otlp-endpoint", &receiver.grpc_url()]);
    let client = Client::new("legacy");
    let direct = client.run_sse(&format!("{upstream}/sse"), script);
    let sent = client.run_sse(&proxy.url("/sse"), script);
    let told = |sent: &[Sent]| -> Vec<_> {
        let told = sent.iter();
        told.map(|s| (s.method.clone(), s.outcome.clone(), s.detail.clone()))
            .collect()
    };
    assert_eq!(
        told(&sent),
        told(&direct),
        "the same as without the sidecar"
    );
    let received = receiver.wait_for_calls(sent.len());
    assert_recorded(&sent, &received);
    let summary = proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), sent.len() as u64);
    assert_eq!(summary.count("late_answers"), 0);
}

#[test]
fn over_http_and_sse_every_call_of_the_python_sdk_is_recorded_once() {
    let server = HttpServer::start_sse(&Telemetry::default());
    let script = json!([
        {"list": "tools"},
        {"call": "echo", "arguments": {"text": "h\u{e9}llo"}, "times": 12},
        {"call": "tool_error"},
        {"call": "rpc_error"},
        {"call": "big", "arguments": {"bytes": 300_000}},
        {"call": "progress", "arguments": {"n": 5}, "progress": true},
        {"resource": "fixture://note"},
    ]);
    run(&server.url(""), &script);
    server.stop();
}

#[test]
fn over_http_and_sse_every_call_to_a_node_server_is_recorded_once() {
    let server = NodeServer::start("sse");
    let script = json!([
        {"list": "tools"},
        {"call": "echo", "arguments": {"message": "hi"}, "times": 5},
        {"call": "get-sum", "arguments": {"a": 2, "b": 3}, "times": 5},
    ]);
    run(&server.url(""), &script);
}

/// A scripted server with one stream, a client on that stream, and the proxy between.
struct Stream {
    upstream: HttpPeer,
    receiver: Receiver,
    proxy: Proxy,
    events: Option<Sender<Vec<u8>>>,
    client: HttpClient,
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;

impl Stream {
    /// The client has asked for `/sse`; `path` is put behind the upstream's URL.
    fn open(path: &str, (events, live): (Sender<Vec<u8>>, Live)) -> Self {
        let script = move |request: &Request| match request.method.as_str() {
            "GET" => Answer::new(200, "text/event-stream", Body::Live(live.clone())),
            _ => Answer::new(202, "text/plain", Body::Whole(b"Accepted".to_vec())),
        };
        let upstream = HttpPeer::start(script).expect("a port on loopback");
        let receiver = Receiver::start(Mode::Accept);
        let options = ["--otlp-endpoint", &receiver.grpc_url()];
        let proxy = Proxy::start(&upstream.url(path), &options);
        let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
        let accept = [("accept", "text/event-stream")];
        client
            .begin("GET", "/sse", &accept, b"")
            .expect("the head comes before the first event");
        Self {
            upstream,
            receiver,
            proxy,
            events: Some(events),
            client,
        }
    }

    /// The server sends this, and the client gets it back as it came out.
    fn pass(&mut self, event: &str) -> String {
        let events = self.events.as_ref().expect("the stream is open");
        events.send(event.into()).expect("the server runs");
        let mut text = String::new();
        while !text.ends_with("\n\n") {
            let chunk = self.client.next_chunk().expect("a chunk").expect("a chunk");
            text.push_str(std::str::from_utf8(&chunk).expect("events of UTF-8"));
        }
        text
    }

    fn post(&self, path: &str, body: &str) -> Request {
        let mut client = HttpClient::connect(self.proxy.address()).expect("the sidecar listens");
        let _ = self.upstream.take_requests();
        let answer = client.post(path, &[], body.as_bytes()).expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (202, "Accepted"));
        let [request] = self.upstream.take_requests().try_into().expect("one");
        request
    }

    fn ended(self, calls: usize) -> Vec<Span> {
        let spans = self.receiver.wait_for_calls(calls);
        // An open stream would be waited for.
        drop(self.client);
        let summary = self.proxy.stop();
        summary.assert_conserved();
        assert_eq!(summary.count("calls_seen"), calls as u64);
        spans
    }
}

#[test]
fn an_endpoint_is_seen_where_the_client_is() {
    for (path, uri, seen, post, arrives) in [
        ("", "/m?s=1", "/m?s=1", "/m?s=1", "/m?s=1"),
        ("", "m?s=1", "m?s=1", "/m?s=1", "/m?s=1"),
        ("/p/q", "/p/q/m?s=1", "/m?s=1", "/m?s=1", "/p/q/m?s=1"),
        ("/p/", "m?s=1", "m?s=1", "/m?s=1", "/p/m?s=1"),
        (
            "/p",
            "http://HOST/p/m?s=1",
            "http://HOST/m?s=1",
            "/m?s=1",
            "/p/m?s=1",
        ),
        (
            "",
            "http://SERVER/m?s=1",
            "http://HOST/m?s=1",
            "/m?s=1",
            "/m?s=1",
        ),
    ] {
        let mut stream = Stream::open(path, Live::channel());
        let host = stream.proxy.address().to_string();
        let server = stream.upstream.address().to_string();
        let named = |text: &str| text.replace("HOST", &host).replace("SERVER", &server);
        let event = |uri: &str| format!(": hi\r\nevent: endpoint\r\ndata: {uri}\r\n\r\n");
        let passed = {
            let events = stream.events.as_ref().expect("open");
            events
                .send(event(&named(uri)).into())
                .expect("the server runs");
            let mut text = String::new();
            while !text.ends_with("\r\n\r\n") {
                let chunk = stream
                    .client
                    .next_chunk()
                    .expect("a chunk")
                    .expect("a chunk");
                text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
            }
            text
        };
        assert_eq!(passed, event(&named(seen)), "{path} {uri}");
        let request = stream.post(post, CALL);
        assert_eq!(request.path, arrives);
        splice::judge_all_injected(CALL.as_bytes(), &request.body)
            .unwrap_or_else(|why| panic!("{why}"));
        let answer = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
        assert_eq!(stream.pass(answer), answer);
        let spans = stream.ended(1);
        assert_eq!(spans[0].text("toolspan.outcome"), "ok");
    }
}

#[test]
fn calls_that_wait_when_the_stream_ends_end_with_it() {
    for (outcome, channel) in [
        ("server_gone", Live::channel as fn() -> _),
        ("server_gone", Live::breaking_channel),
        ("client_gone", Live::channel),
    ] {
        let mut stream = Stream::open("", channel());
        stream.pass("event: endpoint\ndata: /m?s=1\n\n");
        stream.post("/m?s=1", CALL);
        if outcome == "server_gone" {
            drop(stream.events.take());
        } else {
            stream.client.half_close().expect("the connection is open");
        }
        let spans = stream.ended(1);
        assert_eq!(spans[0].text("toolspan.outcome"), outcome);
    }
}

#[test]
fn a_request_of_the_server_on_the_stream_gets_its_context_and_its_answer() {
    let mut stream = Stream::open("", Live::channel());
    stream.pass("event: endpoint\ndata: /m?s=1\n\n");
    stream.post("/m?s=1", CALL);
    let asks = r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"?"}}"#;
    let passed = stream.pass(&format!(": note\nid: 7\nevent: message\ndata: {asks}\n\n"));
    let data = passed
        .strip_prefix(": note\nid: 7\nevent: message\ndata: ")
        .and_then(|rest| rest.strip_suffix("\n\n"))
        .unwrap_or_else(|| panic!("the event is the same but for its data: {passed}"));
    splice::judge_all_injected(asks.as_bytes(), data.as_bytes())
        .unwrap_or_else(|why| panic!("{why}"));
    stream.post(
        "/m?s=1",
        r#"{"jsonrpc":"2.0","id":1,"result":{"action":"decline"}}"#,
    );
    stream.pass("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");
    let spans = stream.ended(2);
    let of = |method: &str| {
        let mut found = spans.iter().filter(|s| s.text("mcp.method.name") == method);
        found
            .next()
            .unwrap_or_else(|| panic!("no {method} in {spans:#?}"))
    };
    let (call, back) = (of("tools/call"), of("elicitation/create"));
    assert_eq!(
        (call.kind, back.kind),
        (2, 3),
        "the server is the client of its question"
    );
    assert_eq!(back.parent_span_id, call.span_id);
    assert_eq!(back.text("toolspan.outcome"), "ok");
    let context = format!("00-{}-{}-01", back.trace_id, back.span_id);
    assert!(data.contains(&context), "{data}");
}
