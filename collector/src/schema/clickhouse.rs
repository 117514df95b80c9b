//! Takes the list of columns and a database name.
//! Gives the DDL of the newest version and the statements that lead there from older ones.
//! Never changes what a released version was: its DDL lies in `tests/golden/` and must stay what it is.
//!
//! Rows are sorted tenant first, partitioned and expired by receipt time: a span dated 1970 or 2261 is stored
//! like any other. Dedup windows are set everywhere, views' targets included, because the default is none.

use std::fmt::Write as _;

use super::{Column, Kind, Table, UNIX_NANO, VERSION};
use crate::otlp::Signal;

/// The database unless told otherwise.
pub const DATABASE: &str = "toolspan";

/// The table that says which version a database has.
pub const VERSION_TABLE: &str = "schema_version";

/// Statements that lead from one version to the next; `{db}` stands for the quoted database.
#[derive(Debug)]
pub struct Upgrade {
    pub to: u32,
    pub statements: &'static [&'static str],
}

/// Every upgrade there is, oldest first. Version 1 is the first.
pub const UPGRADES: &[Upgrade] = &[];

/// How long rows are kept.
const RETENTION_DAYS: u32 = 30;

/// A window counts inserted parts: this is hours of retries even when every insert makes many.
const DEDUP: &str = "non_replicated_deduplication_window = 10000";

/// Every statement that makes the newest version in an empty database. Each may be run again.
#[must_use]
pub fn create(database: &str) -> Vec<String> {
    let db = quoted(database);
    let mut statements = vec![
        format!("CREATE DATABASE IF NOT EXISTS {db}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {db}.{VERSION_TABLE}\n(\n    `Version` UInt32,\n    `AppliedAt` DateTime('UTC') DEFAULT now(),\n    `AppliedBy` String\n)\nENGINE = MergeTree\nORDER BY Version"
        ),
        traces(&db),
        trace_id_ts(&db),
        trace_id_ts_view(&db),
        metrics(&db),
    ];
    statements.extend([Signal::Traces, Signal::Metrics].map(|signal| view(&db, signal)));
    statements
}

/// The statements that lead from `version` to the newest, each group with the version it reaches.
#[must_use]
pub fn upgrade(database: &str, version: u32) -> Vec<(u32, Vec<String>)> {
    upgrade_along(UPGRADES, database, version)
}

fn upgrade_along(path: &[Upgrade], database: &str, version: u32) -> Vec<(u32, Vec<String>)> {
    let db = quoted(database);
    let newer = path.iter().filter(|upgrade| upgrade.to > version);
    newer
        .map(|upgrade| {
            let statements = upgrade.statements.iter();
            let statements = statements.map(|text| text.replace("{db}", &db)).collect();
            (upgrade.to, statements)
        })
        .collect()
}

/// The note that a version is complete.
#[must_use]
pub fn record(database: &str, version: u32, program: &str) -> String {
    let db = quoted(database);
    format!("INSERT INTO {db}.{VERSION_TABLE} (Version, AppliedBy) VALUES ({version}, '{program}')")
}

/// The whole DDL as text, for `schema print` and the golden file.
#[must_use]
pub fn print(database: &str) -> String {
    let mut text = format!("-- toolspan-collector schema, version {VERSION}\n\n");
    for statement in create(database) {
        text.push_str(&statement);
        text.push_str(";\n\n");
    }
    text.push_str(&record(database, VERSION, "schema print"));
    text.push_str(";\n");
    text
}

/// An insert of encoded batches.
#[must_use]
pub fn insert(database: &str, table: &Table) -> String {
    let names: Vec<String> = table.columns.iter().map(|c| quoted(c.name)).collect();
    format!(
        "INSERT INTO {}.{} ({}) FORMAT ArrowStream",
        quoted(database),
        quoted(table.clickhouse),
        names.join(", ")
    )
}

/// An identifier that is safe in any statement.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn traces(db: &str) -> String {
    let table = Table::of(Signal::Traces);
    let indexes = [
        "INDEX idx_timestamp Timestamp TYPE minmax GRANULARITY 1",
        "INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1",
        "INDEX idx_session McpSessionId TYPE bloom_filter(0.01) GRANULARITY 1",
        "INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "INDEX idx_duration Duration TYPE minmax GRANULARITY 1",
    ];
    let order = "TenantId, toStartOfFiveMinutes(Timestamp), ServiceName, McpTool, Timestamp";
    table_ddl(db, table, &indexes, order)
}

