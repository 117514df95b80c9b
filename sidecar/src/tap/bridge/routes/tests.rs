use super::*;
use crate::tap::bridge::lines::scan;

fn open(routes: &mut Routes, text: &str, stream: u64) {
    let scanner = scan(text.as_bytes()).unwrap();
    let message = scanner.messages().next().unwrap();
    routes.open(&message, text.as_bytes(), stream);
}

fn stream_for(routes: &Routes, text: &str, standalone: bool) -> u64 {
    let scanner = scan(text.as_bytes()).unwrap();
    let message = scanner.messages().next().unwrap();
    routes.stream_for(&message, text.as_bytes(), standalone)
}

fn answer(routes: &mut Routes, text: &str) -> Option<Closed> {
    let scanner = scan(text.as_bytes()).unwrap();
    let message = scanner.messages().next().unwrap();
    let answered = routes.answer(&message, text.as_bytes());
    answered.map(|answered| answered.closed)
}

/// The answer to the request with this id.
fn close(routes: &mut Routes, id: &str) -> Option<Closed> {
    answer(routes, &format!(r#"{{"id":{id},"result":{{}}}}"#))
}

fn cancel(routes: &mut Routes, id: &str) -> Option<u64> {
    let text = format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
    let scanner = scan(text.as_bytes()).unwrap();
    routes.cancel(&scanner.messages().next().unwrap(), text.as_bytes())
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
    close(&mut routes, "1");
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
    assert_eq!(close(&mut routes, "2"), Some(more));
    let last = Closed { last: true, ..more };
    assert_eq!(close(&mut routes, "1"), Some(last));
    assert_eq!(close(&mut routes, "1"), None);
    assert!(routes.is_empty());
}

#[test]
fn a_cancelled_request_is_forgotten_once_nobody_reads_its_stream() {
    let mut routes = Routes::default();
    open(&mut routes, r#"{"id":1,"method":"a"}"#, 11);
    open(&mut routes, r#"{"id":2,"method":"b"}"#, 11);
    assert_eq!(cancel(&mut routes, "1"), Some(11));
    assert_eq!(cancel(&mut routes, "9"), None);
    assert!(!routes.abandon(11), "the other one is waited for");
    assert_eq!(close(&mut routes, "1"), None);
    cancel(&mut routes, "2");
    assert!(routes.abandon(11));
    assert!(routes.is_empty());
}

#[test]
fn a_second_request_with_an_open_id_ends_the_stream_of_the_first() {
    let mut routes = Routes::default();
    let text = br#"{"id":1,"method":"a"}"#;
    let scanner = scan(text).unwrap();
    let message = scanner.messages().next().unwrap();
    assert_eq!(routes.open(&message, text, 11), None);
    assert_eq!(routes.open(&message, text, 12), Some(11));
    assert_eq!(routes.open(&message, text, 12), None);
}

fn last(stream: u64) -> Option<Closed> {
    Some(Closed { stream, last: true })
}

#[test]
fn a_name_is_its_value_and_its_type_however_long_it_is() {
    let (one, other) = ("a".repeat(300) + "b", "a".repeat(300) + "c");
    let ids = ["1", "\"1\"", &format!("\"{one}\""), &format!("\"{other}\"")];
    let mut routes = Routes::default();
    for (id, stream) in ids.iter().zip(11..) {
        let text =
            format!(r#"{{"id":{id},"method":"a","params":{{"_meta":{{"progressToken":{id}}}}}}}"#);
        open(&mut routes, &text, stream);
    }
    let escaped = other.replace('c', r"\u0063");
    let spellings = ["1.0e0", r#""\u0031""#, ids[2], &format!("\"{escaped}\"")];
    for (id, stream) in spellings.iter().zip(11..) {
        assert_eq!(stream_for(&routes, &progress(id), true), stream, "{id}");
    }
    for (id, stream) in spellings.iter().zip(11..) {
        assert_eq!(close(&mut routes, id), last(stream), "{id}");
    }
    assert!(routes.is_empty());
}

#[test]
fn an_answer_that_names_nothing_is_for_the_one_request_that_is_open_if_it_is_an_error() {
    let mut routes = Routes::default();
    open(&mut routes, r#"{"id":1,"method":"a"}"#, 11);
    let long = format!(r#"{{"id":"{}","result":{{}}}}"#, "a".repeat(300));
    for text in [
        r#"{"id":null,"result":{}}"#,
        r#"{"id":{},"error":{}}"#,
        &long,
    ] {
        assert_eq!(answer(&mut routes, text), None, "{text}");
    }
    open(&mut routes, r#"{"id":2,"method":"a"}"#, 12);
    assert_eq!(answer(&mut routes, r#"{"id":null,"error":{}}"#), None);
    assert_eq!(close(&mut routes, "1"), last(11));
    assert_eq!(answer(&mut routes, r#"{"error":{}}"#), last(12));
}

#[test]
fn the_oldest_request_that_nobody_reads_is_forgotten_when_there_are_too_many() {
    let mut routes = Routes::default();
    let request = |id: usize| format!(r#"{{"id":{id},"method":"tools/call","params":{{}}}}"#);
    for id in 0..=MAX_OPEN {
        assert_eq!(routes.shrink(|_| true), None);
        open(&mut routes, &request(id), id as u64 + 1);
    }
    assert_eq!(routes.shrink(|_| false), None, "all are read");
    let (stream, last) = (3, true);
    assert_eq!(
        routes.shrink(|stream| stream > 2),
        Some(Closed { stream, last })
    );
    assert_eq!(routes.shrink(|_| true), None);
    assert_eq!(close(&mut routes, "2"), None);
    assert!(close(&mut routes, "0").is_some());
}
