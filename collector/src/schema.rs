//! Takes nothing: it is the one list of columns.
//! Gives both stores their schema: Arrow types for Parquet and DataFusion, DDL for ClickHouse.
//! Never reads or writes anything; `sink::clickhouse` applies the DDL.
//!
//! Ids are lower-case hex text in both stores: it is what people paste, filters on it use the statistics and
//! the bloom filter, and after compression it costs about what the raw bytes would.
//! What is absent is the empty text or zero, as ClickHouse has it; only metric values are nullable.

pub mod clickhouse;
mod command;
mod kind;
mod metrics;
mod spans;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};

pub use command::{SchemaArgs, run};
pub use kind::{Kind, MAP_ENTRY, MAP_KEY, MAP_VALUE};

use crate::otlp::Signal;

/// The version of this list. A change of any column makes a new one, with an upgrade in [`clickhouse::UPGRADES`].
pub const VERSION: u32 = 1;

/// The column that `query` and the ClickHouse views add: `Timestamp` as an integer, which all SQL compares alike.
pub const UNIX_NANO: &str = "TimestampUnixNano";

/// One column of a table.
#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    /// ClickHouse's compression; empty for its default.
    pub codec: &'static str,
    /// The attribute that moves here: it is not repeated in the map.
    pub attribute: Option<&'static str>,
    pub doc: &'static str,
}

impl Column {
    const fn new(name: &'static str, kind: Kind, codec: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            codec,
            attribute: None,
            doc,
        }
    }

    const fn promoted(
        name: &'static str,
        kind: Kind,
        attribute: &'static str,
        doc: &'static str,
    ) -> Self {
        let codec = match kind {
            Kind::UInt64 => T64,
            _ => ZSTD,
        };
        Self {
            name,
            kind,
            codec,
            attribute: Some(attribute),
            doc,
        }
    }
}

const ZSTD: &str = "ZSTD(1)";
const T64: &str = "T64, ZSTD(1)";
const DELTA: &str = "Delta(8), ZSTD(1)";

/// A table: the same rows in both stores.
#[derive(Debug)]
pub struct Table {
    /// Its name in SQL, in both stores.
    pub name: &'static str,
    /// The ClickHouse table under the view of that name.
    pub clickhouse: &'static str,
    pub columns: &'static [Column],
    written: SchemaRef,
    read: SchemaRef,
}

impl Table {
    fn new(name: &'static str, clickhouse: &'static str, columns: &'static [Column]) -> Self {
        let schema = |read: bool| {
            let fields = columns.iter().map(|column| {
                let kind = if read {
                    column.kind.plain()
                } else {
                    column.kind.arrow()
                };
                // Files of an older version may lack the column.
                Field::new(column.name, kind, read || column.kind.is_nullable())
            });
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        };
        Self {
            name,
            clickhouse,
            columns,
            written: schema(false),
            read: schema(true),
        }
    }

    /// The table of a signal.
    #[must_use]
    pub fn of(signal: Signal) -> &'static Self {
        match signal {
            Signal::Traces => &SPANS,
            Signal::Metrics => &METRICS,
        }
    }

    /// What the encoder makes: repeated texts as dictionaries.
    #[must_use]
    pub fn written(&self) -> SchemaRef {
        Arc::clone(&self.written)
    }

    /// What a reader of the Parquet files sees: plain texts.
    #[must_use]
    pub fn read(&self) -> SchemaRef {
        Arc::clone(&self.read)
    }
}

static SPANS: LazyLock<Table> =
    LazyLock::new(|| Table::new("spans", "otel_traces", spans::COLUMNS));
static METRICS: LazyLock<Table> =
    LazyLock::new(|| Table::new("metrics", "otel_metrics", metrics::COLUMNS));

#[cfg(test)]
mod tests;
