use std::future::poll_fn;

use super::*;
use crate::tap::bridge::lines::scan;
use crate::tap::bridge::modern::Asking;
use crate::tap::bridge::modern::in_use::tests::a_child;

const CALL: &str = r#"{"id":"a","method":"tools/call","params":{}}"#;
const LISTEN: &str = r#"{"id":"a","method":"subscriptions/listen","params":{}}"#;
const ERROR: &str = r#"{"id":null,"error":{"code":-32600}}"#;

/// A request that the child may have been told of.
fn ask(shared: &Arc<Shared>, text: &'static str, sent: bool) -> Asking {
    let scanner = scan(text.as_bytes()).unwrap();
    let message = scanner.messages().next().unwrap();
    let in_use = shared.hold().expect("it runs");
    let asking = Shared::ask(in_use, &message, &Bytes::from_static(text.as_bytes()), None);
    shared.lock().open.get_mut(&asking.number).unwrap().sent = sent;
    asking
}

/// Whether a line of the child has reached anybody.
fn says(bridge: &Bridge, shared: &Shared, text: &str) -> bool {
    let scanner = scan(text.as_bytes()).unwrap();
    let message = scanner.messages().next().unwrap();
    shared.place(bridge, &message, text.as_bytes()).is_some()
}

fn answers(bridge: &Bridge, shared: &Shared, asking: &Asking) -> bool {
    says(
        bridge,
        shared,
        &format!(r#"{{"id":{},"result":{{}}}}"#, asking.number),
    )
}

#[tokio::test]
async fn an_error_that_names_nothing_is_for_the_only_request_that_it_can_mean() {
    let (bridge, shared) = a_child();
    assert!(!says(&bridge, &shared, ERROR), "nobody asked");
    let one = ask(&shared, CALL, false);
    assert!(!says(&bridge, &shared, ERROR), "it was not sent");
    let other = ask(&shared, CALL, true);
    assert!(!says(&bridge, &shared, ERROR), "there are two");
    drop(one);
    assert!(says(&bridge, &shared, ERROR), "who left had not been sent");
    drop(other);
}

#[tokio::test]
async fn an_error_that_names_nothing_is_for_nobody_when_it_can_mean_what_was_left() {
    let (bridge, shared) = a_child();
    drop(ask(&shared, CALL, true));
    let next = ask(&shared, CALL, true);
    assert!(!says(&bridge, &shared, ERROR), "it can mean who left");
    assert!(answers(&bridge, &shared, &next));
    let last = ask(&shared, CALL, true);
    assert!(says(&bridge, &shared, ERROR), "all before it is answered");
    drop((next, last));
}

#[tokio::test]
async fn an_error_that_names_nothing_is_for_nobody_when_it_can_mean_a_notification() {
    let (bridge, shared) = a_child();
    let open = ask(&shared, CALL, true);
    shared.lock().blur();
    assert!(!says(&bridge, &shared, ERROR));
    assert!(answers(&bridge, &shared, &open));
    let next = ask(&shared, CALL, true);
    assert!(
        !says(&bridge, &shared, ERROR),
        "the answer was to an older one"
    );
    assert!(answers(&bridge, &shared, &next));
    let last = ask(&shared, CALL, true);
    assert!(says(&bridge, &shared, ERROR));
    drop((open, next, last));
}

#[tokio::test]
async fn an_error_that_names_nothing_ends_no_stream_that_has_begun() {
    let (bridge, shared) = a_child();
    let stream = ask(&shared, LISTEN, true);
    let changed =
        r#"{"method":"x","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#;
    assert!(says(&bridge, &shared, changed));
    assert!(!says(&bridge, &shared, ERROR));
    drop(stream);
}

#[tokio::test]
async fn a_stream_that_only_listens_ends_with_us_whenever_it_began() {
    let (_bridge, shared) = a_child();
    let early = ask(&shared, LISTEN, true);
    shared.drain();
    let late = ask(&shared, LISTEN, true);
    for mut stream in [early, late] {
        assert!(matches!(stream.first.try_recv(), Ok(First::Events)));
        let next = poll_fn(|cx| stream.events.poll_next(cx)).await;
        assert!(next.is_none(), "{next:?}");
    }
    let mut call = ask(&shared, CALL, true);
    assert!(call.first.try_recv().is_err(), "it is answered first");
}

#[tokio::test]
async fn a_child_that_answered_with_a_task_works_on() {
    let (bridge, shared) = a_child();
    let call = ask(&shared, CALL, true);
    assert!(answers(&bridge, &shared, &call));
    assert!(!shared.lock().has_task);
    let call = ask(&shared, CALL, true);
    let number = call.number;
    let task = format!(r#"{{"id":{number},"result":{{"resultType":"task","taskId":"1"}}}}"#);
    assert!(says(&bridge, &shared, &task));
    assert!(shared.lock().has_task);
}
