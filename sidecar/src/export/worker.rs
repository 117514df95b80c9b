//! Takes the queue of records. Gives spans and points to the sink, a few exports at a time.
//! The whole life of the telemetry thread reads top to bottom in `run`.
//! Never holds a call back: it only ever meets the forwarding threads at the queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at};

use crate::clock;
use crate::counters::Counters;
use crate::record::{Record, SessionRecord};
use crate::switches::{Switch, Switches};

use super::alarm::Alarm;
use super::attempt::Attempt;
use super::otlp::Sink;
use super::outbox::{Batch, FlightId, Outbox, Verdict};
use super::points::Points;
use super::queue::{Queue, WAKE_AT};

/// The times the worker keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From the first record of a queueful to its export: a busy proxy wakes us at this rate.
    pub linger: Duration,
    pub metrics_interval: Duration,
    /// The end of an export that the sink did not end itself.
    pub export_timeout: Duration,
}

pub(super) struct Worker<S> {
    queue: Arc<Queue>,
    sink: Arc<S>,
    outbox: Outbox,
    counters: Arc<Counters>,
    /// At least one record came.
    recorded: bool,
    points: Option<Points>,
    alarm: Arc<Alarm>,
    pace: Pace,
    switches: Arc<Switches>,
    calls: Vec<Record>,
    sessions: Vec<SessionRecord>,
    /// When what waits in the queue is to be collected, if anything waits.
    linger: Option<Instant>,
    flights: JoinSet<Verdict>,
    ids: HashMap<Id, FlightId>,
    /// At most one round of metrics at a time.
    round: JoinSet<()>,
}

enum Event {
    Woken,
    LingerOver,
    Landed(Option<Result<(Id, Verdict), JoinError>>),
    MetricsDue,
}

impl<S: Sink> Worker<S> {
    pub(super) fn new(
        queue: Arc<Queue>,
        sink: S,
        counters: Arc<Counters>,
        points: Option<Points>,
        alarm: Alarm,
        pace: Pace,
        switches: Arc<Switches>,
    ) -> Self {
        Self {
            queue,
            sink: Arc::new(sink),
            outbox: Outbox::new(Arc::clone(&counters)),
            counters,
            recorded: false,
            points,
            alarm: Arc::new(alarm),
            pace,
            switches,
            calls: Vec::new(),
            sessions: Vec::new(),
            linger: None,
            flights: JoinSet::new(),
            ids: HashMap::new(),
            round: JoinSet::new(),
        }
    }

    /// Exports until the queue is closed, then what is left until its deadline.
    pub(super) async fn run(mut self) {
        let first = clock::instant() + self.pace.metrics_interval;
        let mut metrics = interval_at(first.into(), self.pace.metrics_interval);
        metrics.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = loop {
            let event = tokio::select! {
                () = self.queue.woken() => Event::Woken,
                () = until(self.linger) => Event::LingerOver,
                landed = self.flights.join_next_with_id(), if !self.flights.is_empty() => Event::Landed(landed),
                _ = metrics.tick() => Event::MetricsDue,
            };
            if let Some(deadline) = self.queue.closed() {
                if let Event::Landed(landed) = event {
                    self.landed(landed);
                }
                break deadline;
            }
            match event {
                Event::Woken if self.queue.len() >= WAKE_AT => self.collect(),
                Event::Woken => {
                    let over = || clock::instant() + self.pace.linger;
                    self.linger.get_or_insert_with(over);
                }
                Event::LingerOver => self.collect(),
                Event::Landed(landed) => self.landed(landed),
                Event::MetricsDue => {
                    self.collect();
                    self.start_round();
                }
            }
            self.launch();
        };
        self.drain(deadline).await;
    }

