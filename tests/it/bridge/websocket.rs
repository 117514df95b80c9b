//! Takes clients of WebSocket. Gives each its own child, every message as a frame, and every end with its reason.

use tests::splice;
use tests::websocket::{CLOSE, End, Frame, TEXT};

use super::*;

const PING: u8 = 9;
const PONG: u8 = 10;
const GOING_AWAY: u16 = 1001;

impl World {
    pub(super) fn websocket(&self, headers: &[(&str, &str)]) -> End {
        connect(&self.proxy, headers)
    }
}

fn connect(proxy: &Proxy, headers: &[(&str, &str)]) -> End {
    let end = End::connect(proxy.address(), "/ws", headers).expect("an answer");
    let said = &end.head.start_line;
    assert!(said.starts_with("HTTP/1.1 101 "), "{:?}", end.head);
    end
}

pub(super) fn say(end: &mut End, text: &str) {
    end.send(&Frame::of_client(TEXT, text)).expect("it is read");
}

fn frame(end: &mut End) -> Frame {
    let frame = end.receive().expect("a frame").expect("a frame");
    assert!(frame.fin && frame.mask.is_none(), "{frame:?}");
    frame
}

pub(super) fn hear(end: &mut End) -> Value {
    let frame = frame(end);
    assert_eq!(frame.opcode, TEXT, "{frame:?}");
    serde_json::from_slice(&frame.payload).expect("a message")
}

fn ask(end: &mut End, name: &str) -> Value {
    say(end, &call(&json!(9), name, &json!({})));
    hear(end)["result"].take()
}

/// The code of the close frame that comes now, and the end behind it.
pub(super) fn code(end: &mut End) -> Option<u16> {
    let frame = frame(end);
    assert_eq!(frame.opcode, CLOSE, "{frame:?}");
    assert_eq!(end.receive().expect("the end"), None);
    let code = frame.payload.first_chunk();
    code.map(|code| u16::from_be_bytes(*code))
}

fn child(end: &mut End) -> u32 {
    u32::try_from(ask(end, "pid")["pid"].as_u64().expect("a process")).expect("a process id")
}

fn initialize(end: &mut End) {
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {"sampling": {}},
        "clientInfo": {"name": "scripted", "version": "1"}}});
    say(end, &body.to_string());
    assert_eq!(hear(end)["result"]["serverInfo"]["name"], "child");
}

#[test]
fn the_handshake_is_answered_and_what_is_none_refused() {
    let world = World::start(&[], &[]);
    for path in ["/mcp", "/ws"] {
        let offered = ("Sec-WebSocket-Protocol", "other, mcp");
        let compressed = ("Sec-WebSocket-Extensions", "permessage-deflate");
        let address = world.proxy.address();
        let end = End::connect(address, path, &[offered, compressed]).expect("an answer");
        let head = &end.head;
        assert!(head.start_line.starts_with("HTTP/1.1 101 "), "{head:?}");
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(head.header("sec-websocket-accept"), Some(accept));
        assert_eq!(head.header("sec-websocket-protocol"), Some("mcp"));
        assert_eq!(head.header("sec-websocket-extensions"), None);
    }
    let wish = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "mcp"),
        ("origin", "http://localhost"),
    ];
    for (name, value, status) in [
        ("origin", "http://evil.example", 403),
        ("sec-websocket-version", "8", 426),
        ("upgrade", "h2c", 426),
        ("connection", "keep-alive", 400),
        ("sec-websocket-key", "short", 400),
        ("sec-websocket-protocol", "other", 400),
    ] {
        let mut headers = wish;
        let header = headers.iter_mut().find(|(known, _)| *known == name);
        header.expect("a header of a wish").1 = value;
        let answer = world.client().send("GET", "/ws", &headers);
        assert_eq!(answer.status, status, "{name}: {value}");
        let version = answer.header("sec-websocket-version");
        assert_eq!(version, (status == 426).then_some("13"));
        // What asked for a WebSocket is the last of its connection.
        let said = answer.header("connection").unwrap_or_default();
        assert_eq!(said.contains("close"), value != "h2c", "{name}: {said}");
    }
    assert_eq!(world.client().send("POST", "/ws", &wish).status, 405);
    world.calls(0);
}

