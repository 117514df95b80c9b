//! Takes clients of the era without sessions. Gives each credential its child, and each request its own answer.

use super::*;

pub(super) fn modern(id: &Value, method: &str, params: &Value) -> String {
    let mut params = params.clone();
    for (key, value) in [
        ("protocolVersion", json!("2026-07-28")),
        ("clientCapabilities", json!({})),
    ] {
        params["_meta"][format!("io.modelcontextprotocol/{key}")] = value;
    }
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

pub(super) fn tool(id: &Value, name: &str) -> String {
    modern(id, "tools/call", &json!({"name": name}))
}

impl World {
    pub(super) fn caller(&self, tool: &str) -> Client {
        let client = self.client();
        let client = client.with("mcp-protocol-version", "2026-07-28");
        client
            .with("mcp-method", "tools/call")
            .with("mcp-name", tool)
    }
}

#[test]
fn a_lone_answer_is_json_and_more_is_events() {
    let world = World::start(&[], &[]);
    let answer = world
        .caller("line")
        .with("traceparent", PARENT)
        .post(&tool(&json!("a"), "line"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("mcp-session-id"), None);
    let answer = &messages(&answer)[0];
    assert_eq!(answer["id"], "a");
    let line: Value = serde_json::from_str(answer["result"]["line"].as_str().unwrap()).unwrap();
    assert_eq!(line["id"], 1, "the child sees a number of ours");
    let context = line["params"]["_meta"]["traceparent"].as_str().unwrap();
    assert!(context.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    let params = json!({"name": "progress", "_meta": {"progressToken": "mine"}});
    let answer = world
        .caller("progress")
        .post(&modern(&json!(1), "tools/call", &params));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let all = messages(&answer);
    assert_eq!(all.len(), 4);
    assert!(
        all[..3]
            .iter()
            .all(|message| message["params"]["progressToken"] == "mine")
    );
    assert_eq!(all[3]["id"], 1);
    let spans = world.calls(2);
    let span = spans
        .iter()
        .find(|span| span.text("jsonrpc.request.id") == "a")
        .unwrap();
    assert_eq!(span.parent_span_id, "b7ad6b7169203331");
    assert_eq!(span.text("mcp.protocol.version"), "2026-07-28");
}

/// The child that answers this caller.
fn child_of(world: &World, more: &[(&str, &str)]) -> u64 {
    let client = world.caller("pid");
    let client = more
        .iter()
        .fold(client, |client, (name, value)| client.with(name, value));
    let answer = { client }.post(&tool(&json!(1), "pid"));
    messages(&answer)[0]["result"]["pid"]
        .as_u64()
        .expect("a process")
}

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

#[test]
fn requests_with_one_id_get_their_own_answers() {
    let world = World::start(&[], &[]);
    let listen = |id: Value| {
        let mut client = world.client();
        let headers = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "subscriptions/listen"),
        ];
        let body = modern(&id, "subscriptions/listen", &json!({}));
        let head = client.begin("POST", "/mcp", &headers, &body);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let acknowledged = client.event().unwrap().json();
        assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION], id);
        client
    };
    let mut listeners = [
        (listen(json!(1)), json!(1)),
        (listen(json!(1)), json!(1)),
        (listen(json!("1")), json!("1")),
    ];
    let params = json!({"name": "progress", "_meta": {"progressToken": 1}});
    let all = messages(
        &world
            .caller("progress")
            .post(&modern(&json!(1), "tools/call", &params)),
    );
    assert_eq!(all.len(), 4);
    let own = |message: &Value| message["id"] == 1 || message["params"]["progressToken"] == 1;
    assert!(all.iter().all(own), "{all:?}");
    assert_eq!(
        world
            .caller("change")
            .post(&tool(&json!(1), "change"))
            .status,
        200
    );
    for (listener, id) in &mut listeners {
        let changed = listener.event().unwrap().json();
        assert_eq!(changed["method"], "notifications/tools/list_changed");
        assert_eq!(&changed["params"]["_meta"][SUBSCRIPTION], id);
    }
}

