//! Takes calls that end in every way there is, on each transport and in both eras. Gives that each span says how, with
//! the error and the status that belong to it, and that there is one span a call.
//! Never waits for a time: scripted peers say what ends a call.

use std::collections::BTreeMap;

use tests::otlp::Span;

mod http;
mod stdio;

/// How a call is to end: its request's id, `toolspan.outcome`, `error.type` and `rpc.response.status_code`, empty where
/// there is none.
type Ended = (String, &'static str, &'static str, &'static str);

/// What an answer says behind its id, and what that means.
type Meaning = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// By the name of the tool that answers so.
const ANSWERS: [Meaning; 9] = [
    ("works", r#""result":{"content":[]}"#, "ok", "", ""),
    (
        "fails",
        r#""result":{"isError":true}"#,
        "tool_error",
        "tool_error",
        "",
    ),
    (
        "refuses",
        r#""error":{"code":-32055,"message":"m"}"#,
        "rpc_error",
        "-32055",
        "-32055",
    ),
    // On the server's side what the caller did wrong is no error.
    (
        "corrects",
        r#""error":{"code":-32602,"message":"m"}"#,
        "rpc_error",
        "",
        "-32602",
    ),
    (
        "gives_up",
        r#""error":{"code":-32001,"message":"Request timed out"}"#,
        "timed_out",
        "-32001",
        "-32001",
    ),
    (
        "needs",
        r#""result":{"resultType":"input_required","requestState":"s"}"#,
        "input_required",
        "",
        "",
    ),
    (
        "defers",
        r#""result":{"resultType":"task","taskId":"t"}"#,
        "task_created",
        "",
        "",
    ),
    (
        "deferred",
        r#""result":{"task":{"taskId":"t"}}"#,
        "task_created",
        "",
        "",
    ),
    (
        "babbles",
        r#""error":{"message":"without a code"}"#,
        "malformed",
        "malformed",
        "",
    ),
];

const CANCELLED: (&str, &str) = ("cancelled_by_client", "cancelled");
const CALLED_OFF: (&str, &str) = ("cancelled_by_server", "cancelled");
const TIMED_OUT: (&str, &str) = ("timed_out", "timed_out");

/// A cancel of this request, in the sender's own words.
fn cancel(id: &str, reason: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":"{id}","reason":"{reason}"}}}}"#
    )
}

/// What a server asks its client.
fn question(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"sampling/createMessage","params":{{}}}}"#)
}

fn ended(id: &str, (outcome, error_type): (&'static str, &'static str)) -> Ended {
    (id.to_owned(), outcome, error_type, "")
}

fn judge(spans: &[Span], expected: &[Ended]) {
    let mut found: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.is_call()) {
        let id = span.text("jsonrpc.request.id");
        found.entry(id).or_default().push(span);
    }
    for (id, outcome, error_type, code) in expected {
        let spans = found.remove(id.as_str()).unwrap_or_default();
        let [span] = spans.as_slice() else {
            panic!("{id} has {} spans", spans.len());
        };
        let said = ["toolspan.outcome", "error.type", "rpc.response.status_code"];
        let said = said.map(|name| span.text(name));
        assert_eq!(said, [*outcome, *error_type, *code], "{id}");
        let status = if error_type.is_empty() { 0 } else { 2 };
        assert_eq!(span.status, status, "{id}");
        assert!(span.start <= span.end, "{id}");
    }
    assert!(found.is_empty(), "nobody sent {:?}", found.keys());
}
