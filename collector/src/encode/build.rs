//! Takes values in row order.
//! Gives Arrow columns in the order of a table's list.
//! Never panics on a surprise: a column that does not fit its kind is an error of the batch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, ListBuilder, MapBuilder, MapFieldNames,
    RecordBatch, StringBuilder, StringDictionaryBuilder, TimestampNanosecondBuilder, UInt32Builder,
    UInt64Builder,
};
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type};
use arrow::error::ArrowError;

use super::text;
use crate::otlp::{KeyValue, Value};
use crate::schema::{Kind, MAP_ENTRY, MAP_KEY, MAP_VALUE, Table};

pub(super) type Symbols = StringDictionaryBuilder<Int32Type>;
pub(super) type Maps = MapBuilder<Symbols, StringBuilder>;

/// An empty list of attributes per row.
pub(super) fn maps() -> Maps {
    let names = MapFieldNames {
        entry: MAP_ENTRY.into(),
        key: MAP_KEY.into(),
        value: MAP_VALUE.into(),
    };
    MapBuilder::new(Some(names), Symbols::new(), StringBuilder::new())
        .with_keys_field(Arc::new(Field::new(MAP_KEY, Kind::Symbol.arrow(), false)))
        .with_values_field(Arc::new(Field::new(MAP_VALUE, DataType::Utf8, false)))
}

pub(super) fn times() -> TimestampNanosecondBuilder {
    TimestampNanosecondBuilder::new().with_data_type(Kind::Time.arrow())
}

pub(super) fn lists<B: arrow::array::ArrayBuilder>(items: B, kind: Kind) -> ListBuilder<B> {
    ListBuilder::new(items).with_field(item(kind))
}

fn item(kind: Kind) -> FieldRef {
    Arc::new(Field::new(
        Field::LIST_FIELD_DEFAULT_NAME,
        kind.arrow(),
        false,
    ))
}

/// Appends one row's attributes.
pub(super) fn push_map<'a>(
    maps: &mut Maps,
    scratch: &mut String,
    pairs: impl IntoIterator<Item = &'a KeyValue<'a>>,
) -> Result<(), ArrowError> {
    for pair in pairs {
        maps.keys().append_value(pair.key);
        match pair.value {
            Value::Text(text) => maps.values().append_value(text),
            other => {
                scratch.clear();
                text::write(scratch, other);
                maps.values().append_value(&*scratch);
            }
        }
    }
    maps.append(true)
}

/// Lower-case hex, without an allocation per row.
pub(super) fn push_hex(column: &mut StringBuilder, scratch: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    scratch.clear();
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            let digit = DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0');
            scratch.push(char::from(digit));
        }
    }
    column.append_value(&*scratch);
}

