//! Takes clients that are slow, or too many. Gives that they end or wait, and that those who only listen do neither.
//! Never measures how long: a limit of a second is waited for, and nothing else ends these connections.

use std::io::{Read, Write};
use std::net::TcpStream;

use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body, HttpPeer};
use tests::process::PATIENCE;
use tests::sidecar::Proxy;

fn limited(upstream: &HttpPeer, variables: &[(&str, &str)]) -> Proxy {
    Proxy::start_with(&upstream.url(""), &[], variables)
}

fn send(proxy: &Proxy, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).expect("the sidecar listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(text.as_bytes()).expect("it is read");
    stream
}

/// Reads to the end, however it comes.
fn rest(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        read => {
            read.expect("the end");
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_head_or_body_that_does_not_come_ends_its_connection_and_no_other() {
    let upstream = HttpPeer::start(|_| Answer::json("{}")).expect("a port");
    let limits = [
        ("TOOLSPAN_HEADER_TIMEOUT_SECONDS", "1"),
        ("TOOLSPAN_BODY_IDLE_SECONDS", "1"),
    ];
    let proxy = limited(&upstream, &limits);
    let mut idle = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    idle.post("/before", &[], b"{}").expect("an answer");
    let head = send(&proxy, "POST /mcp HTTP/1.1\r\nhost: a\r\n");
    let body = send(
        &proxy,
        "POST /mcp HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    );
    assert_eq!(rest(head), "");
    let answer = rest(body);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 50"),
        "{answer}"
    );
    // Between two requests nothing is owed.
    idle.post("/after", &[], b"{}")
        .expect("an idle connection is not slow");
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(proxy.stop().count("clients_refused"), 2);
}

#[test]
fn a_client_that_reads_nothing_of_what_it_is_owed_ends() {
    let large = vec![b'x'; 64 << 20];
    let upstream = HttpPeer::start(move |_| {
        Answer::new(200, "application/octet-stream", Body::Whole(large.clone()))
    });
    let upstream = upstream.expect("a port");
    let proxy = limited(&upstream, &[("TOOLSPAN_WRITE_IDLE_SECONDS", "1")]);
    let stream = send(&proxy, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let _ = upstream.wait_for_requests(1);
    let counted = || tests::kernel::connections(proxy.id()) == 0;
    tests::process::eventually("the end of its connections", PATIENCE, || {
        counted().then_some(())
    });
    drop(stream);
    assert_eq!(proxy.stop().count("clients_refused"), 1);
}

#[test]
fn beyond_the_most_connections_clients_wait_and_are_served_later() {
    let upstream = HttpPeer::start(|_| Answer::json("{}")).expect("a port");
    let proxy = limited(&upstream, &[("TOOLSPAN_MAX_CONNECTIONS", "2")]);
    let mut open: Vec<_> = (0..2)
        .map(|_| {
            let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
            client.post("/", &[], b"{}").expect("an answer");
            client
        })
        .collect();
    let late = send(
        &proxy,
        "GET /late HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    for client in &mut open {
        client
            .post("/", &[], b"{}")
            .expect("those who are in are served");
    }
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.path != "/late")
    );
    drop(open);
    assert!(rest(late).starts_with("HTTP/1.1 200"));
    assert!(proxy.stop().count("connections_waited") >= 1);
}
