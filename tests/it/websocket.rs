//! Takes JSON-RPC over WebSocket through a hop. Gives that frames arrive as they were sent but for the context, that
//! every call is recorded once, and that neither side outlives the other.
//! Never sends a frame that a test did not write.

use tests::http_peer::{Answer, Body, HttpPeer};
use tests::otlp::{Mode, Receiver, Span};
use tests::process::{PATIENCE, eventually};
use tests::sidecar::{Proxy, Summary};
use tests::splice;
use tests::websocket::{CLOSE, End, Frame, Server, TEXT};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Both ends of one connection, and what stands between.
struct Connection {
    receiver: Receiver,
    proxy: Proxy,
    client: End,
    server: End,
}

fn connect(headers: &[(&str, &str)], options: &[&str]) -> Connection {
    let upstream = Server::start();
    let receiver = Receiver::start(Mode::Accept);
    let url = receiver.grpc_url();
    let mut all = vec!["--tenant", "acme", "--otlp-endpoint", &url];
    all.extend_from_slice(options);
    let proxy = Proxy::start(&upstream.url(), &all);
    let client = End::connect(proxy.address(), "/ws?a=b", headers).expect("an answer");
    let server = upstream.accept();
    Connection {
        receiver,
        proxy,
        client,
        server,
    }
}

impl Connection {
    /// Sends it from the client, and gives what the server got.
    fn up(&mut self, frame: &Frame) -> Frame {
        self.client.send(frame).expect("it is read");
        self.server.receive().expect("a frame").expect("a frame")
    }

    fn down(&mut self, frame: &Frame) -> Frame {
        self.server.send(frame).expect("it is read");
        self.client.receive().expect("a frame").expect("a frame")
    }

    fn ended(self, calls: usize) -> (Vec<Span>, Summary) {
        let spans = self.receiver.wait_for_calls(calls);
        drop((self.client, self.server));
        let summary = self.proxy.stop();
        summary.assert_conserved();
        assert_eq!(summary.count("calls_seen"), calls as u64);
        (spans, summary)
    }
}

fn text_of_client(text: &str) -> Frame {
    Frame::of_client(TEXT, text)
}

fn text_of_server(text: &str) -> Frame {
    Frame::of_server(TEXT, text)
}

