//! Takes requests with every kind of header and path. Gives that all but the trace context pass as they are.
//! Never checks what the sidecar says: the upstream tells what it was sent.

use serde_json::json;
use tests::hop::{empty_result, hop};
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body};
use tests::otlp::{Mode, Receiver};
use tests::sidecar::Proxy;
use tests::splice;

const CALL: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{}}}"#;
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn headers_path_and_host_pass_as_they_are() {
    let hop = hop(|_| {
        let mut answer = Answer::json("{}");
        answer.status = 418;
        answer
            .headers
            .push(("X-Mixed-Case".to_owned(), "kept \u{e9}".to_owned()));
        answer
            .headers
            .push(("WWW-Authenticate".to_owned(), "Bearer a=\"b\"".to_owned()));
        answer
    });
    let sent = [
        ("Mcp-Session-Id", "s-1"),
        ("MCP-Protocol-Version", "2025-11-25"),
        ("Mcp-Param-Tenant", "=?base64?YQ==?="),
        ("Authorization", "Bearer secret"),
        ("Origin", "http://evil.example"),
        ("Last-Event-ID", "7"),
        ("X-Twice", "a"),
        ("X-Twice", "b"),
    ];
    let response = hop
        .client()
        .post("/deep/mcp?q=%20a&b", &sent, CALL)
        .expect("an answer");
    assert_eq!(response.status, 418, "the status is the server's own");
    assert_eq!(response.header("x-mixed-case"), Some("kept \u{e9}"));
    assert_eq!(response.header("www-authenticate"), Some("Bearer a=\"b\""));
    let request = hop.arrived();
    assert_eq!(request.path, "/deep/mcp?q=%20a&b");
    assert_eq!(
        request.header("host"),
        Some(hop.proxy.address().to_string().as_str())
    );
    for (name, value) in sent {
        let found = request
            .headers
            .iter()
            .any(|(n, v)| n.eq_ignore_ascii_case(name) && v == value);
        assert!(found, "{name}: {value} in {:?}", request.headers);
    }
    splice::judge_all_injected(CALL, &request.body).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn the_parent_is_the_header_where_the_message_has_none_and_both_carriers_go_on() {
    let hop = hop(empty_result);
    let headers = [("traceparent", PARENT), ("tracestate", "a=1")];
    hop.client()
        .post("/mcp", &headers, CALL)
        .expect("an answer");
    let request = hop.arrived();
    let [span] = hop.receiver.wait_for_calls(1).try_into().expect("one span");
    assert_eq!(span.text("toolspan.parent.source"), "header");
    assert_eq!(span.parent_span_id, "b7ad6b7169203331");
    let context = format!("00-{}-{}-01", span.trace_id, span.span_id);
    assert_eq!(request.header("traceparent"), Some(context.as_str()));
    assert_eq!(
        request.json()["params"]["_meta"]["traceparent"],
        json!(context)
    );
    assert_eq!(
        request.json()["params"]["_meta"]["tracestate"],
        json!("a=1")
    );
}

#[test]
fn the_parent_is_the_message_and_another_header_becomes_a_link() {
    let hop = hop(empty_result);
    let other = "00-11111111111111111111111111111111-2222222222222222-01";
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{"traceparent":"{PARENT}"}}}}}}"#
    );
    hop.client()
        .post("/mcp", &[("traceparent", other)], body.as_bytes())
        .expect("an answer");
    let [span] = hop.receiver.wait_for_calls(1).try_into().expect("one span");
    assert_eq!(span.text("toolspan.parent.source"), "meta");
    assert_eq!(span.parent_span_id, "b7ad6b7169203331");
    assert_eq!(
        span.links,
        [("1".repeat(32), "2".repeat(16))],
        "the header's context is linked"
    );
}

