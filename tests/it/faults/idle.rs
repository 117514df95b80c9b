//! Takes as many streams as a process may have, all idle. Gives what they cost.
//! Never opens two at a time: the server reads them one after another.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use tests::http_client::HttpClient;
use tests::http_wire::{read_head, write_chunk, write_message};
use tests::kernel::{connections, descriptors, raise_descriptor_limit, resident};
use tests::otlp::{Mode, Receiver};
use tests::process::{Guarded, PATIENCE, eventually};
use tests::programs;
use tests::sidecar::{Log, Proxy};
use tests::splice;

use super::{ByHand, CALL, RESULT, begin_stream, post_headers, whole_call};

/// What ten thousand open streams may take, in KiB.
const BUDGET: u64 = 200 << 10;
const STREAMS: usize = 10_000;
/// Descriptors that a process has beside its streams.
const OTHERS: usize = 64;

/// A server that holds every stream open, in a process of its own: it needs as many descriptors as we do.
fn idle_server() -> (Guarded, SocketAddr) {
    let mut command = Command::new(programs::own("idle-server"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Guarded::spawn(&mut command).expect("the server starts");
    let mut line = String::new();
    BufReader::new(server.take_stdout().expect("its output is a pipe"))
        .read_line(&mut line)
        .expect("its address");
    let address = line.trim().parse().expect("an address");
    (server, address)
}

/// Opens a stream and waits for its first event.
fn open_stream(sidecar: SocketAddr) -> HttpClient {
    let mut client = HttpClient::connect(sidecar).expect("the sidecar listens");
    let head = client
        .begin("POST", "/mcp", &post_headers(), CALL)
        .expect("a head");
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let first = client.next_chunk().expect("an event").expect("an event");
    assert_eq!(first, b": open\n\n");
    client
}

/// The sidecar has two descriptors for each stream, so a small limit means fewer streams and a smaller budget.
#[test]
fn ten_thousand_idle_streams_take_two_hundred_mebibytes_at_most() {
    let limit = raise_descriptor_limit();
    let streams = STREAMS.min((limit - OTHERS) / 2);
    let (_server, upstream) = idle_server();
    let receiver = Receiver::start(Mode::Accept);
    let proxy = Proxy::start(
        &format!("http://{upstream}"),
        &["--otlp-endpoint", &receiver.grpc_url()],
    );
    let (before, open_before) = (resident(proxy.id()), descriptors(proxy.id()).len());
    let clients: Vec<HttpClient> = (0..streams).map(|_| open_stream(proxy.address())).collect();
    assert!(connections(proxy.id()) >= 2 * streams, "all are open");
    let budget = BUDGET * streams as u64 / STREAMS as u64;
    let mut taken = u64::MAX;
    // What an HTTP connection needs at its beginning goes when the stream has been idle for a while.
    eventually("the memory of open streams to shrink", PATIENCE, || {
        taken = taken.min(resident(proxy.id()) - before);
        (taken <= budget).then_some(())
    });
    drop(clients);
    eventually("the end of every connection", PATIENCE, || {
        (descriptors(proxy.id()).len() <= open_before + OTHERS).then_some(())
    });
    let summary = proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), streams as u64);
}

/// A stream that has been idle for so long that the sidecar relays it without buffers.
struct Idle {
    /// The server's side of the connection.
    stream: TcpStream,
    client: HttpClient,
    proxy: Proxy,
    receiver: Receiver,
}

fn idle_stream() -> Idle {
    idle_stream_of(&whole_call())
}

fn idle_stream_of(request: &[u8]) -> Idle {
    let server = ByHand::start();
    let receiver = Receiver::start(Mode::Accept);
    let proxy = Proxy::start_logging(
        Log::at("debug"),
        &server.url(),
        &["--otlp-endpoint", &receiver.grpc_url()],
    );
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    client.send_raw(request).expect("it is read");
    let mut stream = server.take();
    begin_stream(&mut stream);
    client.read_head().expect("a head");
    write_chunk(&mut stream, b": open\n\n").expect("it is read");
    assert_eq!(next(&mut client), b": open\n\n");
    let _ = proxy.log.wait_for("relaying an idle stream");
    Idle {
        stream,
        client,
        proxy,
        receiver,
    }
}

fn next(client: &mut HttpClient) -> Vec<u8> {
    client.next_chunk().expect("an event").expect("an event")
}

impl Idle {
    /// Ends the sidecar, and gives how its calls ended.
    fn outcomes(self, count: usize) -> Vec<String> {
        let spans = self.receiver.wait_for_calls(count);
        let summary = self.proxy.stop();
        summary.assert_conserved();
        assert_eq!(summary.count("calls_seen"), count as u64);
        spans
            .iter()
            .map(|span| span.text("toolspan.outcome").to_owned())
            .collect()
    }
}

