//! Takes a configuration file that changes. Gives hops that follow it, and streams that do not notice.
//! Never half a reload: a file that is wrong changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use tests::fleet::{Fleet, RELOADED};
use tests::http_client::HttpClient;
use tests::process::{PATIENCE, eventually};

use super::{
    PROGRESS, Upstream, begin_stream, call_once, hop, next_event, receiver, result, span_of, top,
};

#[test]
fn an_open_stream_goes_on_and_the_next_exchange_follows_the_new_settings() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let head = top(&receiver, "");
    let config = |tenant: &str| {
        let more = format!("tenant = \"{tenant}\"\nresource_attributes = \"of={tenant}\"");
        head.clone() + &hop("one", &upstream, &more) + &hop("two", &upstream, "")
    };
    let fleet = Fleet::start(&config("old"));
    let mut streaming = fleet.connect("one");
    begin_stream(&mut streaming, 1);
    let mut stream = upstream.stream();
    let mut kept = fleet.connect("one");
    call_once(&mut kept, 2);
    let reloaded = fleet.reload(&config("new"));
    assert_eq!(reloaded["message"], RELOADED);
    assert_eq!(reloaded["changed"], "[\"one\"]", "{reloaded}");
    assert_eq!(reloaded["unchanged"], 1);
    call_once(&mut kept, 3);
    call_once(&mut fleet.connect("one"), 4);
    stream.event(PROGRESS);
    assert!(next_event(&mut streaming).contains("progress"));
    stream.event(&result(1));
    stream.end();
    assert!(next_event(&mut streaming).contains("result"));
    assert!(streaming.next_chunk().expect("its end").is_none());
    let (summary, log) = fleet.stop();
    assert_eq!(summary.count("calls_exported"), 4);
    log.assert_none_at("ERROR");
    let spans = receiver.wait_for_calls(4);
    for (id, tenant) in [(1, "old"), (2, "old"), (3, "new"), (4, "new")] {
        let span = span_of(&spans, id);
        assert_eq!(span.text("tenant.id"), tenant, "call {id}");
        assert_eq!(span.text("toolspan.outcome"), "ok", "call {id}");
        assert_eq!(span.resource["of"], tenant, "call {id}");
    }
}

#[test]
fn a_new_hop_serves_and_a_removed_one_drains() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let head = top(&receiver, "drain_seconds = 600");
    let [one, two] = ["one", "two"].map(|name| hop(name, &upstream, ""));
    let fleet = Fleet::start(&(head.clone() + &one));
    let gone = fleet.hop("one");
    let mut streaming = fleet.connect("one");
    begin_stream(&mut streaming, 1);
    let mut stream = upstream.stream();
    let reloaded = fleet.reload(&(head + &two));
    assert_eq!(reloaded["added"], "[\"two\"]", "{reloaded}");
    assert_eq!(reloaded["removed"], "[\"one\"]", "{reloaded}");
    call_once(&mut fleet.connect("two"), 2);
    eventually("the removed hop to refuse", PATIENCE, || {
        HttpClient::connect(gone).is_err().then_some(())
    });
    assert_eq!(fleet.metric("toolspan_calls_open{hop=\"one\"}"), 1.0);
    stream.event(&result(1));
    stream.end();
    assert!(next_event(&mut streaming).contains("result"));
    eventually("the removed hop to be gone", PATIENCE, || {
        let page = fleet.ask("GET", "/metrics").text();
        (!page.contains("hop=\"one\"")).then_some(())
    });
    let (summary, log) = fleet.stop();
    assert_eq!(summary.count("calls_exported"), 2);
    log.assert_none_at("WARN");
    let spans = receiver.wait_for_calls(2);
    assert_eq!(span_of(&spans, 1).text("toolspan.outcome"), "ok");
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_one_line() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let head = top(&receiver, "");
    let good = head.clone() + &hop("one", &upstream, "tenant = \"acme\"");
    let fleet = Fleet::start(&good);
    let taken =
        hop("two", &upstream, "").replace("127.0.0.1:0", &upstream.url()["http://".len()..]);
    for (wrong, names) in [
        (
            good.replace("tenant", "tennant"),
            "the nearest known one is `tenant`",
        ),
        (good.replace("acme", "other") + &taken, "cannot listen on"),
        (String::new(), "nothing to listen on"),
        ("[[hop]".to_owned(), "line 1"),
    ] {
        let line = fleet.reload(&wrong);
        let error = line["error"].as_str().unwrap_or_default();
        assert!(error.contains(names), "{error}");
    }
    call_once(&mut fleet.connect("one"), 1);
    assert_eq!(
        fleet.metric("toolspan_reloads_total{result=\"failed\"}"),
        4.0
    );
    assert_eq!(fleet.reload(&good)["unchanged"], 1);
    assert_eq!(fleet.metric("toolspan_reloads_total{result=\"ok\"}"), 1.0);
    let (_, log) = fleet.stop();
    let errors = log.text().matches("\"level\":\"ERROR\"").count();
    assert_eq!(errors, 4, "one line for each: {}", log.text());
    let spans = receiver.wait_for_calls(1);
    assert_eq!(span_of(&spans, 1).text("tenant.id"), "acme");
}

