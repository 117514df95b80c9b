use super::*;
use crate::config::BridgeSettings;
use crate::counters::Counters;
use crate::tap::bridge::caller::Caller;
use crate::tap::bridge::child::Child;
use crate::tap::bridge::{Bridge, Rules};
use crate::wire::Address;

fn a_child() -> (Arc<Bridge>, Arc<Shared>) {
    let settings = BridgeSettings {
        command: vec!["server".into()],
        mcp_path: "/mcp".to_owned(),
        allowed_hosts: Vec::new(),
        allowed_origins: Vec::new(),
        max_sessions: 1,
        max_message_bytes: 1,
        max_held_bytes: 1,
        max_replay_bytes: 1,
    };
    let limits = crate::config::Limits {
        max_open_calls: 1,
        long_call_after: Duration::MAX,
        session_idle: None,
        connect_timeout: Duration::ZERO,
        max_connections: 1,
        bounds: crate::tap::http::Bounds::default(),
    };
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let rules = Rules::new(None, settings, Arc::default(), &limits, &any);
    let bridge = Bridge::start(rules, Arc::new(Counters::default()));
    let caller = Caller::default();
    let shared = Shared::new(&bridge, &bridge.rules(), Child::unstarted(), caller);
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
