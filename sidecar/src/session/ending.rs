//! Takes the message that ends a call. Gives the outcome it speaks of.
//! Never guesses: a call has timed out only where a peer says that it has.

use super::Direction;
use crate::frame::{Message, Shape, Slot};
use crate::record::Outcome;

/// What the SDKs of TypeScript, Python and others call a request time-out. It is theirs, not the protocol's (the range
/// is left to implementations), so it counts as one wherever nothing says that it is something else.
const REQUEST_TIMEOUT: i64 = -32001;

const GATEWAY_TIMEOUT: u16 = 504;

/// How the SDKs say in the reason of a cancel that they waited for too long: TypeScript "Request timed out" and "Maximum
/// total timeout exceeded", Python "timed out after 5s", Rust "request timeout", Go "context deadline exceeded".
const TIMED_OUT: [&str; 5] = [
    "timed out",
    "timeout",
    "timed-out",
    "time-out",
    "deadline exceeded",
];

/// How a response says that its call ended; `status` is the one it came under, where it came by HTTP alone.
pub(super) fn of_answer(message: &Message<'_>, status: Option<u16>) -> Outcome {
    if message.is_error() {
        return of_error(message.integer(Slot::ErrorCode), status);
    }
    if message.shape(Slot::IsError) == Shape::True {
        return Outcome::ToolError;
    }
    match message.text(Slot::ResultType).as_deref() {
        Some("input_required") => Outcome::InputRequired,
        _ if creates_task(message) => Outcome::TaskCreated,
        _ => Outcome::Ok,
    }
}

/// Whether a response says that its server goes on to work on a task.
pub(crate) fn creates_task(message: &Message<'_>) -> bool {
    message.text(Slot::ResultType).as_deref() == Some("task")
        || matches!(message.shape(Slot::ResultTask), Shape::Object { .. })
}

/// Over pipes and sockets, and with a status of success, -32001 is the time-out of an SDK. Under a 4xx it is not: there
/// the SDK of TypeScript means a session it does not know (404), and drafts of 2026-07-28 a header that is not like the
/// body (400).
fn of_error(code: Option<i64>, status: Option<u16>) -> Outcome {
    let refused = status.is_some_and(|status| (400..500).contains(&status));
    match code {
        _ if status == Some(GATEWAY_TIMEOUT) => Outcome::TimedOut(code),
        None => Outcome::Malformed,
        Some(REQUEST_TIMEOUT) if !refused => Outcome::TimedOut(code),
        Some(code) => Outcome::RpcError(code),
    }
}

/// How a cancel says that the request ended which its sender had sent.
pub(super) fn of_cancel(message: &Message<'_>, direction: Direction) -> Outcome {
    let reason = message.text(Slot::ParamsReason).unwrap_or_default();
    let reason = reason.to_ascii_lowercase();
    match direction {
        _ if TIMED_OUT.iter().any(|words| reason.contains(words)) => Outcome::TimedOut(None),
        Direction::ToServer => Outcome::CancelledByClient,
        Direction::ToClient => Outcome::CancelledByServer,
    }
}
