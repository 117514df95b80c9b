use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::common::v1::{AnyValue as ProtoValue, KeyValue as ProtoPair};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::sample;

#[test]
fn a_good_export_is_counted() {
    let body =
        sample::traces("s", vec![sample::rich(), sample::span(1, 2, None, 0)]).encode_to_vec();
    let checked = check(Signal::Traces, &body).unwrap();
    assert_eq!((checked.accepted, checked.rejected), (2, 0));
    let body = sample::metrics().encode_to_vec();
    assert_eq!(check(Signal::Metrics, &body).unwrap().accepted, 6);
    assert_eq!(check(Signal::Traces, b"").unwrap(), Checked::default());
}

#[test]
fn a_span_without_a_valid_id_is_refused_alone() {
    let mut short = sample::span(1, 2, None, 0);
    short.trace_id.pop();
    let mut zero = sample::span(1, 2, None, 0);
    zero.span_id = vec![0; 8];
    let mut parent = sample::span(1, 2, None, 0);
    parent.parent_span_id = vec![1; 3];
    let good = sample::span(1, 2, None, 0);
    let body = sample::traces("s", vec![good, short, zero, parent]).encode_to_vec();
    let checked = check(Signal::Traces, &body).unwrap();
    assert_eq!((checked.accepted, checked.rejected), (1, 3));
    assert_eq!(
        checked.reason.as_deref(),
        Some("resource_spans[0].scope_spans[0].spans[1].trace_id: 15 bytes, want 16")
    );
}

#[test]
fn broken_bytes_are_named_with_their_place() {
    let mut span = sample::span(1, 2, None, 0);
    span.name = "NAME".into();
    let body = sample::traces("s", vec![sample::span(1, 2, None, 0), span]).encode_to_vec();
    let place = body.windows(4).position(|bytes| bytes == b"NAME").unwrap();
    let mut broken = body.clone();
    broken[place + 1] = 0xff;
    let error = check(Signal::Traces, &broken).unwrap_err();
    assert_eq!(
        error.what,
        "resource_spans[0].scope_spans[0].spans[1].name: not UTF-8"
    );
    assert_eq!(error.offset, place + 1);

    let error = check(Signal::Traces, &body[..body.len() - 1]).unwrap_err();
    assert!(error.what.starts_with("wants"), "{}", error.what);
    let error = check(Signal::Traces, &[0x0b]).unwrap_err();
    assert!(error.what.contains("group"), "{}", error.what);
    let error = check(Signal::Traces, &[0x08, 0x01]).unwrap_err();
    assert_eq!(
        error.what,
        "resource_spans: a varint on the wire, want length-delimited"
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let mut value = sample::text("x");
        for _ in 0..depth {
            value = sample::array(vec![value]);
        }
        let mut span = sample::span(1, 2, None, 0);
        span.attributes = vec![sample::pair("deep", value)];
        sample::traces("s", vec![span]).encode_to_vec()
    };
    assert!(check(Signal::Traces, &nested(value::MAX_DEPTH)).is_ok());
    let error = check(Signal::Traces, &nested(value::MAX_DEPTH + 1)).unwrap_err();
    assert!(
        error.what.ends_with("nested deeper than 32"),
        "{}",
        error.what
    );
    // A hundred thousand levels must not use up the stack either.
    let mut body = Vec::new();
    for _ in 0..100_000u32 {
        let mut outer = vec![0x2a];
        prost::encoding::encode_varint(body.len() as u64 + 1, &mut outer);
        outer.truncate(4);
        body.splice(0..0, outer);
    }
    let _ = check(Signal::Traces, &body);
}

#[test]
fn a_huge_resource_over_many_spans_is_refused() {
    let spans = (0..2000).map(|_| sample::span(1, 2, None, 0)).collect();
    let mut request = sample::traces("s", spans);
    let resource = request.resource_spans[0].resource.as_mut().unwrap();
    resource
        .attributes
        .push(sample::pair("huge", sample::text(&"x".repeat(100_000))));
    let body = request.encode_to_vec();
    let checked = check(Signal::Traces, &body).unwrap();
    assert!(checked.accepted > 50, "{checked:?}");
    assert!(checked.rejected > 1000, "{checked:?}");
    assert!(
        checked
            .reason
            .unwrap()
            .contains("repeated in too many rows")
    );
}

#[test]
fn a_resource_after_its_spans_still_belongs_to_them() {
    let request = sample::traces("late", vec![sample::span(1, 2, None, 0)]);
    let group = &request.resource_spans[0];
    let mut inner = Vec::new();
    prost::encoding::message::encode(2, &group.scope_spans[0], &mut inner);
    prost::encoding::message::encode(1, group.resource.as_ref().unwrap(), &mut inner);
    let mut body = Vec::new();
    prost::encoding::bytes::encode(1, &inner, &mut body);
    let mut seen = 0;
    traces(&body, |_, resource, _, _| {
        assert_eq!(resource.attributes[0].key, "service.name");
        seen += 1;
    })
    .unwrap();
    assert_eq!(seen, 1);
}

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

#[test]
fn every_metric_kind_is_read_as_prost_reads_it() {
    let request = sample::metrics();
    let body = request.encode_to_vec();
    let mut seen = Vec::new();
    metrics(&body, |_, resource, _, metric, point| {
        assert_eq!(resource.attributes.len(), 2);
        seen.push((
            metric.kind,
            metric.name.to_owned(),
            point.count,
            point.unix_nanos,
        ));
        if metric.kind == Kind::ExponentialHistogram {
            assert_eq!((point.scale, point.positive.offset), (-2, -5));
            assert_eq!(point.positive.counts, [300, 0, 1]);
            assert_eq!(
                (point.negative.offset, point.negative.counts.as_slice()),
                (7, &[2][..])
            );
        }
        if metric.kind == Kind::Summary {
            assert!((point.quantiles[0].value - 1.75).abs() < f64::EPSILON);
        }
    })
    .unwrap();
    let theirs = &request.resource_metrics[0].scope_metrics[0].metrics;
    assert!(matches!(theirs[2].data, Some(Data::Histogram(_))));
    let kinds: Vec<Kind> = seen.iter().map(|point| point.0).collect();
    assert_eq!(
        kinds,
        [
            Kind::Gauge,
            Kind::Gauge,
            Kind::Sum,
            Kind::Histogram,
            Kind::ExponentialHistogram,
            Kind::Summary
        ]
    );
}

#[test]
fn repeated_numbers_may_come_unpacked() {
    // histogram -> data_points -> bucket_counts (6) as two single fixed64 fields.
    let mut point = Vec::new();
    for count in [5u64, 6] {
        prost::encoding::encode_key(6, prost::encoding::WireType::SixtyFourBit, &mut point);
        point.extend(count.to_le_bytes());
    }
    let wrap = |number: u32, inner: &[u8]| {
        let mut outer = Vec::new();
        prost::encoding::bytes::encode(number, &inner.to_vec(), &mut outer);
        outer
    };
    let body = wrap(1, &wrap(2, &wrap(2, &wrap(9, &wrap(1, &point)))));
    let mut counts = Vec::new();
    metrics(&body, |_, _, _, _, point| {
        counts.clone_from(&point.bucket_counts)
    })
    .unwrap();
    assert_eq!(counts, [5, 6]);
}