#[test]
fn the_handshake_passes_as_it_is() {
    let headers = [
        ("Sec-WebSocket-Protocol", "mcp"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Origin", "http://a.example"),
        ("Authorization", "Bearer t"),
    ];
    let connection = connect(&headers, &[]);
    let asked = &connection.server.head;
    assert_eq!(asked.start_line, "GET /ws?a=b HTTP/1.1");
    for (name, value) in headers {
        assert_eq!(asked.header(name), Some(value));
    }
    assert_eq!(asked.header("upgrade"), Some("websocket"));
    assert_eq!(asked.header("connection"), Some("Upgrade"));
    assert_eq!(asked.header("sec-websocket-version"), Some("13"));
    let host = connection.proxy.address().to_string();
    assert_eq!(asked.header("host"), Some(host.as_str()));
    let said = &connection.client.head;
    assert!(said.start_line.starts_with("HTTP/1.1 101 "), "{said:?}");
    assert_eq!(said.header("sec-websocket-protocol"), Some("mcp"));
    assert_eq!(said.header("sec-websocket-extensions"), None);
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert_eq!(said.header("sec-websocket-accept"), Some(accept));
    connection.ended(0);
}

#[test]
fn a_call_gets_its_context_and_its_answer_and_all_else_passes_untouched() {
    let mut connection = connect(&[("traceparent", PARENT)], &[]);
    let arrived = connection.up(&text_of_client(CALL));
    assert!(arrived.fin && arrived.mask.is_some());
    splice::judge_all_injected(CALL.as_bytes(), &arrived.payload)
        .unwrap_or_else(|why| panic!("{why}"));
    for frame in [
        text_of_client(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
        Frame::of_client(2, b"\x00binary\xff".as_slice()),
        Frame::of_client(9, "ping"),
        text_of_client("no json"),
    ] {
        assert_eq!(connection.up(&frame), frame);
    }
    for frame in [
        Frame::of_server(10, "ping"),
        text_of_server(&(RESULT.to_owned() + &" ".repeat(70_000))),
    ] {
        assert_eq!(connection.down(&frame), frame);
    }
    // What may still turn out to be a request goes on when it is complete: in the pieces it came in.
    let head = text_of_server(r#"{"jsonrpc":"2.0","#).unfinished();
    let tail = Frame::of_server(0, r#""method":"notifications/progress"}"#);
    connection.server.send(&head).expect("it is read");
    assert_eq!(connection.down(&tail), head);
    assert_eq!(connection.client.receive().expect("a frame"), Some(tail));
    let (spans, summary) = connection.ended(1);
    let [span] = spans.try_into().expect("one span");
    assert_eq!(span.text("toolspan.outcome"), "ok");
    assert_eq!(span.text("network.protocol.name"), "websocket");
    assert_eq!(span.text("tenant.id"), "acme");
    assert_eq!(span.parent_span_id, "b7ad6b7169203331");
    let context = format!("00-{}-{}-01", span.trace_id, span.span_id);
    assert!(arrived.text().contains(&context), "{}", arrived.text());
    assert_eq!(summary.count("unreadable"), 1, "the binary message");
    assert_eq!(summary.count("malformed"), 1, "what is no JSON");
}

#[test]
fn a_call_in_pieces_arrives_as_one_frame_and_a_ping_overtakes_it() {
    let mut connection = connect(&[], &[]);
    let (head, tail) = CALL.split_at(20);
    let ping = Frame::of_client(9, "p");
    connection
        .client
        .send(&text_of_client(head).unfinished())
        .expect("it is read");
    assert_eq!(connection.up(&ping), ping);
    let arrived = connection.up(&Frame::of_client(0, tail));
    assert!(arrived.fin && arrived.opcode == TEXT, "{arrived:?}");
    splice::judge_all_injected(CALL.as_bytes(), &arrived.payload)
        .unwrap_or_else(|why| panic!("{why}"));
    connection.down(&text_of_server(RESULT));
    connection.ended(1);
}

#[test]
fn a_request_of_the_server_belongs_to_the_call_that_waits() {
    let mut connection = connect(&[], &[]);
    connection.up(&text_of_client(CALL));
    let asks = r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#;
    let arrived = connection.down(&text_of_server(asks));
    assert!(arrived.mask.is_none(), "a server's frames have no mask");
    splice::judge_all_injected(asks.as_bytes(), &arrived.payload)
        .unwrap_or_else(|why| panic!("{why}"));
    connection.up(&text_of_client(
        r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#,
    ));
    connection.down(&text_of_server(RESULT));
    let (spans, _) = connection.ended(2);
    let of = |kind: i32| spans.iter().find(|span| span.kind == kind).expect("a span");
    assert_eq!(of(3).parent_span_id, of(2).span_id);
    assert_eq!(of(3).text("toolspan.outcome"), "ok");
}

#[test]
fn what_is_too_long_or_compressed_passes_untouched_and_is_counted_by_reason() {
    let mut connection = connect(&[], &["--max-inject-bytes", "60"]);
    let long = text_of_client(CALL);
    assert_eq!(connection.up(&long), long);
    // `{"id":2,"method":"ping"}` in one stored block.
    let plain = br#"{"id":2,"method":"ping"}"#;
    let mut packed = vec![0, 24, 0, 231, 255];
    packed.extend_from_slice(plain);
    packed.push(0);
    let mut compressed = Frame::of_client(TEXT, packed);
    compressed.compressed = true;
    assert_eq!(connection.up(&compressed), compressed);
    connection.down(&text_of_server(RESULT));
    connection.down(&text_of_server(r#"{"id":2,"result":{}}"#));
    let (spans, summary) = connection.ended(2);
    assert!(
        spans
            .iter()
            .all(|span| span.text("toolspan.outcome") == "ok")
    );
    assert_eq!(summary.count("not_injected_too_large"), 1);
    assert_eq!(summary.count("not_injected_content_encoding"), 1);
}

/// Ends a connection this way while a call is open, and gives how the call ended.
fn end(mut leave: impl FnMut(&mut Connection)) -> String {
    let mut connection = connect(&[], &[]);
    connection.up(&text_of_client(CALL));
    leave(&mut connection);
    let (spans, _) = connection.ended(1);
    spans[0].text("toolspan.outcome").to_owned()
}

#[test]
fn when_one_side_leaves_the_other_learns_of_it_and_the_call_ends_by_it() {
    let client_closes = end(|connection| {
        let close = Frame::of_client(CLOSE, b"\x03\xe9bye".as_slice());
        assert_eq!(connection.up(&close), close);
        // The one that is asked ends the connection, though the other wished it.
        let close = Frame::of_server(CLOSE, b"\x03\xe9bye".as_slice());
        assert_eq!(connection.down(&close), close);
        connection.server.half_close().expect("it is open");
        assert_eq!(connection.client.receive().expect("the end"), None);
        connection.client.half_close().expect("it is open");
        assert_eq!(connection.server.receive().expect("the end"), None);
    });
    assert_eq!(client_closes, "client_gone");
    let client_dies = end(|connection| {
        connection.client.half_close().expect("it is open");
        assert_eq!(connection.server.receive().expect("the end"), None);
        connection.server.half_close().expect("it is open");
    });
    assert_eq!(client_dies, "client_gone");
    let server_dies = end(|connection| {
        connection.server.half_close().expect("it is open");
        assert_eq!(connection.client.receive().expect("the end"), None);
        connection.client.half_close().expect("it is open");
    });
    assert_eq!(server_dies, "server_gone");
}

#[test]
fn a_side_that_is_reset_resets_the_other() {
    let mut connection = connect(&[], &[]);
    connection.up(&text_of_client(CALL));
    connection.server.reset().expect("a reset");
    let Connection {
        receiver,
        proxy,
        mut client,
        ..
    } = connection;
    eventually("the end of the client's connection", PATIENCE, || {
        matches!(client.receive(), Ok(None) | Err(_)).then_some(())
    });
    let [span] = receiver.wait_for_calls(1).try_into().expect("one span");
    assert_eq!(span.text("toolspan.outcome"), "server_gone");
    proxy.stop().assert_conserved();
}

#[test]
fn a_server_that_says_no_is_heard_and_nothing_follows_on_the_connection() {
    let upstream =
        HttpPeer::start(|_| Answer::new(403, "text/plain", Body::Whole(b"not for you".to_vec())))
            .expect("a port on loopback");
    let receiver = Receiver::start(Mode::Accept);
    let proxy = Proxy::start(
        &upstream.url(""),
        &["--otlp-endpoint", &receiver.grpc_url()],
    );
    let mut end = End::connect(proxy.address(), "/ws", &[]).expect("an answer");
    assert!(
        end.head.start_line.starts_with("HTTP/1.1 403 "),
        "{:?}",
        end.head
    );
    assert_eq!(end.head.header("connection"), Some("close"));
    assert_eq!(end.read_to_end().expect("the end"), b"not for you");
    proxy.stop().assert_conserved();
}

#[test]
fn switched_off_every_frame_passes_as_it_is() {
    let upstream = Server::start();
    let proxy = Proxy::start_with(&upstream.url(), &[], &[("TOOLSPAN_DISABLED", "1")]);
    let mut client = End::connect(proxy.address(), "/ws", &[]).expect("an answer");
    let mut server = upstream.accept();
    let call = text_of_client(CALL);
    client.send(&call).expect("it is read");
    assert_eq!(server.receive().expect("a frame"), Some(call));
}
