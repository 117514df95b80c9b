//! Takes real calls of the official client to real servers. Gives that each is found once in each store, with its
//! parent, tenant and outcome, and that the views say the same on both.
//! Never asks the sidecar what it saw: the client's own account is what the stores are compared with.

use serde_json::{Value, json};
use tests::collector::Collector;
use tests::engine::Database;
use tests::programs;
use tests::python::{self, Client, HttpServer, Sent, Telemetry};
use tests::sidecar::{Log, Proxy, argument, stdio_command};

mod check;
mod endings;
mod tree;

use check::Story;

/// Calls of every kind that ends by an answer, one at a time and several at once.
fn script() -> Value {
    json!([
        {"list": "tools"},
        {"call": "echo", "arguments": {"text": "h\u{e9}llo"}, "times": 12, "together": 4},
        {"call": "add", "arguments": {"a": 1, "b": 9_007_199_254_740_993_i64}},
        {"call": "tool_error", "times": 3},
        {"call": "rpc_error", "times": 2},
        {"call": "rpc_error", "arguments": {"code": -32602}},
        {"call": "big", "arguments": {"bytes": 300_000}},
        {"call": "progress", "arguments": {"n": 5}, "progress": true},
        {"resource": "fixture://note"},
        {"prompt": "greet", "arguments": {"name": "Ann"}},
        {"call": "slow", "arguments": {"seconds": 0.2}, "times": 3, "together": 3},
    ])
}

fn story_over_stdio(mode: &'static str) {
    let database = Database::fresh();
    let collector = Collector::start_with(&database);
    let telemetry = telemetry(&collector, "acme");
    let log = Log::default();
    let server = python::stdio_server();
    let server: Vec<&str> = server.iter().map(|path| argument(path)).collect();
    let command = stdio_command(&log, &sidecar_options(&collector, "acme"), &server);
    let mut client = Client::new(mode);
    client.telemetry = telemetry;
    let sent = client.run_stdio(&[], &command_line(&command), &script());
    let story = Story {
        collector: &collector,
        database: &database,
        tenant: "acme",
        transport: "pipe",
        server_traces_itself: true,
    };
    story.check(&sent);
    log.assert_none_at("ERROR");
    let summary = log.summary();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), sent.len() as u64);
    assert_eq!(summary.dropped(), 0);
}

fn story_over_http(mode: &'static str, server_options: &[&str]) {
    let database = Database::fresh();
    let collector = Collector::start_with(&database);
    let telemetry = telemetry(&collector, "globex");
    let server = HttpServer::start(&telemetry, server_options);
    let options = sidecar_options(&collector, "globex");
    let proxy = Proxy::start(&server.url(""), &options);
    let mut client = Client::new(mode);
    client.telemetry = telemetry;
    let sent = client.run_http(&proxy.url("/mcp"), &script());
    server.stop();
    let story = Story {
        collector: &collector,
        database: &database,
        tenant: "globex",
        transport: "tcp",
        server_traces_itself: true,
    };
    story.check(&sent);
    let (summary, log) = proxy.stop_and_keep_log();
    log.assert_none_at("ERROR");
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), sent.len() as u64);
    assert_eq!(summary.dropped(), 0);
}

#[test]
fn over_stdio_in_the_legacy_era_every_call_is_stored_once() {
    story_over_stdio("legacy");
}

#[test]
fn over_stdio_in_the_modern_era_every_call_is_stored_once() {
    story_over_stdio("auto");
}

#[test]
fn over_http_on_the_legacy_wire_every_call_is_stored_once() {
    story_over_http("legacy", &[]);
}

#[test]
fn over_http_on_the_modern_wire_every_call_is_stored_once() {
    story_over_http("modern", &[]);
}

#[test]
fn over_http_with_json_answers_every_call_is_stored_once() {
    story_over_http("auto", &["--json"]);
}

/// A server of another maker, started the way `npx` starts it: by a shell that stays above it.
#[test]
fn behind_a_wrapper_a_node_server_is_recorded_the_same() {
    let database = Database::fresh();
    let collector = Collector::start_with(&database);
    let log = Log::default();
    let server = programs::node_module("@modelcontextprotocol/server-everything/dist/index.js");
    let script_text = format!("node '{}' stdio; exit $?", argument(&server));
    let command = stdio_command(
        &log,
        &sidecar_options(&collector, "acme"),
        &["sh", "-c", &script_text],
    );
    let mut client = Client::new("auto");
    client.telemetry = telemetry(&collector, "acme");
    let calls = json!([
        {"list": "tools"},
        {"call": "echo", "arguments": {"message": "hi"}, "times": 5},
        {"call": "get-sum", "arguments": {"a": 2, "b": 3}, "times": 5, "together": 5},
        {"call": "no-such-tool"},
    ]);
    let sent = client.run_stdio(&[], &command_line(&command), &calls);
    let story = Story {
        collector: &collector,
        database: &database,
        tenant: "acme",
        transport: "pipe",
        server_traces_itself: false,
    };
    story.check(&sent);
}

fn telemetry(collector: &Collector, tenant: &str) -> Telemetry {
    Telemetry {
        endpoint: collector.http_url().to_owned(),
        tenant: tenant.to_owned(),
    }
}

fn sidecar_options<'a>(collector: &'a Collector, tenant: &'a str) -> [&'a str; 6] {
    [
        "--tenant",
        tenant,
        "--otlp-endpoint",
        collector.grpc_url(),
        "--otlp-protocol",
        "grpc",
    ]
}

/// The command as a client is given it.
fn command_line(command: &std::process::Command) -> Vec<&str> {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_str().expect("arguments of UTF-8"))
        .collect()
}

/// What the client says of one request, in the words of `toolspan.outcome`.
fn expected_outcome(sent: &Sent) -> &str {
    match sent.outcome.as_str() {
        rpc if rpc.starts_with("rpc_error:") => "rpc_error",
        other => other,
    }
}
