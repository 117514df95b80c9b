//! Takes the bytes of an `ExportTraceServiceRequest`.
//! Gives its spans one after the other, each with its resource and scope.
//! Never keeps a span: the visitor sees a view that the next span overwrites.

use std::fmt;

use super::Malformed;
use super::value::{KeyValue, Resource, Scope, ScopeAt, Shape, each_scope};
use super::wire::{Field, Merge, Message};

const SHAPE: Shape = Shape {
    resources: "resource_spans",
    scopes: "scope_spans",
};

/// A span, its ids still unchecked: see [`super::Admission`].
#[derive(Debug, Clone, Default)]
pub struct Span<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_span_id: &'a [u8],
    pub trace_state: &'a str,
    pub flags: u32,
    pub name: &'a str,
    pub kind: i32,
    pub start_unix_nanos: u64,
    pub end_unix_nanos: u64,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes: u32,
    pub events: Vec<Event<'a>>,
    pub dropped_events: u32,
    pub links: Vec<Link<'a>>,
    pub dropped_links: u32,
    pub status_code: i32,
    pub status_message: &'a str,
    /// The events, the links and their attributes.
    nested: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Event<'a> {
    pub unix_nanos: u64,
    pub name: &'a str,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes: u32,
}

#[derive(Debug, Clone, Default)]
pub struct Link<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub trace_state: &'a str,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes: u32,
    pub flags: u32,
}

/// Where a span stands in its export.
#[derive(Debug, Clone, Copy)]
pub struct SpanAt {
    at: ScopeAt,
    span: usize,
}

impl fmt::Display for SpanAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScopeAt { resource, scope } = self.at;
        let span = self.span;
        write!(
            out,
            "resource_spans[{resource}].scope_spans[{scope}].spans[{span}]"
        )
    }
}

/// Hands every span of the export to `visit`.
///
/// # Errors
///
/// [`Malformed`] when the bytes are no trace export. Spans before the broken place were visited.
pub fn traces<'a>(
    body: &'a [u8],
    mut visit: impl FnMut(SpanAt, &Resource<'a>, &Scope<'a>, &Span<'a>),
) -> Result<(), Malformed> {
    let mut span = Span::default();
    each_scope(body, &SHAPE, |at, resource, scope, items| {
        let mut index = 0;
        items.each(|field| {
            if field.number == 2 {
                span.read(field.message("spans")?)
                    .map_err(|error| error.within_at("spans", index))?;
                visit(SpanAt { at, span: index }, resource, scope, &span);
                index += 1;
            }
            Ok(())
        })
    })
}

impl<'a> Span<'a> {
    /// Forgets the last span but keeps its lists' memory.
    fn read(&mut self, message: Message<'a>) -> Result<(), Malformed> {
        let mut attributes = std::mem::take(&mut self.attributes);
        let mut events = std::mem::take(&mut self.events);
        let mut links = std::mem::take(&mut self.links);
        attributes.clear();
        events.clear();
        links.clear();
        *self = Self {
            attributes,
            events,
            links,
            ..Self::default()
        };
        message.read(self)
    }
}

impl<'a> Merge<'a> for Span<'a> {
    fn merge(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.trace_id = field.bytes("trace_id")?,
            2 => self.span_id = field.bytes("span_id")?,
            3 => self.trace_state = field.text("trace_state")?,
            4 => self.parent_span_id = field.bytes("parent_span_id")?,
            5 => self.name = field.text("name")?,
            6 => self.kind = field.int32("kind")?,
            7 => self.start_unix_nanos = field.fixed64("start_time_unix_nano")?,
            8 => self.end_unix_nanos = field.fixed64("end_time_unix_nano")?,
            9 => KeyValue::push(&mut self.attributes, field)?,
            10 => self.dropped_attributes = field.uint32("dropped_attributes_count")?,
            11 => push(&mut self.events, &mut self.nested, field, "events")?,
            12 => self.dropped_events = field.uint32("dropped_events_count")?,
            13 => push(&mut self.links, &mut self.nested, field, "links")?,
            14 => self.dropped_links = field.uint32("dropped_links_count")?,
            15 => self.status(field.message("status")?)?,
            16 => self.flags = field.fixed32("flags")?,
            _ => {}
        }
        Ok(())
    }

    fn elements(&self) -> usize {
        self.attributes.len().saturating_add(self.nested)
    }
}

impl<'a> Span<'a> {
    fn status(&mut self, message: Message<'a>) -> Result<(), Malformed> {
        let read = message.each(|field| {
            match field.number {
                2 => self.status_message = field.text("message")?,
                3 => self.status_code = field.int32("code")?,
                _ => {}
            }
            Ok(())
        });
        read.map_err(|error| error.within("status"))
    }
}

impl<'a> Merge<'a> for Event<'a> {
    fn merge(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.unix_nanos = field.fixed64("time_unix_nano")?,
            2 => self.name = field.text("name")?,
            3 => KeyValue::push(&mut self.attributes, field)?,
            4 => self.dropped_attributes = field.uint32("dropped_attributes_count")?,
            _ => {}
        }
        Ok(())
    }

    fn elements(&self) -> usize {
        self.attributes.len()
    }
}

impl<'a> Merge<'a> for Link<'a> {
    fn merge(&mut self, field: Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.trace_id = field.bytes("trace_id")?,
            2 => self.span_id = field.bytes("span_id")?,
            3 => self.trace_state = field.text("trace_state")?,
            4 => KeyValue::push(&mut self.attributes, field)?,
            5 => self.dropped_attributes = field.uint32("dropped_attributes_count")?,
            6 => self.flags = field.fixed32("flags")?,
            _ => {}
        }
        Ok(())
    }

    fn elements(&self) -> usize {
        self.attributes.len()
    }
}

/// Reads one more message of a repeated field. `nested` counts it and what its own lists hold.
pub(super) fn push<'a, M: Merge<'a> + Default>(
    list: &mut Vec<M>,
    nested: &mut usize,
    field: Field<'a>,
    name: &str,
) -> Result<(), Malformed> {
    field.room(name, *nested)?;
    let mut item = M::default();
    field
        .message(name)?
        .read(&mut item)
        .map_err(|error| error.within_at(name, list.len()))?;
    *nested = nested.saturating_add(1).saturating_add(item.elements());
    list.push(item);
    Ok(())
}
