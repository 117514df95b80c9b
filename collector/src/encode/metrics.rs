//! Takes the points of exports, of all five kinds.
//! Gives the columns of the table `metrics`.
//! Never invents a value: a point that says "no recorded value" has none.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::build::{
    Bools, Counts, Doubles, Finished, Ints, Lists, Maps, Shared, Sizes, Symbols, Texts, Times,
    lists, maps, push_hex, push_map, times,
};
use super::{Origin, RowError, Rows, admission, attribute, nanos};
use crate::otlp::{self, Exemplar, Metric, Number, Point};
use crate::schema::{Kind, Table};
use crate::tenant;

/// The flag of OTLP that a point has no value.
const NO_RECORDED_VALUE: u32 = 1;

pub(super) struct Metrics {
    table: &'static Table,
    scratch: String,
    shared: Shared,
    timestamp: Times,
    start: Times,
    name: Symbols,
    description: Symbols,
    unit: Symbols,
    kind: Symbols,
    temporality: Symbols,
    monotonic: Bools,
    attributes: Maps,
    value: Doubles,
    count: Sizes,
    sum: Doubles,
    min: Doubles,
    max: Doubles,
    bucket_counts: Lists<Sizes>,
    bounds: Lists<Doubles>,
    scale: Ints,
    zero_count: Sizes,
    zero_threshold: Doubles,
    positive_offset: Ints,
    positive: Lists<Sizes>,
    negative_offset: Ints,
    negative: Lists<Sizes>,
    quantiles: Lists<Doubles>,
    quantile_values: Lists<Doubles>,
    exemplars: Exemplars,
    flags: Counts,
}

impl Metrics {
    pub(super) fn new(table: &'static Table) -> Self {
        let sizes = || lists(Sizes::new(), Kind::UInt64);
        let doubles = || lists(Doubles::new(), Kind::Float64);
        Self {
            table,
            scratch: String::new(),
            shared: Shared::new(),
            timestamp: times(),
            start: times(),
            name: Symbols::new(),
            description: Symbols::new(),
            unit: Symbols::new(),
            kind: Symbols::new(),
            temporality: Symbols::new(),
            monotonic: Bools::new(),
            attributes: maps(),
            value: Doubles::new(),
            count: Sizes::new(),
            sum: Doubles::new(),
            min: Doubles::new(),
            max: Doubles::new(),
            bucket_counts: sizes(),
            bounds: doubles(),
            scale: Ints::new(),
            zero_count: Sizes::new(),
            zero_threshold: Doubles::new(),
            positive_offset: Ints::new(),
            positive: sizes(),
            negative_offset: Ints::new(),
            negative: sizes(),
            quantiles: doubles(),
            quantile_values: doubles(),
            exemplars: Exemplars::new(),
            flags: Counts::new(),
        }
    }

    fn metric(&mut self, metric: &Metric<'_>) {
        self.name.append_value(metric.name);
        self.description.append_value(metric.description);
        self.unit.append_value(metric.unit);
        self.kind.append_value(metric.kind.as_str());
        self.temporality.append_value(match metric.temporality {
            1 => "Delta",
            2 => "Cumulative",
            _ => "Unspecified",
        });
        self.monotonic.append_value(metric.monotonic);
    }

    fn point(&mut self, point: &Point<'_>) -> Result<(), ArrowError> {
        let recorded = point.flags & NO_RECORDED_VALUE == 0;
        self.timestamp.append_value(nanos(point.unix_nanos));
        self.start.append_value(nanos(point.start_unix_nanos));
        push_map(&mut self.attributes, &mut self.scratch, &point.attributes)?;
        let value = point.value.filter(|_| recorded);
        self.value.append_option(value.map(Number::as_f64));
        self.count.append_value(point.count);
        self.sum.append_option(point.sum.filter(|_| recorded));
        self.min.append_option(point.min.filter(|_| recorded));
        self.max.append_option(point.max.filter(|_| recorded));
        push_list(&mut self.bucket_counts, &point.bucket_counts);
        for bits in &point.explicit_bounds {
            self.bounds.values().append_value(f64::from_bits(*bits));
        }
        self.bounds.append(true);
        self.exponential(point);
        for quantile in &point.quantiles {
            self.quantiles.values().append_value(quantile.quantile);
            self.quantile_values.values().append_value(quantile.value);
        }
        self.quantiles.append(true);
        self.quantile_values.append(true);
        self.flags.append_value(point.flags);
        self.exemplars.push(&mut self.scratch, &point.exemplars)
    }