/// Finished columns by name: the table's list puts them in order.
#[derive(Default)]
pub(super) struct Finished(HashMap<&'static str, ArrayRef>);

impl Finished {
    pub(super) fn add(&mut self, name: &'static str, array: impl arrow::array::Array + 'static) {
        self.0.insert(name, Arc::new(array));
    }

    pub(super) fn add_shared(&mut self, name: &'static str, array: ArrayRef) {
        self.0.insert(name, array);
    }

    pub(super) fn batch(mut self, table: &Table) -> Result<RecordBatch, ArrowError> {
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in table.columns {
            let array = self.0.remove(column.name).ok_or_else(|| {
                ArrowError::SchemaError(format!("no values for column {}", column.name))
            })?;
            columns.push(array);
        }
        RecordBatch::try_new(table.written(), columns)
    }
}

/// A typed column that an attribute moves to.
pub(super) enum Promoted {
    Symbol(Symbols),
    Text(StringBuilder),
    Bool(BooleanBuilder),
    UInt64(UInt64Builder),
}

impl Promoted {
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Symbol => Self::Symbol(Symbols::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::UInt64 => Self::UInt64(UInt64Builder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Whether the column can hold the value as it is; otherwise it stays among the attributes.
    pub(super) fn fits(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Bool(_), Value::Bool(_)) => true,
            (Self::UInt64(_), Value::Int(number)) => number >= 0,
            (Self::Symbol(_) | Self::Text(_), value) => text::is_scalar(value),
            _ => false,
        }
    }

    /// Appends a value that fits, or the column's default.
    pub(super) fn push(&mut self, scratch: &mut String, value: Value<'_>) {
        scratch.clear();
        match self {
            Self::Bool(column) => column.append_value(matches!(value, Value::Bool(true))),
            Self::UInt64(column) => {
                let number = match value {
                    Value::Int(number) => u64::try_from(number).unwrap_or(0),
                    _ => 0,
                };
                column.append_value(number);
            }
            Self::Symbol(column) => {
                text::write(scratch, value);
                column.append_value(&*scratch);
            }
            Self::Text(column) => {
                text::write(scratch, value);
                column.append_value(&*scratch);
            }
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Symbol(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
            Self::Bool(column) => Arc::new(column.finish()),
            Self::UInt64(column) => Arc::new(column.finish()),
        }
    }
}

/// The columns that every row of both tables has.
pub(super) struct Shared {
    pub(super) tenant: Symbols,
    service: Symbols,
    resource: Maps,
    resource_schema: Symbols,
    scope_name: Symbols,
    scope_version: Symbols,
    scope: Maps,
    scope_schema: Symbols,
    received_at: TimestampNanosecondBuilder,
    log_id: Symbols,
    log_seq: UInt64Builder,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            tenant: Symbols::new(),
            service: Symbols::new(),
            resource: maps(),
            resource_schema: Symbols::new(),
            scope_name: Symbols::new(),
            scope_version: Symbols::new(),
            scope: maps(),
            scope_schema: Symbols::new(),
            received_at: times(),
            log_id: Symbols::new(),
            log_seq: UInt64Builder::new(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        arrow::array::ArrayBuilder::len(&self.log_seq)
    }

    pub(super) fn push(
        &mut self,
        scratch: &mut String,
        tenant: &str,
        origin: super::Origin<'_>,
        resource: &crate::otlp::Resource<'_>,
        scope: &crate::otlp::Scope<'_>,
    ) -> Result<(), ArrowError> {
        let service = super::attribute(&resource.attributes, "service.name");
        self.tenant.append_value(tenant);
        self.service.append_value(service.unwrap_or_default());
        push_map(&mut self.resource, scratch, &resource.attributes)?;
        self.resource_schema.append_value(resource.schema_url);
        self.scope_name.append_value(scope.name);
        self.scope_version.append_value(scope.version);
        push_map(&mut self.scope, scratch, &scope.attributes)?;
        self.scope_schema.append_value(scope.schema_url);
        self.received_at.append_value(origin.received_at);
        self.log_id.append_value(origin.log_id);
        self.log_seq.append_value(origin.seq);
        Ok(())
    }

    pub(super) fn finish(&mut self, into: &mut Finished) {
        into.add("TenantId", self.tenant.finish());
        into.add("ServiceName", self.service.finish());
        into.add("ResourceAttributes", self.resource.finish());
        into.add("ResourceSchemaUrl", self.resource_schema.finish());
        into.add("ScopeName", self.scope_name.finish());
        into.add("ScopeVersion", self.scope_version.finish());
        into.add("ScopeAttributes", self.scope.finish());
        into.add("ScopeSchemaUrl", self.scope_schema.finish());
        into.add("ReceivedAt", self.received_at.finish());
        into.add("LogId", self.log_id.finish());
        into.add("LogSeq", self.log_seq.finish());
    }
}

/// Plain columns a table has one builder for.
pub(super) type Texts = StringBuilder;
pub(super) type Bools = BooleanBuilder;
pub(super) type Doubles = Float64Builder;
pub(super) type Ints = Int32Builder;
pub(super) type Counts = UInt32Builder;
pub(super) type Sizes = UInt64Builder;
pub(super) type Times = TimestampNanosecondBuilder;
pub(super) type Lists<B> = ListBuilder<B>;
