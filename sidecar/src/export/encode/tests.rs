//! The encoder against the protobuf library, byte by byte.

use std::time::Duration;

use opentelemetry::{KeyValue, StringValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::record::span::tests::{call, hop, span_data};
use crate::record::{Outcome, ParentSource, Target};

fn by_the_library(resource: &Resource, spans: &[SpanData]) -> Vec<u8> {
    let resource = ResourceAttributesWithSchema::from(resource);
    let resource_spans = group_spans_by_resource_and_scope(spans.to_vec(), &resource);
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn resource() -> Resource {
    Resource::builder_empty()
        .with_schema_url(
            [KeyValue::new("service.name", "shop")],
            "https://example.com/schema",
        )
        .build()
}

fn spans_of(records: &[Record]) -> Vec<SpanData> {
    let spans = records.iter().flat_map(|record| record.spans());
    spans.map(|span| span_data(&span)).collect()
}

prop_compose! {
    fn record()(
        tenant in "[ -~]{1,40}",
        tool in ".{0,300}",
        id in ".{0,80}",
        state in prop_oneof![Just(""), Just("a=1,b=2")],
        (duration, request_bytes, response_bytes) in any::<(u32, u64, u64)>(),
        (link, pair, resource_read, failed, client) in any::<(bool, bool, bool, bool, bool)>(),
        (flags, root) in any::<(u8, bool)>(),
    ) -> Record {
        let mut record = call(&tenant);
        record.hop = std::sync::Arc::new(hop(if client { Side::Client } else { Side::Server }, pair));
        record.side = record.hop.side;
        record.context.pair_span_id = pair.then_some(77);
        record.context.tracestate = state.into();
        record.context.context.flags = flags;
        record.context.link = record.context.parent.filter(|_| link);
        if root {
            record.context.parent = None;
            record.context.parent_source = ParentSource::Root;
        }
        record.target = Some(match resource_read {
            true => Target::Resource(tool.into()),
            false => Target::Tool(tool.into()),
        });
        record.request_id = id.into();
        record.duration = Duration::from_nanos(u64::from(duration));
        (record.request_bytes, record.response_bytes) = (request_bytes, response_bytes);
        if failed {
            record.outcome = Outcome::ToolError;
        }
        record
    }
}

proptest! {
    #[test]
    fn writes_what_the_library_writes(records in prop::collection::vec(record(), 0..40)) {
        let (resource, spans) = (resource(), spans_of(&records));
        let own = export(&EncodedResource::new(&resource), &records);
        if spans.is_empty() {
            prop_assert_eq!(ExportTraceServiceRequest::decode(&own[..]).unwrap().resource_spans.len(), 1);
        }
        prop_assert_eq!(own, by_the_library(&resource, &spans));
    }
}

#[test]
fn every_kind_of_value_is_written_as_the_library_writes_it() {
    let texts: Vec<StringValue> = vec!["a".into(), "b".into()];
    let values: Vec<Value> = vec![
        true.into(),
        (-5_i64).into(),
        i64::MAX.into(),
        0.5.into(),
        "".into(),
        Value::Array(Array::Bool(vec![true, false])),
        Value::Array(Array::I64(vec![-1, 0, 300])),
        Value::Array(Array::F64(vec![0.0, -1.5])),
        Value::Array(Array::String(texts)),
    ];
    for value in values {
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new("key", value))
            .build();
        let calls = [call("acme")];
        let own = export(&EncodedResource::new(&resource), &calls);
        assert_eq!(own, by_the_library(&resource, &spans_of(&calls)));
    }
}

#[test]
fn a_length_that_was_guessed_too_small_or_too_large_is_mended() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
        for room in [Room::Attribute, Room::Span, Room::Export] {
            let mut out = vec![9];
            nested(&mut out, 1, room, |out| out.extend(vec![7; length]));
            let mut wanted = vec![9];
            prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut wanted);
            prost::encoding::encode_varint(length as u64, &mut wanted);
            wanted.extend(vec![7; length]);
            assert_eq!(out, wanted);
        }
    }
}
