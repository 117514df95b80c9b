//! Takes clients of HTTP in front of a stdio server, of every era, and kills them. Gives that nothing is left of them,
//! and no child beyond the life of a session that nobody uses.
//! Never ends a session as a client should: by DELETE nothing could be left.

use std::sync::atomic::{AtomicBool, Ordering};

use tests::http_wire::write_message;

use super::*;

/// Answers what has an id, under that id, but for what is to be held open.
const CHILD: &str = r#"while read -r line; do
    case $line in
        *hold*) ;;
        *'"id":'*)
            id=${line#*'"id":'}
            printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18"}}\n' "${id%%,*}" ;;
    esac
done"#;
const INITIALIZE: &[u8] = br#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
const HOLD: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hold","arguments":{}}}"#;

/// Kills clients of a bridge: no child, and nothing that a child has started, is left of them.
fn killed_at_the_bridge(count: usize, die: impl Fn(&Proxy) + Sync) {
    let marked = Marked::default();
    // Who died may come back to its session, but not for ever.
    let env = [marked.variable(), ("TOOLSPAN_SESSION_IDLE_SECONDS", "1")];
    let start = |options: &[&str]| Proxy::serving(&["sh", "-c", CHILD], options, &env);
    nothing_is_left(count, start, die, || marked.processes().len() == 1);
}

/// A POST or GET, to the byte.
fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let standard = [
        ("host", "localhost"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let headers = standard.iter().chain(headers);
    let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut out = Vec::new();
    let line = format!("{method} {path} HTTP/1.1");
    write_message(&mut out, &line, &headers.collect(), Some(body)).expect("memory takes it");
    out
}

fn connect(proxy: &Proxy) -> HttpClient {
    HttpClient::connect(proxy.address()).expect("the bridge listens")
}

/// One client of a session, killed before the session begins, on the stream of a POST or on the one of a GET.
fn die_in_a_session(proxy: &Proxy) {
    let mut client = connect(proxy);
    let begins = send_some(&mut client, &request("POST", "/mcp", &[], INITIALIZE));
    if !begins || fastrand::bool() {
        return die(client);
    }
    let head = client.read_head().expect("an answer");
    let session = head.header("mcp-session-id").expect("a session");
    let session = [("mcp-session-id", session)];
    let mut stream = connect(proxy);
    let whole = if fastrand::bool() {
        send_some(&mut stream, &request("POST", "/mcp", &session, HOLD))
    } else {
        send_some(&mut stream, &request("GET", "/mcp", &session, b""))
    };
    if whole && fastrand::bool() {
        let head = stream.read_head().expect("an answer");
        assert!(head.start_line.contains(" 200 "), "{head:?}");
    }
    die(stream);
    die(client);
}

#[test]
fn nothing_is_left_of_clients_killed_in_sessions_of_a_bridge() {
    killed_at_the_bridge(clients(60), die_in_a_session);
}

/// One client of the newest era, which shares its child with others, killed before or while it waits.
fn die_without_a_session(proxy: &Proxy) {
    let who = format!("Bearer {}", fastrand::u8(..4));
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let name = if fastrand::bool() { "hold" } else { "answer" };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}",{meta}}}}}"#
    );
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", name),
        ("authorization", who.as_str()),
    ];
    let mut client = connect(proxy);
    let whole = send_some(
        &mut client,
        &request("POST", "/mcp", &headers, body.as_bytes()),
    );
    if whole && name == "answer" && fastrand::bool() {
        let head = client.read_head().expect("an answer");
        assert!(head.start_line.contains(" 200 "), "{head:?}");
    }
    die(client);
}

#[test]
fn nothing_is_left_of_clients_killed_without_a_session_at_a_bridge() {
    killed_at_the_bridge(clients(400), die_without_a_session);
}

/// One client of HTTP+SSE, killed on the one stream it has, before or after it called; the coin says how far it comes.
fn die_on_the_only_stream(proxy: &Proxy, coin: impl Fn() -> bool) {
    let mut stream = connect(proxy);
    let whole = send_if(coin(), &mut stream, &request("GET", "/sse", &[], b""));
    if whole && coin() {
        stream.read_head().expect("an answer");
        let event = stream.next_chunk().expect("an event").expect("an event");
        let event = String::from_utf8(event).expect("text");
        let (_, uri) = event.trim_end().split_once("data: ").expect("a URI");
        let mut client = connect(proxy);
        let whole = send_if(coin(), &mut client, &request("POST", uri, &[], HOLD));
        if whole && coin() {
            let head = client.read_head().expect("an answer");
            assert!(head.start_line.contains(" 202 "), "{head:?}");
        }
        die(client);
    }
    die(stream);
}

#[test]
fn nothing_is_left_of_clients_killed_over_http_sse_at_a_bridge() {
    // One comes as far as a call: of a few dozen that toss coins none may.
    let called = AtomicBool::new(false);
    killed_at_the_bridge(clients(60), |proxy| {
        let surely = !called.swap(true, Ordering::Relaxed);
        die_on_the_only_stream(proxy, || surely || fastrand::bool());
    });
}
