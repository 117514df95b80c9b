//! Takes bytes that are no request, or two at once. Gives that they are refused, empty and for good, and that no server
//! sees them.
//! Never goes through a client library: each byte is the test's.

use std::io::{Read, Write};
use std::net::TcpStream;

use tests::http_peer::{Answer, HttpPeer};
use tests::process::PATIENCE;
use tests::sidecar::Proxy;

const POST: &str = "POST /mcp HTTP/1.1\r\nhost: a\r\n";

/// What is sent, what the answer begins with, and what it is counted as.
fn table() -> Vec<(String, &'static str, &'static str)> {
    let post = |fields: &str| format!("{POST}{fields}\r\n0\r\n\r\n");
    let many = "x: y\r\n".repeat(1100);
    let large = format!("x: {}\r\n", "y".repeat(70_000));
    vec![
        (
            post("content-length: 5\r\ntransfer-encoding: chunked\r\n"),
            "400",
            "length",
        ),
        (
            post("transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
            "400",
            "length",
        ),
        (
            post("content-length: 5\r\ncontent-length: 6\r\n"),
            "400",
            "length",
        ),
        (post("content-length: five\r\n"), "400", "length"),
        (post("content-length: -1\r\n"), "400", "length"),
        (post("content-length: +5\r\n"), "400", "length"),
        (post("content-length: 5, 5\r\n"), "400", "length"),
        (
            post("transfer-encoding: gzip, chunked\r\n"),
            "400",
            "length",
        ),
        (post("transfer-encoding: identity\r\n"), "400", "length"),
        (
            post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
            "400",
            "length",
        ),
        (post("transfer-encoding : chunked\r\n"), "400", "unparsable"),
        (post("x: a\r b\r\n"), "400", "bare_return"),
        (post("x: a\r\r\n"), "400", "bare_return"),
        (post("x: a\r\n b\r\n"), "400", "unparsable"),
        (post("no colon\r\n"), "400", "unparsable"),
        (post("x\0y: z\r\n"), "400", "unparsable"),
        ("GET /\r\n\r\n".to_owned(), "400", "unparsable"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "400", "unparsable"),
        (
            "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
            "400",
            "unparsable",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"),
            "431",
            "too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{large}\r\n"),
            "431",
            "too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{large}"),
            "431",
            "too_large",
        ),
        (
            format!("GET /{} HTTP/1.1\r\n", "y".repeat(70_000)),
            "4",
            "too_large",
        ),
    ]
}

fn exchange(proxy: &Proxy, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(proxy.address()).expect("the sidecar listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // It may be refused before all of it is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("an answer, and the end");
    String::from_utf8_lossy(&answer).into_owned()
}

fn assert_refused(answer: &str, status: &str, sent: &str) {
    let sent = sent.get(..200).unwrap_or(sent);
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{sent:?}: {answer:?}"
    );
    assert!(
        answer.ends_with("\r\n\r\n"),
        "an empty body: {sent:?}: {answer:?}"
    );
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("connection: close\r\n"),
        "{sent:?}: {answer:?}"
    );
    assert_eq!(
        answer.matches("HTTP/1.1").count(),
        1,
        "one answer: {sent:?}: {answer:?}"
    );
}

fn server() -> HttpPeer {
    HttpPeer::start(|_| Answer::json("{}")).expect("a port")
}

#[test]
fn what_is_no_request_is_refused_and_reaches_no_server() {
    let upstream = server();
    let proxy = Proxy::start(&upstream.url(""), &[]);
    let mut counts = std::collections::BTreeMap::new();
    for (sent, status, why) in table() {
        assert_refused(&exchange(&proxy, sent.as_bytes()), status, &sent);
        *counts.entry(why).or_insert(0) += 1;
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
    let total: u64 = counts.values().sum();
    assert_eq!(proxy.stop().count("clients_refused"), total, "{counts:?}");
}

#[test]
fn a_request_before_the_bad_one_gets_its_answer_first() {
    let upstream = server();
    let proxy = Proxy::start(&upstream.url(""), &[]);
    let good = "POST /good HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let bad = format!(
        "{POST}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
    );
    let answers = exchange(&proxy, format!("{good}{bad}").as_bytes());
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(answers.contains("HTTP/1.1 400"), "{answers}");
    let paths: Vec<_> = upstream
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(paths, ["/good"]);
}

#[test]
fn lengths_that_agree_and_empty_lines_before_a_request_are_no_reason() {
    let upstream = server();
    let proxy = Proxy::start(&upstream.url(""), &[]);
    for fields in [
        "content-length: 2\r\ncontent-length: 2\r\n",
        "Transfer-Encoding: Chunked\r\n",
    ] {
        let body = if fields.contains("length") {
            "{}"
        } else {
            "2;x=y\r\n{}\r\n0\r\n\r\n"
        };
        let sent = format!(
            "\r\n{POST}connection: close\r\ncontent-type: application/json\r\n{fields}\r\n{body}"
        );
        let answer = exchange(&proxy, sent.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{fields}: {answer}");
    }
    let arrived = upstream.requests();
    assert!(
        arrived.iter().all(|request| request.body == b"{}"),
        "{arrived:?}"
    );
    assert_eq!(arrived.len(), 2);
}
