//! Takes clients of the eras with sessions. Gives each its own child, and every message on one stream.

use super::*;

#[test]
fn the_header_becomes_meta_and_every_other_byte_stays() {
    let world = World::start(&["--tenant", "acme"], &[]);
    let mut client = world
        .client()
        .initialize("2025-06-18")
        .with("traceparent", PARENT);
    let body = "{\"jsonrpc\" : \"2.0\",\n \"id\":\"\\u0061\",\r\n\"method\":\"tools/call\",\"params\":{\"name\":\"line\",\"big\":1.0e2}}";
    let answer = client.post(body);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let line = messages(&answer)[0]["result"]["line"]
        .as_str()
        .unwrap()
        .to_owned();
    let spans = world.calls(2);
    let span = spans
        .iter()
        .find(|span| span.text("mcp.method.name") == "tools/call")
        .unwrap();
    let context = format!("00-{}-{}-01", span.trace_id, span.span_id);
    let expected = body.replace(['\n', '\r'], " ").replace(
        "\"params\":{",
        &format!("\"params\":{{\"_meta\":{{\"traceparent\":\"{context}\"}},"),
    );
    assert_eq!(line, expected);
    assert_eq!(span.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span.parent_span_id, "b7ad6b7169203331");
    assert_eq!(span.text("toolspan.parent.source"), "header");
    assert_eq!(span.text("tenant.id"), "acme");
    assert_eq!(span.text("network.transport"), "tcp");
    assert_eq!(span.text("toolspan.outcome"), "ok");
}

#[test]
fn what_belongs_to_a_call_comes_on_its_stream_in_order() {
    let world = World::start(&[], &[]);
    let mut client = world.client().initialize("2025-11-25");
    let mut standalone = client.again(world.proxy.address());
    assert!(
        standalone
            .begin("GET", "/mcp", &[], "")
            .start_line
            .contains("200")
    );
    for name in ["progress", "log"] {
        let body = json!({"jsonrpc": "2.0", "id": name, "method": "tools/call",
            "params": {"name": name, "_meta": {"progressToken": "t"}}});
        let all = messages(&client.post(&body.to_string()));
        let (answer, before) = all.split_last().unwrap();
        assert_eq!(answer["id"], name);
        assert_eq!(before.len(), if name == "log" { 1 } else { 3 }, "{all:?}");
    }
    // Of a second GET stream one would get nothing.
    assert_eq!(
        client
            .send("GET", "/mcp", &[("accept", "text/event-stream")])
            .status,
        409
    );
    drop(standalone);
    world.calls(3);
}

#[test]
fn a_question_of_the_server_is_answered_by_another_post() {
    let world = World::start(&[], &[]);
    let mut client = world.client().initialize("2025-11-25");
    let mut other = client.again(world.proxy.address());
    client.begin("POST", "/mcp", &[], &call(&json!(1), "ask", &json!({})));
    let primer = client.event().unwrap();
    assert_eq!((primer.data.as_str(), primer.name), ("", None));
    let question = client.event().unwrap().json();
    assert_eq!(question["method"], "sampling/createMessage");
    let said = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"model": "m"}});
    assert_eq!(other.post(&said.to_string()).status, 202);
    let answer = client.event().unwrap().json();
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "id": 1, "result": {"said": {"model": "m"}}})
    );
    assert_eq!(client.event(), None);
    let spans = world.calls(3);
    let asked = spans
        .iter()
        .find(|span| span.text("mcp.method.name") == "sampling/createMessage");
    let asking = spans
        .iter()
        .find(|span| span.text("mcp.method.name") == "tools/call");
    assert_eq!(asked.unwrap().trace_id, asking.unwrap().trace_id);
}

#[test]
fn a_batch_gets_all_its_answers_on_one_stream() {
    let world = World::start(&[], &[]);
    let mut client = world.client().initialize("2025-03-26");
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "pid"}},
        {"jsonrpc": "2.0", "method": "notifications/something"},
        {"jsonrpc": "2.0", "id": "1", "method": "tools/list"},
    ]);
    let answers = messages(&client.post(&batch.to_string()));
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!("1")]);
    let notes = json!([{"jsonrpc": "2.0", "method": "notifications/something"}]);
    assert_eq!(client.post(&notes.to_string()).status, 202);
    world.calls(3);
}

