use std::sync::{Condvar, Mutex};
use std::time::Instant;

use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;

use super::*;
use crate::record::names;
use crate::record::span::tests::{call, hop};
use crate::record::{HopResource, Side, Tenant, TenantSource};

mod collector;

/// How the scripted sink answers an export of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Take,
    Refuse,
    Hang,
    Panic,
    /// Blocks the thread until the test is over.
    Block,
    Reject(u64),
}

#[derive(Default)]
struct Seen {
    exports: Vec<(String, usize)>,
    points: Vec<String>,
}

/// A sink that follows a script, and what it saw.
#[derive(Clone)]
struct Scripted {
    script: fn(&str) -> Answer,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Scripted {
    fn new(script: fn(&str) -> Answer) -> Self {
        Self {
            script,
            seen: Arc::default(),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.0.lock().unwrap());
        self.seen.1.notify_all();
    }

    fn wait_until(&self, done: impl Fn(&Seen) -> bool) {
        let seen = self.seen.0.lock().unwrap();
        let (_seen, wait) = self
            .seen
            .1
            .wait_timeout_while(seen, Duration::from_secs(10), |seen| !done(seen))
            .unwrap();
        assert!(!wait.timed_out(), "the sink did not see it in 10 s");
    }

    fn exports(&self) -> Vec<(String, usize)> {
        self.seen.0.lock().unwrap().exports.clone()
    }
}

impl Sink for Scripted {
    async fn export_spans(
        &self,
        _resource: Arc<HopResource>,
        calls: Vec<Record>,
    ) -> Result<(), String> {
        let tenant = calls[0].tenant.name.to_string();
        for call in &calls {
            assert_eq!(&*call.tenant.name, tenant);
        }
        let spans = calls.iter().flat_map(|call| call.spans()).count();
        let counted: u64 = calls.iter().map(|call| call.span_count()).sum();
        assert_eq!(spans as u64, counted);
        self.note(|seen| seen.exports.push((tenant.clone(), spans)));
        match (self.script)(&tenant) {
            Answer::Take => Ok(()),
            Answer::Refuse => Err("refused".into()),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("scripted"),
            Answer::Block => loop {
                std::thread::park();
            },
            Answer::Reject(spans) => {
                attempt::note_rejected(spans);
                Ok(())
            }
        }
    }

