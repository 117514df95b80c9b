//! Takes one JSON-RPC message of a client. Gives what an MCP server of the session era says to it.
//! Never looks at how the message came: the same script answers over HTTP and over pipes.

pub mod hold;
pub mod http;
pub mod stdio;

use std::borrow::Cow;

use anyhow::Result;
use serde::Deserialize;
use serde_json::value::RawValue;

/// As much of a message as the script acts on. Hops write JSON in their own spacing and order.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "protocolVersion")]
    protocol_version: Option<Cow<'a, str>>,
    arguments: Option<Arguments>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Arguments {
    events: Option<u64>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
}

/// What goes back.
pub enum Reply {
    /// A notification or a response: there is no answer to it.
    Nothing,
    One(Vec<u8>),
    /// The answer to `initialize`, which over HTTP names the session.
    Welcome(Vec<u8>),
    /// A stream: its first event, then, when the bench says so, the answer.
    Held {
        event: Vec<u8>,
        answer: Vec<u8>,
    },
    /// A stream of so many events at once, then the answer.
    Events {
        event: Vec<u8>,
        count: u64,
        answer: Vec<u8>,
    },
}

/// # Errors
/// When the message is not JSON-RPC.
pub fn reply_to(message: &[u8]) -> Result<Reply> {
    let message: Message = serde_json::from_slice(message)?;
    let (Some(id), Some(method)) = (message.id, message.method) else {
        return Ok(Reply::Nothing);
    };
    let params = message.params.as_ref();
    Ok(match &*method {
        "initialize" => {
            let asked = params.and_then(|params| params.protocol_version.as_deref());
            Reply::Welcome(welcome(id, asked.unwrap_or("2025-06-18")))
        }
        "ping" => Reply::One(result(id, "{}")),
        "tools/list" => Reply::One(result(id, &tools())),
        "tools/call" => called(id, params),
        _ => Reply::One(
            format!(
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32601,"message":"no such method"}}}}"#,
                id.get()
            )
            .into_bytes(),
        ),
    })
}

fn called(id: &RawValue, params: Option<&Params>) -> Reply {
    const HELLO: &str = r#"{"content":[{"type":"text","text":"hello"}]}"#;
    let answer = result(id, HELLO);
    let token = params.and_then(|params| params.meta.as_ref()?.progress_token);
    let event = || {
        let token = token.map_or("0", RawValue::get);
        format!(
            concat!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","#,
                r#""params":{{"progressToken":{},"progress":1,"total":2}}}}"#
            ),
            token
        )
        .into_bytes()
    };
    let count = params.and_then(|params| params.arguments.as_ref()?.events);
    match params.and_then(|params| params.name.as_deref()) {
        Some("stream") => Reply::Held {
            event: event(),
            answer,
        },
        Some("events") => Reply::Events {
            event: event(),
            count: count.unwrap_or(1),
            answer,
        },
        _ => Reply::One(answer),
    }
}

fn result(id: &RawValue, result: &str) -> Vec<u8> {
    let id = id.get();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes()
}

fn welcome(id: &RawValue, version: &str) -> Vec<u8> {
    // The version was a JSON string of the client's; one that needs escapes is no version.
    let version = serde_json::Value::from(version);
    result(
        id,
        &format!(
            concat!(
                r#"{{"protocolVersion":{},"capabilities":{{"tools":{{}}}},"#,
                r#""serverInfo":{{"name":"scripted","version":"1"}}}}"#
            ),
            version
        ),
    )
}

fn tools() -> String {
    let tools = ["echo", "stream", "events"].map(|name| {
        format!(r#"{{"name":"{name}","description":"{name}","inputSchema":{{"type":"object"}}}}"#)
    });
    format!(r#"{{"tools":[{}]}}"#, tools.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(message: &str) -> String {
        match reply_to(message.as_bytes()).unwrap() {
            Reply::One(text) | Reply::Welcome(text) => String::from_utf8(text).unwrap(),
            _ => panic!("not one answer to {message}"),
        }
    }

    #[test]
    fn an_id_comes_back_as_it_was_written() {
        let answer = answered(r#"{ "method" : "tools/call", "id" : "a b" }"#);
        assert!(answer.contains(r#""id":"a b","result""#), "{answer}");
    }

    #[test]
    fn a_welcome_speaks_the_asked_version() {
        let asked = r#"{"id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
        assert!(answered(asked).contains(r#""protocolVersion":"2025-11-25""#));
    }

    #[test]
    fn progress_names_the_token_of_the_call() {
        let call = concat!(
            r#"{"id":1,"method":"tools/call","params":"#,
            r#"{"name":"stream","_meta":{"progressToken":"t"}}}"#
        );
        let Reply::Held { event, .. } = reply_to(call.as_bytes()).unwrap() else {
            panic!("not held");
        };
        assert!(
            String::from_utf8(event)
                .unwrap()
                .contains(r#""progressToken":"t""#)
        );
    }

    #[test]
    fn a_notification_has_no_answer() {
        let reply = reply_to(br#"{"method":"notifications/initialized"}"#).unwrap();
        assert!(matches!(reply, Reply::Nothing));
    }
}
