use std::ops::Range;

use http::HeaderMap;

use super::*;
use crate::tap::bridge::budget::Payer;
use crate::tap::bridge::caller::Claim;
use crate::tap::bridge::child::Ending;
use crate::tap::bridge::children::NoChild;
use crate::tap::bridge::lines::scan;

fn a_session(wire: Wire) -> (Arc<Bridge>, Arc<Session>) {
    let bridge = Bridge::start(Rules::of_any(), Arc::default());
    let (rules, child) = (bridge.rules(), Child::unstarted(Ending::default()));
    let holder = Holder::new(&bridge.keys, &HeaderMap::new(), None, Claim::Ours);
    let session = Session::new(&bridge, &rules, child, "1".into(), wire, holder);
    (bridge, Arc::new(session))
}

/// A batch of requests with these ids.
fn posted(bridge: &Bridge, ids: Range<usize>) -> Posted {
    let requests: Vec<String> = ids
        .map(|id| format!(r#"{{"id":{id},"method":"tools/call","params":{{}}}}"#))
        .collect();
    let body = Bytes::from(format!("[{}]", requests.join(",")));
    let scanner = scan(&body).expect("it is JSON");
    assert!(!scanner.overflowed());
    let spent = bridge.budget.begin(Payer(bridge.keys.hash(0)));
    Posted {
        body,
        scanner,
        spent,
    }
}

/// The stream that the answer to a request goes to.
fn stream_of(bridge: &Bridge, session: &Session, id: usize) -> Option<u64> {
    let line = format!(r#"{{"id":{id},"result":{{}}}}"#);
    let scanner = scan(line.as_bytes()).expect("it is JSON");
    let placed = session.take_in(bridge, &scanner, line.as_bytes());
    placed.map(|placed| placed.stream)
}

/// As many as may be open, in batches.
const BATCH: usize = 1000;
const BATCHES: usize = 10;

#[tokio::test]
async fn a_request_that_its_client_waits_for_is_not_forgotten_however_many_are_open() {
    let (bridge, session) = a_session(Wire::Streamable);
    let waits = |batch| session.open_stream(&posted(&bridge, batch * BATCH..(batch + 1) * BATCH));
    let streams: Vec<_> = (0..BATCHES).map(waits).collect();
    let last = session.open_stream(&posted(&bridge, BATCHES * BATCH..BATCHES * BATCH + 1));
    assert_eq!(
        stream_of(&bridge, &session, BATCHES * BATCH),
        Some(BATCHES as u64 + 1)
    );
    assert_eq!(stream_of(&bridge, &session, 0), Some(1));
    assert!(last.is_some() && streams.iter().all(Option::is_some));
}

#[tokio::test]
async fn an_answer_arrives_on_the_one_stream_however_many_requests_are_open() {
    let (bridge, session) = a_session(Wire::Sse);
    for batch in 0..=BATCHES {
        session.open_requests(&posted(&bridge, batch * BATCH..(batch + 1) * BATCH));
    }
    assert_eq!(stream_of(&bridge, &session, 0), Some(STANDALONE));
}

#[tokio::test]
async fn nobody_waits_for_a_session_that_has_ended() {
    let (bridge, session) = a_session(Wire::Streamable);
    session.end(Why::Client);
    assert!(session.open_stream(&posted(&bridge, 0..1)).is_none());
    let initialized = session.await_initialize();
    initialized
        .await
        .expect_err("nobody is left who could tell");
}

#[tokio::test]
async fn no_session_begins_once_we_end() {
    let bridge = Bridge::start(Rules::of_any(), Arc::default());
    bridge.drain();
    let holder = Holder::new(&bridge.keys, &HeaderMap::new(), None, Claim::Ours);
    let begun = bridge.begin(Wire::Sse, holder).await;
    assert!(matches!(begun, Err(NoChild::Ending)));
}
