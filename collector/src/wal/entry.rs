//! Takes nothing from elsewhere: these are the log's nouns.
//! Gives an export before and behind its acknowledgement, its number, and sums of both.
//! Never holds more than the bytes that came and what was known when they came.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::format;
use crate::otlp::Signal;

/// The place of an entry in its log: 1, 2, 3, ...; 0 stands before the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the entry that follows.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number of the entry before.
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
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

impl Entry {
    /// The bytes this entry takes in the log.
    pub fn cost(&self) -> u64 {
        format::cost(self.body.len())
    }
}

/// An export that has no number yet.
#[derive(Debug, Clone)]
pub struct Draft {
    pub received_at_unix_nanos: u64,
    pub signal: Signal,
    pub items: u64,
    pub body: Bytes,
}

/// How far a log is durable, or a sink has come: sums since the log's oldest entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub last: Seq,
    pub bytes: u64,
    pub items: u64,
}

impl Progress {
    /// The progress after one more entry.
    pub fn add(&mut self, seq: Seq, bytes: u64, items: u64) {
        self.last = seq;
        self.bytes = self.bytes.saturating_add(bytes);
        self.items = self.items.saturating_add(items);
    }
}
