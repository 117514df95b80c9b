//! Takes blocks: fixed ranges of the log, one signal each.
//! Gives their rows to a store, once, however often the same block is written.
//! Never decides what to do about a failure: the pump retries or sets the block aside.

pub mod clickhouse;
pub mod parquet;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;

use crate::otlp::Signal;
use crate::wal::{Entry, LogId, Seq};

/// A group of entries that one insert writes.
///
/// The same range of the same log always holds the same entries, so its id names its rows.
#[derive(Debug, Clone)]
pub struct Block {
    pub log_id: LogId,
    pub first: Seq,
    pub last: Seq,
    pub signal: Signal,
    /// The entries of this signal between `first` and `last`, in order.
    pub entries: Vec<Entry>,
}

impl Block {
    /// A name for file names and deduplication tokens: equal for equal content.
    #[must_use]
    pub fn id(&self) -> String {
        let signal = self.signal.as_str();
        format!(
            "{}-{:020}-{:020}-{signal}",
            self.log_id, self.first.0, self.last.0
        )
    }

    /// How many spans or points were acknowledged in this block.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.entries.iter().map(|entry| entry.items).sum()
    }
}

/// What a store holds now that it did not hold before, or already held from an earlier attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub rows: u64,
}

/// Why a block is not stored.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The store cannot take it now: the same block is tried again, for ever.
    #[error("{what}")]
    Retry { what: String },
    /// The store will never take it: the block goes to the dead letters.
    #[error("{what}")]
    Poison { what: String },
}

impl From<tokio::task::JoinError> for SinkError {
    /// The same entries would panic again, and hold up all that come after them. A runtime that stops is no fault
    /// of theirs.
    fn from(error: tokio::task::JoinError) -> Self {
        let what = format!("the writing task ended: {error}");
        if error.is_panic() {
            Self::Poison { what }
        } else {
            Self::Retry { what }
        }
    }
}

/// A place rows go.
pub trait Sink: Send + Sync + 'static {
    /// The name in logs, metrics and folder names.
    fn name(&self) -> &'static str;

    /// Stores the block. Writing the same block twice leaves its rows once.
    fn write(&self, block: &Block) -> impl Future<Output = Result<Written, SinkError>> + Send;
}

impl fmt::Display for Block {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {}..={}",
            self.signal.as_str(),
            self.first,
            self.last
        )
    }
}
