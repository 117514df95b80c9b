//! Takes more bytes than anybody should hold at once. Gives that they pass, and that the sidecar's memory stays flat.
//! Never compares times: what is bounded is memory.

use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body};
use tests::kernel::{peak, reset_peak};
use tests::otlp::{Mode, Receiver};
use tests::process::{PATIENCE, eventually};

use crate::bytes::relay;

use super::{CALL, hop, post_headers};

/// What passing anything may take beyond what was there, in KiB: buffers of a message, of two connections, and slack.
const FLAT: u64 = 24 << 10;
const GIGABYTE: usize = 1 << 30;
const EVENT: usize = 64 << 10;
const BIG: usize = 100_000_000;

/// An event that fills a chunk.
fn event() -> Vec<u8> {
    let head =
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"";
    let tail = "\"}}\n\n";
    let filler = "x".repeat(EVENT - head.len() - tail.len());
    format!("{head}{filler}{tail}").into_bytes()
}

/// Waits until the server can write no more because nobody reads.
fn wait_for_stall(written: impl Fn() -> usize) {
    let mut last = (0, 0);
    eventually("the server to stall", PATIENCE, || {
        let now = written();
        last = if now == last.0 {
            (now, last.1 + 1)
        } else {
            (now, 0)
        };
        (now > 0 && last.1 > 100).then_some(())
    });
}

#[test]
fn a_stalled_reader_of_a_gigabyte_stalls_the_server_and_costs_no_memory() {
    let times = GIGABYTE / EVENT;
    let hop = hop(move |_| {
        let chunk = event();
        Answer::new(200, "text/event-stream", Body::Repeated { chunk, times })
    });
    let mut client = HttpClient::connect(hop.proxy.address()).expect("the sidecar listens");
    reset_peak(hop.proxy.id());
    let before = peak(hop.proxy.id());
    client
        .begin("POST", "/mcp", &post_headers(), CALL)
        .expect("a head");
    wait_for_stall(|| hop.upstream.repeated());
    let stalled_at = hop.upstream.repeated();
    assert!(
        stalled_at < times / 4,
        "{stalled_at} of {times} chunks went somewhere"
    );
    let mut read = 0;
    while let Some(chunk) = client.next_chunk().expect("a chunk") {
        read += chunk.len();
    }
    assert_eq!(read, GIGABYTE);
    let grown = peak(hop.proxy.id()) - before;
    assert!(grown < FLAT, "memory grew by {grown} KiB");
    let summary = hop.proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), 1);
}

/// A message of so many bytes with a string in it that fills it.
fn big(head: &str, tail: &str) -> Vec<u8> {
    let mut message = head.as_bytes().to_vec();
    message.resize(BIG - tail.len(), b'x');
    message.extend_from_slice(tail.as_bytes());
    message
}

fn big_request() -> Vec<u8> {
    big(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"x":""#,
        r#""}}}"#,
    )
}

fn big_result() -> Vec<u8> {
    big(r#"{"jsonrpc":"2.0","id":1,"result":{"x":""#, r#""}}"#)
}

#[test]
fn a_request_and_an_answer_of_a_hundred_megabytes_pass_over_http_and_are_not_held() {
    let result = big_result();
    let hop = {
        let result = result.clone();
        hop(move |_| Answer::json(result.clone()))
    };
    let mut client = HttpClient::connect(hop.proxy.address()).expect("the sidecar listens");
    reset_peak(hop.proxy.id());
    let before = peak(hop.proxy.id());
    let request = big_request();
    let response = client.post("/mcp", &[], &request).expect("an answer");
    assert!(response.body == result, "{} bytes", response.body.len());
    let arrived = hop.upstream.take_requests();
    let [arrived] = arrived.as_slice() else {
        panic!("{} requests arrived", arrived.len());
    };
    assert!(arrived.body == request, "{} bytes", arrived.body.len());
    let grown = peak(hop.proxy.id()) - before;
    assert!(grown < FLAT, "memory grew by {grown} KiB");
    let [span] = hop.receiver.wait_for_calls(1).try_into().expect("one span");
    assert_eq!(span.text("toolspan.outcome"), "ok");
    hop.proxy.stop().assert_conserved();
}

#[test]
fn a_line_of_a_hundred_megabytes_passes_both_ways_over_stdio() {
    let receiver = Receiver::start(Mode::Accept);
    let url = receiver.grpc_url();
    let (request, result) = (vec![big_request()], vec![big_result()]);
    let relayed = relay(&["--otlp-endpoint", &url], &request, &result);
    assert!(relayed.at_server == request, "what the server got differs");
    assert!(relayed.at_client == result, "what the client got differs");
    relayed.summary.assert_conserved();
}