#[test]
fn a_client_that_leaves_cancels_its_request() {
    let world = World::start(&[], &[]);
    let params = json!({"name": "hold", "_meta": {"progressToken": "t"}});
    let mut leaving = world.caller("hold");
    leaving.begin(
        "POST",
        "/mcp",
        &[],
        &modern(&json!("mine"), "tools/call", &params),
    );
    assert_eq!(
        leaving.event().unwrap().json()["params"]["progressToken"],
        "t"
    );
    drop(leaving);
    let mut asked = 0;
    let cancelled = eventually("a cancel", PATIENCE, || {
        asked += 1;
        let answer = world
            .caller("cancelled")
            .post(&tool(&json!(1), "cancelled"));
        let cancelled = messages(&answer)[0]["result"]["cancelled"].clone();
        (cancelled != json!([])).then_some(cancelled)
    });
    assert_eq!(cancelled, json!([1]), "by the number that the child knows");
    let spans = world.calls(asked + 1);
    let gone = spans
        .iter()
        .find(|span| span.text("jsonrpc.request.id") == "mine")
        .unwrap();
    assert_eq!(gone.text("toolspan.outcome"), "client_gone");
}

#[test]
fn a_child_is_shared_by_one_credential_of_one_tenant() {
    let world = World::start(&["--tenant-from", "header:x-tenant"], &[]);
    let callers = [
        &[][..],
        &[("authorization", "Bearer a")],
        &[("authorization", "Bearer b")],
        &[("authorization", "Bearer a"), ("x-tenant", "acme")],
        &[("authorization", "Bearer a"), ("x-tenant", "globex")],
    ];
    let children: Vec<u64> = callers
        .iter()
        .map(|caller| child_of(&world, caller))
        .collect();
    let again: Vec<u64> = callers
        .iter()
        .map(|caller| child_of(&world, caller))
        .collect();
    assert_eq!(children, again);
    let mut different = children.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), callers.len(), "{children:?}");
}

#[test]
fn the_rules_of_the_new_transport_are_kept() {
    let world = World::start(&[], &[]);
    let code = |answer: &Response| (answer.status, messages(answer)[0]["error"]["code"].clone());
    let mut caller = world.caller("other");
    let mismatch = caller.post(&tool(&json!("x"), "line"));
    assert_eq!(code(&mismatch), (400, json!(-32020)));
    assert_eq!(messages(&mismatch)[0]["id"], "x");
    let bare = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other"}}"#;
    assert_eq!(code(&caller.post(bare)), (400, json!(-32602)));
    assert_eq!(
        code(&caller.post(&format!("[{bare}]"))),
        (400, json!(-32600))
    );
    assert_eq!(
        code(&caller.post(&tool(&json!(1), "other"))),
        (400, json!(-32602)),
        "an unknown tool"
    );
    for method in ["GET", "DELETE"] {
        let answer = caller.send(method, "/mcp", &[("accept", "text/event-stream")]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    }
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "unknown/method"),
    ];
    let mut unknown = headers
        .iter()
        .fold(world.client(), |client, (name, value)| {
            client.with(name, value)
        });
    let answer = unknown.post(&modern(&json!(1), "unknown/method", &json!({})));
    assert_eq!(code(&answer), (404, json!(-32601)));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "initialize"),
    ];
    let mut old = headers
        .iter()
        .fold(world.client(), |client, (name, value)| {
            client.with(name, value)
        });
    let answer = old.post(&modern(&json!(1), "initialize", &json!({})));
    assert_eq!(code(&answer), (404, json!(-32601)), "of another era");
    let note = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(unknown.post(note).status, 202);
}

#[test]
fn after_a_crash_the_next_request_gets_a_new_child() {
    let world = World::start(&[], &[]);
    let before = child_of(&world, &[]);
    let answer = world.caller("exit").post(&tool(&json!(1), "exit"));
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("exit code 3"), "{}", answer.text());
    assert_ne!(child_of(&world, &[]), before);
    let spans = world.calls(3);
    let gone = spans
        .iter()
        .filter(|span| span.text("toolspan.outcome") == "server_gone");
    assert_eq!(gone.count(), 1);
}

/// A client that does not read holds up the child, not our memory.
#[test]
fn a_client_that_does_not_read_is_not_buffered() {
    let world = World::start(&[], &[]);
    let child = child_of(&world, &[]);
    let params =
        json!({"name": "flood", "arguments": {"count": 1000}, "_meta": {"progressToken": "t"}});
    let mut slow = world.caller("flood");
    slow.begin(
        "POST",
        "/mcp",
        &[],
        &modern(&json!(1), "tools/call", &params),
    );
    eventually("a child that waits to write", PATIENCE, || {
        let waits_in = std::fs::read_to_string(format!("/proc/{child}/wchan")).ok()?;
        waits_in.contains("pipe_write").then_some(())
    });
    let mut read = 0;
    while let Some(event) = slow.event() {
        read += 1;
        if event.json().get("id").is_some() {
            break;
        }
    }
    assert_eq!(read, 1001);
    let peak = tests::process::peak_memory(world.proxy.id());
    assert!(peak < 50 << 20, "{peak} bytes for a flood of 64 MiB");
}