    /// Sends the last spans, then the last points: they count those spans too.
    async fn drain(&mut self, deadline: Instant) {
        let flush = async {
            self.collect();
            self.launch();
            while let Some(landed) = self.flights.join_next_with_id().await {
                self.landed(Some(landed));
                self.launch();
            }
            self.round.shutdown().await;
            // Nothing passed, so there is nothing to say and nobody has to wait for it.
            if self.recorded || Counters::get(&self.counters.messages) > 0 {
                self.start_round();
            }
            while self.round.join_next().await.is_some() {}
        };
        // What is late is abandoned, and says so in the ledger.
        let _late = timeout_at(deadline.into(), flush).await;
        self.outbox.abandon();
    }

    /// Sorts what waits in the queue by tenant, and measures it.
    fn collect(&mut self) {
        self.linger = None;
        self.queue.take(&mut self.calls, &mut self.sessions);
        self.recorded |= !self.calls.is_empty();
        for record in self.calls.drain(..) {
            if let Some(points) = &mut self.points {
                points.add_call(&record);
            }
            self.outbox.put(record);
        }
        for record in self.sessions.drain(..) {
            if let Some(points) = &mut self.points {
                points.add_session(&record);
            }
        }
    }

    /// Starts as many exports as may run.
    fn launch(&mut self) {
        if !self.switches.is_on(Switch::Telemetry) {
            self.queue.release(self.outbox.discard());
        }
        while let Some(batch) = self.outbox.next_batch() {
            let id = batch.id;
            let flight = self.flight(batch);
            let task = self.flights.spawn(flight);
            self.ids.insert(task.id(), id);
        }
    }

    fn flight(&self, batch: Batch) -> impl Future<Output = Verdict> + Send + 'static {
        let (sink, queue, alarm) = (
            Arc::clone(&self.sink),
            Arc::clone(&self.queue),
            Arc::clone(&self.alarm),
        );
        let limit = self.pace.export_timeout;
        async move {
            let count = batch.calls.iter().map(|call| call.span_count()).sum();
            let attempt = Arc::new(Attempt::default());
            let export = timeout(limit, sink.export_spans(batch.key.resource, batch.calls));
            let warn = |reason: &str| {
                alarm.failing(clock::instant(), reason, queue.held().records);
            };
            match attempt
                .watch(export, || warn("no answer yet, trying again"))
                .await
            {
                Ok(Ok(())) => {
                    alarm.fine();
                    Verdict::Answered {
                        spans: count,
                        rejected: attempt.rejected_spans(),
                    }
                }
                Ok(Err(reason)) => {
                    warn(&reason);
                    Verdict::Failed(reason)
                }
                Err(_elapsed) => {
                    let reason = format!("no answer in {} s", limit.as_secs());
                    warn(&reason);
                    Verdict::Failed(reason)
                }
            }
        }
    }

    fn landed(&mut self, landed: Option<Result<(Id, Verdict), JoinError>>) {
        let (task, verdict) = match landed {
            Some(Ok(done)) => done,
            // An exporter that panics must not take the books down with it.
            Some(Err(error)) => (error.id(), Verdict::Failed(error.to_string())),
            None => return,
        };
        if let Some(id) = self.ids.remove(&task) {
            let gone = self.outbox.settle(id, &verdict);
            self.queue.release(gone);
        }
    }

    /// Sends the points of every tenant, one export each, unless the last round still runs.
    fn start_round(&mut self) {
        while self.round.try_join_next().is_some() {}
        let Some(points) = &self.points else { return };
        if !self.switches.is_on(Switch::Telemetry) {
            return;
        }
        if !self.round.is_empty() {
            return;
        }
        let (readers, sink) = (points.readers(), Arc::clone(&self.sink));
        let limit = self.pace.export_timeout;
        self.round.spawn(async move {
            for reader in readers {
                let Some(points) = reader.collect() else {
                    continue;
                };
                // The sums are cumulative, so the next round carries what this one could not.
                match timeout(limit, sink.export_points(&points)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(reason)) => return tracing::debug!(reason, "metrics not sent"),
                    Err(_elapsed) => return tracing::debug!("metrics not sent in time"),
                }
            }
        });
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
