//! Takes the server a client will meet. Gives the steps that the client runs against it.
//! Never differs between a direct run and one through the sidecar.

use serde_json::{Value, json};

use super::sdk::Sdk;

/// The tool that says which trace context the server received.
pub const TRACE: &str = "call trace";

/// The steps for a server.
#[must_use]
pub fn steps(server: Sdk) -> Value {
    match server {
        Sdk::Everything => for_everything(),
        _ => for_own_servers(),
    }
}

/// `server-everything` has tools of its own; none says which trace context it received.
fn for_everything() -> Value {
    json!([
        {"do": "tools"},
        {"do": "call", "name": "echo", "arguments": {"message": "h\u{e9}llo \u{1f30d} \" \\ 9007199254740993"}},
        {"do": "call", "name": "get-sum", "arguments": {"a": 2, "b": 40}},
        {"do": "call", "name": "get-structured-content", "arguments": {"location": "Chicago"}},
        {"do": "call", "name": "trigger-long-running-operation", "arguments": {"duration": 0.3, "steps": 3}},
        {"do": "call", "name": "trigger-elicitation-request", "arguments": {}},
        {"do": "call", "name": "nothing", "arguments": {}},
        {"do": "resource", "uri": "demo://nothing"},
        {"do": "prompt", "name": "args-prompt", "arguments": {"city": "Leipzig"}},
    ])
}

/// Every kind of answer a server of this project's own can give.
fn for_own_servers() -> Value {
    json!([
        {"do": "tools"},
        {"do": "call", "name": "echo", "arguments": {"text": "h\u{e9}llo \u{1f30d} \" \\ \u{0} 9007199254740993"}},
        {"do": "call", "name": "add", "arguments": {"a": 2, "b": 40}},
        {"do": "call", "name": "fail", "arguments": {"message": "no such order"}},
        {"do": "call", "name": "progress", "arguments": {"n": 3}},
        {"do": "call", "name": "trace", "arguments": {}},
        {"do": "call", "name": "ask", "arguments": {}},
        {"do": "call", "name": "nothing", "arguments": {}},
        {"do": "resource", "uri": "fixture://note"},
        {"do": "prompt", "name": "greet", "arguments": {"name": "Ann"}},
    ])
}