#[test]
fn a_reload_that_fails_leaves_no_port_file() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let folder = tempfile::tempdir().expect("a scratch folder");
    let with_file = |name: &str, file: &str| {
        let file = folder.path().join(file);
        hop(name, &upstream, &format!("port_file = {file:?}"))
    };
    let good = top(&receiver, "") + &hop("one", &upstream, "");
    let fleet = Fleet::start(&good);
    let renewed = top(&receiver, "") + &with_file("one", "no/folder/one");
    let reloaded = fleet.reload(&(renewed + &with_file("two", "two")));
    let error = reloaded["error"].as_str().unwrap_or_default();
    assert!(error.contains("no/folder/one"), "{error}");
    let left = std::fs::read_dir(folder.path()).expect("the scratch folder");
    assert_eq!(
        left.count(),
        0,
        "nobody may be told of a hop that does not serve"
    );
    let moved = top(&receiver, "") + &with_file("one", "one") + &with_file("two", "two");
    assert_eq!(fleet.reload(&moved)["added"], "[\"two\"]");
    for name in ["one", "two"] {
        let told = std::fs::read_to_string(folder.path().join(name)).expect("a port file");
        assert_eq!(told.trim_end(), fleet.hop(name).to_string());
    }
    let _in_order = fleet.stop();
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_takes_effect() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let config = |more: &str, tenant: &str| {
        let tenant = format!("tenant_from = \"header:{tenant}\"");
        top(&receiver, more) + &hop("one", &upstream, &tenant)
    };
    let fleet = Fleet::start(&config("", "x-old"));
    let reloaded = fleet.reload(&config("queue_records = 7\nlog_level = \"warn\"", "x-new"));
    assert_eq!(reloaded["changed"], "[\"one\"]");
    let waits = fleet
        .log
        .wait_for("changed settings that take effect at the next start");
    let waits = waits["settings"].as_str().expect("their names");
    assert_eq!(waits, "[\"queue_records and queue_bytes\"]");
    let mut client = fleet.connect("one");
    let headers = [("x-new", "acme")];
    let body = super::call(1);
    client
        .post("/mcp", &headers, body.as_bytes())
        .expect("an answer");
    let (_, log) = fleet.stop();
    log.assert_none_at("ERROR");
    let spans = receiver.wait_for_calls(1);
    assert_eq!(span_of(&spans, 1).text("tenant.id"), "acme");
}

#[test]
fn a_rotated_log_goes_on_in_a_new_file() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let config = top(&receiver, "") + &hop("one", &upstream, "");
    let fleet = Fleet::start(&config);
    let admin = fleet.admin();
    let old = fleet.log.rotate();
    fleet.signal(Signal::HUP);
    let _ = fleet.log.wait_for(RELOADED);
    let mut client = HttpClient::connect(admin).expect("it listens");
    let probe = client.send("GET", "/readyz", &[], b"").expect("an answer");
    assert_eq!(probe.status, 200);
    let old = std::fs::read_to_string(old).expect("the old log");
    assert!(
        old.contains("admin listening") && !old.contains(RELOADED),
        "{old}"
    );
    let _in_order = fleet.stop();
}

#[test]
fn clients_that_call_all_the_time_do_not_notice_reloads() {
    let (receiver, upstreams) = (receiver(), [Upstream::start(), Upstream::start()]);
    let config = |round: usize| {
        let tenant = format!("tenant = \"t{}\"", round % 3);
        top(&receiver, "") + &hop("one", &upstreams[round % 2], &tenant)
    };
    let fleet = Fleet::start(&config(0));
    let address = fleet.hop("one");
    let stop = Arc::new(AtomicBool::new(false));
    let callers = [true, false].map(|keeps| {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let connect = || HttpClient::connect(address).expect("the hop listens");
            let (mut client, mut made) = (connect(), 0);
            while !stop.load(Ordering::SeqCst) {
                if !keeps {
                    client = connect();
                }
                call_once(&mut client, made);
                made += 1;
            }
            made
        })
    });
    for round in 1..=12 {
        assert_eq!(fleet.reload(&config(round))["changed"], "[\"one\"]");
    }
    stop.store(true, Ordering::SeqCst);
    let made: u64 = callers
        .into_iter()
        .map(|caller| caller.join().expect("no call failed"))
        .sum();
    let (summary, log) = fleet.stop();
    assert_eq!(summary.count("calls_exported"), made);
    log.assert_none_at("WARN");
    let asked = upstreams.iter().map(|upstream| upstream.requests().len());
    assert_eq!(asked.sum::<usize>() as u64, made, "each call once");
    let spans = receiver.received().spans();
    for tenant in ["t0", "t1", "t2"] {
        let found = spans.iter().any(|span| span.text("tenant.id") == tenant);
        assert!(found, "calls went on under {tenant}");
    }
}

#[test]
fn a_hop_that_gets_another_name_keeps_its_listener_and_its_connections() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    // The upstream's port is this test's own, on the next address of loopback too.
    let listen = upstream.url().replace("http://127.0.0.1", "127.0.0.2");
    let config =
        |name: &str| top(&receiver, "") + &hop(name, &upstream, "").replace("127.0.0.1:0", &listen);
    let fleet = Fleet::start(&config("one"));
    let mut kept = fleet.connect("one");
    call_once(&mut kept, 1);
    let reloaded = fleet.reload(&config("two"));
    assert_eq!(reloaded["changed"], "[\"two\"]", "{reloaded}");
    assert_eq!(
        (&reloaded["added"], &reloaded["removed"]),
        (&"[]".into(), &"[]".into())
    );
    call_once(&mut kept, 2);
    assert_eq!(fleet.metric("toolspan_open_connections{hop=\"two\"}"), 1.0);
    let (summary, _) = fleet.stop();
    assert_eq!(summary.count("calls_exported"), 2);
}
