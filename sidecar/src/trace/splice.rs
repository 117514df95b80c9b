//! Takes a scanned request and the outgoing context. Gives the edits that put the context into `params._meta`.
//! Never touches another byte: a value is replaced in place, or members go directly behind an opening brace.
//! SEP-414: the keys are `traceparent` and `tracestate`, without a prefix.

use std::ops::Range;

use crate::frame::line::Edit;
use crate::frame::text::escape_into;
use crate::frame::{Message, Shape, Slot};
use crate::record::{NotInjected, ParentSource};

use super::context::{Decision, format_traceparent};

/// Plans the splice of one request; edits come in ascending order of place.
///
/// # Errors
/// Why the message cannot carry a context.
pub fn plan(message: &Message<'_>, decision: &Decision) -> Result<Vec<Edit>, NotInjected> {
    match (message.shape(Slot::Params), message.shape(Slot::Meta)) {
        (Shape::Absent, _) => {
            let mut with = b"\"params\":{".to_vec();
            push_meta(&mut with, decision);
            // A request is never empty: it has a method.
            with.extend_from_slice(b"},");
            Ok(vec![insert(message.start(), with)])
        }
        (Shape::Object { empty }, Shape::Absent) => {
            let mut with = Vec::with_capacity(128);
            push_meta(&mut with, decision);
            if !empty {
                with.push(b',');
            }
            Ok(vec![insert(message.span(Slot::Params).0, with)])
        }
        (Shape::Object { .. }, Shape::Object { empty }) => Ok(in_meta(message, decision, empty)),
        (Shape::Object { .. }, _) => Err(NotInjected::MetaNotObject),
        _ => Err(NotInjected::ParamsNotObject),
    }
}

fn in_meta(message: &Message<'_>, decision: &Decision, empty: bool) -> Vec<Edit> {
    let mut edits = Vec::with_capacity(2);
    let mut new = Vec::new();
    if message.shape(Slot::Traceparent) == Shape::Absent {
        push_traceparent(&mut new, decision);
    } else {
        let mut with = vec![b'"'];
        with.extend_from_slice(&format_traceparent(&decision.outgoing));
        with.push(b'"');
        edits.push(replace(message, Slot::Traceparent, with));
    }
    let state = &decision.call.tracestate;
    match message.shape(Slot::Tracestate) {
        Shape::Absent if state.is_empty() => {}
        Shape::Absent => push_tracestate(&mut new, state),
        // It came with the parent, so it goes on as it is.
        _ if decision.call.parent_source == ParentSource::Meta => {}
        _ => {
            let mut with = vec![b'"'];
            escape_into(&mut with, state);
            with.push(b'"');
            edits.push(replace(message, Slot::Tracestate, with));
        }
    }
    if !new.is_empty() {
        if !empty {
            new.push(b',');
        }
        edits.push(insert(message.span(Slot::Meta).0, new));
    }
    edits.sort_by_key(|edit| edit.at.start);
    edits
}

fn push_meta(out: &mut Vec<u8>, decision: &Decision) {
    out.extend_from_slice(b"\"_meta\":{");
    push_traceparent(out, decision);
    push_tracestate(out, &decision.call.tracestate);
    out.push(b'}');
}

fn push_traceparent(out: &mut Vec<u8>, decision: &Decision) {
    out.extend_from_slice(b"\"traceparent\":\"");
    out.extend_from_slice(&format_traceparent(&decision.outgoing));
    out.push(b'"');
}

fn push_tracestate(out: &mut Vec<u8>, state: &str) {
    if state.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(b"\"tracestate\":\"");
    escape_into(out, state);
    out.push(b'"');
}

/// Directly behind the brace that stands at `brace`.
fn insert(brace: u64, with: Vec<u8>) -> Edit {
    let at = place(brace) + 1;
    Edit { at: at..at, with }
}

fn replace(message: &Message<'_>, slot: Slot, with: Vec<u8>) -> Edit {
    let (start, end) = message.span(slot);
    let at: Range<usize> = place(start)..place(end);
    Edit { at, with }
}

/// An offset inside a buffer that is held, so it fits.
fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
