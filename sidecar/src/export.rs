//! Takes records of finished calls and sessions from any thread. Gives OTLP to the collector, one tenant an export.
//! A bounded queue, one thread with a small runtime, retries by the OTLP rules, drops counted by reason.
//! Never blocks a caller: what does not fit is dropped and counted.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;

use crate::clock;
use crate::counters::{Counters, DropReason};
use crate::record::{Record, SessionRecord};
use crate::switches::Switches;

mod alarm;
mod attempt;
mod encode;
mod otlp;
mod outbox;
mod points;
mod queue;
mod resource;
mod sender;
mod settings;
mod worker;

pub use settings::{ExportSettings, Protocol, QueueLimits, Secret, SignalSettings};

use alarm::Alarm;
use otlp::{Otlp, Sink};
use points::Points;
use queue::{Push, Queue};
use resource::Resources;
use worker::{Pace, Worker};

/// From the first waiting record to its export.
const LINGER: Duration = Duration::from_millis(200);
/// The exporter ends by its own time-out; this is for one that does not.
const GRACE: Duration = Duration::from_secs(1);
/// A wait for the end of the thread is made of these.
const STEP: Duration = Duration::from_millis(50);

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("cannot export to {endpoint}: {reason}")]
    Exporter { endpoint: String, reason: String },
    #[error("cannot start the telemetry thread: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the telemetry thread ended while it started")]
    Gone,
}

#[derive(Debug)]
struct Shared {
    /// None when exporting is off.
    queue: Option<Arc<Queue>>,
    counters: Arc<Counters>,
}

/// The handle that the forwarding threads hold.
#[derive(Debug, Clone)]
pub struct Telemetry(Arc<Shared>);

/// The other end: whoever holds it ends the telemetry thread.
#[derive(Debug)]
#[must_use = "the telemetry thread flushes only when it is finished"]
pub struct TelemetryOwner {
    running: Option<Running>,
}

impl Telemetry {
    /// Starts the telemetry thread, unless exporting is off.
    ///
    /// # Errors
    /// When an exporter cannot be built from the settings, or no thread can be started.
    pub fn start(
        settings: ExportSettings,
        counters: Arc<Counters>,
        switches: Arc<Switches>,
    ) -> Result<(Self, TelemetryOwner), ExportError> {
        if !settings.enabled {
            return Ok((
                Self::without_export(counters),
                TelemetryOwner { running: None },
            ));
        }
        let resources = Resources::new(settings.service_name.clone());
        let endpoint = settings.traces.endpoint.clone();
        let with = Plan::new(&settings, switches);
        Self::start_with(with, counters, resources.clone(), move || {
            Otlp::new(&settings, resources).map_err(|error| ExportError::Exporter {
                endpoint,
                reason: error.to_string(),
            })
        })
    }

    /// A handle that lets every record go.
    #[must_use]
    pub fn without_export(counters: Arc<Counters>) -> Self {
        Self(Arc::new(Shared {
            queue: None,
            counters,
        }))
    }

    fn start_with<S: Sink>(
        plan: Plan,
        counters: Arc<Counters>,
        resources: Resources,
        sink: impl FnOnce() -> Result<S, ExportError> + Send + 'static,
    ) -> Result<(Self, TelemetryOwner), ExportError> {
        let queue = Arc::new(Queue::new(plan.queue));
        let (started, ready) = mpsc::sync_channel(1);
        let (alive, ended) = mpsc::sync_channel::<()>(0);
        let (of_thread, counted) = (Arc::clone(&queue), Arc::clone(&counters));
        let thread = std::thread::Builder::new()
            .name("telemetry".into())
            .spawn(move || {
                export_until_closed(plan, of_thread, counted, resources, sink, started);
                drop(alive);
            })?;
        ready.recv().map_err(|_| ExportError::Gone)??;
        let owner = TelemetryOwner {
            running: Some(Running {
                queue: Arc::clone(&queue),
                thread,
                ended,
                counters: Arc::clone(&counters),
            }),
        };
        let shared = Shared {
            queue: Some(queue),
            counters,
        };
        Ok((Self(Arc::new(shared)), owner))
    }

    /// A handle whose records a test takes back.
    #[cfg(test)]
    pub(crate) fn captured() -> (Self, impl Fn() -> Vec<Record>) {
        let queue = Arc::new(Queue::new(QueueLimits::default()));
        let shared = Shared {
            queue: Some(Arc::clone(&queue)),
            counters: Arc::default(),
        };
        let take = move || {
            let mut calls = Vec::new();
            queue.take(&mut calls, &mut Vec::new());
            calls
        };
        (Self(Arc::new(shared)), take)
    }

