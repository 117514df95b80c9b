//! Takes traffic of both eras, with every kind of end. Gives that the table of `toolspan names` is what leaves the process.
//! Never lets a name be in the one and not in the other: what the traffic cannot make is listed here with its reason.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};
use tests::fleet::Fleet;
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, Body, HttpPeer, Request};
use tests::otlp::{Mode, Received, Receiver};
use tests::python::{self, Client};
use tests::sidecar::{Log, Proxy, argument, stdio_command};
use tests::wire;

mod seen;
mod table;

use table::Table;

const META: &str = "io.modelcontextprotocol/";
const KEPT_APART: &str = "more than 200 tenants at once: export/points/tests.rs makes them";
const KEPT_WHOLE: &str = "more than 500 points of one tenant: export/points/tests.rs makes them";

/// What the table has and this traffic cannot make: the name, what it is on, and why.
const OTHERWISE: [(&str, &str, &str); 4] = [
    ("toolspan.overflow", "operations", KEPT_APART),
    ("toolspan.overflow", "sessions", KEPT_APART),
    ("otel.metric.overflow", "operations", KEPT_WHOLE),
    ("otel.metric.overflow", "sessions", KEPT_WHOLE),
];

/// A server of both eras: a session that begins, ends or is lost, and a call of every end.
fn answer(request: &Request) -> Answer {
    let body = request.json();
    let method = body["method"].as_str().unwrap_or(&request.method);
    if request.header("mcp-session-id") == Some("lost") {
        return Answer::new(404, "text/plain", Body::Whole(Vec::new()));
    }
    let result = |result: Value| {
        let said = json!({"jsonrpc": "2.0", "id": body["id"], "result": result});
        Answer::json(said.to_string())
    };
    match (method, body["params"]["name"].as_str()) {
        ("initialize", _) => {
            let mut begun = result(json!({"protocolVersion": "2025-11-25", "capabilities": {},
                "serverInfo": {"name": "scripted", "version": "2"}}));
            let id = body["params"]["clientInfo"]["name"]
                .as_str()
                .unwrap_or_default();
            begun
                .headers
                .push(("mcp-session-id".to_owned(), id.to_owned()));
            begun
        }
        ("tools/call", Some("asks")) => {
            let asks = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#;
            let said = json!({"jsonrpc": "2.0", "id": body["id"], "result": {}});
            Answer::sse(&[&format!("data: {asks}\n\n"), &format!("data: {said}\n\n")])
        }
        ("tools/call", Some("fails")) => result(json!({"content": [], "isError": true})),
        ("tools/call", Some("refuses")) => {
            let error = json!({"code": -32055, "message": "no"});
            let said = json!({"jsonrpc": "2.0", "id": body["id"], "error": error});
            Answer::json(said.to_string())
        }
        ("DELETE", _) => Answer::new(200, "text/plain", Body::Whole(Vec::new())),
        _ if body.get("result").is_some() => {
            Answer::new(202, "text/plain", Body::Whole(Vec::new()))
        }
        _ => result(json!({"content": []})),
    }
}

/// Posts a request of this method.
fn ask(client: &mut HttpClient, headers: &[(&str, &str)], id: u32, method: &str, params: Value) {
    let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    client
        .post("/mcp", headers, body.to_string().as_bytes())
        .expect("an answer");
}

/// A session from its beginning; what it is called is also its id.
fn begin(client: &mut HttpClient, name: &str) {
    let peer = json!({"name": name, "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": peer});
    let tenant = ("baggage", "tenant.id=acme");
    ask(client, &[tenant], 0, "initialize", params);
}

fn legacy_traffic(client: &mut HttpClient) {
    begin(client, "kept");
    let session = ("mcp-session-id", "kept");
    let headers = [
        session,
        ("mcp-protocol-version", "2025-11-25"),
        ("baggage", "tenant.id=acme"),
    ];
    ask(client, &headers, 1, "tools/call", json!({"name": "asks"}));
    let said = br#"{"jsonrpc":"2.0","id":1,"result":{"role":"user"}}"#;
    client.post("/mcp", &headers, said).expect("an answer");
    ask(client, &headers, 2, "tools/call", json!({"name": "fails"}));
    ask(client, &headers, 3, "prompts/get", json!({"name": "greet"}));
    client
        .send("DELETE", "/mcp", &headers, b"")
        .expect("an answer");
    begin(client, "lost");
    ask(
        client,
        &[("mcp-session-id", "lost")],
        1,
        "tools/list",
        json!({}),
    );
}

