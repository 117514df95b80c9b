//! Takes clients of HTTP/2 that stall a stream, or give up many. Gives that each stream ends by itself, and that the
//! connection goes on.
//! Never measures how long: a limit of a second is waited for, and nothing else ends these streams.

use bytes::Bytes;
use hyper::Method;
use tests::process::{PATIENCE, eventually};
use tests::sidecar::Proxy;
use tests::wire::Version;
use tests::wire::client::{Answer, Client};
use tests::wire::server::{Reply, Server};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const LARGE: &[u8] = &[b'x'; 1 << 20];

/// A server that says a word on `/quiet` and is silent, says eight mebibytes on `/large`, and never answers `/never`.
fn server() -> Server {
    let server = Server::start("127.0.0.1:0", None, |seen| match seen.path.as_str() {
        "/quiet" => held(&[b"word"]),
        "/large" => held(&[LARGE; 8]),
        "/never" => Reply::Never,
        _ => Reply::Json("{}".to_owned()),
    });
    server.expect("a port")
}

/// An answer that does not end.
fn held(said: &[&[u8]]) -> Reply {
    let (sender, events): (UnboundedSender<Bytes>, _) = unbounded_channel();
    for piece in said {
        let sent = sender.send(Bytes::copy_from_slice(piece));
        sent.expect("it is open");
    }
    Reply::Held(events, sender)
}

/// A hop between a client of HTTP/2 and the server, one stream of it open and quiet.
struct Hop {
    server: Server,
    proxy: Proxy,
    client: Client,
    quiet: Answer,
}

fn start(upstream: &str, limit: &str) -> Hop {
    let server = server();
    let options = ["--upstream-http", upstream];
    let proxy = Proxy::start_with(
        &format!("http://{}", server.at()),
        &options,
        &[(limit, "1")],
    );
    let client = Client::connect(proxy.listens_at(), Version::Two, None);
    let mut client = client.expect("the sidecar listens");
    let mut quiet = client
        .open_answer(&Method::GET, "/quiet", &[], "")
        .expect("an answer");
    assert_eq!(
        quiet.piece().expect("a piece").as_deref(),
        Some(&b"word"[..])
    );
    Hop {
        server,
        proxy,
        client,
        quiet,
    }
}

impl Hop {
    /// The connection, and the quiet stream on it, go on; so many clients were refused.
    fn goes_on(mut self, refused: u64) {
        self.client
            .post("/after", &[], "{}")
            .expect("the connection lives");
        let given_up = self.server.given_up();
        assert!(given_up.iter().all(|path| path != "/quiet"), "{given_up:?}");
        // Else it would be waited for.
        drop((self.quiet, self.client));
        assert_eq!(self.proxy.stop().count("clients_refused"), refused);
    }
}

#[test]
fn a_stream_whose_body_does_not_come_is_reset_and_no_other() {
    for upstream in ["1.1", "2"] {
        let mut hop = start(upstream, "TOOLSPAN_BODY_IDLE_SECONDS");
        // The first is held until it is complete, the second streams through.
        for media in ["application/json", "text/plain"] {
            let headers = [("content-type", media)];
            let slow = hop.client.start_and_stall("/slow", &headers, "{");
            slow.answer().expect_err("the end of the stream");
        }
        hop.goes_on(2);
    }
}

#[test]
fn a_stream_that_nobody_reads_is_reset_and_no_other() {
    for upstream in ["1.1", "2"] {
        let mut hop = start(upstream, "TOOLSPAN_WRITE_IDLE_SECONDS");
        let stalled = hop.client.open_answer(&Method::GET, "/large", &[], "");
        let stalled = stalled.expect("an answer");
        hop.server.wait_given_up("/large");
        drop(stalled);
        hop.goes_on(1);
    }
}

#[test]
fn a_busy_connection_stays_one_on_both_sides_however_many_streams_are_given_up() {
    // Past a thousand, which is where HTTP libraries lose their patience.
    const ROUNDS: usize = 22;
    const STREAMS: usize = 50;
    const ANSWERED: usize = 20;
    let mut hop = start("2", "TOOLSPAN_BODY_IDLE_SECONDS");
    for round in 1..=ROUNDS {
        let waiting: Vec<_> = (0..STREAMS)
            .map(|_| hop.client.start(&Method::GET, "/never", &[], ""))
            .collect();
        for _ in 0..ANSWERED {
            hop.client.post("/", &[], "{}").expect("an answer");
        }
        let so_many = || (hop.server.seen().len() > round * (STREAMS + ANSWERED)).then_some(());
        eventually("all requests at the server", PATIENCE, so_many);
        drop(waiting);
        let given_up = || (hop.server.given_up().len() == round * STREAMS).then_some(());
        eventually("the streams that are given up", PATIENCE, given_up);
    }
    assert_eq!(hop.server.connections(), 1);
    hop.goes_on(0);
}
