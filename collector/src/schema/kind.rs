//! Takes the few kinds of column there are.
//! Gives each its Arrow type and its ClickHouse type.
//! Never lets the two drift apart: there is no other place that names a type.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Text of which there are few different ones.
    Symbol,
    Bool,
    Int32,
    UInt32,
    UInt64,
    Float64,
    /// The only kind that can be absent.
    MaybeFloat64,
    /// Nanoseconds since 1970, UTC.
    Time,
    /// Attributes: few different keys, text values.
    Map,
    List(&'static Kind),
}

/// The names Parquet's specification gives the parts of a map.
pub const MAP_ENTRY: &str = "key_value";
pub const MAP_KEY: &str = "key";
pub const MAP_VALUE: &str = "value";

impl Kind {
    #[must_use]
    pub fn is_nullable(self) -> bool {
        matches!(self, Self::MaybeFloat64)
    }

    /// The type the encoder makes.
    #[must_use]
    pub fn arrow(self) -> DataType {
        self.data_type(&symbol())
    }

    /// The type a Parquet file shows to those who do not know it was a dictionary.
    #[must_use]
    pub fn plain(self) -> DataType {
        self.data_type(&DataType::Utf8)
    }

    fn data_type(self, symbol: &DataType) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Symbol => symbol.clone(),
            Self::Bool => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Float64 | Self::MaybeFloat64 => DataType::Float64,
            Self::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Self::Map => DataType::Map(entry(symbol), false),
            Self::List(item) => DataType::List(Arc::new(Field::new(
                Field::LIST_FIELD_DEFAULT_NAME,
                item.data_type(symbol),
                false,
            ))),
        }
    }

    /// The type in ClickHouse's DDL.
    #[must_use]
    pub fn clickhouse(self) -> String {
        match self {
            Self::Text => "String".into(),
            Self::Symbol => "LowCardinality(String)".into(),
            Self::Bool => "Bool".into(),
            Self::Int32 => "Int32".into(),
            Self::UInt32 => "UInt32".into(),
            Self::UInt64 => "UInt64".into(),
            Self::Float64 => "Float64".into(),
            Self::MaybeFloat64 => "Nullable(Float64)".into(),
            Self::Time => "DateTime64(9, 'UTC')".into(),
            Self::Map => "Map(LowCardinality(String), String)".into(),
            Self::List(item) => format!("Array({})", item.clickhouse()),
        }
    }
}

fn symbol() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn entry(symbol: &DataType) -> FieldRef {
    let key = Field::new(MAP_KEY, symbol.clone(), false);
    let value = Field::new(MAP_VALUE, DataType::Utf8, false);
    let pair = DataType::Struct(Fields::from(vec![key, value]));
    Arc::new(Field::new(MAP_ENTRY, pair, false))
}
