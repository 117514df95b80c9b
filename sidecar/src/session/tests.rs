use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::counters::LEVELS;
use crate::record::{CallContext, ParentSource, Record, Side};
use crate::tenant::TenantRule;

mod order;

const HERE: (Scope, Direction) = (Scope::Exchange(0), Direction::ToServer);

fn at(base: Instant, millis: u64) -> Moment {
    Moment {
        wall: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
        monotonic: base + Duration::from_millis(millis),
    }
}

fn hop(max_open: usize) -> (Hop, impl Fn() -> Vec<Record>) {
    let (telemetry, records) = Telemetry::captured();
    let info = HopInfo {
        resource: Arc::default(),
        side: Side::Server,
        span_pair: false,
        network_transport: "pipe",
        network_protocol_name: None,
        network_protocol_version: None,
        server_address: None,
        server_port: None,
    };
    let rule = Arc::new(TenantRule::fixed("acme").into());
    let switches = Arc::default();
    let hop = Hop::new(info, rule, 4096, max_open, telemetry, switches);
    (hop, records)
}

fn scan(text: &str) -> Scanner {
    let mut scanner = Scanner::new();
    scanner.feed(text.as_bytes()).unwrap();
    scanner.finish().unwrap();
    scanner
}

fn open(hop: &Hop, text: &str, now: Moment) -> Option<Opened> {
    let scanner = scan(text);
    let arrival = Arrival {
        size: text.len(),
        ..Arrival::default()
    };
    hop.open(&scanner.messages().next().unwrap(), HERE, &arrival, now)
}

fn answer(hop: &Hop, text: &str, now: Moment) -> bool {
    let scanner = scan(text);
    let message = scanner.messages().next().unwrap();
    let key = message.id().map(|id| Key {
        scope: HERE.0,
        direction: HERE.1,
        id,
    });
    hop.answer(&message, key.as_ref(), now).is_some()
}

