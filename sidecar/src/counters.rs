//! Takes one word for each thing that happened. Gives the sums of the ledger: seen = recorded + dropped(by reason).
//! The lists at the end are what the exported metrics and the admin listener show: one name for one count everywhere.
//! Never allocates on the path and never locks: every count is one relaxed atomic add.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::record::names::table::Metric;
use crate::record::{NotInjected, names};
use crate::tenant::UnknownTenant;

mod open;

pub use open::{LEVELS, Level, Tables, Waiting};

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
    /// An operator switched telemetry off, or nothing is exported at all.
    SwitchedOff,
}

impl DropReason {
    pub const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::ExportFailed,
        Self::PartialSuccess,
        Self::Shutdown,
        Self::SwitchedOff,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ExportFailed => "export_failed",
            Self::PartialSuccess => "partial_success",
            Self::Shutdown => "shutdown",
            Self::SwitchedOff => "switched_off",
        }
    }
}

/// Why a client was not served: its request never became one, or it was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A head that is no HTTP.
    Unparsable,
    /// Two lengths, a bad one, or a coding that hides it.
    Length,
    BareReturn,
    TooLarge,
    /// A page of a site that is not in `allowed_origins`.
    Origin,
    /// A name that is not ours, at a hop with a `command`.
    Host,
    /// A large message, while others take all the memory that they may.
    HeldBytes,
    SlowHead,
    SlowBody,
    SlowReader,
}

impl Refusal {
    pub const ALL: [Self; 10] = [
        Self::Unparsable,
        Self::Length,
        Self::BareReturn,
        Self::TooLarge,
        Self::Origin,
        Self::Host,
        Self::HeldBytes,
        Self::SlowHead,
        Self::SlowBody,
        Self::SlowReader,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unparsable => "unparsable",
            Self::Length => "length",
            Self::BareReturn => "bare_return",
            Self::TooLarge => "too_large",
            Self::Origin => "origin",
            Self::Host => "host",
            Self::HeldBytes => "held_bytes",
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::SlowReader => "slow_reader",
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
    /// Calls that another one had to make room for.
    pub evicted: AtomicU64,
    /// Answers to no open call: late, repeated or foreign.
    pub late_answers: AtomicU64,
    /// Request bodies we could not read at all (`Content-Encoding`), so no call was opened.
    pub unreadable: AtomicU64,
    /// Messages of a command that no client was there for, or that belong to no request.
    pub undelivered: AtomicU64,
    /// Exports of spans that the collector answered, and those it did not take.
    pub exports_ok: AtomicU64,
    pub exports_failed: AtomicU64,
    /// Configurations that were read again and took effect, and those that changed nothing because they were wrong.
    pub reloads_ok: AtomicU64,
    pub reloads_failed: AtomicU64,
    /// Set when the hops have got another tenant while we run: the counts are nobody's in particular from then on.
    pub mixed_tenants: AtomicBool,
    /// Times that accepting waited because `max_connections` were open.
    pub connections_waited: AtomicU64,
    /// Where calls are open.
    pub tables: Tables,
    refused: [AtomicU64; Refusal::ALL.len()],
    /// Calls without a tenant.
    tenant_unknown: [AtomicU64; UnknownTenant::ALL.len()],
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

    pub fn refuse(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }

    pub fn drop_calls(&self, reason: DropReason, n: u64) {
        self.dropped[reason as usize].fetch_add(n, Ordering::Relaxed);
    }

    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }

    pub fn miss_tenant(&self, why: UnknownTenant) {
        self.tenant_unknown[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn tenant_unknown(&self, why: UnknownTenant) -> u64 {
        self.tenant_unknown[why as usize].load(Ordering::Relaxed)
    }

    pub fn skip_injection(&self, reason: NotInjected) {
        self.not_injected[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn not_injected(&self, reason: NotInjected) -> u64 {
        self.not_injected[reason as usize].load(Ordering::Relaxed)
    }
}

/// One count: what it is called, and where it stands.
pub struct Sum {
    pub metric: Metric,
    pub field: fn(&Counters) -> &AtomicU64,
}

/// Counts of one kind, told apart by a word.
pub struct Parts {
    pub metric: Metric,
    pub values: fn(&Counters) -> Vec<(&'static str, u64)>,
}

/// Every count without a label.
pub const SUMS: &[Sum] = &[
    Sum {
        metric: names::CALLS_SEEN,
        field: |c| &c.calls_seen,
    },
    Sum {
        metric: names::CALLS_EXPORTED,
        field: |c| &c.calls_exported,
    },
    Sum {
        metric: names::CALLS_EVICTED,
        field: |c| &c.evicted,
    },
    Sum {
        metric: names::MESSAGES,
        field: |c| &c.messages,
    },
    Sum {
        metric: names::MESSAGES_MALFORMED,
        field: |c| &c.malformed,
    },
    Sum {
        metric: names::MESSAGES_UNDELIVERED,
        field: |c| &c.undelivered,
    },
    Sum {
        metric: names::MESSAGES_UNREADABLE,
        field: |c| &c.unreadable,
    },
    Sum {
        metric: names::ANSWERS_LATE,
        field: |c| &c.late_answers,
    },
    Sum {
        metric: names::CONNECTIONS_WAITED,
        field: |c| &c.connections_waited,
    },
];

/// Every count with a label.
pub const PARTS: &[Parts] = &[
    Parts {
        metric: names::CALLS_DROPPED,
        values: |c| {
            let of = |reason: DropReason| (reason.as_str(), c.dropped(reason));
            DropReason::ALL.into_iter().map(of).collect()
        },
    },
    Parts {
        metric: names::INJECTION_SKIPPED,
        values: |c| {
            let of = |reason: NotInjected| (reason.as_str(), c.not_injected(reason));
            NotInjected::ALL.into_iter().map(of).collect()
        },
    },
    Parts {
        metric: names::TENANT_UNKNOWN,
        values: |c| {
            let of = |why: UnknownTenant| (why.as_str(), c.tenant_unknown(why));
            UnknownTenant::ALL.into_iter().map(of).collect()
        },
    },
    Parts {
        metric: names::CLIENTS_REFUSED,
        values: |c| {
            let of = |why: Refusal| (why.as_str(), c.refused(why));
            Refusal::ALL.into_iter().map(of).collect()
        },
    },
    Parts {
        metric: names::EXPORTS,
        values: |c| results(&c.exports_ok, &c.exports_failed),
    },
    Parts {
        metric: names::RELOADS,
        values: |c| results(&c.reloads_ok, &c.reloads_failed),
    },
];

fn results(ok: &AtomicU64, failed: &AtomicU64) -> Vec<(&'static str, u64)> {
    vec![("ok", Counters::get(ok)), ("failed", Counters::get(failed))]
}

/// How many of something there are now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// One of them, for as long as this is held.
#[derive(Debug)]
pub struct Held(Arc<Gauge>);

impl Gauge {
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Held {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(self))
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
