//! Takes signals, a changed file and the word of an operator. Gives that traffic goes on as it would without them.
//! Never waits for a fixed time: each step waits for what an operator would see.

use tests::http_client::HttpClient;
use tests::otlp::{Mode, Receiver, Span};

mod drain;
mod metrics;
mod reload;
mod switches;
mod upstream;

use upstream::Upstream;

/// One `[[hop]]`.
fn hop(name: &str, upstream: &Upstream, more: &str) -> String {
    let url = upstream.url();
    format!("[[hop]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nupstream = \"{url}\"\n{more}\n")
}

/// What stands above the hops.
fn top(receiver: &Receiver, more: &str) -> String {
    format!("otlp_endpoint = \"{}\"\n{more}\n", receiver.grpc_url())
}

fn call(id: u64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#)
}

/// Makes one call that must be answered.
fn call_once(client: &mut HttpClient, id: u64) {
    let answer = client
        .post("/mcp", &[], call(id).as_bytes())
        .expect("an answer");
    let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}"#);
    assert_eq!((answer.status, answer.text()), (200, expected));
}

/// Begins a call whose answer is an event stream.
fn begin_stream(client: &mut HttpClient, id: u64) {
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let head = client
        .begin("POST", "/stream", &headers, call(id).as_bytes())
        .expect("the head of a stream");
    assert!(head.start_line.contains(" 200 "), "{}", head.start_line);
}

/// The next event of a stream.
fn next_event(client: &mut HttpClient) -> String {
    let chunk = client.next_chunk().expect("the stream goes on");
    let chunk = chunk.expect("the stream has not ended");
    String::from_utf8(chunk).expect("events are text")
}

/// The marked span of the call with this id.
fn span_of(spans: &[Span], id: u64) -> &Span {
    let id = id.to_string();
    spans
        .iter()
        .find(|span| span.is_call() && span.text("jsonrpc.request.id") == id)
        .unwrap_or_else(|| panic!("no call {id} in {spans:#?}"))
}

fn receiver() -> Receiver {
    Receiver::start(Mode::Accept)
}

const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;

fn result(id: u64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
}