/// A lost connection is no cancel: the child goes on, and the client comes back for the answer.
#[test]
fn a_client_that_lost_its_stream_comes_back_for_the_rest() {
    let world = World::start(&[], &[]);
    let mut client = world.client().initialize("2025-11-25");
    let mut lost = client.again(world.proxy.address());
    lost.begin("POST", "/mcp", &[], &call(&json!(1), "ask", &json!({})));
    let primer = lost.event().unwrap().id.unwrap();
    let question = lost.event().unwrap();
    drop(lost);
    let said = json!({"jsonrpc": "2.0", "id": "ask-1", "result": 5});
    assert_eq!(client.post(&said.to_string()).status, 202);
    let mut back = client.again(world.proxy.address());
    back.begin("GET", "/mcp", &[("last-event-id", &primer)], "");
    assert_eq!(
        back.event(),
        Some(question.clone()),
        "what was on its way is said again"
    );
    assert_eq!(back.event().unwrap().json()["result"]["said"], 5);
    assert_eq!(back.event(), None);
    let mut late = client.again(world.proxy.address());
    late.begin(
        "GET",
        "/mcp",
        &[("last-event-id", &question.id.unwrap())],
        "",
    );
    assert_eq!(late.event().unwrap().json()["result"]["said"], 5);
    assert_eq!(late.event(), None);
    let unknown = client.send(
        "GET",
        "/mcp",
        &[("accept", "text/event-stream"), ("last-event-id", "77-1")],
    );
    assert_eq!(unknown.status, 400);
    let spans = world.calls(3);
    assert!(
        spans
            .iter()
            .all(|span| span.text("toolspan.outcome") == "ok")
    );
}

#[test]
fn the_rules_of_the_transport_are_kept() {
    let world = World::start(&[], &[("TOOLSPAN_MAX_MESSAGE_BYTES", "5000")]);
    let mut client = world.client().initialize("2025-06-18");
    let mut nobody = world.client();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(nobody.post(list).status, 400, "without a session");
    let foreign = [("mcp-session-id", "00000000000000000000000000000000")];
    let events = [("accept", "text/event-stream")];
    assert_eq!(nobody.send("DELETE", "/mcp", &foreign).status, 404);
    assert_eq!(nobody.send("GET", "/mcp", &events).status, 400);
    assert_eq!(nobody.send("PUT", "/mcp", &[]).status, 405);
    assert_eq!(nobody.send("GET", "/elsewhere", &[]).status, 404);
    assert_eq!(client.post("{").status, 400);
    assert_eq!(client.post(r#"{"id":1}"#).status, 400);
    let again = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    assert_eq!(client.post(again).status, 400, "a second initialize");
    let large = call(&json!(1), "line", &json!({"text": "x".repeat(5000)}));
    assert_eq!(client.again(world.proxy.address()).post(&large).status, 413);
    let mut wrong = client.again(world.proxy.address());
    wrong.headers[1].1 = "2023-01-01".to_owned();
    assert_eq!(wrong.post(list).status, 400, "an unknown version");
    let json = [
        ("content-type", "application/json"),
        ("accept", "application/json"),
    ];
    assert_eq!(client.send("POST", "/mcp", &json).status, 406);
    let text = [("content-type", "text/plain"), ("accept", "*/*")];
    assert_eq!(client.send("POST", "/mcp", &text).status, 415);
    let child = pid(&mut client);
    assert_eq!(client.send("DELETE", "/mcp", &[]).status, 200);
    assert_eq!(client.post(list).status, 404, "the session is gone");
    wait_until_gone(child);
}

#[test]
fn a_page_of_another_site_is_turned_away_without_a_word() {
    let world = World::start(&["--allowed-hosts", "mcp.example.com"], &[]);
    for (headers, status) in [
        (&[("origin", "http://evil.example.com")][..], 403),
        (&[("origin", "http://localhost:1234")], 400),
        (&[("origin", "https://mcp.example.com")], 400),
    ] {
        let mut client = world.client();
        let answer = client.send("GET", "/mcp", &[headers, &[("accept", "*/*")]].concat());
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 403 {
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("connection"), Some("close"));
        }
    }
}

#[test]
fn http_with_sse_is_served_beside_it() {
    let world = World::start(&[], &[]);
    let mut stream = world.client();
    stream.begin("GET", "/sse", &[], "");
    let endpoint = stream.event().unwrap();
    assert_eq!(endpoint.name.as_deref(), Some("endpoint"));
    let mut client = world.client();
    let mut post = |body: &str| {
        let json = [("content-type", "application/json")];
        let answer = client
            .http
            .send("POST", &endpoint.data, &json, body.as_bytes());
        answer.expect("an answer").status
    };
    assert_eq!(
        post(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}"#
        ),
        202
    );
    assert_eq!(stream.event().unwrap().json()["id"], 0);
    assert_eq!(post(&call(&json!(1), "pid", &json!({}))), 202);
    let answer = stream.event().unwrap();
    assert_eq!(
        (answer.name.as_deref(), answer.id.as_deref()),
        (Some("message"), None)
    );
    let child = answer.json()["result"]["pid"].as_u64().unwrap();
    drop(stream);
    wait_until_gone(u32::try_from(child).unwrap());
    assert_eq!(post(&call(&json!(2), "pid", &json!({}))), 404);
    world.calls(2);
}
