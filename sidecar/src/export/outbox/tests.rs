use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::super::queue::{Push, Queue, QueueLimits};
use super::*;
use crate::record::span::tests::call;

const LIMITS: QueueLimits = QueueLimits {
    max_records: 600,
    max_bytes: 1024 * 1024,
};

/// One thing that can happen to the queue and its outbox.
#[derive(Debug, Clone)]
enum Step {
    Push { tenant: u8, count: usize },
    Take,
    Depart,
    Land { which: usize, verdict: Landing },
    Close,
}

#[derive(Debug, Clone, Copy)]
enum Landing {
    All,
    Some { pairs: bool, rejected: u64 },
    None,
}

fn step() -> impl Strategy<Value = Step> {
    let landing = prop_oneof![
        Just(Landing::All),
        (any::<bool>(), 0..600_u64).prop_map(|(pairs, rejected)| Landing::Some { pairs, rejected }),
        Just(Landing::None),
    ];
    prop_oneof![
        6 => (0..4_u8, 1..200_usize).prop_map(|(tenant, count)| Step::Push { tenant, count }),
        4 => Just(Step::Take),
        6 => Just(Step::Depart),
        5 => (any::<usize>(), landing).prop_map(|(which, verdict)| Step::Land { which, verdict }),
        1 => Just(Step::Close),
    ]
}

/// The queue, the outbox and what a perfect book-keeper would know about them.
struct World {
    queue: Queue,
    outbox: Outbox,
    counters: Arc<Counters>,
    flights: Vec<(FlightId, u64)>,
    recorded: u64,
    /// The number of the next call of each tenant, as sent and as it left.
    sent: [u64; 4],
    left: [u64; 4],
}

impl World {
    fn new() -> Self {
        let counters = Arc::new(Counters::default());
        Self {
            queue: Queue::new(LIMITS),
            outbox: Outbox::new(Arc::clone(&counters)),
            counters,
            flights: Vec::new(),
            recorded: 0,
            sent: [0; 4],
            left: [0; 4],
        }
    }

    fn push(&mut self, tenant: u8) {
        let index = usize::from(tenant);
        let mut record = call(&format!("tenant-{tenant}"));
        record.request_id = self.sent[index].to_string().into();
        self.recorded += 1;
        match self.queue.push(record) {
            Push::Kept => self.sent[index] += 1,
            Push::Full => self.counters.drop_calls(DropReason::QueueFull, 1),
            Push::Closed => self.counters.drop_calls(DropReason::Shutdown, 1),
        }
    }

    fn take(&mut self) {
        let (mut calls, mut sessions) = (Vec::new(), Vec::new());
        self.queue.take(&mut calls, &mut sessions);
        for record in calls {
            self.outbox.put(record);
        }
    }

    fn depart(&mut self) {
        let Some(batch) = self.outbox.next_batch() else {
            return;
        };
        assert!(batch.calls.len() <= MAX_CALLS && !batch.calls.is_empty());
        let tenant: usize = batch.key.tenant[7..].parse().unwrap();
        for record in &batch.calls {
            assert_eq!(record.tenant.name, batch.key.tenant);
            assert_eq!(*record.request_id, *self.left[tenant].to_string());
            self.left[tenant] += 1;
        }
        self.flights.push((batch.id, batch.calls.len() as u64));
        assert!(self.flights.len() <= MAX_FLIGHTS);
    }

    fn land(&mut self, which: usize, landing: Landing) {
        if self.flights.is_empty() {
            return;
        }
        let (id, calls) = self.flights.swap_remove(which % self.flights.len());
        let verdict = match landing {
            Landing::All => Verdict::Answered {
                spans: calls,
                rejected: 0,
            },
            Landing::Some { pairs, rejected } => Verdict::Answered {
                spans: if pairs { calls * 2 } else { calls },
                rejected,
            },
            Landing::None => Verdict::Failed("no".into()),
        };
        let gone = self.outbox.settle(id, &verdict);
        self.queue.release(gone);
    }

    fn dropped(&self) -> u64 {
        DropReason::ALL
            .iter()
            .map(|reason| self.counters.dropped(*reason))
            .sum()
    }