fn metrics(db: &str) -> String {
    let table = Table::of(Signal::Metrics);
    let indexes = [
        "INDEX idx_timestamp Timestamp TYPE minmax GRANULARITY 1",
        "INDEX idx_attr_key mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1",
    ];
    let order = "TenantId, MetricName, ServiceName, toStartOfFiveMinutes(Timestamp), Timestamp";
    table_ddl(db, table, &indexes, order)
}

fn table_ddl(db: &str, table: &Table, indexes: &[&str], order: &str) -> String {
    let mut text = format!("CREATE TABLE IF NOT EXISTS {db}.{}\n(\n", table.clickhouse);
    for column in table.columns {
        let _ = writeln!(text, "    {},", column_ddl(column));
    }
    let _ = writeln!(text, "    {}", indexes.join(",\n    "));
    let _ = write!(
        text,
        ")\nENGINE = MergeTree\nPARTITION BY toDate(ReceivedAt)\nORDER BY ({order})\nTTL toDate(ReceivedAt) + INTERVAL {RETENTION_DAYS} DAY\nSETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, {DEDUP}"
    );
    text
}

fn column_ddl(column: &Column) -> String {
    let mut text = format!("{} {}", quoted(column.name), column.kind.clickhouse());
    // A symbol's dictionary is compressed like any other text.
    if !column.codec.is_empty() && column.kind != Kind::Bool {
        let _ = write!(text, " CODEC({})", column.codec);
    }
    if !column.doc.is_empty() {
        let _ = write!(text, " COMMENT '{}'", column.doc.replace('\'', "\\'"));
    }
    text
}

/// Grafana's trace mode finds a trace's time range here, by this very name.
fn trace_id_ts(db: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {db}.otel_traces_trace_id_ts\n(\n    `TenantId` LowCardinality(String) CODEC(ZSTD(1)),\n    `TraceId` String CODEC(ZSTD(1)),\n    `Start` SimpleAggregateFunction(min, DateTime('UTC')) CODEC(ZSTD(1)),\n    `End` SimpleAggregateFunction(max, DateTime('UTC')) CODEC(ZSTD(1)),\n    `ReceivedAt` SimpleAggregateFunction(max, DateTime('UTC')) CODEC(ZSTD(1)),\n    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1\n)\nENGINE = AggregatingMergeTree\nPARTITION BY toDate(ReceivedAt)\nORDER BY (TenantId, TraceId)\nTTL toDate(ReceivedAt) + INTERVAL {RETENTION_DAYS} DAY\nSETTINGS ttl_only_drop_parts = 1, {DEDUP}"
    )
}

fn trace_id_ts_view(db: &str) -> String {
    format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.otel_traces_trace_id_ts_mv TO {db}.otel_traces_trace_id_ts AS\nSELECT TenantId, TraceId, toDateTime(min(Timestamp), 'UTC') AS Start, toDateTime(max(Timestamp), 'UTC') AS End, toDateTime(max(otel_traces.ReceivedAt), 'UTC') AS ReceivedAt\nFROM {db}.otel_traces\nGROUP BY TenantId, TraceId"
    )
}

/// The names `query` knows, so that the same SQL runs on both stores.
fn view(db: &str, signal: Signal) -> String {
    let table = Table::of(signal);
    let names: Vec<String> = table.columns.iter().map(|c| quoted(c.name)).collect();
    format!(
        "CREATE OR REPLACE VIEW {db}.{} AS\nSELECT\n    {},\n    toUnixTimestamp64Nano(Timestamp) AS {UNIX_NANO}\nFROM {db}.{}",
        table.name,
        names.join(",\n    "),
        table.clickhouse
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_goes_through_every_newer_version_in_order() {
        let path = [
            Upgrade {
                to: 2,
                statements: &["ALTER TABLE {db}.a"],
            },
            Upgrade {
                to: 3,
                statements: &["ALTER TABLE {db}.b"],
            },
        ];
        let from_one = upgrade_along(&path, "x", 1);
        assert_eq!(from_one.len(), 2);
        assert_eq!(from_one[0], (2, vec!["ALTER TABLE `x`.a".to_owned()]));
        let from_two = upgrade_along(&path, "x", 2);
        assert_eq!(from_two, [(3, vec!["ALTER TABLE `x`.b".to_owned()])]);
        assert!(upgrade_along(&path, "x", 3).is_empty());
    }

    #[test]
    fn the_newest_upgrade_reaches_the_version() {
        assert_eq!(UPGRADES.last().map_or(1, |newest| newest.to), VERSION);
    }

    #[test]
    fn a_hostile_database_name_stays_a_name() {
        assert_eq!(quoted("a`; DROP"), "`a\\`; DROP`");
    }
}
