//! Takes SQL, or the name of a view, and a store's folder.
//! Gives rows: as a table, as JSON (one array of objects) or as CSV.
//! Never writes to the store, and reads no file outside it.
//!
//! The tables are `spans` and `metrics`, spelt as in ClickHouse, where views of the same names and columns exist:
//! SQL that keeps to both engines' common ground runs on either. Column names are case-sensitive; those with a
//! dot, such as `"Events.Name"`, need the quotes. Folders are skipped by `TenantId` and `ReceivedAt`, parts of
//! files by the statistics of any column and by a bloom filter on `TraceId`.

mod folders;
mod guard;
mod output;
mod params;
mod session;
mod table;
mod tree;
mod views;

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

pub use guard::Refused;
pub use output::Format;
pub use params::{Param, ParamError, bind};
pub use session::Store;
pub use views::{
    CALLS, CallsArgs, TENANTS, TOOLS, TRACE, TenantsArgs, ToolsArgs, TraceArgs, calls, tenants,
    tools, trace,
};

/// Ask the Parquet store anything, in SQL.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  toolspan-collector query --store ./data \"SELECT TenantId, count(*) FROM spans WHERE IsCall GROUP BY TenantId\"
  toolspan-collector query --store ./data --format json \"SELECT * FROM spans ORDER BY Timestamp DESC LIMIT 1\"
  toolspan-collector query --store ./data \"DESCRIBE metrics\"

Tables: spans, metrics. Names are case-sensitive, as in ClickHouse.")]
pub struct QueryArgs {
    #[command(flatten)]
    pub source: Source,
    /// A SELECT, WITH, EXPLAIN, SHOW or DESCRIBE.
    pub sql: String,
}

/// What every view and query needs.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// The collector's folder: the one given to `serve --store`.
    #[arg(long, value_name = "DIR", env = "TOOLSPAN_COLLECTOR_STORE")]
    pub store: PathBuf,
    /// How to print: json is one array of objects.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(
        "{0} is no store: it has no folder `parquet`. `toolspan-collector serve --store {0}` makes one"
    )]
    NoStore(PathBuf),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{}", brief(.0))]
    Engine(Box<DataFusionError>),
    #[error("{0}")]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Param(#[from] ParamError),
    #[error("{0:?} is no time: write 15m, 2h, 7d, or 2026-11-20T10:00:00Z")]
    Since(String),
    #[error("{0:?} is no trace id: it has 32 hex digits")]
    TraceId(String),
    #[error("no trace {0} in the store: spans arrive there a second or two after the call")]
    NoTrace(String),
    #[error("output: {0}")]
    Output(#[from] io::Error),
}

/// The engine lists all sixty columns and its own settings when a name is wrong.
fn brief(error: &DataFusionError) -> String {
    let text = error.to_string();
    match text.split_once("\nColumn names are case sensitive") {
        Some((wrong, _)) => format!(
            "{wrong}\nNames are case-sensitive; `DESCRIBE spans` and `DESCRIBE metrics` list them."
        ),
        None => text,
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// Runs `query`.
///
/// # Errors
///
/// When there is no such store, the SQL is refused or wrong, or the output is gone.
pub async fn run(args: QueryArgs) -> Result<(), QueryError> {
    let store = Store::open(&args.source.store)?;
    let rows = store.sql(&args.sql).await?;
    output::write(rows, args.source.format, &mut io::stdout().lock()).await
}

/// Runs `query` and gives what it would print.
///
/// # Errors
///
/// As [`run`].
pub async fn answer(store: &Path, sql: &str, format: Format) -> Result<String, QueryError> {
    let rows = Store::open(store)?.sql(sql).await?;
    let mut out = Vec::new();
    output::write(rows, format, &mut out).await?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests;
