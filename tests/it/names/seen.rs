//! Takes what arrived over OTLP, and the page of metrics. Gives the names in it, as the table has them.
//! Never leaves one out.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{self as otlp, metric, number_data_point};
use tests::otlp::{Received, Span};

use super::table::{Attribute, Metric, OnPage};

/// Every attribute with its type, and what it was on.
pub fn attributes(received: &Received) -> BTreeSet<Attribute> {
    let mut seen = BTreeSet::new();
    for group in received.traces.iter().flat_map(|e| &e.resource_spans) {
        let resource = group.resource.as_ref().expect("a resource");
        note(&mut seen, "resource", &resource.attributes);
        for span in group.scope_spans.iter().flat_map(|scope| &scope.spans) {
            note(&mut seen, "spans", &span.attributes);
        }
    }
    for group in received.metrics.iter().flat_map(|e| &e.resource_metrics) {
        let resource = group.resource.as_ref().expect("a resource");
        note(&mut seen, "resource", &resource.attributes);
        for metric in group.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            let on = carrier(metric);
            for attributes in points(metric) {
                note(&mut seen, on, attributes);
            }
        }
    }
    seen
}

fn note(seen: &mut BTreeSet<Attribute>, on: &str, attributes: &[KeyValue]) {
    seen.extend(attributes.iter().map(|pair| Attribute {
        on: on.to_owned(),
        name: pair.key.clone(),
        kind: kind(pair).to_owned(),
    }));
}

fn kind(pair: &KeyValue) -> &'static str {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(_)) => "string",
        Some(any_value::Value::BoolValue(_)) => "boolean",
        Some(any_value::Value::IntValue(_)) => "int",
        other => panic!("{} is {other:?}", pair.key),
    }
}

/// The table's word for what points of this metric are.
fn carrier(metric: &otlp::Metric) -> &'static str {
    match metric.name.as_str() {
        name if name.ends_with(".operation.duration") => "operations",
        name if name.ends_with(".session.duration") => "sessions",
        _ => "sums",
    }
}

fn points(metric: &otlp::Metric) -> Vec<&[KeyValue]> {
    match metric.data.as_ref().expect("points") {
        metric::Data::Histogram(data) => {
            let points = data.data_points.iter();
            points.map(|point| point.attributes.as_slice()).collect()
        }
        metric::Data::Sum(otlp::Sum { data_points, .. })
        | metric::Data::Gauge(otlp::Gauge { data_points }) => {
            let points = data_points.iter();
            points.map(|point| point.attributes.as_slice()).collect()
        }
        other => panic!("{} is {other:?}", metric.name),
    }
}

/// What points have under this name.
pub fn values(received: &Received, name: &str) -> BTreeSet<String> {
    let all = metrics_of(received).flat_map(points).flatten();
    let found = all.filter(|pair| pair.key == name);
    let values = found.filter_map(|pair| pair.value.as_ref()?.value.as_ref());
    values
        .filter_map(|value| match value {
            any_value::Value::StringValue(text) => Some(text.clone()),
            _ => None,
        })
        .collect()
}

fn metrics_of(received: &Received) -> impl Iterator<Item = &otlp::Metric> {
    let groups = received.metrics.iter().flat_map(|e| &e.resource_metrics);
    let scopes = groups.flat_map(|group| &group.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics)
}

/// Every metric with its kind and unit.
pub fn metrics(received: &Received) -> BTreeSet<Metric> {
    metrics_of(received)
        .map(|metric| Metric {
            name: metric.name.clone(),
            kind: instrument(metric).to_owned(),
            unit: metric.unit.clone(),
        })
        .collect()
}

fn instrument(metric: &otlp::Metric) -> &'static str {
    match metric.data.as_ref().expect("points") {
        metric::Data::Histogram(_) => "histogram",
        metric::Data::Sum(sum) => {
            assert!(sum.is_monotonic, "{}", metric.name);
            whole(metric, &sum.data_points, "sum")
        }
        metric::Data::Gauge(gauge) => whole(metric, &gauge.data_points, "gauge"),
        other => panic!("{} is {other:?}", metric.name),
    }
}

/// Points of whole numbers.
fn whole<T>(metric: &otlp::Metric, points: &[otlp::NumberDataPoint], kind: T) -> T {
    let whole = |point: &otlp::NumberDataPoint| {
        matches!(point.value, Some(number_data_point::Value::AsInt(_)))
    };
    assert!(points.iter().all(whole), "{}", metric.name);
    kind
}

/// Every metric of the page, by its lines and its TYPE.
pub fn page(text: &str) -> BTreeSet<OnPage> {
    let mut seen = BTreeSet::new();
    let mut kind = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind = rest.split_once(' ').expect("a name and a kind").1;
        } else if !line.starts_with('#') {
            let (name, label) = match line.split_once('{') {
                Some((name, rest)) => (name, rest.split('=').next().map(str::to_owned)),
                None => (line.split(' ').next().expect("a name"), None),
            };
            let (name, kind) = (name.to_owned(), kind.to_owned());
            seen.insert(OnPage { name, label, kind });
        }
    }
    seen
}

/// What the table says a span with these attributes is called.
pub fn span_name(span: &Span) -> String {
    let method = span.text("mcp.method.name");
    let target = [
        span.text("gen_ai.tool.name"),
        span.text("gen_ai.prompt.name"),
    ]
    .concat();
    format!("{method} {target}").trim_end().to_owned()
}
