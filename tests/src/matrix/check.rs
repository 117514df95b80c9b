//! Takes what a client printed in both runs, and the spans. Gives the first thing that is not as it must be.
//! Never compares the step whose answer is the trace context: that one has to differ, and how is checked here.

use serde_json::Value;

use super::cell::Cell;
use super::column::{Column, Era, Transport};
use super::peers::Mark;
use super::script::TRACE;
use crate::otlp::Span;

const MODERN: &str = "2026-07-28";

/// What the run through the sidecar gave.
pub struct Through {
    pub lines: Vec<Value>,
    pub spans: Vec<Span>,
}

/// The era that was spoken is that of the column.
///
/// # Errors
/// With the version that was spoken instead.
pub fn era(column: Column, lines: &[Value]) -> Result<(), String> {
    let version = lines.first().and_then(|line| line.get("version"));
    let modern = version.and_then(Value::as_str) == Some(MODERN);
    if modern == (column.era() == Era::Modern) {
        return Ok(());
    }
    Err(format!("the peers spoke {version:?}"))
}

/// The two runs, line by line.
///
/// # Errors
/// With the lines that differ, side by side.
pub fn same(direct: &[Value], through: &[Value]) -> Result<(), String> {
    let step = |lines: &[Value]| lines.iter().filter_map(name).map(str::to_owned).collect();
    let (one, other): (Vec<String>, Vec<String>) = (step(direct), step(through));
    if one != other || one.len() < 5 {
        return Err(format!("steps direct: {one:?}\nsteps through: {other:?}"));
    }
    let differing: Vec<String> = direct
        .iter()
        .zip(through)
        .filter(|(line, _)| name(line) != Some(TRACE))
        .filter(|(one, other)| one != other)
        .map(|(one, other)| format!("direct:  {one}\nthrough: {other}"))
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    Err(differing.join("\n"))
}

/// All spans of the run in the client's trace, and the server under the sidecar's span of the call.
///
/// # Errors
/// With what is elsewhere.
pub fn one_trace(cell: Cell, mark: &Mark, through: &Through) -> Result<(), String> {
    let calls: Vec<&Span> = through.spans.iter().filter(|span| span.is_call()).collect();
    let astray: Vec<String> = calls
        .iter()
        .filter(|span| span.trace_id != mark.trace_id && must_join(cell, span))
        .map(|span| format!("{} by {}", span.name, span.text("toolspan.parent.source")))
        .collect();
    if !astray.is_empty() {
        return Err(format!("not in the client's trace: {astray:?}"));
    }
    let Some(line) = through.lines.iter().find(|line| name(line) == Some(TRACE)) else {
        return Ok(());
    };
    let arrived = arrived(line).ok_or_else(|| format!("no trace context in {line}"))?;
    let span = calls
        .iter()
        .find(|span| span.name == "tools/call trace")
        .ok_or("no span of the call of `trace`")?;
    let expected = if cell.client.compresses(cell.column) {
        mark.traceparent.clone()
    } else {
        format!("00-{}-{}-01", mark.trace_id, span.span_id)
    };
    // Some SDKs hand no header to a tool; what they hand over must be ours.
    let header = arrived
        .get("header")
        .is_some_and(|header| !header.is_null());
    let carriers: &[&str] = if header {
        &["meta", "header"]
    } else {
        &["meta"]
    };
    for carrier in carriers {
        if arrived.get(carrier).and_then(Value::as_str) != Some(&expected) {
            return Err(format!("{carrier} of {arrived} is not {expected}"));
        }
    }
    let source = span.text("toolspan.parent.source");
    if source != "meta" {
        return Err(format!("the parent came from {source}, not from _meta"));
    }
    Ok(())
}

/// The sidecar's word for the end of each call is the client's.
///
/// # Errors
/// With the calls that were recorded otherwise, or not once.
pub fn outcomes(through: &Through) -> Result<(), String> {
    let calls = through.lines.iter().filter_map(|line| {
        let tool = name(line)?.strip_prefix("call ")?;
        Some((format!("tools/call {tool}"), outcome(line)))
    });
    let wrong: Vec<String> = calls
        .filter_map(|(name, expected)| {
            let spans = through.spans.iter();
            let spans = spans.filter(|span| span.is_call() && span.name == name);
            let recorded: Vec<&str> = spans.map(|span| span.text("toolspan.outcome")).collect();
            (recorded != [expected]).then(|| format!("{name}: {recorded:?} is not {expected}"))
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("\n"))
}

/// What a client printed of a call, in the words of `toolspan.outcome`.
fn outcome(line: &Value) -> &'static str {
    let result = line.get("result");
    let is_error = result.and_then(|result| result.get("isError")?.as_bool());
    match (result, is_error) {
        (None, _) => "rpc_error",
        (Some(_), Some(true)) => "tool_error",
        (Some(_), _) => "ok",
    }
}

/// Over a WebSocket there is neither an environment nor a header: what an SDK sends without `_meta` begins a trace.
fn must_join(cell: Cell, span: &Span) -> bool {
    cell.column.transport() != Transport::WebSocket
        || span.text("toolspan.parent.source") != "root"
        || span.name.starts_with("tools/call ")
}

fn name(line: &Value) -> Option<&str> {
    line.get("step")?.as_str()
}

/// The text of the answer of `trace` is JSON.
fn arrived(line: &Value) -> Option<Value> {
    let text = line.pointer("/result/content/0/text")?.as_str()?;
    serde_json::from_str(text).ok()
}