fn modern_traffic(client: &mut HttpClient) {
    let version = format!("{META}protocolVersion");
    let peer = format!("{META}clientInfo");
    let meta = json!({version: "2026-07-28", peer: {"name": "modern", "version": "1"}, "baggage": "tenant.id=globex"});
    let with = |key: &str, value: &str| json!({"_meta": meta, key: value});
    ask(client, &[], 1, "tools/call", with("name", "refuses"));
    ask(client, &[], 2, "resources/read", with("uri", "file:///x"));
    let digest = ("content-digest", "sha-256=:AA==:");
    ask(client, &[digest], 3, "made/up", with("name", "x"));
}

/// Two processes: HTTP with pairs of spans for tenants that requests name, and pipes for a tenant that is fixed.
fn traffic() -> (Received, String) {
    let receiver = Receiver::start(Mode::Accept);
    let upstream = HttpPeer::start(answer).expect("a port on loopback");
    let fleet = Fleet::start(&format!(
        "otlp_endpoint = \"{}\"\nmetrics_interval_seconds = 1\n[[hop]]\nname = \"pairs\"\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n\
         span_pair = true\ntenant_from = \"baggage:tenant.id\"\n",
        receiver.grpc_url(),
        upstream.url("")
    ));
    let mut client = fleet.connect("pairs");
    legacy_traffic(&mut client);
    modern_traffic(&mut client);
    // Points are collected in the order of the records, and this is of the last one.
    receiver.wait("the last points", |received| {
        seen::values(received, "mcp.method.name").contains("_OTHER")
    });
    let page = fleet.ask("GET", "/metrics").text();
    let (summary, _) = fleet.stop();
    assert_eq!(summary.count("calls_seen"), 10);
    assert_eq!(summary.dropped(), 0);
    let log = Log::default();
    let server = python::stdio_server();
    let server: Vec<&str> = server.iter().map(|path| argument(path)).collect();
    let url = receiver.grpc_url();
    let command = stdio_command(
        &log,
        &["--tenant", "acme", "--otlp-endpoint", &url],
        &server,
    );
    let command: Vec<&str> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|part| part.to_str().expect("arguments of UTF-8"))
        .collect();
    let steps = json!([{"call": "echo", "arguments": {"text": "x"}}]);
    // The sums go out while the server still starts, so that nothing hangs on the export at the end.
    let soon = ["OTEL_METRIC_EXPORT_INTERVAL=100"];
    let sent = Client::new("legacy").run_stdio(&soon, &command, &steps);
    assert_eq!(sent.last().map(|sent| sent.outcome.as_str()), Some("ok"));
    (receiver.received(), page)
}

#[test]
fn the_table_of_names_is_what_leaves_the_process() {
    let table = Table::read();
    let (received, page) = traffic();
    let attributes = seen::attributes(&received);
    let unlisted: Vec<_> = attributes.difference(&table.attributes).collect();
    assert!(unlisted.is_empty(), "not in the table: {unlisted:#?}");
    let unseen: BTreeSet<(&str, &str)> = table
        .attributes
        .difference(&attributes)
        .map(|one| (one.name.as_str(), one.on.as_str()))
        .collect();
    let otherwise = OTHERWISE.map(|(name, on, _why)| (name, on)).into();
    assert_eq!(unseen, otherwise, "in the table, but never seen");
    assert_eq!(seen::metrics(&received), table.exported);
    assert_eq!(seen::page(&page), table.page);
    for span in received.spans() {
        assert_eq!(span.name, seen::span_name(&span), "{span:#?}");
        assert_eq!(span.scope, "toolspan");
    }
}

/// A session is of the version that its client speaks, as its calls are.
#[test]
fn a_session_over_http_2_says_so() {
    let receiver = Receiver::start(Mode::Accept);
    let upstream = HttpPeer::start(answer).expect("a port on loopback");
    let options = ["--otlp-endpoint", &receiver.grpc_url()];
    let soon = [("OTEL_METRIC_EXPORT_INTERVAL", "100")];
    let proxy = Proxy::start_with(&upstream.url(""), &options, &soon);
    let mut client = wire::client::Client::connect(proxy.listens_at(), wire::Version::Two, None)
        .expect("it listens");
    let kind = ("content-type", "application/json");
    let begin = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "clientInfo": {"name": "two", "version": "1"}}});
    client
        .post("/mcp", &[kind], &begin.to_string())
        .expect("an answer");
    let end = client.start(&Method::DELETE, "/mcp", &[("mcp-session-id", "two")], "");
    end.answer().expect("an answer");
    let received = receiver.wait("the end of the session", |received| {
        seen::attributes(received)
            .iter()
            .any(|one| one.on == "sessions")
    });
    let versions = seen::values(&received, "network.protocol.version");
    assert_eq!(versions, ["2".to_owned()].into());
}
