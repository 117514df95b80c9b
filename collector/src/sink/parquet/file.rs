//! Takes the rows of one part.
//! Gives one whole Parquet file under its final name, durable when the function returns.
//! Never leaves a half file in sight: until the rename it bears a name that readers skip.

use std::fs::File;
use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::folder::TMP_PREFIX;
use super::parts::Part;
use super::{Block, ParquetError};
use crate::schema::{Table, VERSION};
use crate::wal::{create_folder_durable, sync_folder};

/// Small groups cost up to 40 % in size.
const ROW_GROUP: usize = 131_072;

pub(super) fn publish(
    folder: &Path,
    name: &str,
    block: &Block,
    part: &Part,
) -> Result<(), ParquetError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ParquetError::Io { path, source }
    };
    create_folder_durable(folder).map_err(at(folder))?;
    let aside = folder.join(format!("{TMP_PREFIX}{name}"));
    let path = folder.join(name);
    let file = File::create(&aside).map_err(at(&aside))?;
    let file = write(file, block, part).map_err(|source| ParquetError::Format {
        path: aside.clone(),
        source,
    })?;
    file.sync_all().map_err(at(&aside))?;
    std::fs::rename(&aside, &path).map_err(at(&path))?;
    sync_folder(folder).map_err(at(folder))
}

fn write(file: File, block: &Block, part: &Part) -> parquet::errors::Result<File> {
    // Readers see plain types: that a column was a dictionary in memory is nobody's business.
    let options = ArrowWriterOptions::new()
        .with_properties(properties(block, part)?)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(file, part.rows.schema(), options)?;
    writer.write(&part.rows)?;
    writer.into_inner()
}

fn properties(block: &Block, part: &Part) -> parquet::errors::Result<WriterProperties> {
    let rows = part.rows.num_rows();
    let trace_id = || ColumnPath::from("TraceId");
    let note = |key: &str, value: String| KeyValue::new(format!("toolspan.{key}"), value);
    let notes = vec![
        note("schema_version", VERSION.to_string()),
        note("tenant", part.tenant.clone()),
        note("log", block.log_id.to_string()),
        note("log_first", block.first.to_string()),
        note("log_last", block.last.to_string()),
        note("rows", rows.to_string()),
    ];
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("toolspan-collector ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_key_value_metadata(Some(notes));
    // Nearly every value of these is different: a dictionary would be built only to be thrown away.
    let unique = ["TraceId", "SpanId", "ParentSpanId", "Timestamp", "Duration"];
    let table = Table::of(block.signal);
    for name in unique {
        if table.columns.iter().any(|column| column.name == name) {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
        }
    }
    if table.columns.iter().any(|column| column.name == "TraceId") {
        properties = properties
            .set_column_bloom_filter_enabled(trace_id(), true)
            .set_column_bloom_filter_max_ndv(trace_id(), rows as u64);
    }
    Ok(properties.build())
}
