//! Takes one connection of HTTP/2 with many exchanges. Gives that each of them is its own.
//! Never counts on the order in which they end.

use hyper::Method;
use tests::sidecar::Proxy;
use tests::wire::Version;
use tests::wire::client::Client;
use tests::wire::server::{Reply, Server};

const COUNT: usize = 50;
/// The one that the client gives up.
const RESET: usize = 17;

fn path(i: usize) -> String {
    format!("/{i}")
}

/// Fifty exchanges wait at once; one is reset, and only that one ends.
fn reset_one(options: &[&str]) -> (Server, Proxy) {
    let server = Server::start("127.0.0.1:0", None, |seen| match seen.path.as_str() {
        "/after" => Reply::Json("after".to_owned()),
        path if path.strip_prefix('/').and_then(|i| i.parse().ok()) == Some(RESET) => Reply::Never,
        _ => {
            let (sender, events) = tokio::sync::mpsc::unbounded_channel();
            sender
                .send(bytes::Bytes::from(seen.path.clone()))
                .expect("it is open");
            Reply::Held(events, sender)
        }
    })
    .expect("a port");
    let proxy = Proxy::start(&format!("http://{}", server.at()), options);
    let mut client =
        Client::connect(proxy.listens_at(), Version::Two, None).expect("the sidecar listens");
    let mut exchanges: Vec<_> = (0..COUNT)
        .map(|i| client.start(&Method::GET, &path(i), &[], ""))
        .collect();
    let arrived = server.wait_for(COUNT);
    assert_eq!(arrived.len(), COUNT);
    drop(exchanges.remove(RESET));
    server.wait_given_up(&path(RESET));
    let mut answers: Vec<_> = exchanges
        .into_iter()
        .map(|one| one.answer().expect("an answer"))
        .collect();
    for (answer, i) in answers.iter_mut().zip((0..COUNT).filter(|i| *i != RESET)) {
        assert_eq!(
            answer.piece().expect("a piece").as_deref(),
            Some(path(i).as_bytes())
        );
    }
    let (_, body) = client
        .post("/after", &[], "{}")
        .expect("the connection lives");
    assert_eq!(body, b"after");
    assert_eq!(server.given_up(), [path(RESET)], "all others are open");
    (server, proxy)
}

#[test]
fn a_reset_ends_its_own_exchange_over_one_connection_to_the_server() {
    let (server, _proxy) = reset_one(&["--upstream-http", "2"]);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_reset_ends_its_own_exchange_where_each_has_a_connection() {
    let (server, _proxy) = reset_one(&[]);
    assert!(server.connections() >= COUNT, "{}", server.connections());
}

#[test]
fn a_connection_that_the_server_ended_is_made_again() {
    let script = |_: &_| Reply::Json("{}".to_owned());
    let first = Server::start("127.0.0.1:0", None, script).expect("a port");
    let at = first.at().to_owned();
    let proxy = Proxy::start(&format!("http://{at}"), &["--upstream-http", "2"]);
    let mut client =
        Client::connect(proxy.listens_at(), Version::One, None).expect("the sidecar listens");
    client.post("/", &[], "{}").expect("an answer");
    drop(first);
    let again = tests::process::eventually("the port", tests::process::PATIENCE, || {
        Server::start(&at, None, script).ok()
    });
    // The first may still meet the end of the old connection; none is ever sent twice.
    tests::process::eventually(
        "an answer of the new server",
        tests::process::PATIENCE,
        || {
            let (answer, _) = client.post("/", &[], "{}").ok()?;
            (answer.status == 200).then_some(())
        },
    );
    assert!(again.connections() >= 1);
}

#[test]
fn a_redirect_is_passed_on_and_not_followed() {
    let server = Server::start("127.0.0.1:0", None, |_| {
        Reply::Moved("http://127.0.0.1:1/".to_owned())
    });
    let server = server.expect("a port");
    let proxy = Proxy::start(&format!("http://{}", server.at()), &[]);
    let mut client =
        Client::connect(proxy.listens_at(), Version::One, None).expect("the sidecar listens");
    let (answer, _) = client.post("/", &[], "{}").expect("an answer");
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["location"]),
        (307, &"http://127.0.0.1:1/".parse().expect("a value"))
    );
    assert_eq!(server.seen().len(), 1);
}
