use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;

use super::{Board, Station, route};
use crate::counters::{Counters, Gauge};
use crate::export::Telemetry;
use crate::record::Side;
use crate::record::span::tests::hop;
use crate::session::Hop;
use crate::switches::{Switch, Switches};

const HERE: &str = "127.0.0.1:9";
const ELSEWHERE: &str = "192.0.2.1:9";

fn board() -> Board {
    board_with(Telemetry::captured().0)
}

fn board_with(telemetry: Telemetry) -> Board {
    let board = Board::new(Arc::default(), telemetry.clone(), Arc::default());
    for name in ["one", "two \"2\""] {
        let switches = Arc::new(Switches::below(&board.switches, true));
        let hop = Hop::new(
            hop(Side::Server, false),
            Arc::default(),
            4096,
            10,
            telemetry.clone(),
            Arc::clone(&switches),
        );
        board.add(Arc::new(Station {
            name: name.to_owned(),
            switches,
            connections: Arc::new(Gauge::default()),
            hop: Some(Arc::new(hop)),
        }));
    }
    board
}

/// One request: its line, and headers as `name: value`.
struct Asked<'a> {
    line: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    peer: &'a str,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self {
            line: "GET /",
            headers: &[],
            body: "",
            peer: HERE,
        }
    }
}

fn ask(board: &Board, asked: &Asked<'_>) -> (StatusCode, String, Response<()>) {
    let (method, path) = asked.line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in asked.headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(asked.body.as_bytes()));
    let request = request.body(body).unwrap();
    let peer: SocketAddr = asked.peer.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (parts, body) = route::answer(board, Some(peer), request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (parts.status, text, Response::from_parts(parts, ()))
    })
}

fn get(board: &Board, path: &str) -> (StatusCode, String) {
    let line = format!("GET {path}");
    let asked = Asked {
        line: &line,
        ..Asked::default()
    };
    let (status, text, _) = ask(board, &asked);
    (status, text)
}

#[test]
fn probes_tell_life_from_readiness() {
    let board = board();
    assert_eq!(get(&board, "/livez").0, StatusCode::OK);
    assert_eq!(get(&board, "/readyz").0, StatusCode::OK);
    board.drain();
    assert_eq!(get(&board, "/livez").0, StatusCode::OK);
    let unavailable = (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    assert_eq!(get(&board, "/readyz"), unavailable);
}

#[test]
fn a_wrong_path_or_method_is_told_what_there_is() {
    let board = board();
    let (status, text) = get(&board, "/nothing");
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("/metrics"), "{text}");
    let asked = Asked {
        line: "POST /metrics",
        ..Asked::default()
    };
    let (status, text, head) = ask(&board, &asked);
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(text.starts_with("/metrics takes GET, HEAD\n"), "{text}");
    assert_eq!(head.headers()["allow"], "GET, HEAD");
    let (status, text) = get(&board, "/");
    assert_eq!(status, StatusCode::OK);
    for path in [
        "/livez",
        "/readyz",
        "/sessions",
        "/calls",
        "/injection",
        "/telemetry",
    ] {
        assert!(text.contains(path), "{text}");
    }
}

