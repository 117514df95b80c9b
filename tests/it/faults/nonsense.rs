//! Takes bytes that are no MCP, in places where MCP should be. Gives that they pass as they are, and are counted.
//! Never repairs and never refuses: what a peer means is for the other peer to judge.

use serde_json::Value;
use tests::http_peer::{Answer, Body};
use tests::otlp::{Mode, Receiver};
use tests::splice;

use crate::bytes::relay;

use super::{CALL, RESULT, hop};

const LEVELS: usize = 100_000;
/// The length of a `traceparent`.
const TRACEPARENT: usize = 55;

/// A message with this in the place of a value.
fn request(value: &[u8]) -> Vec<u8> {
    let head =
        br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"x":"#;
    [head.as_slice(), value, b"}}}"].concat()
}

fn result(value: &[u8]) -> Vec<u8> {
    [
        br#"{"jsonrpc":"2.0","id":1,"result":{"x":"#.as_slice(),
        value,
        b"}}",
    ]
    .concat()
}

/// What no peer should send.
fn values() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("invalid UTF-8", b"\"\xff\xfe\xc3\"".to_vec()),
        ("half a surrogate", br#""\ud800""#.to_vec()),
        ("NUL bytes in a text", b"\"a\0b\"".to_vec()),
        ("NUL bytes between values", b"\0\0 1".to_vec()),
        (
            "100,000 levels of lists",
            ["[".repeat(LEVELS), "]".repeat(LEVELS)].concat().into(),
        ),
        (
            "100,000 levels of objects",
            [r#"{"a":"#.repeat(LEVELS), "1".into(), "}".repeat(LEVELS)]
                .concat()
                .into(),
        ),
        ("100,000 levels never closed", "[".repeat(LEVELS).into()),
        ("duplicate keys", br#"{"a":1,"a":2,"\u0061":3}"#.to_vec()),
        (
            "a number without an end",
            format!("1{}", "0".repeat(LEVELS)).into(),
        ),
    ]
}

/// Whether bytes arrived as they were sent, or with a context in `params` and no other change. The judge of the other
/// stories reads JSON, which not all of this is, and not to this depth.
fn same_but_for_a_context(sent: &[u8], arrived: &[u8]) -> bool {
    let (head, context, tail) = (br#""params":{"#, br#""_meta":{"traceparent":""#, br#""},"#);
    let at = memchr::memmem::find(sent, head).expect("a request has params") + head.len();
    let (before, after) = sent.split_at(at);
    let spliced = || {
        let rest = arrived.strip_prefix(before)?.strip_prefix(context)?;
        let (id, rest) = rest.split_at_checked(TRACEPARENT)?;
        let valid = std::str::from_utf8(id).is_ok_and(splice::is_traceparent);
        Some(valid && rest.strip_prefix(tail)? == after)
    };
    sent == arrived || spliced().unwrap_or(false)
}

#[test]
fn nonsense_in_a_request_reaches_the_server_to_the_byte() {
    let hop = hop(|_| Answer::json(RESULT));
    let mut client = hop.client();
    for (name, value) in values() {
        let sent = request(&value);
        let response = client.post("/mcp", &[], &sent).expect("an answer");
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, RESULT),
            "{name}"
        );
        let arrived = hop.upstream.take_requests();
        let [arrived] = arrived.as_slice() else {
            panic!("{name}: {} requests arrived", arrived.len());
        };
        assert!(same_but_for_a_context(&sent, &arrived.body), "{name}");
    }
    hop.proxy.stop().assert_conserved();
}

#[test]
fn nonsense_in_an_answer_comes_back_to_the_byte() {
    for kind in ["application/json", "text/event-stream"] {
        let hop = hop(move |request| {
            let number: usize = request
                .header("x-number")
                .and_then(|n| n.parse().ok())
                .unwrap();
            Answer::new(200, kind, Body::Whole(answer(kind, number)))
        });
        let mut client = hop.client();
        for (number, (name, _)) in values().iter().enumerate() {
            let header = number.to_string();
            let response = client
                .post("/mcp", &[("x-number", &header)], CALL)
                .expect("an answer");
            assert!(response.body == answer(kind, number), "{name}");
        }
        // Every call has its end, whatever the answer was.
        let count = values().len();
        assert_eq!(hop.outcomes(count).len(), count);
        hop.stop(count as u64);
    }
}