    async fn export_points(&self, points: &ResourceMetrics) -> Result<(), String> {
        let names = points.scope_metrics().flat_map(|scope| scope.metrics());
        let names: Vec<_> = names.map(|metric| metric.name().to_owned()).collect();
        self.note(|seen| seen.points.extend(names));
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn plan() -> Plan {
    Plan {
        queue: QueueLimits::default(),
        pace: Pace {
            linger: Duration::from_millis(5),
            metrics_interval: Duration::from_secs(3600),
            export_timeout: Duration::from_secs(3600),
        },
        endpoint: "http://localhost:4317".into(),
        metrics: true,
        process_tenant: None,
        switches: Arc::default(),
    }
}

fn start(sink: &Scripted, plan: Plan) -> (Telemetry, TelemetryOwner) {
    let sink = sink.clone();
    Telemetry::start_with(plan, Arc::default(), Resources::new(None), move || Ok(sink)).unwrap()
}

fn dropped(telemetry: &Telemetry, reason: DropReason) -> u64 {
    telemetry.counters().dropped(reason)
}

fn exported(telemetry: &Telemetry) -> u64 {
    Counters::get(&telemetry.counters().calls_exported)
}

fn finish(owner: TelemetryOwner) {
    owner.finish(Duration::from_secs(10));
}

#[test]
fn spans_leave_soon_and_one_tenant_an_export() {
    let sink = Scripted::new(|_| Answer::Take);
    let (telemetry, owner) = start(&sink, plan());
    for tenant in ["a", "b", "a", "b", "b"] {
        telemetry.record_call(call(tenant));
    }
    sink.wait_until(|seen| seen.exports.iter().map(|(_, calls)| calls).sum::<usize>() == 5);
    finish(owner);
    assert_eq!(exported(&telemetry), 5);
    let of_a: usize = sink
        .exports()
        .iter()
        .filter(|(tenant, _)| tenant == "a")
        .map(|(_, calls)| calls)
        .sum();
    assert_eq!(of_a, 2);
}

#[test]
fn a_long_linger_does_not_hold_back_a_full_queue() {
    let sink = Scripted::new(|_| Answer::Take);
    let mut slow = plan();
    slow.pace.linger = Duration::from_secs(3600);
    let (telemetry, owner) = start(&sink, slow);
    for _ in 0..queue::WAKE_AT {
        telemetry.record_call(call("a"));
    }
    let most = queue::WAKE_AT;
    sink.wait_until(|seen| seen.exports.iter().map(|(_, calls)| calls).sum::<usize>() >= most);
    finish(owner);
    assert_eq!(exported(&telemetry), queue::WAKE_AT as u64);
}

#[test]
fn finish_flushes_what_waits() {
    let sink = Scripted::new(|_| Answer::Take);
    let mut slow = plan();
    slow.pace.linger = Duration::from_secs(3600);
    let (telemetry, owner) = start(&sink, slow);
    for _ in 0..300 {
        telemetry.record_call(call("a"));
    }
    finish(owner);
    assert_eq!(exported(&telemetry), 300);
    telemetry.record_call(call("a"));
    assert_eq!(dropped(&telemetry, DropReason::Shutdown), 1);
}

#[test]
fn a_collector_that_hangs_ends_at_the_deadline_and_is_counted() {
    let sink = Scripted::new(|_| Answer::Hang);
    let (telemetry, owner) = start(&sink, plan());
    for _ in 0..2000 {
        telemetry.record_call(call("a"));
    }
    sink.wait_until(|seen| !seen.exports.is_empty());
    let before = Instant::now();
    owner.finish(Duration::from_millis(50));
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(exported(&telemetry), 0);
    assert_eq!(dropped(&telemetry, DropReason::Shutdown), 2000);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let sink = Scripted::new(|_| Answer::Hang);
    let mut small = plan();
    small.queue.max_records = 10;
    let (telemetry, owner) = start(&sink, small);
    for _ in 0..25 {
        telemetry.record_call(call("a"));
    }
    assert_eq!(dropped(&telemetry, DropReason::QueueFull), 15);
    owner.finish(Duration::ZERO);
    assert_eq!(dropped(&telemetry, DropReason::Shutdown), 10);
}

#[test]
fn each_way_an_export_ends_is_booked_for_its_own_calls() {
    let sink = Scripted::new(|tenant| match tenant {
        "refused" => Answer::Refuse,
        "panics" => Answer::Panic,
        "partial" => Answer::Reject(2),
        _ => Answer::Take,
    });
    let (telemetry, owner) = start(&sink, plan());
    for tenant in ["refused", "panics", "partial", "fine"] {
        for _ in 0..3 {
            telemetry.record_call(call(tenant));
        }
    }
    finish(owner);
    assert_eq!(dropped(&telemetry, DropReason::ExportFailed), 6);
    // One export of three, or several of fewer: each lost at most two.
    let partial: u64 = sink
        .exports()
        .iter()
        .filter(|(tenant, _)| tenant == "partial")
        .map(|(_, calls)| (*calls as u64).min(2))
        .sum();
    assert_eq!(dropped(&telemetry, DropReason::PartialSuccess), partial);
    assert_eq!(exported(&telemetry), 6 - partial);
}

#[test]
fn a_stuck_tenant_does_not_stop_the_others() {
    let sink = Scripted::new(|tenant| match tenant {
        "stuck" => Answer::Hang,
        _ => Answer::Take,
    });
    let (telemetry, owner) = start(&sink, plan());
    for _ in 0..outbox::MAX_CALLS * 4 {
        telemetry.record_call(call("stuck"));
    }
    sink.wait_until(|seen| !seen.exports.is_empty());
    telemetry.record_call(call("fine"));
    sink.wait_until(|seen| seen.exports.contains(&("fine".into(), 1)));
    owner.finish(Duration::ZERO);
    let shutdown = dropped(&telemetry, DropReason::Shutdown);
    assert_eq!(
        exported(&telemetry) + shutdown,
        outbox::MAX_CALLS as u64 * 4 + 1
    );
}

#[test]
fn an_export_without_an_end_is_given_up() {
    let sink = Scripted::new(|_| Answer::Hang);
    let mut hasty = plan();
    hasty.pace.export_timeout = Duration::from_millis(20);
    let (telemetry, owner) = start(&sink, hasty);
    telemetry.record_call(call("a"));
    finish(owner);
    assert_eq!(dropped(&telemetry, DropReason::ExportFailed), 1);
}

#[test]
fn two_threads_and_a_slow_sink_keep_the_books_straight() {
    let sink = Scripted::new(|_| Answer::Take);
    let mut small = plan();
    small.queue.max_records = 500;
    let (telemetry, owner) = start(&sink, small);
    std::thread::scope(|scope| {
        for tenant in ["a", "b"] {
            let telemetry = telemetry.clone();
            scope.spawn(move || (0..20_000).for_each(|_| telemetry.record_call(call(tenant))));
        }
    });
    finish(owner);
    let full = dropped(&telemetry, DropReason::QueueFull);
    assert_eq!(exported(&telemetry) + full, 40_000);
}

#[test]
fn the_last_round_of_metrics_goes_out_at_the_end() {
    let sink = Scripted::new(|_| Answer::Take);
    let (telemetry, owner) = start(&sink, plan());
    telemetry.record_call(call("a"));
    telemetry.record_session(SessionRecord {
        hop: Arc::new(hop(Side::Server, false)),
        tenant: Tenant {
            name: "a".into(),
            source: TenantSource::Fixed,
        },
        protocol_version: None,
        network_protocol_version: None,
        duration: Duration::from_secs(3),
        error_type: None,
    });
    finish(owner);
    let seen = sink.seen.0.lock().unwrap();
    for name in [
        names::SERVER_OPERATION_DURATION.name,
        names::SERVER_SESSION_DURATION.name,
        names::CALLS_SEEN.name,
        names::CALLS_DROPPED.name,
    ] {
        assert!(seen.points.iter().any(|point| point == name), "{name}");
    }
    let other_side = names::CLIENT_OPERATION_DURATION.name;
    assert!(!seen.points.iter().any(|point| point == other_side));
}

#[test]
fn export_that_is_off_lets_records_go() {
    let telemetry = Telemetry::without_export(Arc::default());
    telemetry.record_call(call("a"));
    let sum: u64 = DropReason::ALL
        .iter()
        .map(|why| dropped(&telemetry, *why))
        .sum();
    assert_eq!((sum, exported(&telemetry)), (1, 0));
    assert_eq!(dropped(&telemetry, DropReason::SwitchedOff), 1);
}

#[test]
fn what_a_thread_that_is_stuck_holds_is_counted_as_lost() {
    let sink = Scripted::new(|_| Answer::Block);
    let (telemetry, owner) = start(&sink, plan());
    telemetry.record_call(call("a"));
    sink.wait_until(|seen| !seen.exports.is_empty());
    telemetry.record_call(call("a"));
    owner.finish(Duration::ZERO);
    assert_eq!(dropped(&telemetry, DropReason::Shutdown), 2);
}
