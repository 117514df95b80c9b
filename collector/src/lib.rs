//! Takes OTLP exports from exporters on the network.
//! Gives durable, queryable rows per tenant in Parquet and ClickHouse.
//! Never acknowledges an export before it is on disk.
//!
//! The modules stand in the order in which the data passes them; `collector` connects them.

pub mod collector;

pub mod receive;

pub mod otlp;

pub mod tenant;

pub mod wal;

pub mod pump;

pub mod schema;

pub mod encode;

pub mod sink;

pub mod query;

pub mod calendar;

pub mod ledger;

pub mod config;

pub mod clock;

pub mod shutdown;

#[cfg(test)]
mod sample;
