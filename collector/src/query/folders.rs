//! Takes the folder names of a store.
//! Gives, for each tenant and hour, the smallest and largest values its rows can have.
//! Never skips a folder whose name it cannot read: the engine then looks inside.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, StringArray, TimestampNanosecondArray};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};

use crate::otlp::Signal;
use crate::sink::parquet::tenant_of;

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// One `hour=` folder.
#[derive(Debug, Clone)]
struct Hour {
    path: PathBuf,
    tenant: Option<String>,
    /// When the hour began.
    begin: Option<i64>,
}

/// Folders and what can be in them.
#[derive(Debug, Clone, Default)]
pub(super) struct Folders(Vec<Hour>);

/// All folders of a signal.
pub(super) fn list(root: &Path, signal: Signal) -> io::Result<Folders> {
    let mut hours = Vec::new();
    for (tenant, path) in children(&root.join(format!("signal={}", signal.as_str())))? {
        let tenant = tenant_of(&tenant);
        for (date, path) in children(&path)? {
            for (hour, path) in children(&path)? {
                hours.push(Hour {
                    path,
                    tenant: tenant.clone(),
                    begin: begin(&date, &hour),
                });
            }
        }
    }
    Ok(Folders(hours))
}

/// The folders in a folder, in order of their names; none when there is no such folder yet.
fn children(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            folders.push((name, entry.path()));
        }
    }
    folders.sort();
    Ok(folders)
}

fn begin(date: &str, hour: &str) -> Option<i64> {
    let (date, hour) = (date.strip_prefix("date=")?, hour.strip_prefix("hour=")?);
    crate::calendar::since(&format!("{date}T{hour}:00:00Z"), 0)
}

impl Folders {
    pub(super) fn only(self, keep: &[bool]) -> Self {
        let kept = self.0.into_iter().zip(keep).filter(|(_, keep)| **keep);
        Self(kept.map(|(hour, _)| hour).collect())
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|hour| hour.path.as_path())
    }

    fn tenants(&self) -> ArrayRef {
        let tenants = self.0.iter().map(|hour| hour.tenant.as_deref());
        Arc::new(tenants.collect::<StringArray>())
    }

    fn times(&self, of: impl Fn(i64) -> i64) -> ArrayRef {
        let times = self.0.iter().map(|hour| hour.begin.map(&of));
        Arc::new(
            times
                .collect::<TimestampNanosecondArray>()
                .with_timezone("UTC"),
        )
    }
}

impl PruningStatistics for Folders {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        match column.name() {
            "TenantId" => Some(self.tenants()),
            "ReceivedAt" => Some(self.times(|begin| begin)),
            _ => None,
        }
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        match column.name() {
            "TenantId" => Some(self.tenants()),
            "ReceivedAt" => Some(self.times(|begin| begin.saturating_add(HOUR_NANOS - 1))),
            _ => None,
        }
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
