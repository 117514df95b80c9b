//! Takes what the OTLP exporter says only as a log event: retries, and spans refused by partial success.
//! Gives both to the export they belong to: the event happens while that export's future is polled.
//! Never prints anything; `log.rs` installs the layer and keeps these events out of the output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The target of the exporter's own events: the name of its crate.
const EXPORTER_TARGET: &str = "opentelemetry-otlp";
const PARTIAL_SUCCESS: &str = ".PartialSuccess";
const RETRYING: &str = "Export.InProgress.Retrying";
const THROTTLED: &str = "Export.InProgress.Throttled";

tokio::task_local! {
    static CURRENT: Arc<Attempt>;
}

/// One export, with all its tries.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    rejected_spans: AtomicU64,
    retries: AtomicU64,
}

impl Attempt {
    pub(super) fn rejected_spans(&self) -> u64 {
        self.rejected_spans.load(Ordering::Relaxed)
    }

    /// Runs an export as this attempt and tells of each retry when it is decided.
    pub(super) async fn watch<F: Future>(
        self: &Arc<Self>,
        export: F,
        mut on_retry: impl FnMut(),
    ) -> F::Output {
        let mut export = std::pin::pin!(CURRENT.scope(Arc::clone(self), export));
        let mut seen = 0;
        std::future::poll_fn(|context| {
            let polled = export.as_mut().poll(context);
            let retries = self.retries.load(Ordering::Relaxed);
            if retries > seen && polled.is_pending() {
                seen = retries;
                on_retry();
            }
            polled
        })
        .await
    }
}

/// Books refused spans on the export that runs now.
pub(super) fn note_rejected(spans: u64) {
    let _outside = CURRENT.try_with(|attempt| {
        attempt.rejected_spans.fetch_add(spans, Ordering::Relaxed);
    });
}

/// Books a retry on the export that runs now.
pub(super) fn note_retry() {
    let _outside = CURRENT.try_with(|attempt| {
        attempt.retries.fetch_add(1, Ordering::Relaxed);
    });
}

/// The layer that listens to the exporter, with the filter that lets it hear nothing else.
pub fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    ExporterEvents.with_filter(Targets::new().with_target(EXPORTER_TARGET, Level::DEBUG))
}

struct ExporterEvents;

impl<S: Subscriber> Layer<S> for ExporterEvents {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let name = event.metadata().name();
        if name.ends_with(PARTIAL_SUCCESS) {
            let mut rejected = RejectedSpans(0);
            event.record(&mut rejected);
            note_rejected(rejected.0);
        } else if name == RETRYING || name == THROTTLED {
            note_retry();
        }
    }
}

struct RejectedSpans(u64);

impl RejectedSpans {
    const FIELD: &'static str = "rejected_spans";
}

impl Visit for RejectedSpans {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == Self::FIELD {
            self.0 += u64::try_from(value).unwrap_or(0);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == Self::FIELD {
            self.0 += value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn partial_success_is_booked_on_the_export_that_met_it() {
        let subscriber = tracing_subscriber::registry().with(layer());
        let _guard = tracing::subscriber::set_default(subscriber);
        let (one, two) = (Arc::new(Attempt::default()), Arc::new(Attempt::default()));
        let meet = |rejected: i64| async move {
            tokio::task::yield_now().await;
            tracing::warn!(
                name: "TonicTracesClient.PartialSuccess",
                target: "opentelemetry-otlp",
                rejected_spans = rejected,
                error_message = "no",
            );
        };
        run(async {
            tokio::join!(one.watch(meet(3), || ()), two.watch(meet(4), || ()));
        });
        assert_eq!((one.rejected_spans(), two.rejected_spans()), (3, 4));
    }

    #[test]
    fn a_retry_is_told_while_the_export_still_runs() {
        let attempt = Arc::new(Attempt::default());
        let mut told = 0;
        run(attempt.watch(
            async {
                for _ in 0..2 {
                    note_retry();
                    tokio::task::yield_now().await;
                }
            },
            || told += 1,
        ));
        assert_eq!(told, 2);
    }
}
