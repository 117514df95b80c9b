//! Takes generated exports.
//! Gives that the walker sees in their bytes what prost sees.
//! Never compares only counts: every value is held against its twin.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::common::v1::{AnyValue as ProtoValue, KeyValue as ProtoPair};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as ProtoBuckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, number_data_point,
};
use proptest::prelude::*;
use prost::Message as _;

use crate::otlp::*;
use crate::sample;

/// Both sides as text, because a NaN differs from itself.
fn shown_value(value: Value<'_>) -> String {
    match value {
        Value::Array(_) => format!(
            "{:?}",
            value
                .items()
                .into_iter()
                .map(shown_value)
                .collect::<Vec<_>>()
        ),
        Value::List(_) => {
            let pairs = value
                .entries()
                .into_iter()
                .map(|pair| (pair.key, shown_value(pair.value)));
            format!("{:?}", pairs.collect::<Vec<_>>())
        }
        Value::Empty => "empty".into(),
        Value::Text(text) => format!("{text:?}"),
        Value::Bool(value) => format!("{value}"),
        Value::Int(value) => format!("{value}"),
        Value::Double(value) => format!("{:x}", value.to_bits()),
        Value::Bytes(bytes) => format!("{bytes:x?}"),
    }
}

fn shown_proto(value: Option<&ProtoValue>) -> String {
    use any_value::Value as Proto;
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(Proto::StringValueStrindex(_)) => "empty".into(),
        Some(Proto::ArrayValue(array)) => {
            format!(
                "{:?}",
                array
                    .values
                    .iter()
                    .map(|v| shown_proto(Some(v)))
                    .collect::<Vec<_>>()
            )
        }
        Some(Proto::KvlistValue(list)) => format!("{:?}", shown_pairs(&list.values)),
        Some(Proto::StringValue(text)) => format!("{text:?}"),
        Some(Proto::BoolValue(value)) => format!("{value}"),
        Some(Proto::IntValue(value)) => format!("{value}"),
        Some(Proto::DoubleValue(value)) => format!("{:x}", value.to_bits()),
        Some(Proto::BytesValue(bytes)) => format!("{bytes:x?}"),
    }
}

fn shown_pairs(pairs: &[ProtoPair]) -> Vec<(&str, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|pair| (pair.key.as_str(), shown_proto(pair.value.as_ref())))
        .collect()
}

fn shown_ours<'a>(pairs: &[KeyValue<'a>]) -> Vec<(&'a str, String)> {
    pairs
        .iter()
        .map(|pair| (pair.key, shown_value(pair.value)))
        .collect()
}

fn any_proto_value() -> impl Strategy<Value = ProtoValue> {
    use any_value::Value as Proto;
    let leaf = prop_oneof![
        Just(None),
        "\\PC{0,8}".prop_map(|text| Some(Proto::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Proto::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Proto::IntValue(value))),
        any::<f64>().prop_map(|value| Some(Proto::DoubleValue(value))),
        proptest::collection::vec(any::<u8>(), 0..6)
            .prop_map(|bytes| Some(Proto::BytesValue(bytes))),
    ]
    .prop_map(|value| ProtoValue { value });
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(sample::array),
            proptest::collection::vec(("[a-z]{0,3}", inner), 0..4).prop_map(|pairs| {
                sample::list(
                    pairs
                        .into_iter()
                        .map(|(key, value)| sample::pair(&key, value))
                        .collect(),
                )
            }),
        ]
    })
}

fn any_pairs() -> impl Strategy<Value = Vec<ProtoPair>> {
    let pairs = proptest::collection::vec(("[a-z.]{0,6}", any_proto_value()), 0..4);
    pairs.prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(key, value)| sample::pair(&key, value))
            .collect()
    })
}

