//! Takes the messages under `golden/splice`, one a file. Gives that each is spliced, or left alone, as its file says.
//! Never depends on the transport: both get the same.
//!
//! A file is one line `injected N` and then the message, to the byte, without the file's last line end.

use tests::hop::{Hop, empty_result};
use tests::otlp::{Mode, Receiver};
use tests::splice;

use super::{golden, relay};

struct Case {
    name: String,
    injected: usize,
    message: Vec<u8>,
}

fn corpus() -> Vec<Case> {
    let mut cases: Vec<Case> = std::fs::read_dir(golden())
        .expect("the corpus is there")
        .map(|entry| read(&entry.expect("a readable folder").path()))
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() > 30, "{} cases", cases.len());
    cases
}

fn read(path: &std::path::Path) -> Case {
    let bytes = std::fs::read(path).expect("a readable file");
    let split = bytes.iter().position(|byte| *byte == b'\n');
    let (first, rest) = bytes.split_at(split.expect("a first line"));
    let injected = std::str::from_utf8(first)
        .ok()
        .and_then(|line| line.strip_prefix("injected "))
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("{}: the first line says `injected N`", path.display()));
    let message = rest.strip_prefix(b"\n").unwrap_or(rest);
    Case {
        name: path.display().to_string(),
        injected,
        message: message.strip_suffix(b"\n").unwrap_or(message).to_vec(),
    }
}

impl Case {
    fn judge(&self, arrived: &[u8]) {
        let verdict = splice::judge(&self.message, arrived)
            .unwrap_or_else(|why| panic!("{}: {why}", self.name));
        assert_eq!(verdict.injected, self.injected, "{}", self.name);
    }
}

#[test]
fn the_corpus_passes_over_stdio() {
    let receiver = Receiver::start(Mode::Discard);
    let url = receiver.grpc_url();
    let cases: Vec<Case> = corpus()
        .into_iter()
        .filter(|case| !case.message.contains(&b'\n'))
        .collect();
    let lines: Vec<Vec<u8>> = cases.iter().map(|case| case.message.clone()).collect();
    let relayed = relay(&["--otlp-endpoint", &url], &lines, &[]);
    assert_eq!(relayed.at_server.len(), cases.len());
    for (case, arrived) in cases.iter().zip(&relayed.at_server) {
        case.judge(arrived);
    }
}

#[test]
fn the_corpus_passes_over_http() {
    let hop = Hop::start(Mode::Discard, empty_result);
    let mut client = hop.client();
    for case in corpus() {
        let response = client.post("/mcp", &[], &case.message).expect("an answer");
        assert_eq!(response.status, 200, "{}", case.name);
        let arrived = hop.upstream.take_requests();
        let [request] = arrived.as_slice() else {
            panic!("{}: {} requests arrived", case.name, arrived.len());
        };
        case.judge(&request.body);
    }
}

const MAX: usize = 4 << 20;
/// `"traceparent":"` and 55 characters and `",`.
const ADDITION: usize = 15 + 55 + 2;

/// A request of exactly so many bytes that has a `_meta` with a member.
fn request_of(size: usize) -> Vec<u8> {
    let head = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"a":1},"name":"t","arguments":{"x":""#;
    let tail = r#""}}}"#;
    let filler = "x".repeat(size - head.len() - tail.len());
    format!("{head}{filler}{tail}").into_bytes()
}

/// The limit counts the message as it would go out.
fn edges() -> [(Vec<u8>, usize); 5] {
    [
        (request_of(MAX - ADDITION - 1), 1),
        (request_of(MAX - ADDITION), 1),
        (request_of(MAX - ADDITION + 1), 0),
        (request_of(MAX), 0),
        (request_of(MAX + 1), 0),
    ]
}

#[test]
fn at_four_mebibytes_a_body_is_spliced_or_left_alone_to_the_byte() {
    let hop = Hop::start(Mode::Accept, empty_result);
    let mut client = hop.client();
    for (body, injected) in edges() {
        let response = client.post("/mcp", &[], &body).expect("an answer");
        assert_eq!(response.status, 200);
        let arrived = hop.upstream.take_requests();
        let request = arrived.first().expect("the request arrived");
        let verdict = splice::judge(&body, &request.body).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(verdict.injected, injected, "{} bytes", body.len());
    }
    // What was too large is recorded all the same, with the reason.
    let spans = hop.receiver.wait_for_calls(edges().len());
    let reasons = spans
        .iter()
        .filter(|span| span.text("toolspan.not_injected") == "too_large");
    assert_eq!(reasons.count(), 3);
}

#[test]
fn at_four_mebibytes_a_line_is_spliced_or_left_alone_to_the_byte() {
    let receiver = Receiver::start(Mode::Discard);
    let url = receiver.grpc_url();
    let lines: Vec<Vec<u8>> = edges().map(|(line, _)| line).to_vec();
    let relayed = relay(&["--otlp-endpoint", &url], &lines, &lines);
    for ((line, injected), arrived) in edges().iter().zip(&relayed.at_server) {
        let verdict = splice::judge(line, arrived).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(verdict.injected, *injected, "{} bytes", line.len());
    }
    assert_eq!(relayed.at_client.len(), lines.len());
}
