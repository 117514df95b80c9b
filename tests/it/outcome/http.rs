//! Takes a scripted server behind the reverse proxy. Gives every end that a call has over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body, HttpPeer, Request};
use tests::otlp::{Mode, Receiver, dead_endpoint};
use tests::sidecar::Proxy;

use super::*;

#[derive(Clone, Copy, PartialEq)]
enum Era {
    Legacy,
    Modern,
}

/// Where an error of JSON-RPC comes under a status that says more: the tool, the status, the code.
const UNDER_A_STATUS: [(&str, u16, i64); 2] =
    [("waits_behind", 504, -32603), ("forgets", 404, -32001)];
const REFUSALS: [(&str, u16); 7] = [
    ("401", 401),
    ("403", 403),
    ("404", 404),
    ("429", 429),
    ("500", 500),
    ("503", 503),
    ("307", 307),
];

fn event(message: &str) -> Vec<u8> {
    format!("data: {message}\n\n").into_bytes()
}

fn events(messages: &[&str]) -> Vec<(Duration, Vec<u8>)> {
    let chunks = messages.iter().map(|message| event(message));
    chunks.map(|chunk| (Duration::ZERO, chunk)).collect()
}

const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;

/// The server does what the tool is called.
fn answer(request: &Request) -> Answer {
    let body = request.json();
    if body.get("id").is_none() {
        return Answer::new(202, "text/plain", Body::Whole(Vec::new()));
    }
    let name = body["params"]["name"].as_str().unwrap_or_default();
    let said = |rest: &str| format!(r#"{{"jsonrpc":"2.0","id":{},{rest}}}"#, body["id"]);
    if let Some((_, rest, ..)) = ANSWERS.iter().find(|(of, ..)| *of == name) {
        return Answer::json(said(rest));
    }
    if let Some((_, status, code)) = UNDER_A_STATUS.iter().find(|(of, ..)| *of == name) {
        let error = said(&format!(r#""error":{{"code":{code},"message":"m"}}"#));
        return Answer::new(*status, "application/json", Body::Whole(error.into()));
    }
    if let Some((_, status)) = REFUSALS.iter().find(|(of, _)| *of == name) {
        let text = Body::Whole(br#"{"error":"no"}"#.to_vec());
        return Answer::new(*status, "application/json", text);
    }
    let stream = |body: Body| Answer::new(200, "text/event-stream", body);
    let id = body["id"].as_str().unwrap_or_default();
    match name {
        "times_out" => Answer::new(504, "text/html", Body::Whole(b"<html>".to_vec())),
        "mumbles" => Answer::json("no json"),
        "accepts" => Answer::new(202, "text/plain", Body::Whole(Vec::new())),
        "encodes" => {
            let mut answer = Answer::json("??");
            let encoding = ("content-encoding".to_owned(), "br".to_owned());
            answer.headers.push(encoding);
            answer
        }
        "ends" => stream(Body::Chunks(events(&[PROGRESS]))),
        "breaks" => stream(Body::Broken(events(&[PROGRESS]))),
        "hangs_up" => stream(Body::HangUp),
        "asks" => stream(Body::Chunks(events(&[
            &question("asked"),
            &cancel("asked", "no longer needed"),
            &question("waited"),
            &cancel("waited", "timed out after 5s"),
            &said(r#""result":{}"#),
        ]))),
        "listens" => stream(Body::Chunks(events(&[
            PROGRESS,
            &cancel(id, "shutting down"),
        ]))),
        _ => stream(Body::Held(events(&[PROGRESS]))),
    }
}

fn call(era: Era, id: &str, method: &str, name: &str) -> Vec<u8> {
    let mut params = json!({"name": name});
    if era == Era::Modern {
        params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    }
    let request: Value = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    request.to_string().into_bytes()
}

fn headers(era: Era) -> Vec<(&'static str, &'static str)> {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    match era {
        Era::Legacy => headers.push(("mcp-session-id", "s-1")),
        Era::Modern => headers.push(("mcp-protocol-version", "2026-07-28")),
    }
    headers
}

fn connect(proxy: &Proxy) -> HttpClient {
    HttpClient::connect(proxy.address()).expect("the sidecar listens")
}

/// A call whose answer has begun, and goes on for as long as its client stays.
fn hold(proxy: &Proxy, era: Era, id: &str) -> HttpClient {
    let mut client = connect(proxy);
    let body = call(era, id, "tools/call", "holds");
    client
        .begin("POST", "/mcp", &headers(era), &body)
        .expect("a head");
    client.next_chunk().expect("an event").expect("an event");
    client
}

/// Makes a call, whatever comes of it.
fn ask(proxy: &Proxy, era: Era, id: &str, method: &str, name: &str) {
    let body = call(era, id, method, name);
    // Some of these answers break off.
    let _ = connect(proxy).send("POST", "/mcp", &headers(era), &body);
}

/// Tools whose one answer is how the call ends; the same in both eras.
fn answered(proxy: &Proxy, era: Era, word: &str) -> Vec<Ended> {
    let statuses = REFUSALS.map(|(name, _)| (name, "http_error", name, ""));
    let all = ANSWERS
        .map(|(name, _, outcome, error_type, code)| (name, outcome, error_type, code))
        .into_iter()
        .chain(statuses)
        .chain([
            ("times_out", "timed_out", "timed_out", ""),
            ("waits_behind", "timed_out", "-32603", "-32603"),
            // There it means a session that the server does not know.
            ("forgets", "rpc_error", "-32001", "-32001"),
            ("mumbles", "malformed", "malformed", ""),
            ("encodes", "unread", "", ""),
            ("accepts", "unread", "", ""),
            ("ends", "server_gone", "server_gone", ""),
            ("breaks", "server_gone", "server_gone", ""),
            ("hangs_up", "server_gone", "server_gone", ""),
        ]);
    all.map(|(name, outcome, error_type, code)| {
        let id = format!("{word} {name}");
        ask(proxy, era, &id, "tools/call", name);
        (id, outcome, error_type, code)
    })
    .collect()
}

fn start(upstream: &str, receiver: &Receiver, env: &[(&str, &str)]) -> Proxy {
    Proxy::start_with(upstream, &["--otlp-endpoint", &receiver.grpc_url()], env)
}

/// What a peer says or does while a call is open.
fn cut_short(proxy: &Proxy) -> Vec<Ended> {
    let mut gave_up = connect(proxy);
    for (id, reason) in [
        ("cancelled", "no longer needed"),
        ("gave up", "Request timed out"),
    ] {
        let held = hold(proxy, Era::Legacy, id);
        let cancel = cancel(id, reason);
        gave_up
            .send("POST", "/mcp", &headers(Era::Legacy), cancel.as_bytes())
            .expect("an answer");
        drop(held);
    }
    drop(hold(proxy, Era::Legacy, "left"));
    // There, closing the stream is the cancel.
    drop(hold(proxy, Era::Modern, "closed"));
    ask(proxy, Era::Legacy, "asking", "tools/call", "asks");
    ask(
        proxy,
        Era::Modern,
        "listening",
        "subscriptions/listen",
        "listens",
    );
    vec![
        ended("cancelled", CANCELLED),
        ended("gave up", TIMED_OUT),
        ended("left", ("client_gone", "client_gone")),
        ended("closed", CANCELLED),
        ended("asking", ("ok", "")),
        ended("asked", CALLED_OFF),
        ended("waited", TIMED_OUT),
        ended("listening", CALLED_OFF),
    ]
}

#[test]
fn every_end_of_a_call_has_its_word_over_http() {
    let upstream = HttpPeer::start(answer).expect("a port on loopback");
    let receiver = Receiver::start(Mode::Accept);
    let proxy = start(&upstream.url(""), &receiver, &[]);
    let mut expected = answered(&proxy, Era::Legacy, "legacy");
    expected.extend(answered(&proxy, Era::Modern, "modern"));
    expected.extend(cut_short(&proxy));
    let spans = receiver.wait_for_calls(expected.len());
    let summary = proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), expected.len() as u64);
    judge(&spans, &expected);
}

#[test]
fn every_end_that_is_ours_has_its_word_over_http() {
    let upstream = HttpPeer::start(answer).expect("a port on loopback");
    let receiver = Receiver::start(Mode::Accept);
    let (_bound, nobody) = dead_endpoint();
    let proxy = start(&nobody, &receiver, &[]);
    ask(&proxy, Era::Modern, "refused", "tools/call", "works");
    proxy.stop().assert_conserved();
    let limits = [
        ("TOOLSPAN_MAX_OPEN_CALLS", "1"),
        ("TOOLSPAN_DRAIN_SECONDS", "0"),
    ];
    let proxy = start(&upstream.url(""), &receiver, &limits);
    let _first = hold(&proxy, Era::Legacy, "oldest");
    let _second = hold(&proxy, Era::Modern, "last");
    let summary = proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("evicted"), 1);
    let expected = [
        ended("refused", ("unreachable", "unreachable")),
        ended("oldest", ("evicted", "evicted")),
        ended("last", ("shutdown", "shutdown")),
    ];
    judge(&receiver.wait_for_calls(expected.len()), &expected);
}