fn cancel(hop: &Hop, direction: Direction, now: Moment) {
    let scanner = scan(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#);
    hop.cancel(
        &scanner.messages().next().unwrap(),
        (HERE.0, direction),
        now,
    );
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;

#[test]
fn an_answer_says_how_the_call_ended() {
    for (text, outcome) in [
        (r#"{"id":1,"result":{}}"#, Outcome::Ok),
        (r#"{"id":1,"result":{"isError":false}}"#, Outcome::Ok),
        (r#"{"id":1,"result":{"isError":true}}"#, Outcome::ToolError),
        (
            r#"{"id":1,"result":{"resultType":"complete"}}"#,
            Outcome::Ok,
        ),
        (
            r#"{"id":1,"result":{"resultType":"input_required"}}"#,
            Outcome::InputRequired,
        ),
        (
            r#"{"id":1,"result":{"resultType":"task"}}"#,
            Outcome::TaskCreated,
        ),
        (
            r#"{"id":1,"result":{"task":{"taskId":"t"}}}"#,
            Outcome::TaskCreated,
        ),
        (
            r#"{"id":1,"error":{"code":-32602,"message":"m"}}"#,
            Outcome::RpcError(-32602),
        ),
        (
            r#"{"id":1,"error":{"code":-32001,"message":"Request timed out"}}"#,
            Outcome::TimedOut(Some(-32001)),
        ),
        (
            r#"{"id":1,"error":{"message":"no code"}}"#,
            Outcome::Malformed,
        ),
        (r#"{"id":1,"result":{},"error":null}"#, Outcome::Ok),
    ] {
        let (hop, records) = hop(10);
        let base = Instant::now();
        open(&hop, CALL, at(base, 0));
        assert!(answer(&hop, text, at(base, 25)));
        let records = records();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].outcome, outcome, "{text}");
        assert_eq!(records[0].duration, Duration::from_millis(25));
        assert_eq!(records[0].response_bytes, text.len() as u64);
        assert_eq!(records[0].request_bytes, CALL.len() as u64);
        assert_eq!(records[0].target, Some(Target::Tool("echo".into())));
    }
}

#[test]
fn a_status_says_what_an_error_of_many_meanings_means() {
    const UNKNOWN_SESSION: &str =
        r#"{"id":1,"error":{"code":-32001,"message":"Session not found"}}"#;
    const BROKEN: &str = r#"{"id":1,"error":{"code":-32603,"message":"m"}}"#;
    for (status, text, outcome) in [
        (200, UNKNOWN_SESSION, Outcome::TimedOut(Some(-32001))),
        (400, UNKNOWN_SESSION, Outcome::RpcError(-32001)),
        (404, UNKNOWN_SESSION, Outcome::RpcError(-32001)),
        (503, UNKNOWN_SESSION, Outcome::TimedOut(Some(-32001))),
        (504, BROKEN, Outcome::TimedOut(Some(-32603))),
        (500, BROKEN, Outcome::RpcError(-32603)),
        (504, r#"{"id":1,"result":{}}"#, Outcome::Ok),
    ] {
        let (hop, records) = hop(10);
        let now = at(Instant::now(), 0);
        let key = open(&hop, CALL, now).unwrap().key;
        let scanner = scan(text);
        let message = scanner.messages().next().unwrap();
        hop.answer_under(Some(status), &message, Some(&key), now)
            .unwrap();
        assert_eq!(records()[0].outcome, outcome, "{status} {text}");
    }
}

#[test]
fn a_cancel_is_a_time_out_where_its_reason_says_so() {
    let timed_out = Outcome::TimedOut(None);
    for (reason, outcome) in [
        (
            r#""McpError: MCP error -32001: Request timed out""#,
            timed_out,
        ),
        (r#""SdkError: Request timed out""#, timed_out),
        (
            r#""McpError: MCP error -32001: Maximum total timeout exceeded""#,
            timed_out,
        ),
        (r#""timed out after 0.3s""#, timed_out),
        (r#""request timeout""#, timed_out),
        (r#""context deadline exceeded""#, timed_out),
        (r#""TimeoutError: The operation was aborted""#, timed_out),
        (r#""context canceled""#, Outcome::CancelledByClient),
        (
            r#""User requested cancellation""#,
            Outcome::CancelledByClient,
        ),
        (r#""""#, Outcome::CancelledByClient),
        ("null", Outcome::CancelledByClient),
        (r#"{"timed out":true}"#, Outcome::CancelledByClient),
    ] {
        let (hop, records) = hop(10);
        let now = at(Instant::now(), 0);
        open(&hop, CALL, now);
        let scanner = scan(&format!(
            r#"{{"method":"notifications/cancelled","params":{{"requestId":1,"reason":{reason}}}}}"#
        ));
        hop.cancel(&scanner.messages().next().unwrap(), HERE, now);
        assert_eq!(records()[0].outcome, outcome, "{reason}");
    }
}

#[test]
fn every_other_end_has_its_word() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    open(&hop, CALL, at(base, 0));
    cancel(&hop, Direction::ToServer, at(base, 1));
    cancel(&hop, Direction::ToClient, at(base, 1));
    open(
        &hop,
        r#"{"id":1,"method":"subscriptions/listen"}"#,
        at(base, 2),
    );
    cancel(&hop, Direction::ToClient, at(base, 3));
    open(&hop, CALL, at(base, 4));
    open(&hop, CALL, at(base, 5));
    let key = open(&hop, CALL, at(base, 6)).unwrap().key;
    hop.end_key(&key, Outcome::ClientGone, at(base, 7));
    open(&hop, CALL, at(base, 8));
    hop.end_all(Outcome::Shutdown, at(base, 9));
    let outcomes: Vec<_> = records().into_iter().map(|record| record.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::CancelledByClient,
            Outcome::CancelledByServer,
            Outcome::Evicted,
            Outcome::Evicted,
            Outcome::ClientGone,
            Outcome::Shutdown
        ]
    );
}

#[test]
fn a_typed_id_is_answered_only_by_the_same_type() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    open(&hop, CALL, at(base, 0));
    assert!(!answer(&hop, r#"{"id":"1","result":{}}"#, at(base, 1)));
    assert_eq!(Counters::get(&hop.counters().late_answers), 1);
    assert!(answer(&hop, r#"{"id":1,"result":{}}"#, at(base, 2)));
    assert_eq!(records().len(), 1);
}

#[test]
fn a_full_table_gives_up_the_oldest() {
    let base = Instant::now();
    let (hop, records) = hop(2);
    for id in 0..3 {
        let text = format!(r#"{{"id":{id},"method":"ping"}}"#);
        open(&hop, &text, at(base, id));
    }
    let evicted = records();
    assert_eq!(evicted.len(), 1);
    assert_eq!(&*evicted[0].request_id, "0");
    assert_eq!(evicted[0].outcome, Outcome::Evicted);
}

#[test]
fn each_call_that_is_evicted_is_counted_whoever_says_so() {
    let base = Instant::now();
    let (hop, records) = hop(2);
    for id in 0..3 {
        let text = format!(r#"{{"id":{id},"method":"ping"}}"#);
        open(&hop, &text, at(base, id));
    }
    let key = Key {
        scope: HERE.0,
        direction: HERE.1,
        id: scan(r#"{"id":1}"#).messages().next().unwrap().id().unwrap(),
    };
    hop.end_key(&key, Outcome::Evicted, at(base, 3));
    let text = r#"{"id":1,"method":"ping"}"#;
    let scanner = scan(text);
    let of_session = (Scope::Session(7), Direction::ToServer);
    let message = scanner.messages().next().unwrap();
    hop.open(&message, of_session, &Arrival::default(), at(base, 4));
    hop.end_session(7, Outcome::Evicted, Some("evicted"), at(base, 5));
    let outcomes: Vec<Outcome> = records().iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Outcome::Evicted; 3]);
    assert_eq!(Counters::get(&hop.counters().evicted), 3);
}

#[test]
fn a_message_at_the_limit_is_spliced_and_one_byte_more_is_not() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    let padded = |extra: usize| {
        format!(
            r#"{{"id":1,"method":"ping","params":{{"p":"{}"}}}}"#,
            "x".repeat(extra)
        )
    };
    let opened = open(&hop, &padded(0), at(base, 0)).unwrap();
    let added: usize = opened.edits.iter().map(|edit| edit.with.len()).sum();
    let room = 4096 - padded(0).len() - added;
    assert!(
        !open(&hop, &padded(room), at(base, 1))
            .unwrap()
            .edits
            .is_empty()
    );
    let too_large = open(&hop, &padded(room + 1), at(base, 2)).unwrap();
    assert!(too_large.edits.is_empty() && too_large.injected.is_none());
    assert_eq!(hop.counters().not_injected(NotInjected::TooLarge), 1);
    hop.end_all(Outcome::Shutdown, at(base, 3));
    let untouched = records()
        .into_iter()
        .filter(|r| r.not_injected == Some(NotInjected::TooLarge));
    assert_eq!(untouched.count(), 1);
}

#[test]
fn who_the_peers_are_is_learned_in_both_eras() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    open(
        &hop,
        r#"{"id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","clientInfo":{"name":"c","version":"1"}}}"#,
        at(base, 0),
    );
    answer(
        &hop,
        r#"{"id":1,"result":{"protocolVersion":"2025-06-18","serverInfo":{"name":"s","version":"2"}}}"#,
        at(base, 1),
    );
    open(
        &hop,
        r#"{"id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"d","version":"3"}}}}"#,
        at(base, 2),
    );
    answer(
        &hop,
        r#"{"id":2,"result":{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"t","version":"4"}}}}"#,
        at(base, 3),
    );
    let seen: Vec<_> = records()
        .into_iter()
        .map(|r| {
            (
                r.protocol_version.unwrap(),
                r.client.unwrap().name.clone(),
                r.server.unwrap().name.clone(),
            )
        })
        .collect();
    assert_eq!(seen[0], ("2025-06-18".into(), "c".into(), "s".into()));
    assert_eq!(seen[1], ("2026-07-28".into(), "d".into(), "t".into()));
}

#[test]
fn a_parent_comes_from_the_best_carrier() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    let meta = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    open(
        &hop,
        &format!(r#"{{"id":1,"method":"ping","params":{{"_meta":{{"traceparent":"{meta}"}}}}}}"#),
        at(base, 0),
    );
    open(&hop, CALL, at(base, 1));
    hop.end_all(Outcome::Shutdown, at(base, 2));
    let mut sources: Vec<_> = records()
        .into_iter()
        .map(|r| r.context.parent_source.as_str())
        .collect();
    sources.sort_unstable();
    assert_eq!(
        sources,
        [ParentSource::Meta.as_str(), ParentSource::Root.as_str()]
    );
}

#[test]
fn a_cancel_of_one_side_leaves_the_requests_of_the_other_alone() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    open(&hop, CALL, at(base, 0));
    cancel(&hop, Direction::ToClient, at(base, 1));
    assert!(records().is_empty());
    assert!(answer(&hop, r#"{"id":1,"result":{}}"#, at(base, 2)));
}

#[test]
fn a_call_that_begins_after_the_end_is_recorded_too() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    hop.end_all(Outcome::Shutdown, at(base, 0));
    open(&hop, CALL, at(base, 1));
    let records = records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, Outcome::Shutdown);
}

fn asked_back(hop: &Hop) -> Option<CallContext> {
    let back = (HERE.0, Direction::ToClient);
    let scanner = scan(r#"{"id":1,"method":"elicitation/create","params":{}}"#);
    let arrival = Arrival {
        cause: hop.cause(HERE.0, Direction::ToServer),
        ..Arrival::default()
    };
    let now = at(Instant::now(), 0);
    let opened = hop.open(&scanner.messages().next()?, back, &arrival, now)?;
    Some(opened.injected?.call)
}

#[test]
fn a_request_of_the_server_belongs_to_the_call_that_waits_alone() {
    let (hop, _) = hop(10);
    let now = at(Instant::now(), 0);
    assert_eq!(
        asked_back(&hop).unwrap().parent_source,
        ParentSource::Root,
        "no call waits"
    );
    let first = open(&hop, CALL, now).unwrap().injected.unwrap();
    let back = asked_back(&hop).unwrap();
    assert_eq!(back.parent_source, ParentSource::Call);
    assert_eq!(back.parent, Some(first.outgoing));
    open(&hop, &CALL.replace("\"id\":1", "\"id\":2"), now).unwrap();
    assert_eq!(
        asked_back(&hop).unwrap().parent_source,
        ParentSource::Root,
        "of two nobody can say which one"
    );
}

#[test]
fn the_newest_calls_are_shown_first_and_without_their_arguments() {
    let (hop, _) = hop(10);
    let base = Instant::now();
    for id in 1..=3 {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t{id}","arguments":{{"key":"secret"}}}}}}"#
        );
        open(&hop, &text, at(base, id * 10)).unwrap();
    }
    open(
        &hop,
        r#"{"id":4,"method":"resources/read","params":{"uri":"file:///secret"}}"#,
        at(base, 40),
    )
    .unwrap();
    assert_eq!((hop.open_calls(), hop.open_sessions()), (4, 0));
    let views = hop.newest_calls(3, at(base, 50));
    let shown: Vec<_> = views
        .iter()
        .map(|view| {
            (
                &*view.request_id,
                view.target.as_deref(),
                view.age.as_millis(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("4", None, 10),
            ("3", Some("t3"), 20),
            ("2", Some("t2"), 30)
        ]
    );
    assert!(!format!("{views:?}").contains("secret"));
}

#[test]
fn a_call_is_long_once_it_is_past_the_threshold_and_a_listener_never_is() {
    let (hop, _) = hop(10);
    let base = Instant::now();
    let counters = Arc::clone(hop.telemetry.counters());
    let levels = |millis: u64| LEVELS.map(|level| (level.now)(&counters.tables, at(base, millis)));
    open(&hop, CALL, at(base, 0)).unwrap();
    open(&hop, r#"{"id":2,"method":"ping"}"#, at(base, 50)).unwrap();
    open(
        &hop,
        r#"{"id":3,"method":"subscriptions/listen"}"#,
        at(base, 0),
    )
    .unwrap();
    assert_eq!(levels(1_000_000_000), [3, 0], "nothing is long yet");
    hop.set_long_after(Duration::from_millis(100));
    assert_eq!(levels(100), [3, 0]);
    assert_eq!(levels(101), [3, 1]);
    assert_eq!(levels(151), [3, 2]);
    assert_eq!(hop.long_calls(at(base, 151)), 2);
    let renewed = hop.renewed(
        (*hop.info).clone(),
        Arc::clone(&hop.tenants),
        hop.max_inject_bytes,
        10,
    );
    drop(hop);
    assert_eq!(levels(151), [3, 2], "the table is the same, once");
    assert!(answer(&renewed, r#"{"id":1,"result":{}}"#, at(base, 160)));
    assert_eq!(levels(160), [2, 1]);
    drop(renewed);
    assert_eq!(levels(160), [0, 0]);
}

#[test]
fn under_other_settings_an_answer_finds_its_call_and_the_call_keeps_its_own() {
    let (old, records) = hop(10);
    let base = Instant::now();
    open(&old, CALL, at(base, 0)).unwrap();
    let info = HopInfo {
        side: Side::Client,
        ..(*old.info).clone()
    };
    let new = old.renewed(info, Arc::new(TenantRule::fixed("globex").into()), 4096, 10);
    assert!(answer(&new, r#"{"id":1,"result":{}}"#, at(base, 5)));
    open(&new, CALL, at(base, 6)).unwrap();
    assert!(answer(&old, r#"{"id":1,"result":{}}"#, at(base, 7)));
    let records = records();
    let facts: Vec<_> = records
        .iter()
        .map(|record| (&*record.tenant.name, record.side))
        .collect();
    assert_eq!(facts, [("acme", Side::Server), ("globex", Side::Client)]);
}

#[test]
fn what_is_switched_off_is_counted() {
    let (hop, records) = hop(10);
    let now = at(Instant::now(), 0);
    hop.switches.set(Switch::Injection, false);
    let opened = open(&hop, CALL, now).unwrap();
    assert!(opened.edits.is_empty() && opened.injected.is_none());
    assert_eq!(hop.counters().not_injected(NotInjected::SwitchedOff), 1);
    hop.switches.set(Switch::Telemetry, false);
    assert!(answer(&hop, r#"{"id":1,"result":{}}"#, now));
    assert!(records().is_empty());
    assert_eq!(hop.counters().dropped(DropReason::SwitchedOff), 1);
}

/// Opens a call of a session, in an exchange that leaves it for another stream to answer.
fn park(hop: &Hop, session: u64, id: u64, now: Moment) {
    hop.enter_session(session, now);
    let scanner = scan(&CALL.replace("\"id\":1", &format!("\"id\":{id}")));
    let at = (Scope::Session(session), Direction::ToServer);
    let message = scanner.messages().next().unwrap();
    hop.open(&message, at, &Arrival::default(), now).unwrap();
    hop.leave_session(session, true, now);
}

#[test]
fn a_session_that_nobody_uses_ends_and_its_calls_with_it() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    let limit = Duration::from_millis(100);
    park(&hop, 7, 1, at(base, 0));
    park(&hop, 8, 2, at(base, 0));
    hop.enter_session(8, at(base, 40));
    hop.end_idle_sessions(limit, at(base, 99));
    assert!(records().is_empty(), "not yet");
    hop.end_idle_sessions(limit, at(base, 500));
    let ended = records();
    let ended: Vec<_> = ended.iter().map(|r| (&*r.request_id, r.outcome)).collect();
    assert_eq!(ended, [("1", Outcome::ClientGone)], "8 has a stream open");
    hop.leave_session(8, false, at(base, 600));
    hop.end_idle_sessions(limit, at(base, 650));
    assert!(records().is_empty(), "not yet");
    hop.end_idle_sessions(limit, at(base, 700));
    let [last] = records().try_into().unwrap();
    // It was left at 600; nobody knows more.
    assert_eq!(last.duration, Duration::from_millis(600));
}

#[test]
fn a_stream_of_the_older_transport_is_a_session_of_its_own_until_its_last_one_ends() {
    let base = Instant::now();
    let (hop, records) = hop(10);
    assert_eq!(hop.has_stream(|| panic!("there is none to look up")), None);
    hop.open_stream(7, at(base, 0));
    hop.open_stream(7, at(base, 0));
    assert_eq!(hop.has_stream(|| 7), Some(7));
    assert_eq!(hop.has_stream(|| 8), None);
    park(&hop, 7, 1, at(base, 1));
    hop.close_stream(7, Outcome::ServerGone, None, at(base, 2));
    assert_eq!(hop.has_stream(|| 7), Some(7));
    assert!(records().is_empty());
    hop.close_stream(7, Outcome::ServerGone, None, at(base, 3));
    assert_eq!(records()[0].outcome, Outcome::ServerGone);
    assert_eq!(hop.has_stream(|| panic!("there is none to look up")), None);
}

#[test]
fn sessions_are_bounded_and_those_with_nothing_to_wait_for_are_not_kept() {
    let now = at(Instant::now(), 0);
    let mut sessions = Sessions::new(2);
    for id in 0..100 {
        sessions.enter(id, now);
        sessions.leave(id, false, now);
    }
    assert_eq!(sessions.known(), 0);
    for id in 0..100 {
        sessions.enter(id, now);
        sessions.leave(id, true, now);
        assert!(sessions.known() <= 6);
    }
}
