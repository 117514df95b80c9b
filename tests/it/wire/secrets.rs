//! Takes certificates. Gives who is let in, and that new certificates are shown without breaking what is open.
//! Never trusts the system's authorities: each test has its own.

use bytes::Bytes;
use hyper::Method;
use tests::process::{PATIENCE, eventually};
use tests::sidecar::{Proxy, argument};
use tests::wire::Version;
use tests::wire::certs::{Authority, Identity};
use tests::wire::client::Client;
use tests::wire::server::{Reply, Server};
use tokio::sync::mpsc;

fn server() -> Server {
    Server::start("127.0.0.1:0", None, |_| Reply::Json("{}".to_owned())).expect("a port")
}

fn behind_tls(server: &Server, ours: &Identity, more: &[&str]) -> Proxy {
    let mut options = vec![
        "--tls-cert",
        argument(&ours.cert),
        "--tls-key",
        argument(&ours.key),
    ];
    options.extend_from_slice(more);
    Proxy::start(&format!("http://{}", server.at()), &options)
}

#[test]
fn only_clients_of_the_authority_are_let_in() {
    let (authority, stranger) = (Authority::default(), Authority::default());
    let ours = authority.issue("ours", &["localhost"]);
    let (friend, foe) = (
        authority.issue("friend", &["friend"]),
        stranger.issue("foe", &["foe"]),
    );
    let server = server();
    let ca = authority.file();
    let proxy = behind_tls(&server, &ours, &["--tls-client-ca", argument(&ca)]);
    let post = |shown: Option<&Identity>| {
        let tls = authority.client(Version::One, shown);
        let mut client = Client::connect(proxy.listens_at(), Version::One, Some(tls))?;
        client.post("/", &[], "{}")
    };
    assert_eq!(post(Some(&friend)).expect("a friend").0.status, 200);
    assert!(post(Some(&foe)).is_err());
    assert!(post(None).is_err());
    assert_eq!(server.seen().len(), 1, "strangers reach nobody");
}

#[test]
fn a_server_of_another_authority_is_not_spoken_to() {
    let (authority, stranger) = (Authority::default(), Authority::default());
    let foe = stranger.issue("foe", &["localhost", "127.0.0.1"]);
    let tls = stranger.server(Version::Two, &foe);
    let server =
        Server::start("127.0.0.1:0", Some(tls), |_| Reply::Json("{}".to_owned())).expect("a port");
    let ca = authority.file();
    let url = format!("https://{}", server.at());
    let proxy = Proxy::start(&url, &["--upstream-ca", argument(&ca)]);
    let mut client =
        Client::connect(proxy.listens_at(), Version::One, None).expect("the sidecar listens");
    let (answer, _) = client.post("/", &[], "{}").expect("an answer of ours");
    assert_eq!(answer.status, 502);
    assert!(server.seen().is_empty());
}

#[test]
fn a_new_certificate_is_shown_while_a_stream_stays_open() {
    let authority = Authority::default();
    let ours = authority.issue("ours", &["localhost"]);
    let (events, stream) = mpsc::unbounded_channel();
    let stream = std::sync::Mutex::new(Some(stream));
    let server = Server::start("127.0.0.1:0", None, move |_| {
        match stream.lock().expect("no panic").take() {
            Some(stream) => Reply::Events(stream),
            None => Reply::Json("{}".to_owned()),
        }
    });
    let server = server.expect("a port");
    let proxy = behind_tls(&server, &ours, &[]);
    let connect = || {
        let tls = authority.client(Version::Two, None);
        Client::connect(proxy.listens_at(), Version::Two, Some(tls)).expect("a handshake")
    };
    let mut old = connect();
    let mut open = old
        .open_answer(&Method::GET, "/", &[], "")
        .expect("a stream");
    let before = ours.chain();
    assert_eq!(old.certificate(), before.first());
    let renewed = authority.issue("ours", &["localhost"]);
    assert_ne!(renewed.chain(), before);
    eventually("the new certificate", PATIENCE, || {
        (connect().certificate() == renewed.chain().first()).then_some(())
    });
    events
        .send(Bytes::from_static(b"data: still\n\n"))
        .expect("the stream is open");
    assert_eq!(
        open.piece().expect("a piece").as_deref(),
        Some(&b"data: still\n\n"[..])
    );
    let (answer, _) = old
        .post("/", &[], "{}")
        .expect("the old connection goes on");
    assert_eq!(answer.status, 200);
}
