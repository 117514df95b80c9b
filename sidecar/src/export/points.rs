//! Takes the same records as the spans. Gives the histograms of the conventions, and the counts of this process.
//! One meter provider a tenant and resource, at most 200 tenants; what comes beyond shares the tenant `overflow`.
//! Never grows without bound by what peers send: methods are a fixed list, and the points of a tenant are capped.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::metrics::{Histogram, Meter, MeterProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};

use crate::counters::Counters;
use crate::record::names::table::Metric;
use crate::record::{CallRecord, HopResource, SessionRecord, Side, names};

use super::outbox::StreamKey;
use super::resource::Resources;

mod attributes;
mod process;

/// Tenants with metrics of their own.
const MAX_TENANTS: usize = 200;
/// With those of the overflow, one for each resource: hops have few, but every reload may name others.
const MAX_METERS: usize = MAX_TENANTS + 64;
/// Points of one histogram of one tenant; the SDK sums what comes beyond under `otel.metric.overflow`.
const MAX_POINTS: usize = 500;
/// Points of one sum of the process: one for each reason. The SDK makes room for all of them at once.
const MAX_PROCESS_POINTS: usize = 16;

/// A reader that we collect from and the provider feeds.
#[derive(Debug, Clone)]
pub(super) struct Reader(Arc<ManualReader>);

impl Reader {
    /// What was measured, or nothing where nothing was.
    pub(super) fn collect(&self) -> Option<ResourceMetrics> {
        let mut points = ResourceMetrics::default();
        self.0.collect(&mut points).ok()?;
        let any = points.scope_metrics().next().is_some();
        any.then_some(points)
    }
}

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, points: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(points)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// The meter of one tenant and resource. Instruments are made when first used: an empty
/// histogram of the other side would only be noise.
struct Meters {
    _provider: SdkMeterProvider,
    reader: Reader,
    meter: Meter,
    histograms: [Option<Histogram<f64>>; HISTOGRAMS.len()],
}

/// In the order of `Meters::histograms`.
const HISTOGRAMS: [Metric; 4] = [
    names::SERVER_OPERATION_DURATION,
    names::CLIENT_OPERATION_DURATION,
    names::SERVER_SESSION_DURATION,
    names::CLIENT_SESSION_DURATION,
];

fn operation(side: Side) -> usize {
    match side {
        Side::Server => 0,
        Side::Client => 1,
    }
}

fn session(side: Side) -> usize {
    operation(side) + 2
}

impl Meters {
    fn record(&mut self, histogram: usize, duration: Duration, attributes: &[KeyValue]) {
        let (Some(slot), Some(metric)) = (
            self.histograms.get_mut(histogram),
            HISTOGRAMS.get(histogram),
        ) else {
            return;
        };
        slot.get_or_insert_with(|| {
            self.meter
                .f64_histogram(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.description)
                .with_boundaries(names::DURATION_BOUNDS.to_vec())
                .build()
        })
        .record(duration.as_secs_f64(), attributes);
    }
}

/// The metrics of one process.
pub(super) struct Points {
    resources: Resources,
    temporality: Temporality,
    meters: HashMap<StreamKey, Meters>,
    process: Meters,
    overflow: Arc<str>,
}

impl Points {
    pub(super) fn new(
        resources: Resources,
        temporality: Temporality,
        counters: &Arc<Counters>,
        process_tenant: Option<Arc<str>>,
    ) -> Self {
        let process = meters(
            &resources,
            temporality,
            &HopResource::default(),
            MAX_PROCESS_POINTS,
        );
        process::observe(&process.meter, counters, process_tenant);
        Self {
            resources,
            temporality,
            meters: HashMap::new(),
            process,
            overflow: names::OVERFLOW_TENANT.into(),
        }
    }

    pub(super) fn add_call(&mut self, record: &CallRecord) {
        // A listener stays open for as long as the client lives, so its duration says nothing
        // of how fast the server is and would drown what does.
        if &*record.method == names::SUBSCRIPTIONS_LISTEN {
            return;
        }
        let (meters, tenant, overflow) = self.of(&record.tenant.name, &record.hop.resource);
        for side in sides(record.side, record.hop.span_pair) {
            let attributes = attributes::of_call(record, side, &tenant, overflow);
            meters.record(operation(side), record.duration, &attributes);
        }
    }

    pub(super) fn add_session(&mut self, record: &SessionRecord) {
        let (meters, tenant, overflow) = self.of(&record.tenant.name, &record.hop.resource);
        for side in sides(record.hop.side, record.hop.span_pair) {
            let attributes = attributes::of_session(record, side, &tenant, overflow);
            meters.record(session(side), record.duration, &attributes);
        }
    }

    /// The meters of a tenant, the tenant they are under, and whether that is the overflow.
    fn of(
        &mut self,
        tenant: &Arc<str>,
        resource: &Arc<HopResource>,
    ) -> (&mut Meters, Arc<str>, bool) {
        let mut key = StreamKey {
            tenant: Arc::clone(tenant),
            resource: Arc::clone(resource),
        };
        let overflow = !self.meters.contains_key(&key) && self.meters.len() >= MAX_TENANTS;
        if overflow {
            key.tenant = Arc::clone(&self.overflow);
            if !self.meters.contains_key(&key) && self.meters.len() >= MAX_METERS {
                key.resource = Arc::default();
            }
        }
        let tenant = Arc::clone(&key.tenant);
        let (resources, temporality) = (&self.resources, self.temporality);
        let meters = self
            .meters
            .entry(key)
            .or_insert_with_key(|key| meters(resources, temporality, &key.resource, MAX_POINTS));
        (meters, tenant, overflow)
    }

    /// One reader for each export that a round of metrics makes.
    pub(super) fn readers(&self) -> Vec<Reader> {
        let tenants = self.meters.values();
        tenants
            .chain([&self.process])
            .map(|meters| meters.reader.clone())
            .collect()
    }
}

/// The side a call stands for; a pair of spans stands for both.
fn sides(marked: Side, pair: bool) -> impl Iterator<Item = Side> {
    [Some(marked), pair.then(|| marked.swapped())]
        .into_iter()
        .flatten()
}

fn meters(
    resources: &Resources,
    temporality: Temporality,
    hop: &HopResource,
    max_points: usize,
) -> Meters {
    let reader = ManualReader::builder()
        .with_temporality(temporality)
        .build();
    let reader = Reader(Arc::new(reader));
    // Every instrument keeps its definition and gets our cap.
    let capped = move |_: &Instrument| {
        let stream = Stream::builder().with_cardinality_limit(max_points);
        stream.build().ok()
    };
    let provider = SdkMeterProvider::builder()
        .with_resource(resources.of(hop))
        .with_reader(reader.clone())
        .with_view(capped)
        .build();
    let scope = InstrumentationScope::builder(names::SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .build();
    Meters {
        meter: provider.meter_with_scope(scope),
        _provider: provider,
        reader,
        histograms: [const { None }; HISTOGRAMS.len()],
    }
}

#[cfg(test)]
mod tests;
