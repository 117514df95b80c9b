//! Takes spans and points of one tenant. Gives them to the collector with `opentelemetry-otlp`.
//! One exporter a signal and service, built once; the standard `OTEL_*` variables are read by it.
//! Never decides what is sent and never counts: it only says whether the collector answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, RetryPolicy, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use crate::record::HopResource;

use super::resource::Resources;
use super::settings::{ExportSettings, Protocol, Secret, SignalSettings};

/// Where exports go: the collector, or a scripted peer in tests.
pub(super) trait Sink: Send + Sync + 'static {
    fn export_spans(
        &self,
        resource: Arc<HopResource>,
        spans: Vec<SpanData>,
    ) -> impl Future<Output = Result<(), String>> + Send;

    fn export_points(
        &self,
        points: &ResourceMetrics,
    ) -> impl Future<Output = Result<(), String>> + Send;

    fn temporality(&self) -> Temporality;
}

type SpanExporters = HashMap<Arc<HopResource>, Arc<SpanExporter>>;

/// Exporters that are kept: more than there are hops, and old ones of reloads go.
const MAX_EXPORTERS: usize = 128;

pub(super) struct Otlp {
    traces: SignalSettings,
    headers: Vec<(String, Secret)>,
    resources: Resources,
    spans: Mutex<SpanExporters>,
    points: MetricExporter,
}

impl Otlp {
    /// Builds the exporters of the process. Must run inside the runtime that will export.
    pub(super) fn new(
        settings: &ExportSettings,
        resources: Resources,
    ) -> Result<Self, ExporterBuildError> {
        let points = metric_exporter(&settings.metrics, &settings.headers)?;
        let otlp = Self {
            traces: settings.traces.clone(),
            headers: settings.headers.clone(),
            resources,
            spans: Mutex::default(),
            points,
        };
        otlp.span_exporter(Arc::default())?;
        Ok(otlp)
    }

    fn span_exporter(
        &self,
        resource: Arc<HopResource>,
    ) -> Result<Arc<SpanExporter>, ExporterBuildError> {
        let mut exporters = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exporter) = exporters.get(&resource) {
            return Ok(Arc::clone(exporter));
        }
        let mut exporter = span_exporter(&self.traces, &self.headers)?;
        exporter.set_resource(&self.resources.of(&resource));
        let exporter = Arc::new(exporter);
        if exporters.len() >= MAX_EXPORTERS {
            exporters.clear();
        }
        exporters.insert(resource, Arc::clone(&exporter));
        Ok(exporter)
    }
}

impl Sink for Otlp {
    async fn export_spans(
        &self,
        resource: Arc<HopResource>,
        spans: Vec<SpanData>,
    ) -> Result<(), String> {
        let exporter = self
            .span_exporter(resource)
            .map_err(|error| error.to_string())?;
        let sent = exporter.export(spans).await;
        sent.map_err(|error| error.to_string())
    }

    async fn export_points(&self, points: &ResourceMetrics) -> Result<(), String> {
        let sent = self.points.export(points).await;
        sent.map_err(|error| error.to_string())
    }

    fn temporality(&self) -> Temporality {
        self.points.temporality()
    }
}

/// Retries what OTLP calls retryable until the time-out of the export ends it.
fn retry_policy() -> RetryPolicy {
    RetryPolicy::recommended()
        .with_max_retries(usize::MAX)
        .with_initial_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_jitter(Duration::from_millis(200))
}

/// The headers of the configuration file; the exporter adds those of the environment.
fn http_headers(headers: &[(String, Secret)]) -> HashMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
        .collect()
}

fn grpc_metadata(headers: &[(String, Secret)]) -> MetadataMap {
    let fields = headers.iter().filter_map(|(name, value)| {
        let name = http::HeaderName::try_from(name).ok()?;
        let mut value = http::HeaderValue::try_from(value.reveal()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    MetadataMap::from_headers(fields.collect())
}

fn span_exporter(
    signal: &SignalSettings,
    headers: &[(String, Secret)],
) -> Result<SpanExporter, ExporterBuildError> {
    match signal.protocol {
        Protocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&signal.endpoint)
            .with_timeout(signal.timeout)
            .with_metadata(grpc_metadata(headers))
            .with_retry_policy(retry_policy())
            .build(),
        Protocol::HttpProtobuf => SpanExporter::builder()
            .with_http()
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(&signal.endpoint)
            .with_timeout(signal.timeout)
            .with_headers(http_headers(headers))
            .with_retry_policy(retry_policy())
            .build(),
    }
}

fn metric_exporter(
    signal: &SignalSettings,
    headers: &[(String, Secret)],
) -> Result<MetricExporter, ExporterBuildError> {
    match signal.protocol {
        Protocol::Grpc => MetricExporter::builder()
            .with_tonic()
            .with_endpoint(&signal.endpoint)
            .with_timeout(signal.timeout)
            .with_metadata(grpc_metadata(headers))
            .with_retry_policy(retry_policy())
            .build(),
        Protocol::HttpProtobuf => MetricExporter::builder()
            .with_http()
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(&signal.endpoint)
            .with_timeout(signal.timeout)
            .with_headers(http_headers(headers))
            .with_retry_policy(retry_policy())
            .build(),
    }
}
