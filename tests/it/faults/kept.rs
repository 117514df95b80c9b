//! Takes event streams that are idle but not over as others are. Gives that their connections stay with HTTP, which
//! alone knows what else is under way on them.
//! Never waits for what does not happen: a plain stream that is idle for less long says when.

use std::io::{BufReader, Read};
use std::net::TcpStream;

use tests::http_client::HttpClient;
use tests::http_wire::{Head, read_head, write_chunk, write_message};
use tests::otlp::{Mode, Receiver};
use tests::process::{PATIENCE, eventually};
use tests::sidecar::{Log, Proxy};

use super::{ByHand, CALL, whole_call};

const RELAYED: &str = "relaying an idle stream";

struct Hop {
    server: ByHand,
    proxy: Proxy,
    _receiver: Receiver,
}

/// One stream, and both its ends.
struct Open {
    client: HttpClient,
    server: BufReader<TcpStream>,
    head: Head,
}

fn hop() -> Hop {
    let (server, receiver) = (ByHand::start(), Receiver::start(Mode::Discard));
    let proxy = Proxy::start_logging(
        Log::at("debug"),
        &server.url(),
        &["--otlp-endpoint", &receiver.grpc_url()],
    );
    Hop {
        server,
        proxy,
        _receiver: receiver,
    }
}

impl Hop {
    /// Opens a stream with what the server says beside the usual, and waits for its first event.
    fn open(&self, request: &[u8], said: &[(&str, &str)]) -> Open {
        let mut client = HttpClient::connect(self.proxy.address()).expect("the sidecar listens");
        client.send_raw(request).expect("it is read");
        let (stream, _) = self.server.0.accept().expect("a connection");
        let limit = stream.set_read_timeout(Some(PATIENCE));
        limit.expect("an open socket");
        let mut server = BufReader::new(stream);
        read_head(&mut server).expect("a head").expect("a head");
        let usual = [
            ("content-type", "text/event-stream"),
            ("transfer-encoding", "chunked"),
        ];
        let headers = usual.iter().chain(said);
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let stream = server.get_mut();
        write_message(stream, "HTTP/1.1 200 OK", &headers.collect(), None).expect("it is read");
        write_chunk(stream, b": open\n\n").expect("it is read");
        let head = client.read_head().expect("a head");
        let mut open = Open {
            client,
            server,
            head,
        };
        assert_eq!(open.next(), b": open\n\n");
        open
    }

    /// Waits until a plain stream, opened after all others, is given to a relay; no other was.
    fn only_a_plain_one_is_relayed(&self) {
        let plain_one = self.open(&whole_call(), &[]);
        let plain = plain_one.client.address().expect("it is open").to_string();
        let relayed = || {
            let lines = self.proxy.log.all(RELAYED);
            lines
                .iter()
                .map(|line| line["client"].as_str().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        eventually("the plain stream to be relayed", PATIENCE, || {
            relayed().contains(&plain).then_some(())
        });
        assert_eq!(relayed(), [plain]);
    }
}

impl Open {
    fn next(&mut self) -> Vec<u8> {
        self.client
            .next_chunk()
            .expect("an event")
            .expect("an event")
    }

    /// One more event, and the end.
    fn finish(&mut self) {
        let stream = self.server.get_mut();
        write_chunk(stream, b": more\n\n").expect("it is read");
        write_chunk(stream, b"").expect("it is read");
        assert_eq!(self.next(), b": more\n\n");
        assert_eq!(self.client.next_chunk().expect("the end"), None);
    }
}

#[test]
fn a_connection_that_will_not_go_on_as_others_do_is_not_taken_over() {
    let hop = hop();
    let get = |lines: &str| format!("GET /mcp HTTP/1.1\r\nhost: x\r\n{lines}\r\n").into_bytes();
    let chunked = "transfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\n";
    let call = String::from_utf8_lossy(CALL);
    let post = format!(
        "POST /mcp HTTP/1.1\r\nhost: x\r\n{chunked}{:x}\r\n{call}\r\n0\r\n\r\n",
        CALL.len()
    );
    let mut open = [
        hop.open(&whole_call(), &[("connection", "close")]),
        hop.open(&whole_call(), &[("trailer", "x-sum")]),
        hop.open(&get("connection: keep-alive\r\nconnection: close\r\n"), &[]),
        hop.open(
            &get("connection: keep-alive\r\nupgrade: websocket\r\n"),
            &[],
        ),
        hop.open(post.as_bytes(), &[]),
    ];
    hop.only_a_plain_one_is_relayed();
    open.iter_mut().for_each(Open::finish);
    drop(open);
    hop.proxy.stop().assert_conserved();
}

#[test]
fn an_answer_with_both_lengths_arrives_in_its_chunks() {
    let hop = hop();
    let mut open = hop.open(&whole_call(), &[("content-length", "5")]);
    assert_eq!(open.head.header("content-length"), None);
    assert_eq!(open.head.header("transfer-encoding"), Some("chunked"));
    hop.only_a_plain_one_is_relayed();
    open.finish();
    drop(open);
    hop.proxy.stop().assert_conserved();
}

#[test]
fn a_request_that_still_comes_while_its_answer_is_idle_arrives_whole() {
    let hop = hop();
    let request = b"POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nfirst";
    let mut open = hop.open(request, &[]);
    hop.only_a_plain_one_is_relayed();
    open.client.send_raw(b", end").expect("it is read");
    let mut body = [0; 10];
    open.server.read_exact(&mut body).expect("all of it");
    assert_eq!(&body, b"first, end");
    open.finish();
    drop(open);
    hop.proxy.stop().assert_conserved();
}
