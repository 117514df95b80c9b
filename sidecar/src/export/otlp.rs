//! Takes spans and points of one tenant. Gives them to the collector: spans by our own sender, points by `opentelemetry-otlp`.
//! One sender a service, built once; the standard `OTEL_*` variables are read by both.
//! Never decides what is sent and never counts: it only says whether the collector answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, RetryPolicy, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use thiserror::Error;

use crate::record::{HopResource, Record};

use super::attempt;
use super::encode::{self, EncodedResource};
use super::resource::Resources;
use super::sender::{Sender, SenderError};
use super::settings::{ExportSettings, Protocol, Secret, SignalSettings};

/// Where exports go: the collector, or a scripted peer in tests.
pub(super) trait Sink: Send + Sync + 'static {
    fn export_spans(
        &self,
        resource: Arc<HopResource>,
        calls: Vec<Record>,
    ) -> impl Future<Output = Result<(), String>> + Send;

    fn export_points(
        &self,
        points: &ResourceMetrics,
    ) -> impl Future<Output = Result<(), String>> + Send;

    fn temporality(&self) -> Temporality;
}

#[derive(Debug, Error)]
pub(super) enum OtlpError {
    #[error("{0}")]
    Spans(#[from] SenderError),
    #[error("{0}")]
    Points(#[from] ExporterBuildError),
}

/// A connection, and what stands before the spans of one resource.
struct Service {
    sender: Sender,
    resource: EncodedResource,
}

type Services = HashMap<Arc<HopResource>, Arc<Service>>;

/// Connections that are kept: more than there are hops, and old ones of reloads go.
const MAX_SERVICES: usize = 128;

pub(super) struct Otlp {
    traces: SignalSettings,
    headers: Vec<(String, Secret)>,
    resources: Resources,
    services: Mutex<Services>,
    points: MetricExporter,
}

impl Otlp {
    /// Builds the exporters of the process. Must run inside the runtime that will export.
    pub(super) fn new(settings: &ExportSettings, resources: Resources) -> Result<Self, OtlpError> {
        let otlp = Self {
            traces: settings.traces.clone(),
            headers: settings.headers.clone(),
            resources,
            services: Mutex::default(),
            points: metric_exporter(&settings.metrics, &settings.headers)?,
        };
        otlp.service(Arc::default())?;
        Ok(otlp)
    }

    fn service(&self, resource: Arc<HopResource>) -> Result<Arc<Service>, SenderError> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = services.get(&resource) {
            return Ok(Arc::clone(service));
        }
        let service = Arc::new(Service {
            sender: Sender::new(&self.traces, &self.headers)?,
            resource: EncodedResource::new(&self.resources.of(&resource)),
        });
        if services.len() >= MAX_SERVICES {
            services.clear();
        }
        services.insert(resource, Arc::clone(&service));
        Ok(service)
    }
}

impl Sink for Otlp {
    async fn export_spans(
        &self,
        resource: Arc<HopResource>,
        calls: Vec<Record>,
    ) -> Result<(), String> {
        let service = self.service(resource).map_err(|error| error.to_string())?;
        let export = encode::export(&service.resource, &calls);
        // They are in the export now; there may be a long wait for a collector.
        drop(calls);
        attempt::note_rejected(service.sender.send(&export).await?);
        Ok(())
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