#[test]
fn what_is_encoded_or_signed_passes_untouched_and_is_counted_by_reason() {
    for (header, value, reason) in [
        ("Content-Encoding", "gzip", "content_encoding"),
        ("Content-Digest", "sha-256=:AA==:", "content_digest"),
        ("Signature-Input", "sig=(\"@method\")", "signature_input"),
    ] {
        let hop = hop(empty_result);
        hop.client()
            .post("/mcp", &[(header, value)], CALL)
            .expect("an answer");
        let request = hop.arrived();
        assert_eq!(request.body, CALL, "{header}");
        assert_eq!(request.header(header), Some(value));
        let summary = hop.proxy.stop();
        assert_eq!(summary.count(&format!("not_injected_{reason}")), 1);
    }
}

#[test]
fn our_own_failures_are_gateway_errors() {
    let (_bound, url) = tests::otlp::dead_endpoint();
    let receiver = Receiver::start(Mode::Accept);
    let proxy = Proxy::start(&url, &["--otlp-endpoint", &receiver.grpc_url()]);
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    let response = client.post("/mcp", &[], CALL).expect("an answer");
    assert_eq!(response.status, 502);
    assert_eq!(response.text(), "toolspan: the server cannot be reached\n");
    let [span] = receiver.wait_for_calls(1).try_into().expect("one span");
    assert_eq!(span.text("toolspan.outcome"), "unreachable");
}

#[test]
fn how_long_the_server_keeps_a_connection_is_said_to_the_client() {
    let hop = hop(|request| {
        let mut answer = Answer::json("{}");
        let mut say = |name: &str, value: &str| {
            answer.headers.push((name.to_owned(), value.to_owned()));
        };
        say("Keep-Alive", "timeout=7");
        if request.path == "/last" {
            say("Connection", "close");
        }
        answer
    });
    let mut client = hop.client();
    let kept = client.post("/mcp", &[], CALL).expect("an answer");
    assert_eq!(kept.header("keep-alive"), Some("timeout=7"));
    let last = client.post("/last", &[], CALL).expect("an answer");
    assert_eq!(last.header("keep-alive"), None, "it does not keep it");
}

#[test]
fn hundreds_of_headers_pass_both_ways() {
    let many = |name: &str| {
        let names = (0..500).map(|i| format!("X-{name}-{i}"));
        names.map(|name| (name, "1".to_owned())).collect::<Vec<_>>()
    };
    let hop = hop(move |_| {
        let mut answer = Answer::json("{}");
        answer.headers.extend(many("Down"));
        answer
    });
    let sent = many("Up");
    let sent: Vec<_> = sent.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let response = hop.client().post("/mcp", &sent, CALL).expect("an answer");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-down-499"), Some("1"));
    assert_eq!(hop.arrived().header("x-up-499"), Some("1"));
}

#[test]
fn a_chunked_body_of_a_get_arrives() {
    let hop = hop(empty_result);
    let mut client = hop.client();
    let request =
        "GET /mcp HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.send_raw(request.as_bytes()).expect("it is read");
    let head = client.read_head().expect("an answer");
    assert!(head.start_line.contains(" 200 "), "{}", head.start_line);
    let request = hop.arrived();
    assert_eq!(
        (request.method.as_str(), request.body),
        ("GET", b"abc".to_vec())
    );
}

#[test]
fn events_pass_one_by_one_as_they_come() {
    let pause = std::time::Duration::from_millis(300);
    let hop = hop(move |_| {
        let events = ["data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n"; 3];
        let chunks = events.map(|event| (pause, event.as_bytes().to_vec()));
        Answer::new(200, "text/event-stream", Body::Chunks(chunks.to_vec()))
    });
    let mut client = hop.client();
    let head = client.begin("POST", "/mcp", &[], CALL).expect("a head");
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let mut gaps = Vec::new();
    let mut last = std::time::Instant::now();
    while client.next_chunk().expect("a chunk").is_some() {
        gaps.push(last.elapsed());
        last = std::time::Instant::now();
    }
    // Had they been held back, all would have come at once.
    let spread = gaps.iter().filter(|gap| **gap > pause / 2).count();
    assert!(spread >= 3, "the events came after {gaps:?}");
}
