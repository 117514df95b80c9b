//! Takes what happens while an export is sent: retries, and spans refused by partial success.
//! Gives both to the export they belong to: they happen while that export's future is polled.
//! Never prints anything and never decides anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn refused_spans_are_booked_on_the_export_that_met_them() {
        let (one, two) = (Arc::new(Attempt::default()), Arc::new(Attempt::default()));
        let meet = |rejected| async move {
            tokio::task::yield_now().await;
            note_rejected(rejected);
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
