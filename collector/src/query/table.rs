//! Takes the folders of one signal.
//! Gives the engine a table whose files are found anew for every query.
//! Never opens a folder that the filters rule out.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::folders::{Folders, list};
use crate::otlp::Signal;
use crate::schema::Table;

/// The Parquet files of one signal.
#[derive(Debug)]
pub(super) struct StoreTable {
    root: PathBuf,
    signal: Signal,
    schema: SchemaRef,
}

impl StoreTable {
    pub(super) fn new(root: PathBuf, signal: Signal) -> Self {
        Self {
            root,
            signal,
            schema: Table::of(signal).read(),
        }
    }

    /// The folders that may hold rows the filters want.
    fn folders(&self, state: &dyn Session, filters: &[Expr]) -> Result<Folders> {
        let folders = list(&self.root, self.signal)?;
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(folders);
        };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let filter = state.create_physical_expr(filter, &schema)?;
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&self.schema))
            .build(filter);
        // A filter that says nothing about tenant or time rules nothing out.
        let Some(predicate) = predicate else {
            return Ok(folders);
        };
        let keep = predicate.prune(&folders)?;
        Ok(folders.only(&keep))
    }

    fn files(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let mut files = Vec::new();
        for folder in self.folders(state, filters)?.paths() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                // What is being written has another ending or begins with a dot.
                let whole = path.extension() == Some(OsStr::new("parquet"))
                    && !path.file_name().is_some_and(is_hidden);
                if whole {
                    files.push(file(&path)?);
                }
            }
        }
        Ok(files)
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn file(path: &Path) -> Result<PartitionedFile> {
    let size = std::fs::metadata(path)?.len();
    let location = datafusion::object_store::path::Path::from_absolute_path(path)
        .map_err(|error| DataFusionError::IoError(io::Error::other(error)))?;
    let mut file = PartitionedFile::new(String::new(), size);
    file.object_meta.location = location;
    Ok(file)
}

#[async_trait]
impl TableProvider for StoreTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.files(state, filters)?;
        if files.is_empty() {
            let schema = project_schema(&self.schema, projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let format = ParquetFormat::default();
        let source = format.file_source(TableSchema::from(Arc::clone(&self.schema)));
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        format.create_physical_plan(state, scan).await
    }

    /// Folders and files are skipped by the filters, but rows are still looked at one by one.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
