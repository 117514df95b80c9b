//! Takes each kind of wire towards clients, and each towards servers. Gives the same story over every pair.
//! Never shares a hop between pairs.

use std::sync::Mutex;

use bytes::Bytes;
use hyper::Method;
use tempfile::TempDir;
use tests::otlp::{Mode, Receiver};
use tests::splice;
use tests::wire::Version;
use tests::wire::client::AUTHORITY;
use tests::wire::server::{Reply, Seen, Server};
use tokio::sync::mpsc;

use super::{KINDS, Keys, Kind, start};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t"}}"#;

/// The senders of the event streams that the server has begun, in order.
#[derive(Default)]
struct Streams(Mutex<Vec<mpsc::UnboundedSender<Bytes>>>);

#[test]
fn every_kind_of_client_meets_every_kind_of_server() {
    let keys = Keys::default();
    for client in KINDS {
        for server in KINDS {
            story(&keys, client, server);
        }
    }
}

fn story(keys: &Keys, from: Kind, to: Kind) {
    let pair = format!("{} to {}", from.name, to.name);
    let folder = TempDir::new().expect("a scratch folder");
    let at = match to.unix {
        true => format!("unix:{}", folder.path().join("server").display()),
        false => "127.0.0.1:0".to_owned(),
    };
    let tls = to
        .tls
        .then(|| keys.authority.server(to.version, &keys.ours));
    let streams = std::sync::Arc::new(Streams::default());
    let server = {
        let streams = streams.clone();
        Server::start(&at, tls, move |seen| streams.reply(seen)).expect("an address")
    };
    let receiver = Receiver::start(Mode::Accept);
    let (url, mut options) = keys.upstream(to, server.at());
    options.extend(keys.listen(from, folder.path()));
    options.extend(["--otlp-endpoint".to_owned(), receiver.grpc_url()]);
    let proxy = start(&url, &options);
    let mut client = keys.client(from, proxy.listens_at());

    let headers = [("x-mine", "1"), ("te", "trailers")];
    let (answer, body) = client.post("/mcp?q=1", &headers, CALL).expect(&pair);
    assert_eq!(
        (answer.status.as_u16(), body.as_slice()),
        (200, ANSWER.as_bytes()),
        "{pair}"
    );
    let seen = server.wait_for(1).remove(0);
    assert_arrived(&seen, to, &pair);

    let mut stream = client
        .open_answer(&Method::GET, "/events", &[], "")
        .expect(&pair);
    // The head has come though nothing of the body has.
    let events = streams.0.lock().expect("no test panicked").remove(0);
    for text in ["data: 1\n\n", ": still here\n\n"] {
        events.send(Bytes::from(text)).expect("the stream is open");
        assert_eq!(
            stream.piece().expect(&pair).as_deref(),
            Some(text.as_bytes()),
            "{pair}"
        );
    }
    drop(events);
    assert_eq!(stream.piece().expect(&pair), None, "{pair}");

    let given_up = client
        .open_answer(&Method::GET, "/given-up", &[], "")
        .expect(&pair);
    drop(given_up);
    server.wait_given_up("/given-up");

    let span = receiver.wait_for_calls(1).remove(0);
    let version = if from.version == Version::Two {
        "2"
    } else {
        "1.1"
    };
    assert_eq!(span.text("network.protocol.version"), version, "{pair}");
    let transport = if from.unix { "unix" } else { "tcp" };
    assert_eq!(span.text("network.transport"), transport, "{pair}");
    let (summary, log) = proxy.stop_and_keep_log();
    summary.assert_conserved();
    log.assert_none_at("WARN");
    assert!(
        !folder.path().join("hop").exists(),
        "{pair}: the socket's file is gone"
    );
}

const ANSWER: &str = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;

impl Streams {
    fn reply(&self, seen: &Seen) -> Reply {
        match seen.path.as_str() {
            "/events" | "/given-up" => {
                let (sender, events) = mpsc::unbounded_channel();
                self.0.lock().expect("no test panicked").push(sender);
                Reply::Events(events)
            }
            _ => Reply::Json(ANSWER.to_owned()),
        }
    }
}

fn assert_arrived(seen: &Seen, to: Kind, pair: &str) {
    assert_eq!(seen.version, to.version, "{pair}");
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/mcp?q=1"),
        "{pair}"
    );
    assert_eq!(seen.authority, AUTHORITY, "{pair}");
    assert_eq!(seen.headers["x-mine"], "1", "{pair}");
    assert_eq!(seen.headers["te"], "trailers", "{pair}");
    let length = seen.headers["content-length"].to_str().expect("a length");
    assert_eq!(length, seen.body.len().to_string(), "{pair}");
    let verdict = splice::judge_all_injected(CALL.as_bytes(), &seen.body)
        .unwrap_or_else(|why| panic!("{pair}: {why}"));
    assert_eq!(verdict.injected, 1, "{pair}");
}