    fn exponential(&mut self, point: &Point<'_>) {
        self.scale.append_value(point.scale);
        self.zero_count.append_value(point.zero_count);
        self.zero_threshold.append_value(point.zero_threshold);
        self.positive_offset.append_value(point.positive.offset);
        push_list(&mut self.positive, &point.positive.counts);
        self.negative_offset.append_value(point.negative.offset);
        push_list(&mut self.negative, &point.negative.counts);
    }
}

fn push_list(column: &mut Lists<Sizes>, values: &[u64]) {
    column.values().append_slice(values);
    column.append(true);
}

impl Rows for Metrics {
    fn export(&mut self, origin: Origin<'_>, body: &[u8]) -> Result<usize, RowError> {
        let mut admission = admission(body);
        let mut failed = None;
        otlp::metrics(body, |_, resource, scope, metric, point| {
            if failed.is_some() || admission.point(resource, scope, metric, point).is_err() {
                return;
            }
            let own = attribute(&point.attributes, tenant::ATTRIBUTE);
            let theirs = attribute(&resource.attributes, tenant::ATTRIBUTE);
            let tenant = tenant::resolve(own.map(str::as_bytes), theirs.map(str::as_bytes));
            self.metric(metric);
            let shared = &mut self.shared;
            let pushed = shared.push(&mut self.scratch, tenant, origin, resource, scope);
            failed = pushed.and_then(|()| self.point(point)).err();
        })?;
        let bytes = body.len().saturating_add(admission.spent());
        failed.map_or(Ok(bytes), |error| Err(error.into()))
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut done = Finished::default();
        self.shared.finish(&mut done);
        done.add("Timestamp", self.timestamp.finish());
        done.add("StartTimestamp", self.start.finish());
        done.add("MetricName", self.name.finish());
        done.add("MetricDescription", self.description.finish());
        done.add("MetricUnit", self.unit.finish());
        done.add("Kind", self.kind.finish());
        done.add("AggregationTemporality", self.temporality.finish());
        done.add("IsMonotonic", self.monotonic.finish());
        done.add("Attributes", self.attributes.finish());
        done.add("Value", self.value.finish());
        done.add("Count", self.count.finish());
        done.add("Sum", self.sum.finish());
        done.add("Min", self.min.finish());
        done.add("Max", self.max.finish());
        done.add("BucketCounts", self.bucket_counts.finish());
        done.add("ExplicitBounds", self.bounds.finish());
        done.add("Scale", self.scale.finish());
        done.add("ZeroCount", self.zero_count.finish());
        done.add("ZeroThreshold", self.zero_threshold.finish());
        done.add("PositiveOffset", self.positive_offset.finish());
        done.add("PositiveBucketCounts", self.positive.finish());
        done.add("NegativeOffset", self.negative_offset.finish());
        done.add("NegativeBucketCounts", self.negative.finish());
        done.add("QuantileValues.Quantile", self.quantiles.finish());
        done.add("QuantileValues.Value", self.quantile_values.finish());
        done.add("Flags", self.flags.finish());
        self.exemplars.finish(&mut done);
        done.batch(self.table)
    }

    fn is_empty(&self) -> bool {
        self.shared.rows() == 0
    }
}

struct Exemplars {
    timestamp: Lists<Times>,
    value: Lists<Doubles>,
    trace_id: Lists<Texts>,
    span_id: Lists<Texts>,
    attributes: Lists<Maps>,
}

impl Exemplars {
    fn new() -> Self {
        Self {
            timestamp: lists(times(), Kind::Time),
            value: lists(Doubles::new(), Kind::Float64),
            trace_id: lists(Texts::new(), Kind::Text),
            span_id: lists(Texts::new(), Kind::Text),
            attributes: lists(maps(), Kind::Map),
        }
    }

    fn push(&mut self, scratch: &mut String, list: &[Exemplar<'_>]) -> Result<(), ArrowError> {
        for exemplar in list {
            let value = exemplar.value.map_or(f64::NAN, Number::as_f64);
            self.timestamp
                .values()
                .append_value(nanos(exemplar.unix_nanos));
            self.value.values().append_value(value);
            push_hex(self.trace_id.values(), scratch, exemplar.trace_id);
            push_hex(self.span_id.values(), scratch, exemplar.span_id);
            push_map(self.attributes.values(), scratch, &exemplar.attributes)?;
        }
        self.timestamp.append(true);
        self.value.append(true);
        self.trace_id.append(true);
        self.span_id.append(true);
        self.attributes.append(true);
        Ok(())
    }

    fn finish(&mut self, done: &mut Finished) {
        done.add("Exemplars.Timestamp", self.timestamp.finish());
        done.add("Exemplars.Value", self.value.finish());
        done.add("Exemplars.TraceId", self.trace_id.finish());
        done.add("Exemplars.SpanId", self.span_id.finish());
        done.add("Exemplars.FilteredAttributes", self.attributes.finish());
    }
}
