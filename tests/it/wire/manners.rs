//! Takes what clients say of where they come from. Gives what the server is told.
//! Never believes a client that is not named as a proxy.

use std::io::{Read, Write};

use tests::http_client::HttpClient;
use tests::http_peer::{Answer, HttpPeer, Request};
use tests::otlp::{Mode, Receiver};
use tests::process::PATIENCE;
use tests::sidecar::Proxy;

const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// What arrives of a call with these headers, and the client that its span names.
fn told(options: &[&str], variables: &[(&str, &str)]) -> (Request, String, HttpPeer) {
    let upstream = HttpPeer::start(|_| Answer::json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#))
        .expect("a port");
    let receiver = Receiver::start(Mode::Accept);
    let url = receiver.grpc_url();
    let options = [options, &["--otlp-endpoint", &url]].concat();
    let proxy = Proxy::start_with(&upstream.url(""), &options, variables);
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    let headers = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
    ];
    client.post("/mcp", &headers, CALL).expect("an answer");
    let span = receiver.wait_for_calls(1).remove(0);
    let arrived = upstream.wait_for_requests(1).remove(0);
    (arrived, span.text("client.address").to_owned(), upstream)
}

#[test]
fn headers_of_proxies_pass_are_kept_or_replaced() {
    let (arrived, client, upstream) = told(&[], &[]);
    assert_eq!(arrived.header("x-forwarded-for"), Some("6.6.6.6"));
    assert_eq!(
        (arrived.header("forwarded"), client.as_str()),
        (None, "127.0.0.1")
    );
    assert_ne!(
        arrived.header("host"),
        Some(upstream.address().to_string().as_str())
    );

    let (arrived, client, upstream) = told(&["--forwarded", "append", "--rewrite-host"], &[]);
    assert_eq!(arrived.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(arrived.header("x-forwarded-proto"), Some("http"));
    assert_eq!(client, "127.0.0.1");
    assert_eq!(
        arrived.header("host"),
        Some(upstream.address().to_string().as_str())
    );
    assert_ne!(arrived.header("x-forwarded-host"), arrived.header("host"));

    let trusted = [("TOOLSPAN_TRUSTED_PROXIES", "127.0.0.0/8")];
    let (arrived, client, _) = told(&["--forwarded", "append"], &trusted);
    assert_eq!(
        arrived.header("x-forwarded-for"),
        Some("6.6.6.6, 127.0.0.1")
    );
    assert_eq!(arrived.header("x-forwarded-proto"), Some("https"));
    assert_eq!(client, "6.6.6.6");
}

#[test]
fn pages_of_other_sites_are_refused_where_sites_are_listed() {
    let upstream = HttpPeer::start(|_| Answer::json("{}")).expect("a port");
    let proxy = Proxy::start(
        &upstream.url(""),
        &["--allowed-origins", "https://app.example"],
    );
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    let ours = [("Origin", "https://app.example")];
    assert_eq!(
        client.post("/", &ours, b"{}").expect("an answer").status,
        200
    );
    assert_eq!(client.post("/", &[], b"{}").expect("an answer").status, 200);
    let mut stream = std::net::TcpStream::connect(proxy.address()).expect("the sidecar listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let foreign = b"POST / HTTP/1.1\r\nhost: a\r\norigin: https://evil.example\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(foreign).expect("it is read");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("an answer, and the end");
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(proxy.stop().count("clients_refused"), 1);
}
