//! Takes the spans of exports.
//! Gives the columns of the table `spans`; an attribute with a column of its own leaves the map.
//! Never loses a value: what does not fit its column stays an attribute.

use std::collections::HashMap;
use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::build::{
    Counts, Finished, Lists, Maps, Promoted, Shared, Sizes, Symbols, Texts, Times, lists, maps,
    push_hex, push_map, times,
};
use super::{Origin, RowError, Rows, admission, attribute, nanos};
use crate::otlp::{self, Event, KeyValue, Link, Signal, Span, Value};
use crate::schema::{Column, Kind, Table};
use crate::tenant;

/// The columns that attributes move to, in the table's order.
static PROMOTED: LazyLock<Vec<&'static Column>> = LazyLock::new(|| {
    let columns = Table::of(Signal::Traces).columns.iter();
    columns
        .filter(|column| column.attribute.is_some())
        .collect()
});

/// Which of [`PROMOTED`] an attribute moves to.
static SLOTS: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let columns = PROMOTED.iter().enumerate();
    columns
        .filter_map(|(slot, column)| Some((column.attribute?, slot)))
        .collect()
});

pub(super) struct Spans {
    table: &'static Table,
    scratch: String,
    shared: Shared,
    timestamp: Times,
    trace_id: Texts,
    span_id: Texts,
    parent_span_id: Texts,
    trace_state: Texts,
    name: Symbols,
    kind: Symbols,
    attributes: Maps,
    duration: Sizes,
    status_code: Symbols,
    status_message: Texts,
    events: Events,
    links: Links,
    flags: Counts,
    dropped_attributes: Counts,
    dropped_events: Counts,
    dropped_links: Counts,
    promoted: Vec<Promoted>,
}

impl Spans {
    pub(super) fn new(table: &'static Table) -> Self {
        Self {
            table,
            scratch: String::new(),
            shared: Shared::new(),
            timestamp: times(),
            trace_id: Texts::new(),
            span_id: Texts::new(),
            parent_span_id: Texts::new(),
            trace_state: Texts::new(),
            name: Symbols::new(),
            kind: Symbols::new(),
            attributes: maps(),
            duration: Sizes::new(),
            status_code: Symbols::new(),
            status_message: Texts::new(),
            events: Events::new(),
            links: Links::new(),
            flags: Counts::new(),
            dropped_attributes: Counts::new(),
            dropped_events: Counts::new(),
            dropped_links: Counts::new(),
            promoted: PROMOTED.iter().map(|c| Promoted::new(c.kind)).collect(),
        }
    }

    fn span(&mut self, span: &Span<'_>, tenant_is_own: bool) -> Result<(), ArrowError> {
        let scratch = &mut self.scratch;
        self.timestamp.append_value(nanos(span.start_unix_nanos));
        push_hex(&mut self.trace_id, scratch, span.trace_id);
        push_hex(&mut self.span_id, scratch, span.span_id);
        // Some exporters write a missing parent as zeros.
        let parent = span.parent_span_id;
        let parent = if parent.iter().all(|byte| *byte == 0) {
            &[]
        } else {
            parent
        };
        push_hex(&mut self.parent_span_id, scratch, parent);
        self.trace_state.append_value(span.trace_state);
        self.name.append_value(span.name);
        self.kind.append_value(kind(span.kind));
        let duration = span.end_unix_nanos.saturating_sub(span.start_unix_nanos);
        self.duration.append_value(duration);
        self.status_code.append_value(status(span.status_code));
        self.status_message.append_value(span.status_message);
        self.flags.append_value(span.flags);
        self.dropped_attributes
            .append_value(span.dropped_attributes);
        self.dropped_events.append_value(span.dropped_events);
        self.dropped_links.append_value(span.dropped_links);
        self.attributes(span, tenant_is_own)?;
        self.events.push(&mut self.scratch, &span.events)?;
        self.links.push(&mut self.scratch, &span.links)
    }

    /// The first attribute of a name moves to its column, should it fit; all others stay.
    fn attributes(&mut self, span: &Span<'_>, tenant_is_own: bool) -> Result<(), ArrowError> {
        let mut moved: Vec<Option<Value<'_>>> = vec![None; self.promoted.len()];
        let mut rest: Vec<&KeyValue<'_>> = Vec::with_capacity(span.attributes.len());
        for pair in &span.attributes {
            if tenant_is_own && pair.key == tenant::ATTRIBUTE {
                continue;
            }
            let slot = SLOTS.get(pair.key).copied();
            let place = slot.and_then(|slot| moved.get_mut(slot).zip(self.promoted.get(slot)));
            match place {
                Some((empty @ None, column)) if column.fits(pair.value) => {
                    *empty = Some(pair.value)
                }
                _ => rest.push(pair),
            }
        }
        push_map(&mut self.attributes, &mut self.scratch, rest)?;
        for (column, value) in self.promoted.iter_mut().zip(moved) {
            column.push(&mut self.scratch, value.unwrap_or(Value::Empty));
        }
        Ok(())
    }
}

