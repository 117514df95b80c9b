//! Takes the server a client will meet. Gives the steps that the client runs against it.
//! Never differs between a direct run and one through the sidecar.

use serde_json::{Value, json};

/// The tool that says which trace context the server received.
pub const TRACE: &str = "call trace";

/// Every kind of answer a server of this project's own can give.
#[must_use]
pub fn steps() -> Value {
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
