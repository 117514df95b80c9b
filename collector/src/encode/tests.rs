use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;
use crate::sample;

fn batch(block: &crate::sink::Block) -> RecordBatch {
    let mut batches = encode(block.log_id, block.signal, &block.entries).unwrap();
    assert_eq!(batches.len(), 1);
    batches.remove(0)
}

/// The text of one cell.
fn cell(batch: &RecordBatch, name: &str, row: usize) -> String {
    let column = batch
        .column_by_name(name)
        .unwrap_or_else(|| panic!("no column {name}"));
    let options = FormatOptions::default();
    ArrayFormatter::try_new(column, &options)
        .unwrap()
        .value(row)
        .to_string()
}

#[test]
fn a_rich_span_keeps_everything() {
    let block = sample::story_block();
    let batch = batch(&block);
    let row = batch.num_rows() - 1;
    let expected = [
        ("TenantId", "acme"),
        ("TraceId", "09090909090909090909090909090909"),
        ("SpanId", "0909090909090909"),
        ("ParentSpanId", "0808080808080808"),
        ("SpanKind", "Server"),
        ("ServiceName", "weather"),
        ("StatusCode", "Unset"),
        ("Timestamp", "2026-11-20T10:00:00.900Z"),
        ("Duration", "9000000"),
        ("IsCall", "true"),
        ("McpTool", "everything"),
        ("RequestBytes", "100"),
        ("McpTransport", "pipe"),
        ("Flags", "769"),
        ("DroppedLinksCount", "3"),
        ("Events.Name", "[exception]"),
        ("Events.DroppedAttributesCount", "[4]"),
        ("Links.SpanId", "[0606060606060606]"),
        ("Links.Attributes", "[{why: follows}]"),
        ("ScopeSchemaUrl", "https://example/scope"),
        ("LogSeq", "4"),
    ];
    for (name, text) in expected {
        assert_eq!(cell(&batch, name, row), text, "{name}");
    }
    let attributes = cell(&batch, "SpanAttributes", row);
    for part in [
        "gen_ai.operation.name: execute_tool",
        "list: [\"a\",\"b\\\"\\n\"]",
        "map: {\"a\":[false],\"z\":-1}",
        "bytes: Zm9v",
        "double: 0.5",
        "gen_ai.tool.name: second",
    ] {
        assert!(attributes.contains(part), "{part} in {attributes}");
    }
    for gone in [
        "toolspan.call",
        "tenant.id",
        "mcp.method.name",
        "everything",
    ] {
        assert!(!attributes.contains(gone), "{gone} in {attributes}");
    }
}

#[test]
fn an_attribute_that_does_not_fit_its_column_stays() {
    let mut span = sample::span(1, 1, None, 0);
    span.attributes = vec![
        sample::pair("toolspan.request.bytes", sample::text("many")),
        sample::pair("toolspan.response.bytes", sample::int(-1)),
        sample::pair("toolspan.call", sample::text("true")),
        sample::pair("mcp.session.id", sample::array(vec![])),
        sample::pair("rpc.response.status_code", sample::int(-32602)),
        sample::pair("tenant.id", sample::text("a\nb")),
    ];
    let body = prost::Message::encode_to_vec(&sample::traces("s", vec![span]));
    let batch = batch(&sample::block(Signal::Traces, &[body]));
    assert_eq!(cell(&batch, "RequestBytes", 0), "0");
    assert_eq!(cell(&batch, "IsCall", 0), "false");
    assert_eq!(cell(&batch, "RpcStatusCode", 0), "-32602");
    assert_eq!(cell(&batch, "TenantId", 0), "unknown");
    let attributes = cell(&batch, "SpanAttributes", 0);
    for key in [
        "toolspan.request.bytes: many",
        "toolspan.response.bytes: -1",
        "toolspan.call: true",
    ] {
        assert!(attributes.contains(key), "{key} in {attributes}");
    }
    assert!(attributes.contains("tenant.id") && attributes.contains("mcp.session.id: []"));
}

#[test]
fn what_check_refused_has_no_row() {
    let mut bad = sample::span(1, 1, None, 0);
    bad.trace_id = vec![0; 16];
    let body = prost::Message::encode_to_vec(&sample::traces(
        "s",
        vec![bad.clone(), sample::span(1, 2, None, 0)],
    ));
    let rows = batch(&sample::block(Signal::Traces, &[body]));
    assert_eq!(rows.num_rows(), 1);
    let body = prost::Message::encode_to_vec(&sample::traces("s", vec![bad]));
    let block = sample::block(Signal::Traces, &[body]);
    assert!(
        encode(block.log_id, Signal::Traces, &block.entries)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn the_five_kinds_of_metric() {
    let batch = batch(&sample::metrics_block());
    assert_eq!(batch.num_rows(), 6);
    let kinds = batch
        .column_by_name("Kind")
        .unwrap()
        .as_dictionary::<Int32Type>();
    let kinds = kinds.downcast_dict::<arrow::array::StringArray>().unwrap();
    let kinds: Vec<_> = kinds.into_iter().flatten().collect();
    assert_eq!(
        kinds,
        [
            "Gauge",
            "Gauge",
            "Sum",
            "Histogram",
            "ExponentialHistogram",
            "Summary"
        ]
    );
    let values = batch
        .column_by_name("Value")
        .unwrap()
        .as_primitive::<Float64Type>();
    let values: Vec<_> = values.iter().collect();
    assert_eq!(values, [Some(1.5), None, Some(-3.0), None, None, None]);
    let counts = batch
        .column_by_name("Count")
        .unwrap()
        .as_primitive::<UInt64Type>();
    assert_eq!(counts.values(), &[0, 0, 0, 3, 9, 2]);
    // The point's own tenant wins; without one the resource's holds.
    assert_eq!(cell(&batch, "TenantId", 3), "acme");
    assert_eq!(cell(&batch, "TenantId", 4), "globex");
    assert_eq!(cell(&batch, "BucketCounts", 3), "[1, 2]");
    assert_eq!(
        cell(&batch, "Exemplars.TraceId", 3),
        "[01010101010101010101010101010101]"
    );
    assert_eq!(cell(&batch, "PositiveBucketCounts", 4), "[300, 0, 1]");
    assert_eq!(cell(&batch, "NegativeOffset", 4), "7");
    assert_eq!(cell(&batch, "QuantileValues.Value", 5), "[1.75]");
    assert!(batch.column_by_name("Max").unwrap().is_null(3));
}

#[test]
fn times_beyond_the_stores_are_clamped() {
    let mut span = sample::span(1, 1, None, 0);
    span.start_time_unix_nano = u64::MAX;
    span.end_time_unix_nano = 5;
    let body = prost::Message::encode_to_vec(&sample::traces("s", vec![span]));
    let batch = batch(&sample::block(Signal::Traces, &[body]));
    assert_eq!(cell(&batch, "Duration", 0), "0");
    assert_eq!(
        cell(&batch, "Timestamp", 0),
        "2262-04-11T23:47:16.854775807Z"
    );
}

#[test]
fn the_same_block_gives_the_same_batch() {
    let block = sample::story_block();
    assert_eq!(batch(&block), batch(&block));
}

#[test]
fn a_damaged_entry_is_named() {
    let mut block = sample::story_block();
    block.entries[2].body = bytes::Bytes::from_static(b"\x0a\xff");
    let error = encode(block.log_id, block.signal, &block.entries).unwrap_err();
    assert!(
        matches!(error, EncodeError::Malformed { seq: Seq(3), .. }),
        "{error}"
    );
}
