use super::*;
use crate::counters::Counters;
use crate::tap::bridge::caller::Caller;
use crate::tap::bridge::child::{Child, Ending};
use crate::tap::bridge::{Bridge, Rules};

pub(in crate::tap::bridge::modern) fn a_child() -> (Arc<Bridge>, Arc<Shared>) {
    let bridge = Bridge::start(Rules::of_any(), Arc::new(Counters::default()));
    let caller = Caller::default();
    let shared = Shared::new(
        &bridge,
        &bridge.rules(),
        Child::unstarted(Ending::default()),
        caller,
    );
    (bridge, Arc::new(shared))
}

#[tokio::test]
async fn a_child_that_was_chosen_is_not_idle_and_one_that_ends_is_not_chosen() {
    let (_bridge, shared) = a_child();
    let long = Duration::from_secs(3600);
    let later = clock::instant() + 2 * long;
    let in_use = shared.hold().expect("it runs");
    shared.end_if_idle(later, long);
    let too = shared.hold().expect("it was chosen before it was idle");
    drop(in_use);
    shared.end_if_idle(later, long);
    drop(too);
    shared.end_if_idle(clock::instant(), long);
    assert!(shared.hold().is_some(), "it was used just now");
    shared.end_if_idle(later, long);
    assert!(shared.hold().is_none());
}

#[tokio::test]
async fn an_outdated_child_ends_behind_its_last_request() {
    let (_bridge, shared) = a_child();
    let first = shared.hold().expect("it runs");
    shared.retire();
    let second = shared.hold().expect("it runs while somebody uses it");
    drop(first);
    assert!(!shared.lock().asked);
    drop(second);
    assert!(shared.lock().asked);
    assert!(shared.hold().is_none());
    let (_bridge, unused) = a_child();
    unused.retire();
    assert!(unused.hold().is_none(), "nobody used it");
}

#[tokio::test]
async fn a_child_gives_way_only_when_nobody_has_used_it_for_a_while_and_it_has_no_task() {
    let (_bridge, shared) = a_child();
    let now = clock::instant();
    let later = now + 2 * UNUSED;
    assert!(shared.idle_since(now).is_none() && !shared.give_way(now));
    shared.lock().has_task = true;
    assert!(shared.idle_since(later).is_none() && !shared.give_way(later));
    shared.lock().has_task = false;
    let in_use = shared.hold().expect("it runs");
    assert!(shared.idle_since(later).is_none() && !shared.give_way(later));
    drop(in_use);
    assert!(shared.idle_since(later).is_some() && shared.give_way(later));
    let (_bridge, with_task) = a_child();
    with_task.lock().has_task = true;
    with_task.end_if_idle(later, UNUSED);
    assert!(with_task.hold().is_none(), "only the idle limit ends it");
}