#[test]
fn a_stream_that_was_idle_goes_on_to_its_end_and_its_connection_to_the_next_call() {
    let mut idle = idle_stream();
    // A chunk that comes in pieces, with what chunks may have that nobody uses.
    for piece in ["A;why=not\r\n: on", "e\n\n:t\n\r", "\n"] {
        idle.stream.write_all(piece.as_bytes()).expect("it is read");
    }
    assert_eq!(next(&mut idle.client), b": one\n\n:t\n");
    let event = format!("data: {RESULT}\n\n");
    write_chunk(&mut idle.stream, event.as_bytes()).expect("it is read");
    assert_eq!(next(&mut idle.client), event.as_bytes());
    write_chunk(&mut idle.stream, b"").expect("it is read");
    assert_eq!(idle.client.next_chunk().expect("the end"), None);
    idle.client.send_raw(&whole_call()).expect("it is read");
    // Both connections go on: the server is asked on the one it has.
    let mut reader = BufReader::new(idle.stream.try_clone().expect("a copy"));
    let head = read_head(&mut reader).expect("a head").expect("a head");
    assert_eq!(head.start_line, "POST /mcp HTTP/1.1");
    write_message(
        &mut idle.stream,
        "HTTP/1.1 202 Accepted",
        &Vec::new(),
        Some(b""),
    )
    .expect("it is read");
    let head = idle.client.read_head().expect("an answer");
    assert!(head.start_line.contains("202"), "{}", head.start_line);
    assert_eq!(idle.outcomes(2), ["ok", "unread"]);
}

#[test]
fn a_client_that_leaves_an_idle_stream_ends_its_server_connection_and_its_call() {
    let mut idle = idle_stream();
    let (client, other) = (idle.client, HttpClient::connect(idle.proxy.address()));
    drop(client);
    idle.client = other.expect("the sidecar listens");
    let read = idle.stream.read(&mut [0]);
    assert_eq!(read.expect("the end, not a reset"), 0);
    assert_eq!(idle.outcomes(1), ["client_gone"]);
}

#[test]
fn a_server_that_ends_in_an_idle_stream_breaks_it_for_the_client_too() {
    let mut idle = idle_stream();
    idle.stream.shutdown(Shutdown::Both).expect("it is open");
    assert!(idle.client.next_chunk().is_err(), "an end would be a lie");
    assert_eq!(idle.outcomes(1), ["server_gone"]);
}

#[test]
fn what_a_server_asks_on_a_stream_that_was_idle_gets_its_context() {
    let request =
        b"GET /mcp HTTP/1.1\r\nhost: x\r\nmcp-session-id: s\r\naccept: text/event-stream\r\n\r\n";
    let mut idle = idle_stream_of(request);
    let asked = r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#;
    let event = format!("id: 7\ndata: {asked}\n\n");
    write_chunk(&mut idle.stream, event.as_bytes()).expect("it is read");
    let came = String::from_utf8(next(&mut idle.client)).expect("text");
    let data = came
        .trim_end()
        .strip_prefix("id: 7\ndata: ")
        .expect("the same event");
    splice::judge_all_injected(asked.as_bytes(), data.as_bytes())
        .unwrap_or_else(|why| panic!("{why}"));
    // What is not yet an event is held, and not lost with the server.
    write_chunk(&mut idle.stream, b"data: half").expect("it is read");
    write_chunk(&mut idle.stream, b"").expect("it is read");
    assert_eq!(next(&mut idle.client), b"data: half");
    assert_eq!(idle.client.next_chunk().expect("the end"), None);
    drop(idle.client);
    let summary = idle.proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), 1);
}

#[test]
fn a_request_that_arrived_behind_a_stream_is_answered_though_the_sidecar_ends() {
    let mut idle = idle_stream();
    idle.client.send_raw(&whole_call()).expect("it is read");
    // What comes after it has arrived, so it has.
    write_chunk(&mut idle.stream, b": two\n\n").expect("it is read");
    assert_eq!(next(&mut idle.client), b": two\n\n");
    idle.proxy.begin_to_stop();
    let address = idle.proxy.address();
    eventually("new connections to be refused", PATIENCE, || {
        HttpClient::connect(address).is_err().then_some(())
    });
    write_chunk(&mut idle.stream, b"").expect("it is read");
    assert_eq!(idle.client.next_chunk().expect("the end"), None);
    let mut reader = BufReader::new(idle.stream.try_clone().expect("a copy"));
    let head = read_head(&mut reader).expect("a head").expect("a head");
    assert_eq!(head.start_line, "POST /mcp HTTP/1.1");
    write_message(
        &mut idle.stream,
        "HTTP/1.1 202 Accepted",
        &Vec::new(),
        Some(b""),
    )
    .expect("it is read");
    let head = idle.client.read_head().expect("an answer");
    assert!(head.start_line.contains("202"), "{}", head.start_line);
    let (summary, _) = idle.proxy.wait();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), 2);
}
