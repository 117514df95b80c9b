//! Takes the counters of the process. Gives each as a monotonic sum, read when points are collected.
//! Never counts anything itself: the log's summary and the metrics read the same numbers.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::counters::{Counters, PARTS, SUMS};
use crate::record::names;

/// Registers the sums. The meter's provider keeps them alive.
pub(super) fn observe(meter: &Meter, counters: &Arc<Counters>, tenant: Option<Arc<str>>) {
    let labels: Vec<KeyValue> = tenant
        .map(|tenant| KeyValue::new(names::TENANT_ID, tenant))
        .into_iter()
        .collect();
    for sum in SUMS {
        let (counters, labels) = (Arc::clone(counters), labels.clone());
        let _registered = meter
            .u64_observable_counter(sum.name)
            .with_description(sum.description)
            .with_callback(move |out| out.observe(Counters::get((sum.field)(&counters)), &labels))
            .build();
    }
    for parts in PARTS {
        let (counters, labels) = (Arc::clone(counters), labels.clone());
        let _registered = meter
            .u64_observable_counter(parts.name)
            .with_description(parts.description)
            .with_callback(move |out| {
                for (word, value) in (parts.values)(&counters) {
                    let word = KeyValue::new(parts.label, word);
                    let labels: Vec<_> = labels.iter().cloned().chain([word]).collect();
                    out.observe(value, &labels);
                }
            })
            .build();
    }
}
