//! Takes OTLP exports from exporters on the network.
//! Gives durable, queryable rows per tenant in Parquet and ClickHouse.
//! Never acknowledges an export before it is on disk.
//!
//! The modules stand in the order in which the data passes them; `collector` connects them.

pub mod otlp;
pub mod sink;
pub mod tenant;
pub mod wal;
