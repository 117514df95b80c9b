//! Takes the official clients and servers. Gives that they work over the bridge as they do without it.

use super::*;
use tests::python::{Client as Official, Sent, stdio_server};

fn script() -> Value {
    json!([
        {"list": "tools"},
        {"call": "echo", "arguments": {"text": "h\u{e9}llo"}, "times": 8, "together": 4},
        {"call": "add", "arguments": {"a": 1, "b": 9_007_199_254_740_993_i64}},
        {"call": "tool_error"},
        {"call": "rpc_error", "times": 2},
        {"call": "big", "arguments": {"bytes": 300_000}},
        {"call": "progress", "arguments": {"n": 5}, "progress": true},
        {"resource": "fixture://note"},
        {"prompt": "greet", "arguments": {"name": "Ann"}},
        {"call": "slow", "arguments": {"seconds": 0.2}, "times": 3, "together": 3},
    ])
}

/// What a request was and how it ended, without what differs from run to run.
fn told(sent: &[Sent]) -> Vec<String> {
    let told = sent.iter().map(|sent| {
        let Sent {
            method,
            target,
            outcome,
            detail,
            ..
        } = sent;
        format!("{method} {target:?} {outcome} {detail:?}")
    });
    let mut told: Vec<String> = told.collect();
    // What was sent together ends in any order.
    told.sort_unstable();
    told
}

fn same_as_direct(mode: &'static str) {
    let otlp = Receiver::start(Mode::Accept);
    let server = stdio_server();
    let server: Vec<&str> = server.iter().map(|path| argument(path)).collect();
    let url = otlp.grpc_url();
    let options = ["--tenant", "acme", "--otlp-endpoint", &url];
    let proxy = Proxy::serving(&server, &options, &[]);
    let client = Official::new(mode);
    let direct = client.run_stdio(&[], &server, &script());
    let bridged = client.run_http(&proxy.url("/mcp"), &script());
    assert_eq!(told(&bridged), told(&direct));
    assert!(bridged.len() > 15, "{bridged:?}");
    let spans = otlp.wait_for_calls(bridged.len());
    for sent in &bridged {
        let own = |span: &&Span| span.parent_span_id == sent.span_id;
        let span = spans
            .iter()
            .find(own)
            .unwrap_or_else(|| panic!("no span of {sent:?}"));
        assert_eq!(span.trace_id, sent.trace_id);
        assert_eq!(span.text("tenant.id"), "acme");
        assert_eq!(span.text("jsonrpc.request.id"), sent.request_id);
    }
    let (summary, log) = proxy.stop_and_keep_log();
    log.assert_none_at("ERROR");
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), bridged.len() as u64);
}

#[test]
fn the_official_client_sees_no_difference_on_the_legacy_wire() {
    same_as_direct("legacy");
}

#[test]
fn the_official_client_sees_no_difference_on_the_modern_wire() {
    same_as_direct("modern");
}

#[test]
fn the_official_client_finds_the_era_of_the_server() {
    same_as_direct("auto");
}

/// A legacy server of another maker: a client that asks for the newest era first must end up in the right one.
#[test]
fn a_legacy_server_is_recognised_as_one() {
    let server = programs::node_module("@modelcontextprotocol/server-everything/dist/index.js");
    let server = ["node", argument(&server), "stdio"];
    let proxy = Proxy::serving(&server, &[], &[]);
    let script = json!([
        {"list": "tools"},
        {"call": "echo", "arguments": {"message": "hi"}, "times": 4, "together": 4},
        {"call": "get-sum", "arguments": {"a": 2, "b": 3}},
        {"call": "trigger-long-running-operation", "arguments": {"duration": 0.2, "steps": 2}, "progress": true},
        {"call": "no-such-tool"},
    ]);
    let client = Official::new("auto");
    let direct = client.run_stdio(&[], &server, &script);
    let bridged = client.run_http(&proxy.url("/mcp"), &script);
    assert_eq!(told(&bridged), told(&direct));
    assert!(bridged.len() > 7, "{bridged:?}");
}
