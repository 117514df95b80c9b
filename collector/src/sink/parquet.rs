//! Takes blocks.
//! Gives Parquet files, one for each tenant and hour of receipt in a block, under names that follow from the block.
//! Never shows a reader a file that is not whole: it is written aside, synced, renamed, and its folder synced.
//!
//! ```text
//! parquet/signal=traces/tenant=acme/date=2026-11-20/hour=10/<log id>-<first>-<last>-traces.parquet
//! ```
//!
//! The same block always writes the same names, so a replay overwrites its own files. The folders follow
//! Hive's rules; the tenant stays a column too, so a file means the same wherever it is moved.

mod file;
mod folder;
mod parts;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use folder::{Folder, ROOT, TMP_PREFIX, tenant_folder, tenant_of};

use super::{Block, Sink, SinkError, Written};
use crate::encode::{EncodeError, encode};

/// The embedded store.
#[derive(Debug, Clone)]
pub struct Parquet {
    root: Arc<PathBuf>,
}

/// Why a block is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("rows cannot be arranged: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Format {
        path: PathBuf,
        source: parquet::errors::ParquetError,
    },
}

impl Parquet {
    /// Prepares the store under `store` and removes what a crash left half written.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or read.
    pub fn open(store: &Path) -> io::Result<Self> {
        let root = store.join(ROOT);
        std::fs::create_dir_all(&root)?;
        folder::remove_leftovers(&root)?;
        Ok(Self {
            root: Arc::new(root),
        })
    }

    /// Writes a block, on the calling thread.
    ///
    /// # Errors
    ///
    /// When the rows cannot be encoded or the disk refuses them.
    pub fn store(&self, block: &Block) -> Result<Written, ParquetError> {
        let mut rows = 0u64;
        let batches = encode(block.log_id, block.signal, &block.entries)?;
        for (index, batch) in batches.iter().enumerate() {
            for part in parts::split(batch)? {
                let folder = Folder {
                    signal: block.signal,
                    tenant: &part.tenant,
                    hour: part.hour,
                };
                // Nearly every block is one batch; the others need a name each.
                let more = if index == 0 {
                    String::new()
                } else {
                    format!(".{index}")
                };
                let name = format!("{}{more}.parquet", block.id());
                let path = self.root.join(folder.path());
                file::publish(&path, &name, block, &part)?;
                rows = rows.saturating_add(part.rows.num_rows() as u64);
            }
        }
        Ok(Written { rows })
    }
}

impl Sink for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    async fn write(&self, block: &Block) -> Result<Written, SinkError> {
        let (sink, block) = (self.clone(), block.clone());
        let stored = tokio::task::spawn_blocking(move || sink.store(&block)).await;
        Ok(stored??)
    }
}

impl From<ParquetError> for SinkError {
    /// Rows that cannot be encoded or written never will be; what the disk says is its mood.
    fn from(error: ParquetError) -> Self {
        let what = error.to_string();
        match error {
            ParquetError::Io { .. } => Self::Retry { what },
            ParquetError::Format { source, .. } if is_of_disk(&source) => Self::Retry { what },
            ParquetError::Encode(_) | ParquetError::Arrow(_) | ParquetError::Format { .. } => {
                Self::Poison { what }
            }
        }
    }
}

/// The file format passes on what its file said.
fn is_of_disk(error: &parquet::errors::ParquetError) -> bool {
    matches!(error, parquet::errors::ParquetError::External(inner) if inner.is::<io::Error>())
}

#[cfg(test)]
mod tests;
