//! Takes calls of one tenant and their resource. Gives the bytes of one OTLP export, in one pass.
//! The fields stand in the order of their numbers, as every protobuf library writes them.
//! Never builds messages in between: for a busy proxy that was most of what telemetry cost.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{Array, Value};
use opentelemetry_sdk::Resource;

use crate::record::span::{self, Span};
use crate::record::{Record, Side, TraceContext, names};

/// Bytes of a span as a tool call makes it; an export is larger or smaller at no harm.
const USUAL_SPAN: usize = 1024;

/// `SpanFlags`: whether the parent's place is known, and whether it is another process.
const PARENT_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;
const STATUS_ERROR: u64 = 2;

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

/// An `ExportTraceServiceRequest` with the spans of these calls.
pub(super) fn export(resource: &EncodedResource, calls: &[Record]) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL_SPAN * (calls.len() + 1));
    nested(&mut out, 1, Room::Export, |out| {
        out.extend_from_slice(&resource.resource);
        if !calls.is_empty() {
            nested(out, 2, Room::Export, |out| scope_spans(out, calls));
        }
        out.extend_from_slice(&resource.schema_url);
    });
    out
}

fn scope_spans(out: &mut Vec<u8>, calls: &[Record]) {
    nested(out, 1, Room::Attribute, |out| {
        text(out, 1, names::SCOPE);
        text(out, 2, env!("CARGO_PKG_VERSION"));
    });
    for one in calls.iter().flat_map(|call| call.spans()) {
        nested(out, 2, Room::Span, |out| write(out, &one));
    }
}

/// Our spans have no events, and nothing of them was dropped.
fn write(out: &mut Vec<u8>, span: &Span<'_>) {
    let context = span.context();
    place(out, &context);
    text(out, 3, &span.trace_state());
    if let Some(parent) = span.parent() {
        bytes(out, 4, &parent.span_id.to_be_bytes());
    }
    name(out, span.name());
    tag(out, 6, Wire::Varint);
    varint(out, kind(span.side()));
    let (start, end) = span.times();
    fixed64(out, 7, nanos(start));
    fixed64(out, 8, nanos(end));
    span.attributes(&mut |key, value| {
        nested(out, 9, Room::Attribute, |out| {
            text(out, 1, key);
            nested(out, 2, Room::Attribute, |out| match value {
                span::Value::Bool(value) => bool_value(out, value),
                span::Value::Int(value) => int_value(out, value),
                span::Value::Text(value) => bytes(out, 1, value.as_bytes()),
            });
        });
    });
    if let Some(linked) = span.link() {
        nested(out, 13, Room::Attribute, |out| {
            place(out, &linked);
            flags(out, 6, &linked, false);
        });
    }
    nested(out, 15, Room::Attribute, |out| {
        if span.is_error() {
            tag(out, 3, Wire::Varint);
            varint(out, STATUS_ERROR);
        }
    });
    flags(out, 16, &context, span.parent_is_remote());
}

fn name(out: &mut Vec<u8>, (method, target): (&str, Option<&str>)) {
    let Some(target) = target else {
        return text(out, 5, method);
    };
    nested(out, 5, Room::Attribute, |out| {
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(target.as_bytes());
    });
}

/// Trace and span: fields 1 and 2 of a span and of a link.
fn place(out: &mut Vec<u8>, context: &TraceContext) {
    bytes(out, 1, &context.trace_id.to_be_bytes());
    bytes(out, 2, &context.span_id.to_be_bytes());
}

fn flags(out: &mut Vec<u8>, field: u32, context: &TraceContext, remote: bool) {
    let remote = if remote { PARENT_IS_REMOTE } else { 0 };
    let flags = PARENT_IS_KNOWN | remote | u32::from(context.flags);
    tag(out, field, Wire::Fixed32);
    out.extend_from_slice(&flags.to_le_bytes());
}

fn kind(side: Side) -> u64 {
    match side {
        Side::Server => 2,
        Side::Client => 3,
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
