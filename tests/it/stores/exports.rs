//! Takes nothing. Gives two exports that use every part of the format: spans of several tenants, and the five kinds of
//! metric.
//! Never differs between runs.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// How many rows [`traces`] makes.
pub const SPANS: usize = 43;
/// How many rows [`metrics`] makes.
pub const POINTS: usize = 6;

/// 2026-11-20T10:00:00Z.
const TEN: u64 = 1_795_168_800_000_000_000;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn call(index: u64) -> Span {
    let tenant = ["acme", "globex", "o'x/y", "東京"][usize::try_from(index % 4).unwrap_or(0)];
    let tool = ["get_weather", "search", ""][usize::try_from(index % 3).unwrap_or(0)];
    let failed = index.is_multiple_of(5);
    let mut attributes = vec![
        pair("toolspan.call", Value::BoolValue(true)),
        text("tenant.id", tenant),
        text(
            "mcp.method.name",
            if tool.is_empty() {
                "tools/list"
            } else {
                "tools/call"
            },
        ),
        text("toolspan.outcome", if failed { "tool_error" } else { "ok" }),
        text("rest", "\"quoted\" \\ and\nbroken"),
        pair("toolspan.request.bytes", Value::IntValue(100)),
        pair("toolspan.response.bytes", Value::IntValue(1 << 40)),
    ];
    if !tool.is_empty() {
        attributes.push(text("gen_ai.tool.name", tool));
    }
    if failed {
        attributes.push(text("error.type", "tool_error"));
    }
    let id = u8::try_from(index + 1).unwrap_or(u8::MAX);
    Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: format!("call {tool}"),
        kind: 2,
        start_time_unix_nano: TEN + index * 2_500_001,
        // Different for each, and not in the order of time.
        end_time_unix_nano: TEN + index * 2_500_001 + (index * 7919 % 41 + 1) * 1_000_003,
        attributes,
        status: Some(Status {
            message: String::new(),
            code: if failed { 2 } else { 0 },
        }),
        ..Span::default()
    }
}

/// The child of the first call, with everything a span can have.
fn rich() -> Span {
    let array = ArrayValue {
        values: vec![
            AnyValue {
                value: Some(Value::StringValue("a".into())),
            },
            AnyValue {
                value: Some(Value::IntValue(-1)),
            },
        ],
    };
    Span {
        trace_id: vec![1; 16],
        span_id: vec![0xee; 8],
        parent_span_id: vec![1; 8],
        trace_state: "a=b".into(),
        flags: 0x101,
        name: "work".into(),
        kind: 1,
        start_time_unix_nano: TEN + 1,
        end_time_unix_nano: TEN + 2,
        attributes: vec![
            pair("array", Value::ArrayValue(array)),
            pair("double", Value::DoubleValue(0.1)),
            pair("bytes", Value::BytesValue(vec![0, 255])),
        ],
        dropped_attributes_count: 1,
        events: (0..3)
            .map(|index| Event {
                time_unix_nano: TEN + index,
                name: format!("event {index}"),
                attributes: vec![text("k", "v")],
                dropped_attributes_count: 2,
            })
            .collect(),
        dropped_events_count: 3,
        links: vec![Link {
            trace_id: vec![7; 16],
            span_id: vec![8; 8],
            trace_state: "c=d".into(),
            attributes: vec![text("why", "follows")],
            dropped_attributes_count: 4,
            flags: 1,
        }],
        dropped_links_count: 5,
        status: Some(Status {
            message: "fine".into(),
            code: 1,
        }),
    }
}

fn resource() -> Resource {
    Resource {
        attributes: vec![
            text("service.name", "weather"),
            text("tenant.id", "fallback"),
        ],
        ..Resource::default()
    }
}

pub fn traces() -> Vec<u8> {
    let mut spans: Vec<Span> = (0..40).map(call).collect();
    spans.push(rich());
    // No clock is too wrong to be stored.
    for (id, nanos) in [(0xf0, 0), (0xf1, u64::MAX)] {
        spans.push(Span {
            trace_id: vec![id; 16],
            span_id: vec![id; 8],
            start_time_unix_nano: nanos,
            end_time_unix_nano: nanos,
            ..Span::default()
        });
    }
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
    .encode_to_vec()
}

pub fn metrics() -> Vec<u8> {
    let metrics = [
        ("gauge", gauge()),
        ("sum", sum()),
        ("histogram", histogram()),
        ("exponential", exponential()),
        ("summary", summary()),
    ];
    let metrics = metrics.map(|(name, data)| Metric {
        name: name.into(),
        unit: "s".into(),
        data: Some(data),
        ..Metric::default()
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics {
                metrics: metrics.into(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
    .encode_to_vec()
}

fn gauge() -> Data {
    let point = |value, flags, after| NumberDataPoint {
        time_unix_nano: TEN + after,
        value: Some(number_data_point::Value::AsDouble(value)),
        flags,
        attributes: vec![text("tenant.id", "acme")],
        ..NumberDataPoint::default()
    };
    Data::Gauge(Gauge {
        data_points: vec![point(1.5, 0, 0), point(2.5, 1, 1)],
    })
}

fn sum() -> Data {
    Data::Sum(Sum {
        data_points: vec![NumberDataPoint {
            start_time_unix_nano: TEN,
            time_unix_nano: TEN + 1,
            value: Some(number_data_point::Value::AsInt(-7)),
            ..NumberDataPoint::default()
        }],
        aggregation_temporality: 1,
        is_monotonic: true,
    })
}

fn histogram() -> Data {
    Data::Histogram(Histogram {
        data_points: vec![HistogramDataPoint {
            time_unix_nano: TEN,
            count: 3,
            sum: Some(0.5),
            bucket_counts: vec![1, 2],
            explicit_bounds: vec![0.25],
            max: Some(0.3),
            exemplars: vec![Exemplar {
                time_unix_nano: TEN,
                trace_id: vec![1; 16],
                span_id: vec![1; 8],
                value: Some(exemplar::Value::AsInt(2)),
                filtered_attributes: vec![text("k", "v")],
            }],
            ..HistogramDataPoint::default()
        }],
        aggregation_temporality: 2,
    })
}

fn exponential() -> Data {
    Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            time_unix_nano: TEN,
            count: 4,
            scale: -3,
            zero_count: 1,
            zero_threshold: 0.001,
            positive: Some(Buckets {
                offset: -2,
                bucket_counts: vec![1, 300],
            }),
            negative: Some(Buckets {
                offset: 2,
                bucket_counts: vec![5],
            }),
            ..ExponentialHistogramDataPoint::default()
        }],
        aggregation_temporality: 1,
    })
}

fn summary() -> Data {
    Data::Summary(Summary {
        data_points: vec![SummaryDataPoint {
            time_unix_nano: TEN,
            count: 2,
            quantile_values: vec![ValueAtQuantile {
                quantile: 0.99,
                value: 4.25,
            }],
            ..SummaryDataPoint::default()
        }],
    })
}
