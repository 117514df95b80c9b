mod agreement;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
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
    // Thousands of levels must not use up the stack either: each is an array in a value.
    let mut value = Vec::new();
    for _ in 0..5_000 {
        value = wrap(5, &wrap(1, &value));
    }
    let attribute = wrap(9, &wrap(2, &value));
    let body = wrap(1, &wrap(2, &wrap(2, &attribute)));
    let error = check(Signal::Traces, &body).unwrap_err();
    assert!(
        error.what.ends_with("nested deeper than 32"),
        "{}",
        error.what
    );
}

/// A message as field `number` of another.
fn wrap(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut outer = Vec::new();
    prost::encoding::bytes::encode(number, &inner.to_vec(), &mut outer);
    outer
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
    assert!(checked.reason.unwrap().contains("send smaller exports"));
}

#[test]
fn an_ordinary_export_of_60_mib_is_taken_whole() {
    let span = sample::call(1, 2, "acme", "get_weather_of_a_place", "ok", 0);
    let size = span.encoded_len();
    let request = sample::traces("weather", vec![span; (60 << 20) / (size + 4)]);
    let body = request.encode_to_vec();
    assert!(body.len() > 59 << 20, "{}", body.len());
    let checked = check(Signal::Traces, &body).unwrap();
    assert_eq!(checked.rejected, 0, "{:?}", checked.reason);
}

#[test]
fn rows_of_empty_points_are_bounded() {
    // metrics -> gauge -> two million empty data points.
    let points = [0x0a, 0x00].repeat(2 << 20);
    let body = wrap(1, &wrap(2, &wrap(2, &wrap(5, &points))));
    let checked = check(Signal::Metrics, &body).unwrap();
    assert!(checked.accepted < 400_000, "{checked:?}");
    assert_eq!(checked.accepted + checked.rejected, 2 << 20);
}

#[test]
fn lists_of_empty_elements_are_bounded() {
    let span = |fields: &[u8]| wrap(1, &wrap(2, &wrap(2, fields)));
    let events = |count| span(&[0x5a, 0x00].repeat(count));
    assert!(check(Signal::Traces, &events(wire::MAX_ELEMENTS)).is_ok());
    let refused = |signal, body: &[u8]| {
        let error = check(signal, body).unwrap_err();
        assert!(error.what.contains("more than 262144"), "{}", error.what);
    };
    refused(Signal::Traces, &events(wire::MAX_ELEMENTS + 1));
    refused(Signal::Traces, &events(2 << 20));
    // Events that each hold one empty attribute count twice.
    refused(
        Signal::Traces,
        &span(&[0x5a, 0x02, 0x1a, 0x00].repeat(140_000)),
    );
    let attributes = [0x4a, 0x00].repeat(2 << 20);
    refused(Signal::Traces, &span(&attributes));
    let array = wrap(9, &wrap(2, &wrap(5, &[0x0a, 0x00].repeat(2 << 20))));
    refused(Signal::Traces, &span(&array));
    let point = |fields: &[u8]| wrap(1, &wrap(2, &wrap(2, &wrap(10, &wrap(1, fields)))));
    refused(Signal::Metrics, &point(&wrap(8, &wrap(2, &[1; 2 << 20]))));
    let exemplars = [0x5a, 0x00].repeat(2 << 20);
    refused(Signal::Metrics, &point(&exemplars));
}

#[test]
fn attributes_of_many_spans_are_charged() {
    let mut ids = wrap(1, &[1; 16]);
    ids.extend(wrap(2, &[1; 8]));
    ids.extend([0x4a, 0x00].repeat(10_000));
    let spans = wrap(2, &ids).repeat(600);
    let checked = check(Signal::Traces, &wrap(1, &wrap(2, &spans))).unwrap();
    assert!(
        checked.accepted > 100 && checked.rejected > 100,
        "{checked:?}"
    );
}

#[test]
fn a_huge_schema_url_over_many_spans_is_refused() {
    for of_scope in [false, true] {
        let spans = (0..2000).map(|_| sample::span(1, 2, None, 0)).collect();
        let mut request = sample::traces("s", spans);
        let group = &mut request.resource_spans[0];
        let url = "x".repeat(100_000);
        if of_scope {
            group.scope_spans[0].schema_url = url;
        } else {
            group.schema_url = url;
        }
        let checked = check(Signal::Traces, &request.encode_to_vec()).unwrap();
        assert!(checked.rejected > 1000, "{of_scope} {checked:?}");
    }
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
    let body = wrap(1, &wrap(2, &wrap(2, &wrap(9, &wrap(1, &point)))));
    let mut counts = Vec::new();
    metrics(&body, |_, _, _, _, point| {
        counts.clone_from(&point.bucket_counts)
    })
    .unwrap();
    assert_eq!(counts, [5, 6]);
}
