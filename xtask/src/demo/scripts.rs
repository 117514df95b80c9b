//! Takes nothing. Gives what the clients of the demo do, as scripts of steps.
//! Never asks for what a server cannot do: each script belongs to one kind of server.

use serde_json::{Value, json};

/// Some hundred calls of the reference server's tools, some of them wrong.
pub fn everything_work() -> Value {
    let long = "trigger-long-running-operation";
    json!([
        {"list": "tools"},
        {"call": "echo", "arguments": {"message": "hello"}, "times": 80, "together": 4},
        {"call": "get-sum", "arguments": {"a": 2, "b": 40}, "times": 60, "together": 2},
        {"call": "get-tiny-image", "times": 10},
        {"call": long, "arguments": {"duration": 0.5, "steps": 5}, "times": 4, "together": 4, "progress": true},
        {"call": "get-sum", "arguments": {"a": "two", "b": []}, "times": 6},
        {"call": "no-such-tool", "times": 3},
        {"resource": "demo://nowhere", "times": 2},
        {"prompt": "simple-prompt", "times": 5},
        {"call": long, "arguments": {"duration": 20, "steps": 2}, "timeout": 0.3, "times": 3, "together": 3},
    ])
}

pub fn everything_killed() -> Value {
    json!([
        {"call": "echo", "arguments": {"message": "last words"}, "times": 2},
        {"call": "trigger-long-running-operation", "arguments": {"duration": 20, "steps": 2}, "die_after": 0.3},
    ])
}

/// Some hundred calls of the fixture's tools, some of which fail as their names say.
pub fn fixture_work() -> Value {
    json!([
        {"list": "tools"},
        {"call": "echo", "arguments": {"text": "hello"}, "times": 80, "together": 4},
        {"call": "add", "arguments": {"a": 2, "b": 40}, "times": 60, "together": 2},
        {"call": "big", "arguments": {"bytes": 300_000}, "times": 5},
        {"call": "slow", "arguments": {"seconds": 0.2}, "times": 8, "together": 4},
        {"call": "slow", "arguments": {"seconds": 2.5}},
        {"call": "tool_error", "arguments": {"message": "no such order"}, "times": 7},
        {"call": "rpc_error", "arguments": {"message": "backend says no"}, "times": 5},
        {"call": "slow", "arguments": {"seconds": 20}, "timeout": 0.3, "times": 3, "together": 3},
    ])
}

pub fn fixture_killed() -> Value {
    json!([
        {"call": "echo", "arguments": {"text": "last words"}, "times": 2},
        {"call": "slow", "arguments": {"seconds": 20}, "die_after": 0.3},
    ])
}

/// A step that is never reached: the server turns the client away at once.
pub fn refused() -> Value {
    json!([{"list": "tools"}])
}

/// The pause lets the server's own spans leave before it dies. Over pipes nothing can follow.
pub fn child_dies() -> Value {
    json!([
        {"call": "slow", "arguments": {"seconds": 0.5}},
        {"call": "crash"},
    ])
}

/// The same over HTTP, where the last calls find nobody.
pub fn server_dies() -> Value {
    json!([
        {"call": "slow", "arguments": {"seconds": 0.5}},
        {"call": "crash"},
        {"call": "echo", "arguments": {"text": "anyone?"}, "times": 2},
    ])
}
