-- toolspan-collector schema, version 1

CREATE DATABASE IF NOT EXISTS `toolspan`;

CREATE TABLE IF NOT EXISTS `toolspan`.schema_version
(
    `Version` UInt32,
    `AppliedAt` DateTime('UTC') DEFAULT now(),
    `AppliedBy` String
)
ENGINE = MergeTree
ORDER BY Version;

CREATE TABLE IF NOT EXISTS `toolspan`.otel_traces
(
    `TenantId` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'whose it is; `unknown` when nobody said',
    `Timestamp` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'when the span began',
    `TraceId` String CODEC(ZSTD(1)) COMMENT '32 hex digits',
    `SpanId` String CODEC(ZSTD(1)) COMMENT '16 hex digits',
    `ParentSpanId` String CODEC(ZSTD(1)) COMMENT '16 hex digits, or empty for a root',
    `TraceState` String CODEC(ZSTD(1)) COMMENT 'the W3C header',
    `SpanName` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'for an MCP call its method and tool',
    `SpanKind` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Unspecified, Internal, Server, Client, Producer or Consumer',
    `ServiceName` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'the resource\'s `service.name`',
    `ResourceAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'who sent it',
    `ResourceSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeName` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'the library that made it',
    `ScopeVersion` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `ScopeSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `SpanAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'the attributes without a column; arrays and lists as JSON, bytes as base64',
    `Duration` UInt64 CODEC(T64, ZSTD(1)) COMMENT 'nanoseconds',
    `StatusCode` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Unset, Ok or Error',
    `StatusMessage` String CODEC(ZSTD(1)),
    `Events.Timestamp` Array(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    `Events.Name` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Events.Attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Events.DroppedAttributesCount` Array(UInt32) CODEC(ZSTD(1)),
    `Links.TraceId` Array(String) CODEC(ZSTD(1)),
    `Links.SpanId` Array(String) CODEC(ZSTD(1)),
    `Links.TraceState` Array(String) CODEC(ZSTD(1)),
    `Links.Attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Links.DroppedAttributesCount` Array(UInt32) CODEC(ZSTD(1)),
    `Links.Flags` Array(UInt32) CODEC(ZSTD(1)),
    `Flags` UInt32 CODEC(ZSTD(1)) COMMENT 'W3C trace flags and OTLP\'s bits above them',
    `DroppedAttributesCount` UInt32 CODEC(ZSTD(1)) COMMENT 'attributes the sender dropped',
    `DroppedEventsCount` UInt32 CODEC(ZSTD(1)) COMMENT 'events the sender dropped',
    `DroppedLinksCount` UInt32 CODEC(ZSTD(1)) COMMENT 'links the sender dropped',
    `IsCall` Bool COMMENT 'the one span that stands for an MCP call',
    `TenantSource` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'fixed, header, baggage or none',
    `ParentSource` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'meta, header, env, call or root',
    `Outcome` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'how the call ended',
    `McpMethod` LowCardinality(String) CODEC(ZSTD(1)),
    `McpTool` LowCardinality(String) CODEC(ZSTD(1)),
    `McpPrompt` LowCardinality(String) CODEC(ZSTD(1)),
    `McpResourceUri` String CODEC(ZSTD(1)),
    `McpSessionId` String CODEC(ZSTD(1)) COMMENT 'a keyed hash',
    `McpProtocolVersion` LowCardinality(String) CODEC(ZSTD(1)),
    `McpTransport` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'pipe or tcp',
    `JsonRpcRequestId` String CODEC(ZSTD(1)),
    `RpcStatusCode` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'the JSON-RPC error code',
    `ErrorType` LowCardinality(String) CODEC(ZSTD(1)),
    `RequestBytes` UInt64 CODEC(T64, ZSTD(1)),
    `ResponseBytes` UInt64 CODEC(T64, ZSTD(1)),
    `ClientName` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'what the client calls itself',
    `ClientVersion` LowCardinality(String) CODEC(ZSTD(1)),
    `ServerName` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'what the server calls itself',
    `ServerVersion` LowCardinality(String) CODEC(ZSTD(1)),
    `ClientAddress` LowCardinality(String) CODEC(ZSTD(1)),
    `ReceivedAt` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'when the collector got it: partitions and expiry go by this',
    `LogId` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'the write-ahead log it came through',
    `LogSeq` UInt64 CODEC(T64, ZSTD(1)) COMMENT 'its export\'s number in that log',
    INDEX idx_timestamp Timestamp TYPE minmax GRANULARITY 1,
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_session McpSessionId TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(ReceivedAt)
ORDER BY (TenantId, toStartOfFiveMinutes(Timestamp), ServiceName, McpTool, Timestamp)
TTL toDate(ReceivedAt) + INTERVAL 30 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS `toolspan`.otel_traces_trace_id_ts
(
    `TenantId` LowCardinality(String) CODEC(ZSTD(1)),
    `TraceId` String CODEC(ZSTD(1)),
    `Start` SimpleAggregateFunction(min, DateTime('UTC')) CODEC(ZSTD(1)),
    `End` SimpleAggregateFunction(max, DateTime('UTC')) CODEC(ZSTD(1)),
    `ReceivedAt` SimpleAggregateFunction(max, DateTime('UTC')) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(ReceivedAt)
ORDER BY (TenantId, TraceId)
TTL toDate(ReceivedAt) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS `toolspan`.otel_traces_trace_id_ts_mv TO `toolspan`.otel_traces_trace_id_ts AS
SELECT TenantId, TraceId, toDateTime(min(Timestamp), 'UTC') AS Start, toDateTime(max(Timestamp), 'UTC') AS End, toDateTime(max(otel_traces.ReceivedAt), 'UTC') AS ReceivedAt
FROM `toolspan`.otel_traces
GROUP BY TenantId, TraceId;

CREATE TABLE IF NOT EXISTS `toolspan`.otel_metrics
(
    `TenantId` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'whose it is; `unknown` when nobody said',
    `Timestamp` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'when the point was taken',
    `StartTimestamp` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'since when it counts',
    `ServiceName` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'the resource\'s `service.name`',
    `MetricName` LowCardinality(String) CODEC(ZSTD(1)),
    `MetricDescription` LowCardinality(String) CODEC(ZSTD(1)),
    `MetricUnit` LowCardinality(String) CODEC(ZSTD(1)),
    `Kind` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Gauge, Sum, Histogram, ExponentialHistogram or Summary',
    `AggregationTemporality` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Unspecified, Delta or Cumulative',
    `IsMonotonic` Bool,
    `Attributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'arrays and lists as JSON, bytes as base64',
    `ResourceAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'who sent it',
    `ResourceSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeName` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'the library that made it',
    `ScopeVersion` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `ScopeSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `Value` Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'of gauges and sums',
    `Count` UInt64 CODEC(T64, ZSTD(1)) COMMENT 'of histograms and summaries',
    `Sum` Nullable(Float64) CODEC(ZSTD(1)),
    `Min` Nullable(Float64) CODEC(ZSTD(1)),
    `Max` Nullable(Float64) CODEC(ZSTD(1)),
    `BucketCounts` Array(UInt64) CODEC(ZSTD(1)),
    `ExplicitBounds` Array(Float64) CODEC(ZSTD(1)),
    `Scale` Int32 CODEC(ZSTD(1)) COMMENT 'of exponential histograms, as all below',
    `ZeroCount` UInt64 CODEC(ZSTD(1)),
    `ZeroThreshold` Float64 CODEC(ZSTD(1)),
    `PositiveOffset` Int32 CODEC(ZSTD(1)),
    `PositiveBucketCounts` Array(UInt64) CODEC(ZSTD(1)),
    `NegativeOffset` Int32 CODEC(ZSTD(1)),
    `NegativeBucketCounts` Array(UInt64) CODEC(ZSTD(1)),
    `QuantileValues.Quantile` Array(Float64) CODEC(ZSTD(1)) COMMENT 'of summaries',
    `QuantileValues.Value` Array(Float64) CODEC(ZSTD(1)) COMMENT 'of summaries',
    `Exemplars.Timestamp` Array(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    `Exemplars.Value` Array(Float64) CODEC(ZSTD(1)),
    `Exemplars.TraceId` Array(String) CODEC(ZSTD(1)),
    `Exemplars.SpanId` Array(String) CODEC(ZSTD(1)),
    `Exemplars.FilteredAttributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Flags` UInt32 CODEC(ZSTD(1)),
    `ReceivedAt` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'when the collector got it: partitions and expiry go by this',
    `LogId` LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'the write-ahead log it came through',
    `LogSeq` UInt64 CODEC(T64, ZSTD(1)) COMMENT 'its export\'s number in that log',
    INDEX idx_timestamp Timestamp TYPE minmax GRANULARITY 1,
    INDEX idx_attr_key mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(ReceivedAt)
ORDER BY (TenantId, MetricName, ServiceName, toStartOfFiveMinutes(Timestamp), Timestamp)
TTL toDate(ReceivedAt) + INTERVAL 30 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW `toolspan`.spans AS
SELECT
    `TenantId`,
    `Timestamp`,
    `TraceId`,
    `SpanId`,
    `ParentSpanId`,
    `TraceState`,
    `SpanName`,
    `SpanKind`,
    `ServiceName`,
    `ResourceAttributes`,
    `ResourceSchemaUrl`,
    `ScopeName`,
    `ScopeVersion`,
    `ScopeAttributes`,
    `ScopeSchemaUrl`,
    `SpanAttributes`,
    `Duration`,
    `StatusCode`,
    `StatusMessage`,
    `Events.Timestamp`,
    `Events.Name`,
    `Events.Attributes`,
    `Events.DroppedAttributesCount`,
    `Links.TraceId`,
    `Links.SpanId`,
    `Links.TraceState`,
    `Links.Attributes`,
    `Links.DroppedAttributesCount`,
    `Links.Flags`,
    `Flags`,
    `DroppedAttributesCount`,
    `DroppedEventsCount`,
    `DroppedLinksCount`,
    `IsCall`,
    `TenantSource`,
    `ParentSource`,
    `Outcome`,
    `McpMethod`,
    `McpTool`,
    `McpPrompt`,
    `McpResourceUri`,
    `McpSessionId`,
    `McpProtocolVersion`,
    `McpTransport`,
    `JsonRpcRequestId`,
    `RpcStatusCode`,
    `ErrorType`,
    `RequestBytes`,
    `ResponseBytes`,
    `ClientName`,
    `ClientVersion`,
    `ServerName`,
    `ServerVersion`,
    `ClientAddress`,
    `ReceivedAt`,
    `LogId`,
    `LogSeq`,
    toUnixTimestamp64Nano(Timestamp) AS TimestampUnixNano
FROM `toolspan`.otel_traces;

CREATE OR REPLACE VIEW `toolspan`.metrics AS
SELECT
    `TenantId`,
    `Timestamp`,
    `StartTimestamp`,
    `ServiceName`,
    `MetricName`,
    `MetricDescription`,
    `MetricUnit`,
    `Kind`,
    `AggregationTemporality`,
    `IsMonotonic`,
    `Attributes`,
    `ResourceAttributes`,
    `ResourceSchemaUrl`,
    `ScopeName`,
    `ScopeVersion`,
    `ScopeAttributes`,
    `ScopeSchemaUrl`,
    `Value`,
    `Count`,
    `Sum`,
    `Min`,
    `Max`,
    `BucketCounts`,
    `ExplicitBounds`,
    `Scale`,
    `ZeroCount`,
    `ZeroThreshold`,
    `PositiveOffset`,
    `PositiveBucketCounts`,
    `NegativeOffset`,
    `NegativeBucketCounts`,
    `QuantileValues.Quantile`,
    `QuantileValues.Value`,
    `Exemplars.Timestamp`,
    `Exemplars.Value`,
    `Exemplars.TraceId`,
    `Exemplars.SpanId`,
    `Exemplars.FilteredAttributes`,
    `Flags`,
    `ReceivedAt`,
    `LogId`,
    `LogSeq`,
    toUnixTimestamp64Nano(Timestamp) AS TimestampUnixNano
FROM `toolspan`.otel_metrics;

INSERT INTO `toolspan`.schema_version (Version, AppliedBy) VALUES (1, 'schema print');