    /// Queues the record of a finished call, or drops and counts it. Never blocks.
    pub fn record_call(&self, record: Record) {
        let reason = match self.0.queue.as_ref().map(|queue| queue.push(record)) {
            Some(Push::Kept) => return,
            Some(Push::Full) => DropReason::QueueFull,
            Some(Push::Closed) => DropReason::Shutdown,
            None => DropReason::SwitchedOff,
        };
        self.0.counters.drop_calls(reason, 1);
    }

    /// Queues the record of an ended session. It feeds a histogram only, so a lost one is not counted.
    pub fn record_session(&self, record: SessionRecord) {
        if let Some(queue) = &self.0.queue {
            queue.push_session(record);
        }
    }

    /// Calls that wait for the collector, and about how many bytes they hold.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let held = self.0.queue.as_ref().map(|queue| queue.held());
        held.map_or((0, 0), |held| (held.records, held.bytes))
    }

    /// Whether there is anybody to export to.
    #[must_use]
    pub fn exports(&self) -> bool {
        self.0.queue.is_some()
    }

    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }
}

impl TelemetryOwner {
    /// Exports what is queued for at most `deadline`, counts the rest as dropped, and ends the thread.
    pub fn finish(self, deadline: Duration) {
        let Some(running) = self.running else {
            return;
        };
        running.queue.close(clock::instant() + deadline);
        if !running.ends_within(deadline + GRACE) {
            tracing::error!("the telemetry thread does not end; queued spans are lost");
            let lost = running.queue.held().records as u64;
            running.counters.drop_calls(DropReason::Shutdown, lost);
            return;
        }
        if running.thread.join().is_err() {
            tracing::error!("the telemetry thread panicked; queued spans are lost");
        }
    }
}

#[derive(Debug)]
struct Running {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
    /// Nothing is ever sent: it disconnects when the thread ends.
    ended: mpsc::Receiver<()>,
    counters: Arc<Counters>,
}

impl Running {
    /// The thread says its end by dropping its side. One that is stuck must not keep the process; one that could not
    /// run because the whole machine stood still must get its time, so the wait is in steps.
    fn ends_within(&self, limit: Duration) -> bool {
        let steps = limit.as_millis().div_ceil(STEP.as_millis());
        (0..steps).any(|_| self.ended.recv_timeout(STEP) == Err(RecvTimeoutError::Disconnected))
    }
}

/// What the telemetry thread needs besides its sink.
struct Plan {
    queue: QueueLimits,
    pace: Pace,
    endpoint: String,
    metrics: bool,
    process_tenant: Option<Arc<str>>,
    switches: Arc<Switches>,
}

impl Plan {
    fn new(settings: &ExportSettings, switches: Arc<Switches>) -> Self {
        Self {
            queue: settings.queue,
            pace: Pace {
                linger: LINGER,
                metrics_interval: settings.metrics_interval,
                export_timeout: settings.traces.timeout.saturating_add(GRACE),
            },
            endpoint: settings.traces.endpoint.clone(),
            metrics: settings.metrics.enabled,
            process_tenant: settings.process_tenant.clone(),
            switches,
        }
    }
}

/// The body of the telemetry thread.
fn export_until_closed<S: Sink>(
    plan: Plan,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    resources: Resources,
    sink: impl FnOnce() -> Result<S, ExportError>,
    started: mpsc::SyncSender<Result<(), ExportError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _starter_gone = started.send(Err(error.into()));
            return;
        }
    };
    let sink = match runtime.block_on(async { sink() }) {
        Ok(sink) => sink,
        Err(error) => {
            let _starter_gone = started.send(Err(error));
            return;
        }
    };
    let points = plan.metrics.then(|| {
        let temporality = sink.temporality();
        Points::new(resources, temporality, &counters, plan.process_tenant)
    });
    let alarm = Alarm::new(&plan.endpoint);
    let worker = Worker::new(
        queue,
        sink,
        counters,
        points,
        alarm,
        plan.pace,
        plan.switches,
    );
    let _starter_gone = started.send(Ok(()));
    runtime.block_on(worker.run());
    // A look-up of the collector's name may hang in a thread of its own: do not wait for it.
    runtime.shutdown_background();
}

#[cfg(test)]
mod tests;
