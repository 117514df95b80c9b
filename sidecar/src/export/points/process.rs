//! Takes the counters of the process. Gives each as a monotonic sum, read when points are collected.
//! Never counts anything itself: the log's summary and the metrics read the same numbers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::counters::{Counters, DropReason};
use crate::record::{NotInjected, names};

/// A name, what it counts, and the field that holds the count.
type Sum = (&'static str, &'static str, fn(&Counters) -> &AtomicU64);

const SUMS: [Sum; 7] = [
    (names::CALLS_SEEN, "Requests seen", |c| &c.calls_seen),
    (
        names::CALLS_EXPORTED,
        "Calls whose span the collector acknowledged",
        |c| &c.calls_exported,
    ),
    (names::MESSAGES, "JSON-RPC messages read", |c| &c.messages),
    (
        names::MESSAGES_MALFORMED,
        "Lines, bodies and events that are no JSON-RPC",
        |c| &c.malformed,
    ),
    (
        names::MESSAGES_UNREADABLE,
        "Request bodies in an encoding that is not read",
        |c| &c.unreadable,
    ),
    (names::TENANT_UNKNOWN, "Calls without a valid tenant", |c| {
        &c.tenant_unknown
    }),
    (names::ANSWERS_LATE, "Answers to no open call", |c| {
        &c.late_answers
    }),
];

/// Registers the sums. The meter's provider keeps them alive.
pub(super) fn observe(meter: &Meter, counters: &Arc<Counters>, tenant: Option<Arc<str>>) {
    let labels: Vec<KeyValue> = tenant
        .map(|tenant| KeyValue::new(names::TENANT_ID, tenant))
        .into_iter()
        .collect();
    for (name, description, field) in SUMS {
        let (counters, labels) = (Arc::clone(counters), labels.clone());
        let _registered = meter
            .u64_observable_counter(name)
            .with_description(description)
            .with_callback(move |sum| sum.observe(Counters::get(field(&counters)), &labels))
            .build();
    }
    let (dropped, drop_labels) = (Arc::clone(counters), labels.clone());
    let _registered = meter
        .u64_observable_counter(names::CALLS_DROPPED)
        .with_description("Calls whose span was not stored, by reason")
        .with_callback(move |sum| {
            for reason in DropReason::ALL {
                let labels = with_reason(&drop_labels, reason.as_str());
                sum.observe(dropped.dropped(reason), &labels);
            }
        })
        .build();
    let skipped = Arc::clone(counters);
    let _registered = meter
        .u64_observable_counter(names::INJECTION_SKIPPED)
        .with_description("Requests that went on without our context, by reason")
        .with_callback(move |sum| {
            for reason in NotInjected::ALL {
                let labels = with_reason(&labels, reason.as_str());
                sum.observe(skipped.not_injected(reason), &labels);
            }
        })
        .build();
}

fn with_reason(labels: &[KeyValue], reason: &'static str) -> Vec<KeyValue> {
    let reason = KeyValue::new(names::REASON, reason);
    labels.iter().cloned().chain([reason]).collect()
}