impl Rows for Spans {
    fn export(&mut self, origin: Origin<'_>, body: &[u8]) -> Result<usize, RowError> {
        let mut admission = admission(body);
        let mut failed = None;
        otlp::traces(body, |_, resource, scope, span| {
            if failed.is_some() || admission.span(resource, scope, span).is_err() {
                return;
            }
            let own = attribute(&span.attributes, tenant::ATTRIBUTE);
            let theirs = attribute(&resource.attributes, tenant::ATTRIBUTE);
            let tenant = tenant::resolve(own.map(str::as_bytes), theirs.map(str::as_bytes));
            let is_own = own == Some(tenant);
            let shared = &mut self.shared;
            let pushed = shared.push(&mut self.scratch, tenant, origin, resource, scope);
            failed = pushed.and_then(|()| self.span(span, is_own)).err();
        })?;
        let bytes = body.len().saturating_add(admission.spent());
        failed.map_or(Ok(bytes), |error| Err(error.into()))
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut done = Finished::default();
        self.shared.finish(&mut done);
        done.add("Timestamp", self.timestamp.finish());
        done.add("TraceId", self.trace_id.finish());
        done.add("SpanId", self.span_id.finish());
        done.add("ParentSpanId", self.parent_span_id.finish());
        done.add("TraceState", self.trace_state.finish());
        done.add("SpanName", self.name.finish());
        done.add("SpanKind", self.kind.finish());
        done.add("SpanAttributes", self.attributes.finish());
        done.add("Duration", self.duration.finish());
        done.add("StatusCode", self.status_code.finish());
        done.add("StatusMessage", self.status_message.finish());
        done.add("Flags", self.flags.finish());
        done.add("DroppedAttributesCount", self.dropped_attributes.finish());
        done.add("DroppedEventsCount", self.dropped_events.finish());
        done.add("DroppedLinksCount", self.dropped_links.finish());
        self.events.finish(&mut done);
        self.links.finish(&mut done);
        for (column, values) in PROMOTED.iter().zip(&mut self.promoted) {
            done.add_shared(column.name, values.finish());
        }
        done.batch(self.table)
    }

    fn is_empty(&self) -> bool {
        self.shared.rows() == 0
    }
}

struct Events {
    timestamp: Lists<Times>,
    name: Lists<Symbols>,
    attributes: Lists<Maps>,
    dropped: Lists<Counts>,
}

impl Events {
    fn new() -> Self {
        Self {
            timestamp: lists(times(), Kind::Time),
            name: lists(Symbols::new(), Kind::Symbol),
            attributes: lists(maps(), Kind::Map),
            dropped: lists(Counts::new(), Kind::UInt32),
        }
    }

    fn push(&mut self, scratch: &mut String, events: &[Event<'_>]) -> Result<(), ArrowError> {
        for event in events {
            self.timestamp
                .values()
                .append_value(nanos(event.unix_nanos));
            self.name.values().append_value(event.name);
            push_map(self.attributes.values(), scratch, &event.attributes)?;
            self.dropped.values().append_value(event.dropped_attributes);
        }
        self.timestamp.append(true);
        self.name.append(true);
        self.attributes.append(true);
        self.dropped.append(true);
        Ok(())
    }

    fn finish(&mut self, done: &mut Finished) {
        done.add("Events.Timestamp", self.timestamp.finish());
        done.add("Events.Name", self.name.finish());
        done.add("Events.Attributes", self.attributes.finish());
        done.add("Events.DroppedAttributesCount", self.dropped.finish());
    }
}

struct Links {
    trace_id: Lists<Texts>,
    span_id: Lists<Texts>,
    trace_state: Lists<Texts>,
    attributes: Lists<Maps>,
    dropped: Lists<Counts>,
    flags: Lists<Counts>,
}

impl Links {
    fn new() -> Self {
        let texts = || lists(Texts::new(), Kind::Text);
        Self {
            trace_id: texts(),
            span_id: texts(),
            trace_state: texts(),
            attributes: lists(maps(), Kind::Map),
            dropped: lists(Counts::new(), Kind::UInt32),
            flags: lists(Counts::new(), Kind::UInt32),
        }
    }

    fn push(&mut self, scratch: &mut String, links: &[Link<'_>]) -> Result<(), ArrowError> {
        for link in links {
            push_hex(self.trace_id.values(), scratch, link.trace_id);
            push_hex(self.span_id.values(), scratch, link.span_id);
            self.trace_state.values().append_value(link.trace_state);
            push_map(self.attributes.values(), scratch, &link.attributes)?;
            self.dropped.values().append_value(link.dropped_attributes);
            self.flags.values().append_value(link.flags);
        }
        self.trace_id.append(true);
        self.span_id.append(true);
        self.trace_state.append(true);
        self.attributes.append(true);
        self.dropped.append(true);
        self.flags.append(true);
        Ok(())
    }

    fn finish(&mut self, done: &mut Finished) {
        done.add("Links.TraceId", self.trace_id.finish());
        done.add("Links.SpanId", self.span_id.finish());
        done.add("Links.TraceState", self.trace_state.finish());
        done.add("Links.Attributes", self.attributes.finish());
        done.add("Links.DroppedAttributesCount", self.dropped.finish());
        done.add("Links.Flags", self.flags.finish());
    }
}

fn kind(kind: i32) -> &'static str {
    match kind {
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "Unspecified",
    }
}

fn status(code: i32) -> &'static str {
    match code {
        1 => "Ok",
        2 => "Error",
        _ => "Unset",
    }
}