fn any_export() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let span = (
        any_pairs(),
        any::<[u64; 4]>(),
        any::<i32>(),
        "\\PC{0,8}",
        any_pairs(),
    )
        .prop_map(
            |(attributes, [start, end, flags, dropped], kind, name, event)| {
                let mut span = sample::rich();
                span.attributes = attributes;
                span.start_time_unix_nano = start;
                span.end_time_unix_nano = end;
                span.flags = (flags & 0xffff_ffff) as u32;
                span.dropped_attributes_count = (dropped & 0xffff_ffff) as u32;
                span.kind = kind;
                span.name = name;
                span.events[0].attributes = event;
                span
            },
        );
    let spans = proptest::collection::vec(span, 0..4);
    proptest::collection::vec((spans, any_pairs()), 0..3).prop_map(|groups| {
        let mut request = ExportTraceServiceRequest::default();
        for (spans, attributes) in groups {
            let mut group = sample::traces("s", spans).resource_spans.remove(0);
            group.resource.as_mut().unwrap().attributes = attributes;
            request.resource_spans.push(group);
        }
        request
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_walker_sees_what_prost_sees(request in any_export()) {
        let body = request.encode_to_vec();
        let expected = request.resource_spans.iter().flat_map(|group| {
            let scopes = group.scope_spans.iter();
            scopes.flat_map(move |scope| scope.spans.iter().map(move |span| (group, scope, span)))
        });
        let mut expected = expected;
        traces(&body, |_, resource, scope, ours| {
            let (group, scope_spans, span) = expected.next().expect("no more spans than prost has");
            let theirs = group.resource.as_ref().unwrap();
            assert_eq!(shown_ours(&resource.attributes), shown_pairs(&theirs.attributes));
            assert_eq!(scope.name, scope_spans.scope.as_ref().unwrap().name);
            assert_eq!(scope.schema_url, scope_spans.schema_url);
            assert_eq!(ours.trace_id, span.trace_id);
            assert_eq!(ours.parent_span_id, span.parent_span_id);
            assert_eq!(ours.name, span.name);
            assert_eq!(ours.kind, span.kind);
            assert_eq!(ours.flags, span.flags);
            assert_eq!(ours.start_unix_nanos, span.start_time_unix_nano);
            assert_eq!(ours.end_unix_nanos, span.end_time_unix_nano);
            assert_eq!(ours.dropped_attributes, span.dropped_attributes_count);
            assert_eq!(shown_ours(&ours.attributes), shown_pairs(&span.attributes));
            assert_eq!(ours.events.len(), span.events.len());
            assert_eq!(shown_ours(&ours.events[0].attributes), shown_pairs(&span.events[0].attributes));
            assert_eq!(ours.links[0].trace_state, span.links[0].trace_state);
            assert_eq!(ours.status_code, span.status.as_ref().unwrap().code);
        }).unwrap();
        assert!(expected.next().is_none(), "the walker missed a span");
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(Signal::Traces, &bytes);
        let _ = check(Signal::Metrics, &bytes);
    }

    #[test]
    fn a_damaged_export_never_panics_and_what_prost_refuses_is_not_stored(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        metrics in any::<bool>(),
    ) {
        let (signal, mut body) = if metrics {
            (Signal::Metrics, sample::metrics().encode_to_vec())
        } else {
            (Signal::Traces, sample::traces("s", vec![sample::rich(), sample::rich()]).encode_to_vec())
        };
        for (index, byte) in damage {
            let place = index.index(body.len());
            body[place] = byte;
        }
        body.truncate(cut.index(body.len() * 4).min(body.len()));
        let ours = check(signal, &body);
        let theirs = if metrics {
            ExportMetricsServiceRequest::decode(&*body).err()
        } else {
            ExportTraceServiceRequest::decode(&*body).err()
        };
        // Prost also decodes parts that have no column; nothing else may pass here that it refuses.
        if let (Ok(_), Some(error)) = (&ours, &theirs) {
            let text = error.to_string();
            let unused = ["entity_refs", "metadata", "dropped_attributes_count", "Entity", "strindex", "MetricsService", "data"];
            prop_assert!(unused.iter().any(|part| text.contains(part)), "{text}");
        }
    }
}

/// The bits of optional doubles, because a NaN differs from itself.
fn bits(value: Option<f64>) -> Option<u64> {
    value.map(f64::to_bits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn points_are_what_prost_sees(
        attributes in any_pairs(),
        [start, time, count, zero] in any::<[u64; 4]>(),
        [sum, min, max] in any::<[Option<f64>; 3]>(),
        counts in proptest::collection::vec(any::<u64>(), 0..5),
        bounds in proptest::collection::vec(any::<f64>(), 0..5),
        [scale, offset] in any::<[i32; 2]>(),
        flags in any::<u32>(),
        number in any::<i64>(),
    ) {
        let mut request = sample::metrics();
        let metrics = &mut request.resource_metrics[0].scope_metrics[0].metrics;
        let histogram = HistogramDataPoint {
            attributes: attributes.clone(),
            start_time_unix_nano: start,
            time_unix_nano: time,
            count,
            sum,
            bucket_counts: counts.clone(),
            explicit_bounds: bounds.clone(),
            flags,
            min,
            max,
            ..HistogramDataPoint::default()
        };
        let exponential = ExponentialHistogramDataPoint {
            attributes: attributes.clone(),
            count,
            sum,
            scale,
            zero_count: zero,
            positive: Some(ProtoBuckets { offset, bucket_counts: counts.clone() }),
            ..ExponentialHistogramDataPoint::default()
        };
        let sum_point = NumberDataPoint {
            attributes: attributes.clone(),
            time_unix_nano: time,
            value: Some(number_data_point::Value::AsInt(number)),
            ..NumberDataPoint::default()
        };
        for metric in metrics.iter_mut() {
            match metric.data.as_mut() {
                Some(Data::Histogram(data)) => data.data_points = vec![histogram.clone()],
                Some(Data::ExponentialHistogram(data)) => data.data_points = vec![exponential.clone()],
                Some(Data::Sum(data)) => data.data_points = vec![sum_point.clone()],
                _ => {}
            }
        }
        let body = request.encode_to_vec();
        let mut seen = 0;
        crate::otlp::metrics(&body, |_, _, _, metric, point| {
            match metric.kind {
                Kind::Histogram => {
                    assert_eq!((point.start_unix_nanos, point.unix_nanos), (start, time));
                    assert_eq!((point.count, bits(point.sum)), (count, bits(sum)));
                    assert_eq!((bits(point.min), bits(point.max)), (bits(min), bits(max)));
                    assert_eq!(point.bucket_counts, counts);
                    let expected: Vec<u64> = bounds.iter().map(|bound| bound.to_bits()).collect();
                    assert_eq!(point.explicit_bounds, expected);
                    assert_eq!(point.flags, flags);
                }
                Kind::ExponentialHistogram => {
                    assert_eq!((point.scale, point.zero_count), (scale, zero));
                    assert_eq!((point.positive.offset, &point.positive.counts), (offset, &counts));
                }
                Kind::Sum => assert_eq!(point.value, Some(Number::Int(number))),
                Kind::Gauge | Kind::Summary => return,
            }
            assert_eq!(shown_ours(&point.attributes), shown_pairs(&attributes));
            seen += 1;
        }).unwrap();
        prop_assert_eq!(seen, 3);
    }
}
