//! Takes entries of the log.
//! Gives their rows as Arrow batches: the same for both stores, and the same after every restart.
//! Never does I/O and never looks at a clock or at configuration.

mod build;
mod metrics;
mod spans;
mod text;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::otlp::{self, Admission, Malformed, Signal};
use crate::schema::Table;
use crate::wal::{Entry, LogId, Seq};

/// Batches are cut here, long before Arrow's 2 GiB of text per column.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// Why entries have no rows.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The log only takes what was checked, so this entry is damaged or from a stricter program.
    #[error("entry {seq} cannot be read: {source}")]
    Malformed { seq: Seq, source: Malformed },
    #[error("the rows do not fit the schema: {0}")]
    Schema(#[from] ArrowError),
}

/// What all rows of one entry share.
#[derive(Debug, Clone, Copy)]
struct Origin<'a> {
    log_id: &'a str,
    seq: u64,
    received_at: i64,
}

/// Why an export has no rows.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// A table's columns while they grow.
trait Rows {
    /// Appends the rows of one export and says about how many bytes they took.
    fn export(&mut self, origin: Origin<'_>, body: &[u8]) -> Result<usize, RowError>;
    fn finish(&mut self) -> Result<RecordBatch, ArrowError>;
    fn is_empty(&self) -> bool;
}

/// Encodes entries of one signal. Usually gives one batch; none when there are no rows.
///
/// # Errors
///
/// When an entry's bytes are not what was once checked.
pub fn encode(
    log_id: LogId,
    signal: Signal,
    entries: &[Entry],
) -> Result<Vec<RecordBatch>, EncodeError> {
    let table = Table::of(signal);
    match signal {
        Signal::Traces => fill(spans::Spans::new(table), log_id, entries),
        Signal::Metrics => fill(metrics::Metrics::new(table), log_id, entries),
    }
}

fn fill(
    mut rows: impl Rows,
    log_id: LogId,
    entries: &[Entry],
) -> Result<Vec<RecordBatch>, EncodeError> {
    let log_id = log_id.to_string();
    let mut batches = Vec::new();
    let mut bytes = 0usize;
    for entry in entries {
        let origin = Origin {
            log_id: &log_id,
            seq: entry.seq.0,
            received_at: nanos(entry.received_at_unix_nanos),
        };
        let added = rows.export(origin, &entry.body);
        let added = added.map_err(|error| match error {
            RowError::Malformed(source) => EncodeError::Malformed {
                seq: entry.seq,
                source,
            },
            RowError::Arrow(source) => EncodeError::Schema(source),
        })?;
        bytes = bytes.saturating_add(added);
        if bytes > MAX_BATCH_BYTES {
            batches.push(rows.finish()?);
            bytes = 0;
        }
    }
    if !rows.is_empty() {
        batches.push(rows.finish()?);
    }
    Ok(batches)
}

/// Both stores count time in signed nanoseconds, which end in the year 2262.
fn nanos(unix_nanos: u64) -> i64 {
    i64::try_from(unix_nanos).unwrap_or(i64::MAX)
}

/// The text attribute `key`, for names that have one meaning everywhere.
fn attribute<'a>(attributes: &[otlp::KeyValue<'a>], key: &str) -> Option<&'a str> {
    let mut texts = attributes.iter().filter(|pair| pair.key == key);
    texts.find_map(|pair| match pair.value {
        otlp::Value::Text(text) => Some(text),
        _ => None,
    })
}

/// The standard base64 of `bytes`, padded.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    text::base64(&mut out, bytes);
    out
}

/// The verdicts of [`otlp::check`], once more: what it refused has no row.
fn admission(body: &[u8]) -> Admission {
    Admission::new(body.len())
}

#[cfg(test)]
mod tests;
