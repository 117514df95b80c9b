//! Takes an OTLP export. Gives its spans, flat, with ids as hex and attributes as a map.
//! Never drops what it does not know: every attribute is there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use serde_json::{Value, json};

/// One span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub name: String,
    /// 2 is SERVER, 3 is CLIENT.
    pub kind: i32,
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root.
    pub parent_span_id: String,
    pub trace_state: String,
    pub start: u64,
    pub end: u64,
    /// 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// Trace and span id of each link.
    pub links: Vec<(String, String)>,
    pub attributes: BTreeMap<String, Value>,
    pub resource: BTreeMap<String, Value>,
    pub scope: String,
}

impl Span {
    /// Whether this is the marked span of a call.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.attributes.get("toolspan.call") == Some(&Value::Bool(true))
    }

    /// A text attribute; empty when it is absent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.attributes
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

pub(super) fn spans(export: &ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for group in &export.resource_spans {
        let resource = group.resource.as_ref();
        let resource = attributes(resource.map_or(&[], |resource| &resource.attributes));
        for scoped in &group.scope_spans {
            let scope = scoped.scope.as_ref().map(|scope| scope.name.clone());
            for span in &scoped.spans {
                all.push(Span {
                    name: span.name.clone(),
                    kind: span.kind,
                    trace_id: hex(&span.trace_id),
                    span_id: hex(&span.span_id),
                    parent_span_id: hex(&span.parent_span_id),
                    trace_state: span.trace_state.clone(),
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                    status: span.status.as_ref().map_or(0, |status| status.code),
                    links: span
                        .links
                        .iter()
                        .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                        .collect(),
                    attributes: attributes(&span.attributes),
                    resource: resource.clone(),
                    scope: scope.clone().unwrap_or_default(),
                });
            }
        }
    }
    all
}

pub(super) fn attributes(list: &[KeyValue]) -> BTreeMap<String, Value> {
    list.iter()
        .map(|pair| (pair.key.clone(), value(pair.value.as_ref())))
        .collect()
}

fn value(of: Option<&AnyValue>) -> Value {
    match of.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(flag)) => json!(flag),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::ArrayValue(list)) => {
            list.values.iter().map(|item| value(Some(item))).collect()
        }
        Some(other) => json!(format!("{other:?}")),
        None => Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
