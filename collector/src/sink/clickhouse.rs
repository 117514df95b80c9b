//! Takes blocks.
//! Gives their rows to a ClickHouse server, in one insert whose token is the block's name.
//! Never needs the server at start: until it answers, blocks stay in the log.
//!
//! A block that arrives twice is stored once: its bytes are always the same, and the server remembers the token
//! of its last 10,000 parts, for the views' tables too. The schema is looked at before the first insert, and
//! again whenever the server misses a table or column.

mod answer;
mod database;
mod target;

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use tokio::sync::Mutex;

pub use answer::{Fate, fate};
pub use database::{ApplyError, Database, Found, Step};
pub use target::{Secret, Target, TargetError};

use super::{Block, Sink, SinkError, Written};
use crate::encode::encode;
use crate::schema::{Table, clickhouse as ddl};

/// A chunk is one compressed frame on the wire.
const CHUNK: usize = 1 << 20;

const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(180);

/// A ClickHouse database.
#[derive(Debug)]
pub struct ClickHouse {
    database: Database,
    schema_known: Mutex<bool>,
}

impl ClickHouse {
    /// Does not connect yet.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self {
            database: Database::new(target),
            schema_known: Mutex::new(false),
        }
    }

    /// Makes the schema in an empty database and refuses one of another version.
    async fn ready(&self) -> Result<(), SinkError> {
        let mut known = self.schema_known.lock().await;
        if !*known {
            self.database.prepare().await?;
            *known = true;
        }
        Ok(())
    }

    async fn insert(&self, block: &Block, batches: &[RecordBatch]) -> Result<(), SinkError> {
        let sql = ddl::insert(self.database.name(), Table::of(block.signal));
        let bytes = arrow_stream(batches).map_err(|error| SinkError::Poison {
            what: error.to_string(),
        })?;
        let mut insert = self
            .database
            .client()
            .insert_formatted_with(sql)
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", block.id())
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with_timeouts(Some(SEND_TIMEOUT), Some(END_TIMEOUT));
        let mut rest = bytes;
        let mut sent = Ok(());
        while !rest.is_empty() && sent.is_ok() {
            let chunk = rest.split_to(rest.len().min(CHUNK));
            sent = insert.send(chunk).await;
        }
        match sent {
            Ok(()) => insert.end().await,
            failed => failed,
        }
        .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &clickhouse::error::Error) -> SinkError {
        let what = answer::describe(error);
        match fate(error) {
            Fate::Retry => SinkError::Retry { what },
            Fate::Poison => SinkError::Poison { what },
            Fate::Schema => {
                // A lock that is held means the schema is being looked at right now.
                if let Ok(mut known) = self.schema_known.try_lock() {
                    *known = false;
                }
                SinkError::Retry { what }
            }
        }
    }
}

impl Sink for ClickHouse {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    async fn write(&self, block: &Block) -> Result<Written, SinkError> {
        self.ready().await?;
        let (log_id, signal, entries) = (block.log_id, block.signal, block.entries.clone());
        let encoded = tokio::task::spawn_blocking(move || encode(log_id, signal, &entries)).await;
        let batches = encoded?.map_err(|error| SinkError::Poison {
            what: error.to_string(),
        })?;
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        if rows > 0 {
            self.insert(block, &batches).await?;
        }
        Ok(Written { rows })
    }
}

fn arrow_stream(batches: &[RecordBatch]) -> Result<Bytes, arrow::error::ArrowError> {
    let Some(first) = batches.first() else {
        return Ok(Bytes::new());
    };
    let mut writer = StreamWriter::try_new(Vec::new(), &first.schema())?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.into_inner().map(Bytes::from)
}

#[cfg(test)]
mod tests;