#[test]
fn a_switch_is_set_by_query_or_body_for_all_or_for_one() {
    let board = board();
    let post = |line: &str, body: &str| {
        let (status, text, _) = ask(
            &board,
            &Asked {
                line,
                body,
                ..Asked::default()
            },
        );
        (status.as_u16(), text)
    };
    let state = |process: &str, one: &str, two: &str| {
        let hops = format!(r#""one":"{one}","two \"2\"":"{two}""#);
        format!("{{\"process\":\"{process}\",\"hops\":{{{hops}}}}}\n")
    };
    assert_eq!(
        post("POST /injection?off&hop=one", ""),
        (200, state("on", "off", "on"))
    );
    assert_eq!(
        post("POST /injection", "off\n"),
        (200, state("off", "off", "off"))
    );
    assert_eq!(
        post("POST /injection?on", ""),
        (200, state("on", "off", "on"))
    );
    assert_eq!(get(&board, "/telemetry").1, state("on", "on", "on"));
    assert_eq!(
        post("POST /telemetry?off&hop=two%20%222%22", ""),
        (200, state("on", "on", "off"))
    );
    assert_eq!(post("POST /telemetry?off&hop=three", "").0, 400);
    assert_eq!(post("POST /telemetry", "perhaps").0, 400);
    assert_eq!(post("POST /telemetry", &"on ".repeat(100)).0, 400);
    assert!(board.switches.own(Switch::Telemetry));
}

#[test]
fn other_machines_get_probes_and_metrics_only() {
    let board = board();
    for (path, allowed) in [
        ("/livez", true),
        ("/readyz", true),
        ("/metrics", true),
        ("/calls", false),
        ("/sessions", false),
        ("/injection", false),
    ] {
        let line = format!("GET {path}");
        let asked = Asked {
            line: &line,
            peer: ELSEWHERE,
            ..Asked::default()
        };
        assert_eq!(ask(&board, &asked).0.is_success(), allowed, "{path}");
    }
    let asked = Asked {
        line: "POST /telemetry?off",
        peer: ELSEWHERE,
        ..Asked::default()
    };
    assert_eq!(ask(&board, &asked).0, StatusCode::FORBIDDEN);
    assert!(board.switches.own(Switch::Telemetry));
}

#[test]
fn a_page_of_a_browser_can_neither_switch_nor_read_by_a_name_of_its_own() {
    let board = board();
    for (line, headers, allowed) in [
        ("GET /calls", [("host", "evil.example:80")], false),
        ("GET /calls", [("host", "LOCALHOST:80")], true),
        ("GET /calls", [("host", "[::1]:80")], true),
        ("GET /calls", [("host", "127.0.0.1")], true),
        ("GET /calls", [("host", "a b")], false),
        ("POST /telemetry?off", [("host", "evil.example")], false),
        (
            "POST /telemetry?off",
            [("origin", "http://evil.example")],
            false,
        ),
        ("POST /telemetry?off", [("origin", "null")], false),
        ("POST /telemetry?on", [("host", "localhost")], true),
    ] {
        let asked = Asked {
            line,
            headers: &headers,
            ..Asked::default()
        };
        assert_eq!(
            ask(&board, &asked).0.is_success(),
            allowed,
            "{line} {headers:?}"
        );
    }
    assert!(board.switches.own(Switch::Telemetry));
}

#[test]
fn the_metrics_hold_every_count_and_escape_the_names_of_hops() {
    let board = board();
    Counters::add(&board.counters.calls_seen, 7);
    let (_, text) = get(&board, "/metrics");
    for line in [
        "toolspan_ready 1",
        "# TYPE toolspan_calls_seen_total counter",
        "toolspan_calls_seen_total 7",
        "toolspan_calls_dropped_total{reason=\"switched_off\"} 0",
        "toolspan_not_injected_total{reason=\"too_large\"} 0",
        "toolspan_exports_total{result=\"failed\"} 0",
        "toolspan_calls_open{hop=\"two \\\"2\\\"\"} 0",
        "toolspan_queue_records 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    for name in ["process_open_fds", "process_resident_memory_bytes"] {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.split(' ').nth(1));
        assert!(
            value.is_some_and(|value| value.parse::<u64>().unwrap() > 0),
            "{name}"
        );
    }
}

#[test]
fn what_has_nobody_to_export_to_is_off_whatever_the_switch_says() {
    let board = board_with(Telemetry::without_export(Arc::default()));
    let off = r#"{"process":"on","hops":{"one":"off","two \"2\"":"off"}}"#;
    assert_eq!(get(&board, "/telemetry").1.trim(), off);
    let (_, page) = get(&board, "/metrics");
    assert!(
        page.contains("toolspan_telemetry_on{hop=\"one\"} 0"),
        "{page}"
    );
    assert!(
        page.contains("toolspan_injection_on{hop=\"one\"} 1"),
        "{page}"
    );
}
