//! Takes a byte that chooses the signal, and an export. Gives nothing.
//! Never lets the collector accept what protobuf's own decoder would refuse, or count it differently.
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
    if choice % 2 == 0 {
        compare(Signal::Traces, export, |export| {
            Traces::decode(export).ok().map(|export| spans(&export))
        });
    } else {
        compare(Signal::Metrics, export, |export| {
            Metrics::decode(export).ok().map(|export| points(&export))
        });
    }
});

fn compare(signal: Signal, export: &[u8], oracle: impl Fn(&[u8]) -> Option<u64>) {
    let Ok(checked) = check(signal, export) else {
        return;
    };
    let counted = checked.accepted + checked.rejected;
    assert_eq!(
        Some(counted),
        oracle(export),
        "accepted, or counted wrongly"
    );
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
    let points = metrics.filter_map(|metric| metric.data.as_ref());
    let counts = points.map(|data| match data {
        Data::Gauge(data) => data.data_points.len(),
        Data::Sum(data) => data.data_points.len(),
        Data::Histogram(data) => data.data_points.len(),
        Data::ExponentialHistogram(data) => data.data_points.len(),
        Data::Summary(data) => data.data_points.len(),
    });
    counts.map(|count| count as u64).sum()
}
