//! Takes nothing.
//! Gives the exports that the tests of this package encode, store and query: the same ones every time.
//! Never compiled into the program.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    Summary, SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets, metric::Data,
    number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status,
    span::{Event, Link, SpanKind},
    status::StatusCode,
};
use prost::Message;

use crate::otlp::{Signal, check};
use crate::sink::Block;
use crate::wal::{Entry, LogId, Seq};

/// 2026-11-20T10:00:00Z.
pub(crate) const NOON: u64 = 1_795_168_800_000_000_000;

pub(crate) fn text(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

pub(crate) fn int(number: i64) -> AnyValue {
    AnyValue {
        value: Some(Value::IntValue(number)),
    }
}

pub(crate) fn truth(value: bool) -> AnyValue {
    AnyValue {
        value: Some(Value::BoolValue(value)),
    }
}

pub(crate) fn array(values: Vec<AnyValue>) -> AnyValue {
    AnyValue {
        value: Some(Value::ArrayValue(ArrayValue { values })),
    }
}

pub(crate) fn list(values: Vec<KeyValue>) -> AnyValue {
    AnyValue {
        value: Some(Value::KvlistValue(KeyValueList { values })),
    }
}

pub(crate) fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

/// A span of the trace `trace`, `ms` after [`NOON`].
pub(crate) fn span(trace: u8, id: u8, parent: Option<u8>, ms: u64) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: parent.map_or(Vec::new(), |parent| vec![parent; 8]),
        name: "tools/call".into(),
        kind: SpanKind::Server as i32,
        start_time_unix_nano: NOON + ms * 1_000_000,
        end_time_unix_nano: NOON + ms * 1_000_000 + u64::from(id) * 1_000_000,
        ..Span::default()
    }
}

/// A marked call of a tool.
pub(crate) fn call(trace: u8, id: u8, tenant: &str, tool: &str, outcome: &str, ms: u64) -> Span {
    let failed = outcome != "ok";
    let mut attributes = vec![
        pair("toolspan.call", truth(true)),
        pair("tenant.id", text(tenant)),
        pair("toolspan.tenant.source", text("fixed")),
        pair("toolspan.parent.source", text("meta")),
        pair("toolspan.outcome", text(outcome)),
        pair("mcp.method.name", text("tools/call")),
        pair("gen_ai.tool.name", text(tool)),
        pair("gen_ai.operation.name", text("execute_tool")),
        pair("jsonrpc.request.id", text("7")),
        pair("network.transport", text("pipe")),
        pair("toolspan.request.bytes", int(100)),
        pair("toolspan.response.bytes", int(1000 + i64::from(id))),
    ];
    if failed {
        attributes.push(pair("error.type", text(outcome)));
    }
    Span {
        name: format!("tools/call {tool}"),
        attributes,
        status: Some(Status {
            message: if failed {
                "it failed".into()
            } else {
                String::new()
            },
            code: if failed {
                StatusCode::Error
            } else {
                StatusCode::Unset
            } as i32,
        }),
        ..span(trace, id, None, ms)
    }
}

pub(crate) fn traces(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    pair("service.name", text(service)),
                    pair("service.instance.id", text("one")),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "toolspan".into(),
                    version: "0.1.0".into(),
                    attributes: vec![pair("scope", int(1))],
                    dropped_attributes_count: 0,
                }),
                spans,
                schema_url: "https://example/scope".into(),
            }],
            schema_url: "https://example/resource".into(),
        }],
    }
}

/// A span that uses every part of the format.
pub(crate) fn rich() -> Span {
    let mut rich = call(9, 9, "acme", "everything", "ok", 900);
    rich.parent_span_id = vec![8; 8];
    rich.trace_state = "vendor=1".into();
    rich.flags = 0x301;
    rich.dropped_attributes_count = 1;
    rich.dropped_events_count = 2;
    rich.dropped_links_count = 3;
    rich.attributes.extend([
        pair("list", array(vec![text("a"), text("b\"\n")])),
        pair(
            "map",
            list(vec![
                pair("z", int(-1)),
                pair("a", array(vec![truth(false)])),
            ]),
        ),
        pair(
            "bytes",
            AnyValue {
                value: Some(Value::BytesValue(b"foo".to_vec())),
            },
        ),
        pair(
            "double",
            AnyValue {
                value: Some(Value::DoubleValue(0.5)),
            },
        ),
        pair("nothing", AnyValue { value: None }),
        // The first of a name has its column; this one stays an attribute.
        pair("gen_ai.tool.name", text("second")),
    ]);
    rich.events = vec![Event {
        time_unix_nano: NOON + 1,
        name: "exception".into(),
        attributes: vec![pair("exception.type", text("Timeout"))],
        dropped_attributes_count: 4,
    }];
    rich.links = vec![Link {
        trace_id: vec![7; 16],
        span_id: vec![6; 8],
        trace_state: "a=b".into(),
        attributes: vec![pair("why", text("follows"))],
        dropped_attributes_count: 5,
        flags: 1,
    }];
    rich
}

