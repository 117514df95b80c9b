//! Takes a byte that chooses the signal, and an export. Gives nothing: it panics on a broken promise.
//! Never lets the collector lose a span or a point that protobuf's own decoder finds.
#![no_main]

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Metrics;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Traces;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use toolspan_collector::otlp::{Signal, check};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((choice, export)) = bytes.split_first() else {
        return;
    };
    // The decoder refuses fields that the collector passes over, so only what both take is compared.
    if choice % 2 == 0 {
        if let (Some(counted), Ok(oracle)) =
            (counted(Signal::Traces, export), Traces::decode(export))
        {
            assert_eq!(counted, spans(&oracle), "spans");
        }
    } else if let (Some(counted), Ok(oracle)) =
        (counted(Signal::Metrics, export), Metrics::decode(export))
    {
        // The decoder forgets pieces of a metric's data that stand before data of another kind.
        assert!(counted >= points(&oracle), "points");
    }
});

fn counted(signal: Signal, export: &[u8]) -> Option<u64> {
    let checked = check(signal, export).ok()?;
    Some(checked.accepted + checked.rejected)
}

fn spans(export: &Traces) -> u64 {
    let scopes = export.resource_spans.iter().flat_map(|r| &r.scope_spans);
    scopes.map(|scope| scope.spans.len() as u64).sum()
}

fn points(export: &Metrics) -> u64 {
    let scopes = export
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let data = metrics.filter_map(|metric| metric.data.as_ref());
    let counts = data.map(|data| match data {
        Data::Gauge(data) => data.data_points.len(),
        Data::Sum(data) => data.data_points.len(),
        Data::Histogram(data) => data.data_points.len(),
        Data::ExponentialHistogram(data) => data.data_points.len(),
        Data::Summary(data) => data.data_points.len(),
    });
    counts.map(|count| count as u64).sum()
}
