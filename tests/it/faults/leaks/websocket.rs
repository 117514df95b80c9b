//! Takes clients of WebSocket that are killed in their handshake, in a frame and in a call. Gives that nothing is left.
//! Never lets the server end a connection first: what ends it must be the client's death.

use tests::websocket::{End, Frame, Many, TEXT};

use super::*;

/// A wish for a WebSocket, to the byte.
const WISH: &[u8] = b"GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

/// One client, killed somewhere between its first byte and its answer.
fn die_over_websocket(proxy: &Proxy) {
    if fastrand::bool() {
        let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
        send_some(&mut client, WISH);
        return die(client);
    }
    let mut client = End::connect(proxy.address(), "/ws", &[]).expect("an answer");
    let frame = Frame::of_client(TEXT, CALL).bytes();
    let whole = fastrand::bool();
    let sent = if whole {
        frame.len()
    } else {
        fastrand::usize(..frame.len())
    };
    let (sent, _) = frame.split_at(sent);
    client.send_raw(sent).expect("the system takes it");
    if whole && fastrand::bool() {
        client.receive().expect("an answer").expect("an answer");
    }
    if fastrand::bool() {
        client.reset().expect("a reset");
    }
}

#[test]
fn nothing_is_left_of_clients_killed_over_websocket() {
    let upstream = Many::start(|_| Some(Frame::of_server(TEXT, RESULT)));
    let start = |options: &[&str]| Proxy::start(&upstream.url(), options);
    nothing_is_left(clients(1000), start, die_over_websocket, || {
        upstream.connections() == 0
    });
}
