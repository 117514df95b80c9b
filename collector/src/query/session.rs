//! Takes a store's folder.
//! Gives an engine that knows its two tables.
//! Never gives it a way to other files.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, cast};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::table::StoreTable;
use super::{QueryError, guard};
use crate::otlp::Signal;
use crate::schema::{Table, UNIX_NANO};
use crate::sink::parquet::ROOT;

/// A store that can be asked.
pub struct Store {
    context: SessionContext,
}

impl Store {
    /// # Errors
    ///
    /// When there is no store in the folder.
    pub fn open(folder: &Path) -> Result<Self, QueryError> {
        let root = folder.join(ROOT);
        let root =
            std::fs::canonicalize(root).map_err(|_| QueryError::NoStore(folder.to_owned()))?;
        let mut config = SessionConfig::new().with_information_schema(true);
        let options = config.options_mut();
        // Names mean what they say, as in ClickHouse.
        options.sql_parser.enable_ident_normalization = false;
        options.execution.parquet.pushdown_filters = true;
        let context = SessionContext::new_with_config(config);
        for signal in [Signal::Traces, Signal::Metrics] {
            let table = Table::of(signal);
            let stored = StoreTable::new(root.clone(), signal);
            let rows = context.read_table(Arc::new(stored))?;
            let view = rows.select(columns(table))?.into_view();
            context.register_table(table.name, view)?;
        }
        Ok(Self { context })
    }

    /// Runs one reading statement.
    ///
    /// # Errors
    ///
    /// When it is refused, or wrong.
    pub async fn sql(&self, text: &str) -> Result<SendableRecordBatchStream, QueryError> {
        let statement = guard::parse(text)?;
        let state = self.context.state();
        let plan = state.statement_to_plan(statement).await?;
        guard::options().verify_plan(&plan)?;
        let rows = self.context.execute_logical_plan(plan).await?;
        Ok(rows.execute_stream().await?)
    }
}

/// Everything stored, and the time as an integer.
fn columns(table: &Table) -> Vec<Expr> {
    let column = |name: &str| Expr::Column(Column::new_unqualified(name));
    let stored = table.columns.iter().map(|stored| column(stored.name));
    let nanos = cast(column("Timestamp"), DataType::Int64).alias(UNIX_NANO);
    stored.chain([nanos]).collect()
}