/// Two tenants, three tools, one of each way to fail, one trace over three services.
pub(crate) fn story() -> Vec<ExportTraceServiceRequest> {
    let mut client = span(1, 3, None, 0);
    client.kind = SpanKind::Client as i32;
    let mut sidecar = call(1, 2, "acme", "get_weather", "ok", 1);
    sidecar.parent_span_id = vec![3; 8];
    let mut server = span(1, 1, Some(2), 2);
    server.name = "lookup".into();
    server.kind = SpanKind::Internal as i32;
    let calls = vec![
        call(2, 10, "acme", "get_weather", "ok", 10),
        call(3, 20, "acme", "get_weather", "tool_error", 20),
        call(4, 30, "acme", "get_weather", "ok", 30),
        call(5, 40, "globex", "search", "timed_out", 40),
        call(6, 50, "globex", "search", "ok", 50),
        Span {
            attributes: vec![
                pair("toolspan.call", truth(true)),
                pair("mcp.method.name", text("tools/list")),
            ],
            ..span(7, 60, None, 60)
        },
        rich(),
    ];
    vec![
        traces("agent", vec![client]),
        traces("weather", vec![sidecar]),
        traces("backend", vec![server]),
        traces("weather", calls),
    ]
}

/// One point of each of the five kinds, and one without a value.
pub(crate) fn metrics() -> ExportMetricsServiceRequest {
    let metric = |name: &str, data| Metric {
        name: name.into(),
        description: format!("about {name}"),
        unit: "s".into(),
        metadata: Vec::new(),
        data: Some(data),
    };
    let tenant = || vec![pair("tenant.id", text("acme"))];
    let number = |value, flags| NumberDataPoint {
        attributes: tenant(),
        start_time_unix_nano: NOON,
        time_unix_nano: NOON + 1,
        flags,
        value,
        ..NumberDataPoint::default()
    };
    let delta = AggregationTemporality::Delta as i32;
    let double = number_data_point::Value::AsDouble;
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    pair("service.name", text("weather")),
                    pair("tenant.id", text("globex")),
                ],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![
                    metric(
                        "gauge",
                        Data::Gauge(Gauge {
                            data_points: vec![
                                number(Some(double(1.5)), 0),
                                number(Some(double(2.5)), 1),
                            ],
                        }),
                    ),
                    metric(
                        "sum",
                        Data::Sum(Sum {
                            data_points: vec![number(Some(number_data_point::Value::AsInt(-3)), 0)],
                            aggregation_temporality: delta,
                            is_monotonic: true,
                        }),
                    ),
                    metric("histogram", histogram(tenant())),
                    metric("exponential", exponential()),
                    metric("summary", summary()),
                ],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn histogram(attributes: Vec<KeyValue>) -> Data {
    Data::Histogram(Histogram {
        data_points: vec![HistogramDataPoint {
            attributes,
            time_unix_nano: NOON,
            count: 3,
            sum: Some(6.0),
            bucket_counts: vec![1, 2],
            explicit_bounds: vec![0.5],
            exemplars: vec![Exemplar {
                filtered_attributes: vec![pair("k", text("v"))],
                time_unix_nano: NOON,
                span_id: vec![2; 8],
                trace_id: vec![1; 16],
                value: Some(exemplar::Value::AsDouble(0.25)),
            }],
            min: Some(1.0),
            max: None,
            ..HistogramDataPoint::default()
        }],
        aggregation_temporality: AggregationTemporality::Cumulative as i32,
    })
}

fn exponential() -> Data {
    Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            time_unix_nano: NOON,
            count: 9,
            scale: -2,
            zero_count: 4,
            zero_threshold: 0.125,
            positive: Some(Buckets {
                offset: -5,
                bucket_counts: vec![300, 0, 1],
            }),
            negative: Some(Buckets {
                offset: 7,
                bucket_counts: vec![2],
            }),
            ..ExponentialHistogramDataPoint::default()
        }],
        aggregation_temporality: AggregationTemporality::Delta as i32,
    })
}

fn summary() -> Data {
    Data::Summary(Summary {
        data_points: vec![SummaryDataPoint {
            time_unix_nano: NOON,
            count: 2,
            sum: 3.5,
            quantile_values: vec![ValueAtQuantile {
                quantile: 0.5,
                value: 1.75,
            }],
            ..SummaryDataPoint::default()
        }],
    })
}

/// A block of exports, received one second apart after [`NOON`].
pub(crate) fn block(signal: Signal, exports: &[Vec<u8>]) -> Block {
    let entries = (1u64..).zip(exports).map(|(seq, body)| Entry {
        seq: Seq(seq),
        received_at_unix_nanos: NOON + seq * 1_000_000_000,
        signal,
        items: check(signal, body)
            .expect("a sample is well formed")
            .accepted,
        body: Bytes::from(body.clone()),
    });
    let entries: Vec<Entry> = entries.collect();
    Block {
        log_id: LogId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        first: Seq(1),
        last: entries.last().map_or(Seq(1), |entry| entry.seq),
        signal,
        entries,
    }
}

/// The story as a block.
pub(crate) fn story_block() -> Block {
    let exports: Vec<Vec<u8>> = story().iter().map(Message::encode_to_vec).collect();
    block(Signal::Traces, &exports)
}

/// The metrics as a block.
pub(crate) fn metrics_block() -> Block {
    block(Signal::Metrics, &[metrics().encode_to_vec()])
}