fn answer(kind: &str, number: usize) -> Vec<u8> {
    let (_, value) = &values()[number];
    match kind {
        "application/json" => result(value),
        _ => [b"data: ".as_slice(), &result(value), b"\n\n"].concat(),
    }
}

#[test]
fn nonsense_passes_over_stdio_to_the_byte() {
    let receiver = Receiver::start(Mode::Discard);
    let url = receiver.grpc_url();
    let requests: Vec<Vec<u8>> = values().iter().map(|(_, value)| request(value)).collect();
    let results: Vec<Vec<u8>> = values().iter().map(|(_, value)| result(value)).collect();
    let relayed = relay(&["--otlp-endpoint", &url], &requests, &results);
    assert_eq!(relayed.at_server.len(), requests.len());
    for (sent, arrived) in requests.iter().zip(&relayed.at_server) {
        assert!(same_but_for_a_context(sent, arrived));
    }
    assert!(relayed.at_client == results, "answers are never touched");
    relayed.summary.assert_conserved();
}

#[test]
fn ids_of_every_type_pass_and_each_call_ends_once() {
    let ids = [
        "1",
        "-1",
        "0",
        "-0",
        "1.5",
        "1e3",
        "18446744073709551616",
        "\"a\"",
        "\"\"",
        "\"1\"",
        "\"\\u0061\"",
        "null",
        "true",
        "{}",
        "[1]",
    ];
    let hop = hop(|request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let (_, rest) = body.split_once("\"id\":").expect("an id");
        let (id, _) = rest.split_once(",\"method\"").expect("a method");
        Answer::json(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#))
    });
    let mut client = hop.client();
    for id in ids {
        let sent = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
        let response = client
            .post("/mcp", &[], sent.as_bytes())
            .expect("an answer");
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        assert_eq!(response.text(), expected);
        let arrived = hop.upstream.take_requests();
        let [arrived] = arrived.as_slice() else {
            panic!("{id}: {} requests arrived", arrived.len());
        };
        splice::judge(sent.as_bytes(), &arrived.body).unwrap_or_else(|why| panic!("{why}"));
    }
    let summary = hop.proxy.stop();
    summary.assert_conserved();
    // Numbers and texts are ids; the other five are none, so there is no call to record.
    assert_eq!(summary.count("calls_seen"), 11);
}

#[test]
fn headers_that_disagree_with_the_body_are_the_servers_to_refuse() {
    let refusal = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"HeaderMismatch"}}"#;
    let hop = hop(move |_| {
        let mut answer = Answer::json(refusal);
        answer.status = 400;
        answer
    });
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"name":"t"}}"#;
    let headers = [
        ("Mcp-Method", "tools/list"),
        ("Mcp-Name", "other"),
        ("MCP-Protocol-Version", "2025-06-18"),
    ];
    let response = hop
        .client()
        .post("/mcp", &headers, body)
        .expect("an answer");
    assert_eq!((response.status, response.text().as_str()), (400, refusal));
    let arrived = hop.upstream.take_requests();
    let [arrived] = arrived.as_slice() else {
        panic!("{} requests arrived", arrived.len());
    };
    for (name, value) in headers {
        assert_eq!(arrived.header(name), Some(value));
    }
    assert_eq!(arrived.json()["method"], Value::from("tools/call"));
    splice::judge(body, &arrived.body).unwrap_or_else(|why| panic!("{why}"));
    let [span] = hop.receiver.wait_for_calls(1).try_into().expect("one span");
    // The body is what the server acts on.
    assert_eq!(span.text("mcp.method.name"), "tools/call");
    assert_eq!(span.text("toolspan.outcome"), "rpc_error");
    hop.stop(1);
}