#[test]
fn a_message_becomes_a_line_with_its_context_and_a_line_a_message() {
    let options = ["--tenant-from", "header:x-tenant"];
    let world = World::start(&options, &[]);
    let mut end = world.websocket(&[("traceparent", PARENT), ("x-tenant", "acme")]);
    initialize(&mut end);
    let body = "{\"jsonrpc\" : \"2.0\",\n \"id\":\"\\u0061\",\r\n\"method\":\"tools/call\",\"params\":{\"name\":\"line\",\"big\":1.0e2}}";
    // In pieces, with something between them.
    let (first, second) = body.split_at(20);
    let piece = Frame::of_client(TEXT, first).unfinished();
    end.send(&piece).expect("it is read");
    end.send(&Frame::of_client(PING, "p")).expect("it is read");
    assert_eq!(frame(&mut end), Frame::of_server(PONG, "p"));
    let piece = Frame::of_client(0, second);
    end.send(&piece).expect("it is read");
    let answer = hear(&mut end);
    let line = answer["result"]["line"].as_str().expect("a line");
    end.send(&Frame::of_client(CLOSE, b"\x0b\xb8bye".as_slice()))
        .expect("it is read");
    assert_eq!(code(&mut end), Some(3000), "the client's own code");
    let spans = world.calls(2);
    let call = |span: &&Span| span.text("mcp.method.name") == "tools/call";
    let span = spans.iter().find(call).expect("the call");
    let context = format!("00-{}-{}-01", span.trace_id, span.span_id);
    let meta = format!("\"params\":{{\"_meta\":{{\"traceparent\":\"{context}\"}},");
    let sent = body.replace(['\n', '\r'], " ");
    assert_eq!(line, sent.replace("\"params\":{", &meta));
    for (name, value) in [
        ("toolspan.parent.source", "header"),
        ("tenant.id", "acme"),
        ("network.transport", "tcp"),
        ("network.protocol.name", "websocket"),
        ("mcp.protocol.version", "2025-11-25"),
        ("toolspan.outcome", "ok"),
    ] {
        assert_eq!(span.text(name), value, "{name}");
    }
    assert_eq!(span.parent_span_id, "b7ad6b7169203331");
}

#[test]
fn a_question_of_the_server_is_answered_inside_of_the_call() {
    let world = World::start(&[], &[]);
    let mut end = world.websocket(&[]);
    say(&mut end, &call(&json!(1), "ask", &json!({})));
    let question = frame(&mut end);
    let asked = r#"{"jsonrpc":"2.0","id":"ask-1","method":"sampling/createMessage","params":{"maxTokens":5}}"#;
    splice::judge_all_injected(asked.as_bytes(), &question.payload)
        .unwrap_or_else(|why| panic!("{why}"));
    let said = json!({"jsonrpc": "2.0", "id": "ask-1", "result": {"model": "m"}});
    say(&mut end, &said.to_string());
    let answer = hear(&mut end);
    assert_eq!(answer["id"], 1);
    assert_eq!(answer["result"]["said"]["model"], "m");
    let spans = world.calls(2);
    let of = |kind: i32| spans.iter().find(|span| span.kind == kind).expect("a span");
    assert_eq!(of(3).parent_span_id, of(2).span_id);
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_with_its_code_and_the_child() {
    let world = World::start(&[], &[("TOOLSPAN_MAX_MESSAGE_BYTES", "70000")]);
    let mut unmasked = Frame::of_client(TEXT, "{}");
    unmasked.mask = None;
    let mut compressed = Frame::of_client(TEXT, "{}");
    compressed.compressed = true;
    for (frames, expected) in [
        (vec![unmasked], Some(1002)),
        (vec![compressed], Some(1002)),
        (vec![Frame::of_client(0, "{}")], Some(1002)),
        (vec![Frame::of_client(2, "{}")], Some(1003)),
        (vec![Frame::of_client(TEXT, b"\xff".as_slice())], Some(1007)),
        (vec![Frame::of_client(TEXT, " ".repeat(70_001))], Some(1009)),
        (
            vec![
                Frame::of_client(TEXT, " ".repeat(70_000)).unfinished(),
                Frame::of_client(0, "{}"),
            ],
            Some(1009),
        ),
        (vec![Frame::of_client(CLOSE, "")], None),
    ] {
        let mut end = world.websocket(&[]);
        let child = child(&mut end);
        for frame in frames {
            end.send(&frame).expect("it is read");
        }
        assert_eq!(code(&mut end), expected);
        wait_until_gone(child);
    }
    // An answer that is too large is our own failure.
    let mut end = world.websocket(&[]);
    let child = child(&mut end);
    say(&mut end, &call(&json!(0), "hold", &json!({})));
    say(&mut end, &call(&json!(1), "big", &json!({"bytes": 80_000})));
    assert_eq!(code(&mut end), Some(1011));
    wait_until_gone(child);
    let spans = world.calls(11);
    let of = |id: &str| {
        let of = |span: &&Span| {
            let outcome = span.text("toolspan.outcome");
            span.text("jsonrpc.request.id") == id && outcome != "ok"
        };
        spans
            .iter()
            .find(of)
            .map(|span| span.text("toolspan.outcome"))
    };
    assert_eq!(of("1"), Some("unread"));
    assert_eq!(of("0"), Some("evicted"), "its client was there");
}

#[test]
fn a_child_that_ends_is_told_by_the_close() {
    let world = World::start(&[], &[]);
    let mut end = world.websocket(&[]);
    say(&mut end, &call(&json!(1), "exit", &json!({})));
    assert_eq!(code(&mut end), Some(1011));
    let [span] = world.calls(1).try_into().expect("one span");
    assert_eq!(span.text("toolspan.outcome"), "server_gone");
    // Its last words come first.
    let proxy = Proxy::serving(&["sh", "-c", "echo '{\"a\":1}'; echo no json"], &[], &[]);
    let mut end = connect(&proxy, &[]);
    assert_eq!(hear(&mut end), json!({"a": 1}));
    assert_eq!(code(&mut end), Some(1000));
    let proxy = Proxy::serving(&["no-such-command-anywhere"], &[], &[]);
    let mut end = connect(&proxy, &[]);
    let close = frame(&mut end);
    assert_eq!(close.payload.first_chunk(), Some(&1011_u16.to_be_bytes()));
    assert!(close.text().contains("no-such-command-anywhere"));
}

#[test]
fn a_client_that_is_gone_leaves_no_child() {
    let world = World::start(&[], &[("TOOLSPAN_MAX_SESSIONS", "1")]);
    let mut end = world.websocket(&[]);
    let first = child(&mut end);
    let full = End::connect(world.proxy.address(), "/ws", &[]).expect("an answer");
    assert!(full.head.start_line.contains(" 503 "), "{:?}", full.head);
    say(&mut end, &call(&json!(1), "hold", &json!({})));
    end.reset().expect("a reset");
    wait_until_gone(first);
    let mut end = eventually("room for another child", PATIENCE, || {
        let end = End::connect(world.proxy.address(), "/ws", &[]).expect("an answer");
        end.head.start_line.contains(" 101 ").then_some(end)
    });
    let second = child(&mut end);
    end.half_close().expect("it is open");
    wait_until_gone(second);
    let spans = world.calls(3);
    let outcomes = |span: &&Span| span.text("toolspan.outcome") == "client_gone";
    assert_eq!(spans.iter().filter(outcomes).count(), 1);
}

/// Its input is full, so that it never sees the end of it.
#[test]
fn a_client_that_is_gone_leaves_no_child_that_reads_nothing() {
    let script = "echo \"{\\\"pid\\\":$$}\"; exec sleep 1000";
    let proxy = Proxy::serving(&["sh", "-c", script], &[], &[]);
    let mut end = connect(&proxy, &[]);
    let child = hear(&mut end)["pid"].as_u64().expect("a process");
    say(&mut end, &"x".repeat(1 << 20));
    drop(end);
    wait_until_gone(u32::try_from(child).expect("a process id"));
}

#[test]
fn a_client_that_reads_late_misses_nothing() {
    let world = World::start(&[], &[]);
    let mut end = world.websocket(&[]);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "flood", "arguments": {"count": 300}, "_meta": {"progressToken": "t"}}});
    say(&mut end, &body.to_string());
    say(&mut end, &call(&json!(2), "pid", &json!({})));
    for number in 0..300 {
        assert_eq!(hear(&mut end)["params"]["progress"], number);
    }
    assert_eq!(hear(&mut end)["id"], 1);
    assert_eq!(hear(&mut end)["id"], 2);
    world.calls(2);
}

