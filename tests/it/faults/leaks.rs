//! Takes clients that are killed, each at a point of its own. Gives that nothing of them is left: no process, no
//! socket, no descriptor.
//! Never waits for a time: what is left must go, and the test waits until it has gone.
//!
//! `TOOLSPAN_TEST_CLIENTS` says how many clients are killed per transport; `cargo xtask leaks` kills a thousand.

use std::time::Duration;

use rustix::process::Signal;
use tests::descendants::Marked;
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body, HttpPeer, Request};
use tests::kernel::{children, descriptors};
use tests::otlp::{Mode, Receiver};
use tests::process::{Guarded, PATIENCE, eventually};
use tests::sidecar::{Log, Proxy, stdio_command};

use super::{CALL, RESULT, whole_call};

mod bridge;
mod websocket;

/// How many clients are killed at the same time.
const TOGETHER: usize = 8;
/// What a sidecar keeps for itself while it runs: the connections to its collector, one for spans and one for points.
const OWN: usize = 2;

fn clients(usually: usize) -> usize {
    std::env::var("TOOLSPAN_TEST_CLIENTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usually)
}

/// Runs so many deaths, some at a time; gives what each left to hold.
fn together<T: Send>(count: usize, die: impl Fn() -> T + Sync) -> Vec<T> {
    let die = &die;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..TOGETHER)
            .map(|worker| {
                let mine = (worker..count).step_by(TOGETHER);
                scope.spawn(move || mine.map(|_| die()).collect::<Vec<T>>())
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("each client dies as told"))
            .collect()
    })
}

/// Kills clients of a server that answers like this; nothing of them is left at the sidecar and at the server.
fn killed(
    count: usize,
    script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    die: impl Fn(&Proxy) + Sync,
) {
    let upstream = HttpPeer::start(script).expect("a port on loopback");
    let start = |options: &[&str]| Proxy::start(&upstream.url(""), options);
    nothing_is_left(count, start, die, || upstream.connections() == 0);
}

/// Kills clients of a sidecar; nothing of them is left there, and `gone` says when nothing is left behind it.
fn nothing_is_left(
    count: usize,
    start: impl FnOnce(&[&str]) -> Proxy,
    die: impl Fn(&Proxy) + Sync,
    gone: impl Fn() -> bool,
) {
    let receiver = Receiver::start(Mode::Discard);
    let proxy = start(&["--otlp-endpoint", &receiver.grpc_url()]);
    let before = descriptors(proxy.id()).len();
    together(count, || die(&proxy));
    eventually("the end of everything that clients had", PATIENCE, || {
        let left = descriptors(proxy.id()).len();
        (left <= before + OWN && children(proxy.id()).is_empty() && gone()).then_some(())
    });
    let (summary, log) = proxy.stop_and_keep_log();
    log.assert_none_at("ERROR");
    summary.assert_conserved();
    assert!(summary.count("calls_seen") > 0);
}

/// Sends a request, or only its beginning; whether it was the whole.
fn send_some(client: &mut HttpClient, request: &[u8]) -> bool {
    send_if(fastrand::bool(), client, request)
}

/// Sends a request, or only its beginning.
fn send_if(whole: bool, client: &mut HttpClient, request: &[u8]) -> bool {
    let sent = if whole {
        request.len()
    } else {
        fastrand::usize(..request.len())
    };
    let (sent, _) = request.split_at(sent);
    client.send_raw(sent).expect("the system takes it");
    whole
}

/// Ends a client as a killed process or as a lost machine would.
fn die(client: HttpClient) {
    if fastrand::bool() {
        client.reset().expect("a reset");
    }
}

/// One client, killed somewhere between its first byte and the end of the answer.
fn die_over_http(proxy: &Proxy) {
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    let whole = send_some(&mut client, &whole_call());
    if whole && fastrand::bool() {
        client.read_head().expect("a head");
    }
    die(client);
}

#[test]
fn nothing_is_left_of_clients_killed_over_http() {
    killed(clients(1000), |_| Answer::json(RESULT), die_over_http);
}

#[test]
fn nothing_is_left_of_clients_killed_on_their_event_streams() {
    let script = |_: &Request| {
        let event = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
        let chunks = vec![(Duration::ZERO, event.to_vec()); 1 + fastrand::usize(..3)];
        Answer::new(200, "text/event-stream", Body::Held(chunks))
    };
    killed(clients(1000), script, die_over_http);
}

/// The stream of HTTP+SSE stays open; what is sent in its session is answered on it, or never.
fn http_sse(request: &Request) -> Answer {
    if request.method == "POST" {
        return Answer::new(202, "text/plain", Body::Whole(Vec::new()));
    }
    let session: u64 = fastrand::u64(..);
    let endpoint = format!("event: endpoint\ndata: /messages?session_id={session}\n\n");
    let chunks = vec![(Duration::ZERO, endpoint.into_bytes())];
    Answer::new(200, "text/event-stream", Body::Held(chunks))
}

/// One client of HTTP+SSE, killed on its stream, before or after it called.
fn die_over_http_sse(proxy: &Proxy) {
    let mut stream = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    stream
        .begin("GET", "/sse", &[("accept", "text/event-stream")], b"")
        .expect("a head");
    if fastrand::bool() {
        let event = stream.next_chunk().expect("an event").expect("an event");
        let event = String::from_utf8(event).expect("text");
        let (_, uri) = event.trim_end().split_once("data: ").expect("a URI");
        let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
        let answer = client.post(uri, &[], CALL).expect("an answer");
        assert_eq!(answer.status, 202);
    }
    die(stream);
}

#[test]
fn nothing_is_left_of_clients_killed_over_http_sse() {
    killed(clients(1000), http_sse, die_over_http_sse);
}

/// A server that answers every line, and does not end at the end of its input.
const STUBBORN: &str = "while read -r line; do echo '{}'; done; while :; do sleep 1; done";

#[test]
fn nothing_is_left_of_clients_killed_over_stdio() {
    let marked = Marked::default();
    // Dropping one would end its whole group: the sidecar must do that.
    let _held = together(clients(40), || die_over_stdio(&marked));
    eventually("the end of every descendant", PATIENCE, || {
        marked.processes().is_empty().then_some(())
    });
}

/// One client, killed while its sidecar starts or while it waits.
fn die_over_stdio(marked: &Marked) -> (Guarded, Log) {
    let log = Log::default();
    let sidecar = stdio_command(&log, &[], &["sh", "-c", STUBBORN]);
    let (mut client, _) = marked.client(&sidecar);
    client.signal(Signal::KILL);
    client.wait();
    (client, log)
}