    fn check(&self) {
        let held = self.queue.held();
        let here = self.queue.len() + self.outbox.pending;
        let waiting = here as u64 + self.outbox.in_flight();
        assert_eq!(held.records as u64, waiting);
        assert!(held.records <= LIMITS.max_records && held.bytes <= LIMITS.max_bytes);
        let exported = Counters::get(&self.counters.calls_exported);
        assert_eq!(self.recorded, exported + self.dropped() + waiting);
    }
}

proptest! {
    #[test]
    fn every_call_is_exported_or_dropped_once(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Push { tenant, count } => (0..count).for_each(|_| world.push(tenant)),
                Step::Take => world.take(),
                Step::Depart => world.depart(),
                Step::Land { which, verdict } => world.land(which, verdict),
                Step::Close => world.queue.close(Instant::now()),
            }
            world.check();
        }
        world.take();
        world.outbox.abandon();
        let exported = Counters::get(&world.counters.calls_exported);
        prop_assert_eq!(world.recorded, exported + world.dropped());
    }
}

#[test]
fn a_stuck_tenant_leaves_room_for_another() {
    let mut outbox = Outbox::new(Arc::default());
    for _ in 0..MAX_CALLS * 10 {
        outbox.put(call("stuck"));
    }
    outbox.put(call("fine"));
    let tenants: Vec<_> = std::iter::from_fn(|| outbox.next_batch())
        .map(|batch| batch.key.tenant)
        .collect();
    assert_eq!(tenants, ["stuck".into(), "fine".into(), "stuck".into()]);
}

#[test]
fn hops_with_a_service_name_of_their_own_export_alone() {
    let mut outbox = Outbox::new(Arc::default());
    outbox.put(call("acme"));
    let mut other = call("acme");
    Arc::make_mut(&mut other.hop).resource = Arc::new(HopResource {
        service_name: Some("billing".into()),
        ..HopResource::default()
    });
    outbox.put(other);
    let services: Vec<_> = std::iter::from_fn(|| outbox.next_batch())
        .map(|batch| batch.key.resource.service_name.clone())
        .collect();
    assert_eq!(services, [None, Some("billing".into())]);
}

#[test]
fn a_record_too_many_is_full_and_a_closed_queue_takes_none() {
    let queue = Queue::new(QueueLimits {
        max_records: 2,
        max_bytes: usize::MAX,
    });
    assert_eq!(queue.push(call("a")), Push::Kept);
    assert_eq!(queue.push(call("a")), Push::Kept);
    assert_eq!(queue.push(call("a")), Push::Full);
    queue.close(Instant::now());
    assert_eq!(queue.push(call("a")), Push::Closed);
    assert!(queue.closed().is_some());
}

#[test]
fn bytes_bound_the_queue_too() {
    let mut large = call("a");
    large.request_id = "9".repeat(1000).into();
    let queue = Queue::new(QueueLimits {
        max_records: usize::MAX,
        max_bytes: weight(&large) * 2,
    });
    assert_eq!(queue.push(large.clone()), Push::Kept);
    assert_eq!(queue.push(large.clone()), Push::Kept);
    assert_eq!(queue.push(large), Push::Full);
}

#[test]
fn rejected_spans_of_pairs_count_each_call_once() {
    assert_eq!(rejected_calls(10, 10, 3), 3);
    assert_eq!(rejected_calls(10, 20, 3), 2);
    assert_eq!(rejected_calls(10, 20, 20), 10);
    assert_eq!(rejected_calls(10, 10, 99), 10);
}

#[test]
fn what_waits_is_discarded_and_what_is_under_way_ends_as_it_ends() {
    let counters = Arc::new(Counters::default());
    let mut outbox = Outbox::new(Arc::clone(&counters));
    for _ in 0..MAX_CALLS + 10 {
        outbox.put(call("acme"));
    }
    let batch = outbox.next_batch().unwrap();
    let held = outbox.discard();
    assert_eq!(held.records, 10);
    assert_eq!(held.bytes, 10 * weight(&call("acme")));
    assert!(outbox.next_batch().is_none());
    outbox.put(call("acme"));
    assert_eq!(outbox.next_batch().unwrap().calls.len(), 1);
    let verdict = Verdict::Answered {
        spans: MAX_CALLS as u64,
        rejected: 0,
    };
    assert_eq!(outbox.settle(batch.id, &verdict).records, MAX_CALLS);
    assert_eq!(counters.dropped(DropReason::SwitchedOff), 10);
    assert_eq!(Counters::get(&counters.calls_exported), MAX_CALLS as u64);
}
