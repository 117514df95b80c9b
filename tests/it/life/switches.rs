//! Takes an operator who switches while clients call. Gives that no call fails and that every one is accounted for.
//! Never loses the count: seen = recorded + dropped holds over every flip.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use tests::fleet::Fleet;
use tests::process::{PATIENCE, eventually};

use super::{
    Upstream, begin_stream, call, call_once, hop, next_event, receiver, result, span_of, top,
};

fn set(fleet: &Fleet, what: &str) -> Value {
    let answer = fleet.ask("POST", what);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn switches_flip_while_a_client_calls_and_no_call_fails() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let fleet = Fleet::start(&(top(&receiver, "") + &hop("one", &upstream, "")));
    let (stop, made) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let caller = {
        let mut client = fleet.connect("one");
        let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                call_once(&mut client, made.load(Ordering::SeqCst));
                made.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let some_calls = || {
        let before = made.load(Ordering::SeqCst);
        eventually("more calls", PATIENCE, || {
            (made.load(Ordering::SeqCst) >= before + 20).then_some(())
        });
    };
    for what in [
        "/injection?off",
        "/telemetry?off",
        "/injection?on",
        "/telemetry?on",
        "/telemetry?off&hop=one",
        "/injection?off&hop=one",
        "/telemetry?on&hop=one",
        "/injection?on&hop=one",
    ] {
        some_calls();
        set(&fleet, what);
    }
    some_calls();
    stop.store(true, Ordering::SeqCst);
    caller.join().expect("no call failed");
    let (summary, log) = fleet.stop();
    assert_eq!(summary.count("calls_seen"), made.load(Ordering::SeqCst));
    for count in [
        "dropped_switched_off",
        "not_injected_switched_off",
        "calls_exported",
    ] {
        assert!(summary.count(count) >= 20, "{count}");
    }
    assert_eq!(summary.dropped(), summary.count("dropped_switched_off"));
    let spans = receiver.received().spans();
    let calls = spans.iter().filter(|span| span.is_call()).count();
    assert_eq!(calls as u64, summary.count("calls_exported"));
    log.assert_none_at("WARN");
}

#[test]
fn without_injection_a_request_passes_byte_for_byte_and_is_recorded_all_the_same() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let config =
        top(&receiver, "") + &hop("one", &upstream, "") + &hop("two", &upstream, "inject = false");
    let fleet = Fleet::start(&config);
    let (mut one, mut two) = (fleet.connect("one"), fleet.connect("two"));
    call_once(&mut one, 1);
    call_once(&mut two, 2);
    let state = set(&fleet, "/injection?off&hop=one");
    assert_eq!(
        state,
        json!({"process": "on", "hops": {"one": "off", "two": "off"}})
    );
    call_once(&mut one, 3);
    set(&fleet, "/injection?on&hop=two");
    call_once(&mut two, 4);
    let passed = upstream.requests();
    for (index, injected) in [true, false, false, true].into_iter().enumerate() {
        let (head, body) = &passed[index];
        let sent = call(index as u64 + 1);
        assert_eq!(*body == sent, !injected, "{body}");
        assert_eq!(head.header("traceparent").is_some(), injected);
    }
    let (summary, _) = fleet.stop();
    assert_eq!(summary.count("not_injected_switched_off"), 2);
    let spans = receiver.wait_for_calls(4);
    for (id, reason) in [(1, ""), (2, "switched_off"), (3, "switched_off"), (4, "")] {
        let span = span_of(&spans, id);
        assert_eq!(span.text("toolspan.not_injected"), reason, "call {id}");
    }
}

#[test]
fn open_calls_and_sessions_are_shown_without_their_secrets() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let config = top(&receiver, "tenant = \"acme\"") + &hop("one", &upstream, "");
    let fleet = Fleet::start(&config);
    let list = |path: &str| -> Value {
        serde_json::from_slice(&fleet.ask("GET", path).body).expect("JSON")
    };
    assert_eq!(list("/calls"), json!({"total": 0, "newest": []}));
    let mut client = fleet.connect("one");
    begin_stream(&mut client, 7);
    let mut stream = upstream.stream();
    let mut calls = list("/calls");
    let age = calls["newest"][0]["age_seconds"].take();
    assert!(age.as_f64().expect("a number") > 0.0);
    assert_eq!(
        calls,
        json!({"total": 1, "newest": [{
            "hop": "one", "method": "tools/call", "name": "t", "id": "7", "direction": "to_server",
            "tenant": "acme", "age_seconds": null,
        }]})
    );
    assert_eq!(fleet.metric("toolspan_calls_open{hop=\"one\"}"), 1.0);
    assert_eq!(fleet.metric("toolspan_open_connections{hop=\"one\"}"), 1.0);
    assert_eq!(list("/sessions"), json!({"total": 0, "newest": []}));
    stream.event(&result(7));
    assert!(next_event(&mut client).contains("result"));
    assert_eq!(list("/calls")["total"], 0);
    stream.end();
    assert!(client.next_chunk().expect("its end").is_none());
    let _in_order = fleet.stop();
}

#[test]
fn three_hops_have_each_their_own_names_tenants_and_trace_settings() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let config = top(
        &receiver,
        "service_name = \"shop\"\nresource_attributes = \"zone=a\"",
    ) + &hop("one", &upstream, "tenant = \"acme\"")
        + &hop(
            "two",
            &upstream,
            "tenant_from = \"header:x-tenant\"\nservice_name = \"billing\"\nspan_pair = true",
        )
        + &hop(
            "three",
            &upstream,
            "tenant = \"acme\"\nside = \"client\"\nresource_attributes = \"zone=b,k8s.pod.name=p\"",
        );
    let fleet = Fleet::start(&config);
    call_once(&mut fleet.connect("one"), 1);
    let headers = [("x-tenant", "globex")];
    let two = fleet
        .connect("two")
        .post("/mcp", &headers, call(2).as_bytes());
    assert_eq!(two.expect("an answer").status, 200);
    call_once(&mut fleet.connect("three"), 3);
    let (summary, _) = fleet.stop();
    assert_eq!(summary.count("calls_exported"), 3);
    let received = receiver.received();
    for export in &received.traces {
        assert_eq!(export.resource_spans.len(), 1, "one resource an export");
    }
    let spans = received.spans();
    assert_eq!(
        spans.len(),
        4,
        "two spans of the pair, one of each other call"
    );
    for (id, tenant, kind, service, zone, pod) in [
        (1, "acme", 2, "shop", "a", None),
        (2, "globex", 2, "billing", "a", None),
        (3, "acme", 3, "shop", "b", Some("p")),
    ] {
        let span = span_of(&spans, id);
        assert_eq!(span.text("tenant.id"), tenant, "call {id}");
        assert_eq!(span.kind, kind, "call {id}");
        assert_eq!(span.resource["service.name"], service, "call {id}");
        assert_eq!(span.resource["zone"], zone, "call {id}");
        let found = span.resource.get("k8s.pod.name").and_then(Value::as_str);
        assert_eq!(found, pod, "call {id}");
    }
    let instances: std::collections::BTreeSet<_> = spans
        .iter()
        .map(|span| span.resource["service.instance.id"].to_string())
        .collect();
    assert_eq!(instances.len(), 1, "one process");
}
