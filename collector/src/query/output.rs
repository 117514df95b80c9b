//! Takes rows as they come.
//! Gives text: a table for people, JSON or CSV for programs.
//! Never keeps rows it can write at once; only a table needs all of them, for its widths.

use std::io::{self, Write};

use clap::ValueEnum;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::WriterBuilder as CsvBuilder;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::json::writer::{JsonArray, WriterBuilder as JsonBuilder};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SendableRecordBatchStream;
use futures_util::StreamExt;

use super::QueryError;
use crate::tenant::unprintable;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// One array of objects.
    Json,
    /// With a header; maps and lists as text.
    Csv,
}

/// Writes all rows. A reader that goes away (`| head`) is no error.
pub(super) async fn write(
    rows: SendableRecordBatchStream,
    format: Format,
    out: &mut impl Write,
) -> Result<(), QueryError> {
    let written = match format {
        Format::Table => write_table(rows, out).await,
        Format::Json => write_json(rows, out).await,
        Format::Csv => write_csv(rows, out).await,
    };
    match written {
        Err(QueryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(QueryError::Arrow(error)) if error.to_string().contains("Broken pipe") => Ok(()),
        other => other,
    }
}

async fn write_table(
    rows: SendableRecordBatchStream,
    out: &mut impl Write,
) -> Result<(), QueryError> {
    let cells = Cells::collect(rows).await?;
    cells.write(out)?;
    Ok(())
}

async fn write_json(
    mut rows: SendableRecordBatchStream,
    out: &mut impl Write,
) -> Result<(), QueryError> {
    // Keys are always there, so that every object has the same shape.
    let builder = JsonBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, JsonArray>(&mut *out);
    while let Some(batch) = rows.next().await {
        writer.write(&batch?)?;
    }
    writer.finish()?;
    drop(writer);
    writeln!(out)?;
    Ok(())
}

async fn write_csv(
    mut rows: SendableRecordBatchStream,
    out: &mut impl Write,
) -> Result<(), QueryError> {
    let mut empty = Some(RecordBatch::new_empty(rows.schema()));
    let mut writer = CsvBuilder::new().with_header(true).build(&mut *out);
    while let Some(batch) = rows.next().await {
        writer.write(&flat(&batch?)?)?;
        empty = None;
    }
    if let Some(empty) = empty {
        writer.write(&flat(&empty)?)?;
    }
    Ok(())
}

/// CSV has no maps and lists: they become text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
    use datafusion::arrow::array::{ArrayRef, StringArray};
    use datafusion::arrow::datatypes::Field;
    let options = FormatOptions::default();
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(field.as_ref().clone());
            columns.push(std::sync::Arc::clone(column));
            continue;
        }
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let texts = (0..column.len()).map(|row| Some(formatter.value(row).to_string()));
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(std::sync::Arc::new(texts.collect::<StringArray>()));
    }
    let schema = std::sync::Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// Rows as text.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) names: Vec<String>,
    right: Vec<bool>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Cells {
    pub(super) async fn collect(mut rows: SendableRecordBatchStream) -> Result<Self, QueryError> {
        let schema = rows.schema();
        let names = schema.fields().iter().map(|field| field.name().clone());
        let right = schema.fields().iter().map(|f| f.data_type().is_numeric());
        let mut cells = Self {
            names: names.collect(),
            right: right.collect(),
            rows: Vec::new(),
        };
        while let Some(batch) = rows.next().await {
            cells.push(&batch?)?;
        }
        Ok(cells)
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let options = FormatOptions::default();
        let columns = batch.columns().iter();
        let formatters: Vec<_> = columns
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = formatters.iter().map(|cell| cell.value(row).to_string());
            self.rows.push(cells.collect());
        }
        Ok(())
    }

    /// The text in a row's column; empty when there is no such column.
    pub(super) fn get<'a>(&self, row: &'a [String], name: &str) -> &'a str {
        let place = self.names.iter().position(|known| known == name);
        place
            .and_then(|place| row.get(place))
            .map_or("", String::as_str)
    }

    /// Hides and renames columns and rewrites their cells, for people.
    pub(super) fn dress(&mut self, dress: impl Fn(&str) -> Option<Dress>) {
        let mut kept = Vec::with_capacity(self.names.len());
        for (place, name) in self.names.iter_mut().enumerate() {
            let dress = dress(name);
            kept.push(!matches!(dress, Some(Dress::Hidden)));
            let Some(Dress::Shown(new, cell)) = dress else {
                continue;
            };
            for text in self.rows.iter_mut().filter_map(|row| row.get_mut(place)) {
                *text = cell(text);
            }
            *name = new;
        }
        retain(&mut self.names, &kept);
        retain(&mut self.right, &kept);
        for row in &mut self.rows {
            retain(row, &kept);
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |place: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(place));
            let lines = cells.chain(self.names.get(place)).flat_map(|c| c.lines());
            lines
                .map(|line| shown(line).chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.names.len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        self.row(out, &self.names, &widths)?;
        self.row(out, &rule, &widths)?;
        for row in &self.rows {
            self.row(out, row, &widths)?;
        }
        if self.rows.is_empty() {
            writeln!(out, "(no rows)")?;
        }
        Ok(())
    }

    /// A cell of several lines, such as a plan, goes on below itself.
    fn row(&self, out: &mut impl Write, cells: &[String], widths: &[usize]) -> io::Result<()> {
        let mut lines: Vec<_> = cells.iter().map(|cell| cell.lines()).collect();
        let height = cells.iter().map(|cell| cell.lines().count()).max();
        for _ in 0..height.unwrap_or(1).max(1) {
            let parts: Vec<&str> = lines.iter_mut().map(|l| l.next().unwrap_or("")).collect();
            self.line(out, &parts, widths)?;
        }
        Ok(())
    }

    fn line(&self, out: &mut impl Write, cells: &[&str], widths: &[usize]) -> io::Result<()> {
        let mut line = String::new();
        for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let cell = shown(cell);
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let right = self.right.get(place).copied().unwrap_or(false);
            if place > 0 {
                line.push_str("  ");
            }
            line.extend(if right {
                [&pad, &*cell]
            } else {
                [&*cell, &pad]
            });
        }
        writeln!(out, "{}", line.trim_end())
    }
}

fn retain<T>(list: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    list.retain(|_| kept.next() != Some(&false));
}

/// How a column looks to people.
pub(super) enum Dress {
    Hidden,
    /// Its new name, and how each cell reads.
    Shown(String, fn(&str) -> String),
}

/// Stored text comes from peers: what could move a terminal's cursor or hide is shown as an escape.
pub(super) fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    if text.chars().any(unprintable) {
        let safe = text.chars().flat_map(|char| {
            let escaped = unprintable(char).then(|| char.escape_default());
            let plain = escaped.is_none().then_some(char);
            escaped.into_iter().flatten().chain(plain)
        });
        return safe.collect::<String>().into();
    }
    text.into()
}
