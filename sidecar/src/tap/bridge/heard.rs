//! Takes a line of a child. Gives it with what is in it, counted, to whoever finds its place; and what to tell a child
//! whose question was too large to pass on.
//! Never decides where a line belongs.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tracing::warn;

use super::Bridge;
use super::answer::INTERNAL_ERROR;
use super::child::Skipped;
use super::lines::{scan, without_returns};
use crate::counters::Counters;
use crate::frame::text::escape_into;
use crate::frame::{Id, Kind, Message, Scanner};

/// A line that is JSON.
#[derive(Debug)]
pub(super) struct Heard {
    pub bridge: Arc<Bridge>,
    pub line: Bytes,
    pub scanner: Scanner,
}

/// Scans a line; none when it is no JSON, or nobody is there any more.
pub(super) fn hear(bridge: &Weak<Bridge>, line: Bytes) -> Option<Heard> {
    let bridge = bridge.upgrade()?;
    let line = without_returns(line);
    let scanned = scan(&line);
    bridge.count(scanned.as_ref());
    let scanner = scanned?;
    Some(Heard {
        bridge,
        line,
        scanner,
    })
}

/// Says that a line was too large to hold, and what was in it.
pub(super) fn skip(bridge: &Weak<Bridge>, skipped: Skipped) -> Option<(Arc<Bridge>, Scanner)> {
    warn!(
        bytes = skipped.bytes,
        "a message of the command is too large"
    );
    let bridge = bridge.upgrade()?;
    let scanned = skipped.scanned.ok();
    bridge.count(scanned.as_ref());
    let scanner = scanned?;
    Counters::add(&bridge.counters.undelivered, 1);
    Some((bridge, scanner))
}

/// The answers to the requests in a line that was not passed on, each a line: their sender would wait in vain.
pub(super) fn refusals(scanner: &Scanner) -> impl Iterator<Item = Bytes> {
    scanner
        .messages()
        .filter(|message| message.kind() == Kind::Request)
        .filter_map(|message| refusal(&message))
}

fn refusal(message: &Message<'_>) -> Option<Bytes> {
    let mut line = br#"{"jsonrpc":"2.0","id":"#.to_vec();
    match message.id()? {
        Id::Number(number) => line.extend_from_slice(number.as_bytes()),
        Id::String(text) => {
            line.push(b'"');
            escape_into(&mut line, &text);
            line.push(b'"');
        }
    }
    let error = format!(
        ",\"error\":{{\"code\":{INTERNAL_ERROR},\"message\":\"the request is too large to be passed on\"}}}}\n"
    );
    line.extend_from_slice(error.as_bytes());
    Some(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_not_passed_on_is_answered_under_its_id() {
        let lines = br#"[{"id":"a\"\u0001b","method":"m"},{"id":1.50,"method":"m"},{"id":1,"result":{}},{"method":"m"}]"#;
        let scanner = scan(lines).unwrap();
        let refusals: Vec<Bytes> = refusals(&scanner).collect();
        let ids: Vec<serde_json::Value> = refusals
            .iter()
            .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["id"].take())
            .collect();
        assert_eq!(ids, ["a\"\u{1}b".into(), serde_json::json!(1.5)]);
        assert!(refusals.iter().all(|line| line.ends_with(b"}\n")));
    }
}
