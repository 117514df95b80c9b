//! Takes peers that end in the middle of something. Gives that the other side learns of it at once, in the same way,
//! and that the call has its one end.
//! Never asks the sidecar: the server's own count of connections says what it learned.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body};
use tests::kernel::descriptors;
use tests::process::{PATIENCE, eventually};

use super::{CALL, Hop, RESULT, hop, post_headers, whole_call};

/// How a client leaves.
const LEAVING: [fn(HttpClient); 2] = [drop, |client| client.reset().expect("a reset")];

/// A stream of one event that goes on until the client leaves.
fn endless() -> Answer {
    let event = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n".to_vec();
    let chunks = vec![(Duration::ZERO, event)];
    Answer::new(200, "text/event-stream", Body::Held(chunks))
}

fn wait_until_the_server_knows(hop: &Hop) {
    eventually("the end of the server's connection", PATIENCE, || {
        (hop.upstream.connections() == 0).then_some(())
    });
}

#[test]
fn a_client_killed_in_mid_stream_ends_its_server_connection_and_its_call() {
    for leave in LEAVING {
        let hop = hop(|_| endless());
        let mut client = hop.client();
        client
            .begin("POST", "/mcp", &post_headers(), CALL)
            .expect("a head");
        client.next_chunk().expect("an event").expect("an event");
        leave(client);
        wait_until_the_server_knows(&hop);
        assert_eq!(hop.outcomes(1), ["client_gone"]);
        hop.stop(1);
    }
}

#[test]
fn a_client_killed_before_the_answer_ends_its_server_connection_and_its_call() {
    for leave in LEAVING {
        let (answer, held_back) = channel::<()>();
        let held_back = Mutex::new(held_back);
        let hop = hop(move |_| {
            // Until the test has seen what it wants to see, or has failed.
            let _ = held_back.lock().expect("one request").recv();
            Answer::json(RESULT)
        });
        let mut client = hop.client();
        let begun = descriptors(hop.proxy.id()).len();
        client.send_raw(&whole_call()).expect("it is read");
        eventually("the request at the server", PATIENCE, || {
            (hop.upstream.connections() == 1).then_some(())
        });
        leave(client);
        // The server has not answered, and its connection is closed nevertheless.
        assert_eq!(hop.outcomes(1), ["client_gone"]);
        eventually("the end of both connections", PATIENCE, || {
            (descriptors(hop.proxy.id()).len() <= begun + 1).then_some(())
        });
        answer.send(()).expect("the server waits");
        wait_until_the_server_knows(&hop);
        hop.stop(1);
    }
}

#[test]
fn a_client_killed_in_the_middle_of_its_request_never_was_at_the_server() {
    for leave in LEAVING {
        let hop = hop(|_| Answer::json(RESULT));
        let before = descriptors(hop.proxy.id()).len();
        let mut client = hop.client();
        let head = "POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    content-length: 1000\r\n\r\n{\"jsonrpc\":";
        client.send_raw(head.as_bytes()).expect("it is read");
        eventually("the connection at the sidecar", PATIENCE, || {
            (descriptors(hop.proxy.id()).len() > before).then_some(())
        });
        leave(client);
        eventually("the end of the connection", PATIENCE, || {
            (descriptors(hop.proxy.id()).len() <= before).then_some(())
        });
        assert!(hop.upstream.requests().is_empty());
        hop.stop(0);
    }
}

#[test]
fn a_server_killed_in_mid_stream_is_seen_as_a_broken_stream_not_as_its_end() {
    let hop = hop(|_| {
        let event = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
        let chunks = vec![(Duration::ZERO, event.to_vec())];
        Answer::new(200, "text/event-stream", Body::Broken(chunks))
    });
    let mut client = hop.client();
    client
        .begin("POST", "/mcp", &post_headers(), CALL)
        .expect("a head");
    client.next_chunk().expect("an event").expect("an event");
    assert!(client.next_chunk().is_err(), "an end would be a lie");
    assert_eq!(hop.outcomes(1), ["server_gone"]);
    hop.stop(1);
}

#[test]
fn a_server_killed_before_its_answer_is_a_bad_gateway() {
    let hop = hop(|_| Answer::new(200, "application/json", Body::HangUp));
    let response = hop.client().post("/mcp", &[], CALL).expect("an answer");
    assert_eq!(response.status, 502);
    assert_eq!(hop.outcomes(1), ["server_gone"]);
    // The call may have had effects: it is not sent again.
    assert_eq!(hop.upstream.requests().len(), 1);
    hop.stop(1);
}

/// Most servers (asyncio's, Go's, hyper's) and nginx take the end of the client's bytes for the end of the client.
#[test]
fn a_client_that_half_closes_is_gone_for_the_server_too() {
    let hop = hop(|_| endless());
    let mut client = hop.client();
    client
        .begin("POST", "/mcp", &post_headers(), CALL)
        .expect("a head");
    client.next_chunk().expect("an event").expect("an event");
    client.half_close().expect("it is open");
    wait_until_the_server_knows(&hop);
    client.read_to_end().expect("the end, not a reset");
    assert_eq!(hop.outcomes(1), ["client_gone"]);
    hop.stop(1);
}

#[test]
fn an_answer_that_ends_with_its_connection_is_complete() {
    let hop = hop(|_| Answer::new(200, "application/json", Body::ToEnd(RESULT.into())));
    let response = hop.client().post("/mcp", &[], CALL).expect("an answer");
    assert_eq!(response.text(), RESULT);
    assert_eq!(hop.outcomes(1), ["ok"]);
    hop.stop(1);
}
