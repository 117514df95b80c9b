//! Takes spans of one tenant and their resource. Gives the bytes of one OTLP export, in one pass.
//! The fields stand in the order of their numbers, as every protobuf library writes them.
//! Never builds messages in between: for a busy proxy that was most of what telemetry cost.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, InstrumentationScope, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

/// Bytes of a span as a tool call makes it; an export is larger or smaller at no harm.
const USUAL_SPAN: usize = 1024;

/// `SpanFlags`: whether the parent's place is known, and whether it is another process.
const PARENT_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// How many bytes the length of a message probably takes; a wrong guess costs a move.
#[derive(Clone, Copy)]
enum Room {
    Attribute = 1,
    Span = 2,
    Export = 3,
}

/// `Resource` and its schema's URL, as fields of `ResourceSpans`; the spans go between the two.
#[derive(Debug, Clone)]
pub(super) struct EncodedResource {
    resource: Vec<u8>,
    schema_url: Vec<u8>,
}

impl EncodedResource {
    pub(super) fn new(resource: &Resource) -> Self {
        let (mut own, mut schema_url) = (Vec::new(), Vec::new());
        nested(&mut own, 1, Room::Span, |out| {
            for (key, value) in resource {
                attribute(out, 1, key.as_str(), value);
            }
        });
        text(
            &mut schema_url,
            3,
            resource.schema_url().unwrap_or_default(),
        );
        Self {
            resource: own,
            schema_url,
        }
    }
}

/// An `ExportTraceServiceRequest`.
pub(super) fn export(resource: &EncodedResource, spans: &[SpanData]) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL_SPAN * (spans.len() + 1));
    nested(&mut out, 1, Room::Export, |out| {
        out.extend_from_slice(&resource.resource);
        let same = |one: &SpanData, next: &SpanData| {
            one.instrumentation_scope == next.instrumentation_scope
        };
        for group in spans.chunk_by(same) {
            nested(out, 2, Room::Export, |out| scope_spans(out, group));
        }
        out.extend_from_slice(&resource.schema_url);
    });
    out
}

fn scope_spans(out: &mut Vec<u8>, spans: &[SpanData]) {
    let Some(first) = spans.first() else { return };
    let from: &InstrumentationScope = &first.instrumentation_scope;
    nested(out, 1, Room::Attribute, |out| {
        text(out, 1, from.name());
        text(out, 2, from.version().unwrap_or_default());
        for pair in from.attributes() {
            attribute(out, 3, pair.key.as_str(), &pair.value);
        }
    });
    for one in spans {
        nested(out, 2, Room::Span, |out| span(out, one));
    }
    text(out, 3, from.schema_url().unwrap_or_default());
}

/// Our spans have no events, and nothing of them was dropped.
fn span(out: &mut Vec<u8>, span: &SpanData) {
    place(out, &span.span_context);
    if span.parent_span_id != SpanId::INVALID {
        bytes(out, 4, &span.parent_span_id.to_bytes());
    }
    text(out, 5, &span.name);
    tag(out, 6, Wire::Varint);
    varint(out, kind(&span.span_kind));
    fixed64(out, 7, nanos(span.start_time));
    fixed64(out, 8, nanos(span.end_time));
    for pair in &span.attributes {
        attribute(out, 9, pair.key.as_str(), &pair.value);
    }
    for one in &span.links.links {
        nested(out, 13, Room::Attribute, |out| link(out, one));
    }
    nested(out, 15, Room::Attribute, |out| status(out, &span.status));
    flags(out, 16, &span.span_context, span.parent_span_is_remote);
}

fn link(out: &mut Vec<u8>, link: &Link) {
    place(out, &link.span_context);
    for pair in &link.attributes {
        attribute(out, 4, pair.key.as_str(), &pair.value);
    }
    flags(out, 6, &link.span_context, link.span_context.is_remote());
}

/// Trace, span and state: fields 1 to 3 of a span and of a link.
fn place(out: &mut Vec<u8>, context: &SpanContext) {
    bytes(out, 1, &context.trace_id().to_bytes());
    bytes(out, 2, &context.span_id().to_bytes());
    text(out, 3, &context.trace_state().header());
}

fn flags(out: &mut Vec<u8>, field: u32, context: &SpanContext, remote: bool) {
    let remote = if remote { PARENT_IS_REMOTE } else { 0 };
    let flags = PARENT_IS_KNOWN | remote | u32::from(context.trace_flags().to_u8());
    tag(out, field, Wire::Fixed32);
    out.extend_from_slice(&flags.to_le_bytes());
}

fn status(out: &mut Vec<u8>, status: &Status) {
    let code = match status {
        Status::Unset => return,
        Status::Ok => 1,
        Status::Error { description } => {
            text(out, 2, description);
            2
        }
    };
    tag(out, 3, Wire::Varint);
    varint(out, code);
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &Value) {
    nested(out, field, Room::Attribute, |out| {
        text(out, 1, key);
        nested(out, 2, Room::Attribute, |out| any_value(out, value));
    });
}

fn any_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bool(value) => bool_value(out, *value),
        Value::I64(value) => int_value(out, *value),
        Value::F64(value) => double_value(out, *value),
        Value::String(value) => bytes(out, 1, value.as_str().as_bytes()),
        Value::Array(values) => nested(out, 5, Room::Attribute, |out| array(out, values)),
        // The data model has no other; one that a later SDK adds is an empty value.
        _ => {}
    }
}

fn array(out: &mut Vec<u8>, values: &Array) {
    fn each<T>(out: &mut Vec<u8>, values: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
        for value in values {
            nested(out, 1, Room::Attribute, |out| write(out, value));
        }
    }
    match values {
        Array::Bool(values) => each(out, values, |out, value| bool_value(out, *value)),
        Array::I64(values) => each(out, values, |out, value| int_value(out, *value)),
        Array::F64(values) => each(out, values, |out, value| double_value(out, *value)),
        Array::String(values) => each(out, values, |out, value| {
            bytes(out, 1, value.as_str().as_bytes());
        }),
        _ => {}
    }
}

fn bool_value(out: &mut Vec<u8>, value: bool) {
    tag(out, 2, Wire::Varint);
    varint(out, u64::from(value));
}

fn int_value(out: &mut Vec<u8>, value: i64) {
    tag(out, 3, Wire::Varint);
    varint(out, value.cast_unsigned());
}

fn double_value(out: &mut Vec<u8>, value: f64) {
    tag(out, 4, Wire::Fixed64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A time before 1970 is a clock that was never set.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// How a field is written.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

fn tag(out: &mut Vec<u8>, field: u32, wire: Wire) {
    varint(out, u64::from(field << 3 | wire as u32));
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        tag(out, field, Wire::Fixed64);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// A field that is left out where it is empty.
fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    if !value.is_empty() {
        bytes(out, field, value.as_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, Wire::Bytes);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A message inside a message: its length is known only behind it.
fn nested(out: &mut Vec<u8>, field: u32, room: Room, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, Wire::Bytes);
    let at = out.len();
    let from = at + room as usize;
    out.resize(from, 0);
    write(out);
    let mut length = (out.len() - from) as u64;
    let mut digits = [0; 10];
    let mut used = 0;
    for digit in &mut digits {
        used += 1;
        *digit = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            break;
        }
        *digit |= 0x80;
    }
    let digits = digits.get(..used).unwrap_or_default();
    match out.get_mut(at..from) {
        Some(place) if place.len() == used => place.copy_from_slice(digits),
        _ => drop(out.splice(at..from, digits.iter().copied())),
    }
}

#[cfg(test)]
mod tests;
