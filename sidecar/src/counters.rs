//! Takes one word for each thing that happened. Gives the sums of the ledger: seen = recorded + dropped(by reason).
//! Never allocates and never locks: every count is one relaxed atomic add.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::NotInjected;

/// Why a call that was seen has no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue to the exporter was full.
    QueueFull,
    /// The collector refused the export for good, or said no until the time-out.
    ExportFailed,
    /// The collector took the export but not all of its spans.
    PartialSuccess,
    /// The process ended before the export was answered.
    Shutdown,
}

impl DropReason {
    pub const ALL: [Self; 4] = [
        Self::QueueFull,
        Self::ExportFailed,
        Self::PartialSuccess,
        Self::Shutdown,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ExportFailed => "export_failed",
            Self::PartialSuccess => "partial_success",
            Self::Shutdown => "shutdown",
        }
    }
}

/// All counts of one process.
#[derive(Debug, Default)]
pub struct Counters {
    /// JSON-RPC messages read, both directions.
    pub messages: AtomicU64,
    /// Lines, bodies and events that are no JSON-RPC message; they were forwarded as they came.
    pub malformed: AtomicU64,
    /// Requests whose record was opened.
    pub calls_seen: AtomicU64,
    /// Calls whose span the collector acknowledged.
    pub calls_exported: AtomicU64,
    /// Answers to no open call: late, repeated or foreign.
    pub late_answers: AtomicU64,
    /// Calls whose tenant was missing or no valid name.
    pub tenant_unknown: AtomicU64,
    /// Request bodies we could not read at all (`Content-Encoding`), so no call was opened.
    pub unreadable: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    not_injected: [AtomicU64; NotInjected::ALL.len()],
}

impl Counters {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    pub fn drop_calls(&self, reason: DropReason, n: u64) {
        self.dropped[reason as usize].fetch_add(n, Ordering::Relaxed);
    }

    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }

    pub fn skip_injection(&self, reason: NotInjected) {
        self.not_injected[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn not_injected(&self, reason: NotInjected) -> u64 {
        self.not_injected[reason as usize].load(Ordering::Relaxed)
    }
}
