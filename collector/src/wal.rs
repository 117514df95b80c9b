//! Takes exports in the order they arrive.
//! Gives each a sequence number once it is on disk, and the same entries again after a crash.
//! Never says "durable" before the disk did.

use std::fmt;

use bytes::Bytes;

use crate::otlp::Signal;

/// The place of an entry in its log: 1, 2, 3, ...; 0 stands before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the entry that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The random identity of a log: with a sequence number it names an entry for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub u128);

impl fmt::Display for LogId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// One export as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: Seq,
    pub received_at_unix_nanos: u64,
    pub signal: Signal,
    /// How many spans or metric points the export was acknowledged for.
    pub items: u64,
    /// The OTLP protobuf of one export, decompressed.
    pub body: Bytes,
}
