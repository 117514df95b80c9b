//! Takes generated bodies. Gives that they arrive over HTTP as they were sent, and that answers come back untouched.
//! Never lets two requests be mistaken for one another: each has its number in a header.

use std::sync::Arc;
use std::time::Duration;

use tests::generate::{From, Whitespace};
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body, HttpPeer, Request};
use tests::otlp::{Mode, Receiver};
use tests::sidecar::Proxy;
use tests::splice;

use super::{generate, seed};

const WORKERS: usize = 4;
const EACH: usize = 5_000;
const NUMBER: &str = "x-number";

#[test]
fn twenty_thousand_generated_bodies_arrive_as_they_were_sent() {
    let seed = seed();
    let count = WORKERS * EACH;
    let bodies = Arc::new(generate(seed, count, From::Client, Whitespace::Any));
    let answers = Arc::new(generate(seed ^ 1, count, From::Server, Whitespace::Any));
    let script = {
        let answers = answers.clone();
        move |request: &Request| answer(&answers, number(request))
    };
    let upstream = HttpPeer::start(script).expect("a port on loopback");
    let receiver = Receiver::start(Mode::Discard);
    let proxy = Proxy::start(
        &upstream.url(""),
        &["--otlp-endpoint", &receiver.grpc_url()],
    );
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (bodies, answers) = (bodies.clone(), answers.clone());
            let address = proxy.address();
            std::thread::spawn(move || {
                let mut client = HttpClient::connect(address).expect("the sidecar listens");
                for i in (worker * EACH)..((worker + 1) * EACH) {
                    exchange(&mut client, i, &bodies, &answers);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("no answer differs");
    }
    let arrived = upstream.take_requests();
    assert_eq!(arrived.len(), count);
    for request in arrived {
        let sent = bodies.get(number(&request)).expect("a number we sent");
        let verdict =
            splice::judge_all_injected(sent, &request.body).unwrap_or_else(|why| panic!("{why}"));
        if verdict.injected > 0 {
            let context = request.header("traceparent").unwrap_or_default();
            assert!(splice::is_traceparent(context), "{request:?}");
        }
    }
    proxy.stop().assert_conserved();
}

fn exchange(client: &mut HttpClient, i: usize, bodies: &[Vec<u8>], answers: &[Vec<u8>]) {
    let number = i.to_string();
    let body = bodies.get(i).expect("a body");
    let response = client
        .post("/mcp", &[(NUMBER, &number)], body)
        .expect("an answer");
    let expected = whole(&answer(answers, i));
    assert_eq!(response.status, 200);
    assert_eq!(
        String::from_utf8_lossy(&response.body),
        String::from_utf8_lossy(&expected),
        "answers are never touched"
    );
}

/// Every third answer is a stream of events, cut in places that mean nothing.
fn answer(answers: &[Vec<u8>], i: usize) -> Answer {
    let text = answers.get(i).expect("an answer");
    if !i.is_multiple_of(3) {
        return Answer::json(text.clone());
    }
    let mut stream = b": hello\nid: 1\nevent: message\n".to_vec();
    for line in text.split(|byte| *byte == b'\n') {
        stream.extend_from_slice(b"data: ");
        stream.extend_from_slice(line);
        stream.push(b'\n');
    }
    stream.extend_from_slice(b"\nretry: 1000\ndata:\n\n");
    let piece = 1 + i % 700;
    let chunks = stream
        .chunks(piece.max(stream.len() / 8))
        .map(|chunk| (Duration::ZERO, chunk.to_vec()))
        .collect();
    Answer::new(200, "text/event-stream", Body::Chunks(chunks))
}

fn whole(answer: &Answer) -> Vec<u8> {
    match &answer.body {
        Body::Whole(body) | Body::ToEnd(body) => body.clone(),
        Body::Chunks(chunks) | Body::Broken(chunks) | Body::Held(chunks) => chunks
            .iter()
            .flat_map(|(_, chunk)| chunk.iter().copied())
            .collect(),
        Body::Repeated { chunk, times } => chunk.repeat(*times),
        Body::HangUp | Body::Live(_) => Vec::new(),
    }
}

fn number(request: &Request) -> usize {
    request
        .header(NUMBER)
        .and_then(|text| text.parse().ok())
        .expect("each request has its number")
}
