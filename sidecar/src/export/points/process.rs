//! Takes the counters of the process and its open calls. Gives sums and gauges, read when points are collected.
//! Never counts anything itself: the log's summary and the metrics read the same numbers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::clock;
use crate::counters::{Counters, LEVELS, PARTS, SUMS};
use crate::record::names;

/// Registers the sums and the gauges. The meter's provider keeps them alive.
pub(super) fn observe(meter: &Meter, counters: &Arc<Counters>, tenant: Option<Arc<str>>) {
    let tenant = tenant.map(|tenant| KeyValue::new(names::TENANT_ID, tenant));
    for sum in SUMS {
        let (counters, tenant) = (Arc::clone(counters), tenant.clone());
        let _registered = meter
            .u64_observable_counter(sum.metric.name)
            .with_unit(sum.metric.unit)
            .with_description(sum.metric.description)
            .with_callback(move |out| {
                let labels = labels(&counters, tenant.as_ref(), None);
                out.observe(Counters::get((sum.field)(&counters)), &labels);
            })
            .build();
    }
    for parts in PARTS {
        let (counters, tenant) = (Arc::clone(counters), tenant.clone());
        let _registered = meter
            .u64_observable_counter(parts.metric.name)
            .with_unit(parts.metric.unit)
            .with_description(parts.metric.description)
            .with_callback(move |out| {
                for (word, value) in (parts.values)(&counters) {
                    let word = parts.metric.label.map(|label| KeyValue::new(label, word));
                    let labels = labels(&counters, tenant.as_ref(), word);
                    out.observe(value, &labels);
                }
            })
            .build();
    }
    for level in LEVELS {
        let (counters, tenant) = (Arc::clone(counters), tenant.clone());
        let _registered = meter
            .u64_observable_gauge(level.metric.name)
            .with_unit(level.metric.unit)
            .with_description(level.metric.description)
            .with_callback(move |out| {
                let labels = labels(&counters, tenant.as_ref(), None);
                out.observe((level.now)(&counters.tables, clock::now()), &labels);
            })
            .build();
    }
}

/// The tenant of all hops, as long as they have had no other.
fn labels(counters: &Counters, tenant: Option<&KeyValue>, word: Option<KeyValue>) -> Vec<KeyValue> {
    let one = !counters.mixed_tenants.load(Ordering::Relaxed);
    let tenant = tenant.filter(|_| one).cloned();
    tenant.into_iter().chain(word).collect()
}
