//! Takes what OTLP says the five kinds of metric point have.
//! Gives the columns of the one table `metrics`; `Kind` says which of them a row uses.
//! Never drops a kind: what a kind does not have is zero, empty or, for values, NULL.

use super::Kind::{
    Bool, Float64, Int32, List, Map, MaybeFloat64, Symbol, Text, Time, UInt32, UInt64,
};
use super::{Column, DELTA, T64, ZSTD};

pub(super) const COLUMNS: &[Column] = &[
    Column::new(
        "TenantId",
        Symbol,
        ZSTD,
        "whose it is; `unknown` when nobody said",
    ),
    Column::new("Timestamp", Time, DELTA, "when the point was taken"),
    Column::new("StartTimestamp", Time, DELTA, "since when it counts"),
    Column::new("ServiceName", Symbol, ZSTD, "the resource's `service.name`"),
    Column::new("MetricName", Symbol, ZSTD, ""),
    Column::new("MetricDescription", Symbol, ZSTD, ""),
    Column::new("MetricUnit", Symbol, ZSTD, ""),
    Column::new(
        "Kind",
        Symbol,
        ZSTD,
        "Gauge, Sum, Histogram, ExponentialHistogram or Summary",
    ),
    Column::new(
        "AggregationTemporality",
        Symbol,
        ZSTD,
        "Unspecified, Delta or Cumulative",
    ),
    Column::new("IsMonotonic", Bool, ZSTD, ""),
    Column::new(
        "Attributes",
        Map,
        ZSTD,
        "arrays and lists as JSON, bytes as base64",
    ),
    Column::new("ResourceAttributes", Map, ZSTD, "who sent it"),
    Column::new("ResourceSchemaUrl", Symbol, ZSTD, ""),
    Column::new("ScopeName", Symbol, ZSTD, "the library that made it"),
    Column::new("ScopeVersion", Symbol, ZSTD, ""),
    Column::new("ScopeAttributes", Map, ZSTD, ""),
    Column::new("ScopeSchemaUrl", Symbol, ZSTD, ""),
    Column::new("Value", MaybeFloat64, ZSTD, "of gauges and sums"),
    Column::new("Count", UInt64, T64, "of histograms and summaries"),
    Column::new("Sum", MaybeFloat64, ZSTD, ""),
    Column::new("Min", MaybeFloat64, ZSTD, ""),
    Column::new("Max", MaybeFloat64, ZSTD, ""),
    Column::new("BucketCounts", List(&UInt64), ZSTD, ""),
    Column::new("ExplicitBounds", List(&Float64), ZSTD, ""),
    Column::new(
        "Scale",
        Int32,
        ZSTD,
        "of exponential histograms, as all below",
    ),
    Column::new("ZeroCount", UInt64, ZSTD, ""),
    Column::new("ZeroThreshold", Float64, ZSTD, ""),
    Column::new("PositiveOffset", Int32, ZSTD, ""),
    Column::new("PositiveBucketCounts", List(&UInt64), ZSTD, ""),
    Column::new("NegativeOffset", Int32, ZSTD, ""),
    Column::new("NegativeBucketCounts", List(&UInt64), ZSTD, ""),
    Column::new(
        "QuantileValues.Quantile",
        List(&Float64),
        ZSTD,
        "of summaries",
    ),
    Column::new("QuantileValues.Value", List(&Float64), ZSTD, "of summaries"),
    Column::new("Exemplars.Timestamp", List(&Time), ZSTD, ""),
    Column::new("Exemplars.Value", List(&Float64), ZSTD, ""),
    Column::new("Exemplars.TraceId", List(&Text), ZSTD, ""),
    Column::new("Exemplars.SpanId", List(&Text), ZSTD, ""),
    Column::new("Exemplars.FilteredAttributes", List(&Map), ZSTD, ""),
    Column::new("Flags", UInt32, ZSTD, ""),
    Column::new(
        "ReceivedAt",
        Time,
        DELTA,
        "when the collector got it: partitions and expiry go by this",
    ),
    Column::new("LogId", Symbol, ZSTD, "the write-ahead log it came through"),
    Column::new("LogSeq", UInt64, T64, "its export's number in that log"),
];
