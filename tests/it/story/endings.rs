//! Takes calls that end without an answer. Gives that each is recorded once, with how it ended.
//! Never waits for a time: it waits for the record.

use serde_json::{Value, json};
use tests::otlp::{Mode, Receiver, Span};
use tests::python::{self, Client, HttpServer, Sent, Telemetry};
use tests::sidecar::{Log, Proxy, argument, stdio_command};

use super::command_line;

/// Runs one step over stdio and gives the client's account and the marked spans.
fn over_stdio(mode: &'static str, step: Value) -> (Vec<Sent>, Vec<Span>) {
    let receiver = Receiver::start(Mode::Accept);
    let log = Log::default();
    let server = python::stdio_server();
    let server: Vec<&str> = server.iter().map(|path| argument(path)).collect();
    let url = receiver.grpc_url();
    let command = stdio_command(
        &log,
        &["--tenant", "acme", "--otlp-endpoint", &url],
        &server,
    );
    let sent = Client::new(mode).run_stdio(&[], &command_line(&command), &json!([step]));
    let spans = receiver.wait_for_calls(sent.len());
    (sent, spans)
}

fn over_http(mode: &'static str, step: Value) -> (Vec<Sent>, Vec<Span>) {
    let receiver = Receiver::start(Mode::Accept);
    let server = HttpServer::start(&Telemetry::default(), &[]);
    let url = receiver.grpc_url();
    let proxy = Proxy::start(
        &server.url(""),
        &["--tenant", "acme", "--otlp-endpoint", &url],
    );
    let sent = Client::new(mode).run_http(&proxy.url("/mcp"), &json!([step]));
    let spans = receiver.wait_for_calls(sent.len());
    proxy.stop().assert_conserved();
    (sent, spans)
}

/// The outcome of the script's last request; it must be recorded once.
fn outcome(sent: &[Sent], spans: &[Span]) -> String {
    let last = sent.last().expect("the client sent something");
    let found: Vec<&Span> = spans
        .iter()
        .filter(|span| span.is_call() && span.parent_span_id == last.span_id)
        .collect();
    let [span] = found.as_slice() else {
        panic!("{last:?} is recorded {} times in {spans:#?}", found.len());
    };
    assert_eq!(span.status, 2, "an error: {span:?}");
    span.text("toolspan.outcome").to_owned()
}

fn slow_call_with_timeout() -> Value {
    json!({"call": "slow", "arguments": {"seconds": 20}, "timeout": 0.3})
}

fn call_that_crashes_the_server() -> Value {
    json!({"call": "crash"})
}

fn call_whose_client_dies() -> Value {
    json!({"call": "slow", "arguments": {"seconds": 20}, "die_after": 0.3})
}

#[test]
fn a_call_the_client_gave_up_on_is_recorded_over_stdio() {
    let (sent, spans) = over_stdio("legacy", slow_call_with_timeout());
    assert_eq!(sent.last().unwrap().outcome, "timed_out");
    // The client says in its cancel that it waited for too long.
    assert_eq!(outcome(&sent, &spans), "timed_out");
}

#[test]
fn a_call_the_client_gave_up_on_is_recorded_over_http_on_the_legacy_wire() {
    let (sent, spans) = over_http("legacy", slow_call_with_timeout());
    assert_eq!(outcome(&sent, &spans), "timed_out");
}

/// There, closing the stream is how a client cancels.
#[test]
fn a_call_the_client_gave_up_on_is_recorded_over_http_on_the_modern_wire() {
    let (sent, spans) = over_http("modern", slow_call_with_timeout());
    assert_eq!(outcome(&sent, &spans), "cancelled_by_client");
}

#[test]
fn a_call_whose_server_crashed_is_recorded_over_stdio() {
    let (sent, spans) = over_stdio("auto", call_that_crashes_the_server());
    assert_eq!(sent.last().unwrap().outcome, "gone");
    assert_eq!(outcome(&sent, &spans), "server_gone");
}

#[test]
fn a_call_whose_server_crashed_is_recorded_over_http() {
    let (sent, spans) = over_http("modern", call_that_crashes_the_server());
    assert_eq!(outcome(&sent, &spans), "server_gone");
}

#[test]
fn a_call_whose_client_died_is_recorded_over_stdio() {
    let (sent, spans) = over_stdio("legacy", call_whose_client_dies());
    assert_eq!(sent.last().unwrap().outcome, "died");
    let outcome = outcome(&sent, &spans);
    // This server answers open calls with an error when its input ends, and may be in time with it.
    assert!(
        ["client_gone", "rpc_error"].contains(&outcome.as_str()),
        "{outcome}"
    );
}

/// And dying closes the stream too: the server sees a cancel, and so do we.
#[test]
fn a_call_whose_client_died_is_recorded_over_http_on_the_modern_wire() {
    let (sent, spans) = over_http("modern", call_whose_client_dies());
    assert_eq!(outcome(&sent, &spans), "cancelled_by_client");
}

#[test]
fn a_call_whose_client_died_is_recorded_over_http_on_the_legacy_wire() {
    let (sent, spans) = over_http("legacy", call_whose_client_dies());
    assert_eq!(outcome(&sent, &spans), "client_gone");
}
