use super::*;
use crate::tap::bridge::lines::scan;

fn open(routes: &mut Routes, text: &str, stream: u64) {
    let scanner = scan(text.as_bytes()).unwrap();
    routes.open(&scanner.messages().next().unwrap(), stream);
}

fn stream_for(routes: &Routes, text: &str, standalone: bool) -> u64 {
    let scanner = scan(text.as_bytes()).unwrap();
    routes.stream_for(&scanner.messages().next().unwrap(), standalone)
}

fn number(id: &str) -> Id {
    Id::Number(id.into())
}

const LOG: &str = r#"{"method":"notifications/message","params":{"level":"info"}}"#;
const ASK: &str = r#"{"id":7,"method":"sampling/createMessage","params":{}}"#;
const CHANGED: &str = r#"{"method":"notifications/tools/list_changed"}"#;

fn progress(token: &str) -> String {
    format!(r#"{{"method":"notifications/progress","params":{{"progressToken":{token}}}}}"#)
}

#[test]
fn progress_goes_where_its_token_came_from() {
    let mut routes = Routes::default();
    for (id, stream) in [(1, 11), (2, 12)] {
        let text = format!(
            r#"{{"id":{id},"method":"tools/call","params":{{"_meta":{{"progressToken":{id}}}}}}}"#
        );
        open(&mut routes, &text, stream);
    }
    assert_eq!(stream_for(&routes, &progress("1"), true), 11);
    assert_eq!(stream_for(&routes, &progress("2"), true), 12);
    assert_eq!(stream_for(&routes, &progress("\"2\""), true), STANDALONE);
    routes.close(&number("1"));
    assert_eq!(stream_for(&routes, &progress("1"), true), STANDALONE);
}

#[test]
fn what_is_said_inside_of_one_call_stays_with_it() {
    let mut routes = Routes::default();
    for text in [LOG, ASK, CHANGED] {
        assert_eq!(stream_for(&routes, text, false), STANDALONE);
    }
    open(&mut routes, r#"{"id":1,"method":"tools/call"}"#, 11);
    assert_eq!(stream_for(&routes, LOG, true), 11);
    assert_eq!(stream_for(&routes, ASK, true), 11);
    assert_eq!(stream_for(&routes, CHANGED, true), STANDALONE);
    assert_eq!(stream_for(&routes, CHANGED, false), 11);
    open(&mut routes, r#"{"id":"1","method":"tools/call"}"#, 12);
    assert_eq!(stream_for(&routes, ASK, true), STANDALONE);
    assert_eq!(stream_for(&routes, ASK, false), 12);
}

#[test]
fn a_stream_is_done_when_all_of_its_batch_is_answered() {
    let mut routes = Routes::default();
    open(&mut routes, r#"{"id":1,"method":"a"}"#, 11);
    open(&mut routes, r#"{"id":2,"method":"b"}"#, 11);
    let more = Closed {
        stream: 11,
        last: false,
    };
    assert_eq!(routes.close(&number("2")), Some(more));
    let last = Closed { last: true, ..more };
    assert_eq!(routes.close(&number("1")), Some(last));
    assert_eq!(routes.close(&number("1")), None);
    assert!(routes.is_empty());
}

#[test]
fn a_cancelled_request_is_forgotten_once_nobody_reads_its_stream() {
    let mut routes = Routes::default();
    open(&mut routes, r#"{"id":1,"method":"a"}"#, 11);
    open(&mut routes, r#"{"id":2,"method":"b"}"#, 11);
    assert_eq!(routes.cancel(&number("1")), Some(11));
    assert_eq!(routes.cancel(&number("9")), None);
    assert!(!routes.abandon(11), "the other one is waited for");
    assert_eq!(routes.close(&number("1")), None);
    routes.cancel(&number("2"));
    assert!(routes.abandon(11));
    assert!(routes.is_empty());
}

#[test]
fn a_second_request_with_an_open_id_ends_the_stream_of_the_first() {
    let mut routes = Routes::default();
    let scanner = scan(br#"{"id":1,"method":"a"}"#).unwrap();
    let message = scanner.messages().next().unwrap();
    assert_eq!(routes.open(&message, 11), None);
    assert_eq!(routes.open(&message, 12), Some(11));
    assert_eq!(routes.open(&message, 12), None);
}