/// Stops the sidecar while one connection has an open call and another has none.
fn stop(world: World) -> (Vec<Span>, Summary, [Option<u16>; 2]) {
    let (mut idle, mut busy) = (world.websocket(&[]), world.websocket(&[]));
    let children = [child(&mut idle), child(&mut busy)];
    say(
        &mut busy,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hold","_meta":{"progressToken":1}}}"#,
    );
    assert_eq!(hear(&mut busy)["params"]["progress"], 1);
    let (summary, log) = world.proxy.stop_and_keep_log();
    log.assert_none_at("ERROR");
    let codes = [code(&mut idle), code(&mut busy)];
    assert!(children.iter().all(|child| !is_alive(*child)));
    (world.otlp.wait_for_calls(3), summary, codes)
}

#[test]
fn our_own_end_closes_what_is_idle_at_once_and_the_rest_at_the_deadline() {
    let world = World::start(&[], &[("TOOLSPAN_DRAIN_SECONDS", "1")]);
    let (spans, summary, codes) = stop(world);
    assert_eq!(codes, [Some(GOING_AWAY); 2]);
    summary.assert_conserved();
    let shut = |span: &&Span| span.text("toolspan.outcome") == "shutdown";
    assert_eq!(spans.iter().filter(shut).count(), 1);
}

#[test]
fn switched_off_a_websocket_is_bridged_all_the_same() {
    let world = World::start(&[], &[("TOOLSPAN_DISABLED", "1")]);
    let mut end = world.websocket(&[("traceparent", PARENT)]);
    let body = call(&json!(1), "line", &json!({}));
    say(&mut end, &body);
    assert_eq!(hear(&mut end)["result"]["line"], body);
    drop(end);
    assert_eq!(world.otlp.received().attempts, 0);
}
