//! Takes a batch of a whole block.
//! Gives its rows apart by tenant and hour of receipt, each part in order of time.
//! Never loses a row or shows one to another tenant: parts are cut by the tenant column itself.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, TimestampNanosecondType};
use arrow::error::ArrowError;

use crate::calendar;

/// The rows of one file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) tenant: String,
    pub(super) hour: i64,
    pub(super) rows: RecordBatch,
}

pub(super) fn split(batch: &RecordBatch) -> Result<Vec<Part>, ArrowError> {
    let received = times(batch, "ReceivedAt")?;
    let tenants = Tenants::of(batch)?;
    let mut groups: BTreeMap<(&str, i64), Vec<u32>> = BTreeMap::new();
    for (row, nanos) in (0u32..).zip(received.values()) {
        let key = (tenants.name(row), calendar::hour_of(*nanos));
        groups.entry(key).or_default().push(row);
    }
    let timestamps = times(batch, "Timestamp")?;
    let mut parts = Vec::with_capacity(groups.len());
    for ((tenant, hour), mut rows) in groups {
        let time = |row: &u32| {
            usize::try_from(*row)
                .ok()
                .and_then(|row| timestamps.values().get(row))
        };
        // Stable, so equal times keep the order of the log.
        rows.sort_by_key(time);
        parts.push(Part {
            tenant: tenant.to_owned(),
            hour,
            rows: take_record_batch(batch, &UInt32Array::from(rows))?,
        });
    }
    Ok(parts)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, ArrowError> {
    let column = batch.column_by_name(name);
    column
        .map(AsRef::as_ref)
        .ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))
}

fn times<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a arrow::array::TimestampNanosecondArray, ArrowError> {
    column(batch, name)?
        .as_primitive_opt::<TimestampNanosecondType>()
        .ok_or_else(|| ArrowError::SchemaError(format!("{name} is no time")))
}

struct Tenants<'a> {
    keys: &'a [i32],
    names: &'a arrow::array::StringArray,
}

impl<'a> Tenants<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        let wrong = || ArrowError::SchemaError("TenantId is no dictionary of text".into());
        let column = column(batch, "TenantId")?;
        let column = column.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
        let names = column.values().as_string_opt::<i32>().ok_or_else(wrong)?;
        Ok(Self {
            keys: column.keys().values(),
            names,
        })
    }

    fn name(&self, row: u32) -> &'a str {
        let key = usize::try_from(row).ok().and_then(|row| self.keys.get(row));
        let key = key.and_then(|key| usize::try_from(*key).ok());
        key.filter(|key| *key < self.names.len())
            .map_or(crate::tenant::UNKNOWN, |key| self.names.value(key))
    }
}
