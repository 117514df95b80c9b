//! toolspan: sits in the path of Model Context Protocol bytes, splices trace context in,
//! and ships one true record of every call as OTLP.
//! The path reads top to bottom: bytes, frames, calls, context, spans, OTLP.

pub mod wire;

pub mod tap;

pub mod frame;

pub mod session;

pub mod trace;

pub mod tenant;

pub mod record;

pub mod counters;

pub mod switches;

pub mod export;

pub mod config;

pub mod cli;

pub mod log;

pub mod clock;

pub mod admin;

pub mod hops;

pub mod life;

pub mod sidecar;
