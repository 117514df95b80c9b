//! Takes a child that names what it says in its own way: at the end, in another spelling, or not at all. Gives that each
//! answer reaches its request and no other, and that nobody waits for what cannot come.

use super::modern::modern;
use super::websocket::{code, hear, say};
use super::*;

/// More than the bridge of these stories holds, and reads at a time.
const LARGE: usize = 1_000_000;
const LIMIT: (&str, &str) = ("TOOLSPAN_MAX_MESSAGE_BYTES", "70000");

/// A call of the scripted child that says these lines; the id is spelled as here.
fn says(id: &str, lines: &[&str]) -> String {
    let arguments = json!({"lines": lines, "bytes": LARGE});
    let params = format!(r#"{{"name":"say","arguments":{arguments}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#)
}

fn says_modern(id: &Value, lines: &[&str]) -> String {
    let params = json!({"name": "say", "arguments": {"lines": lines, "bytes": LARGE}});
    modern(id, "tools/call", &params)
}

fn outcomes(spans: &[Span]) -> Vec<&str> {
    let mut outcomes: Vec<&str> = spans
        .iter()
        .map(|span| span.text("toolspan.outcome"))
        .collect();
    outcomes.sort_unstable();
    outcomes
}

/// The TypeScript SDK writes the id behind the result.
#[test]
fn an_answer_that_is_too_large_ends_its_call_wherever_its_id_stands() {
    let world = World::start(&[], &[LIMIT]);
    let lines = [r#"{"result":{"id":0,"x":"{pad}"},"jsonrpc":"2.0","id":{id}}"#];
    let answer = world.caller("say").post(&says_modern(&json!(1), &lines));
    assert_eq!(answer.status, 502, "{}", answer.text());
    let mut client = world.client().initialize("2025-06-18");
    client.begin("POST", "/mcp", &[], &says("1", &lines));
    assert!(client.http.next_chunk().is_err(), "cut, not ended");
    let mut end = world.websocket(&[]);
    say(&mut end, &says("1", &lines));
    assert_eq!(code(&mut end), Some(1011));
    let spans = world.calls(4);
    assert_eq!(outcomes(&spans), ["ok", "unread", "unread", "unread"]);
}

#[test]
fn a_question_that_is_too_large_ends_no_call_and_is_answered() {
    let world = World::start(&[], &[LIMIT]);
    let question =
        r#"{"jsonrpc":"2.0","id":{id},"method":"sampling/createMessage","params":{"x":"{pad}"}}"#;
    let lines = [
        question,
        r#"{"jsonrpc":"2.0","id":{id},"result":{"own":true}}"#,
    ];
    let answer = world.caller("say").post(&says_modern(&json!(1), &lines));
    assert_eq!(messages(&answer)[0]["result"]["own"], true, "{answer:?}");
    let mut client = world.client().initialize("2025-06-18");
    let answer = client.post(&says("1", &lines));
    assert_eq!(messages(&answer)[0]["result"]["own"], true, "{answer:?}");
    let mut end = world.websocket(&[]);
    say(&mut end, &says("1", &lines));
    assert_eq!(hear(&mut end)["result"]["own"], true);
    // The child is told what became of its question.
    let ask = [
        r#"{"jsonrpc":"2.0","id":"big-1","method":"sampling/createMessage","params":{"x":"{pad}"}}"#,
    ];
    say(&mut end, &says("2", &ask));
    let told = eventually("an error for the child", PATIENCE, || {
        say(&mut end, &call(&json!(9), "refused", &json!({})));
        let refused = hear(&mut end)["result"]["refused"].take();
        refused
            .as_array()
            .is_some_and(|all| all.len() == 2)
            .then_some(refused)
    });
    assert_eq!(told[1]["id"], "big-1");
    assert_eq!(told[1]["error"]["code"], -32603);
}

#[test]
fn an_answer_finds_its_request_by_the_value_and_the_type_of_its_id() {
    let world = World::start(&[], &[]);
    let mut client = world.client().initialize("2025-06-18");
    let long = |last: char| format!("{}{last}", "a".repeat(300));
    let ids = [json!(1), json!("1"), json!(long('b')), json!(long('c'))];
    let mut waiting = Vec::new();
    for id in &ids {
        let mut one = client.again(world.proxy.address());
        one.begin("POST", "/mcp", &[], &call(id, "hold", &json!({})));
        waiting.push(one);
    }
    let spelled = [
        "1.0e0".to_owned(),
        r#""\u0031""#.to_owned(),
        format!(r#""{}\u0062""#, "a".repeat(300)),
        ids[3].to_string(),
    ];
    let lines: Vec<String> = spelled
        .iter()
        .enumerate()
        .map(|(number, id)| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"of":{number}}}}}"#))
        .rev()
        .chain([r#"{"jsonrpc":"2.0","id":{id},"result":{"own":true}}"#.to_owned()])
        .collect();
    let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
    let answer = client.post(&says("2e0", &lines));
    let own = messages(&answer);
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(own[0]["result"]["own"], true);
    for (number, (mut one, id)) in waiting.into_iter().zip(&ids).enumerate() {
        let answer = one.event().expect("an answer");
        assert!(answer.data.contains(&spelled[number]), "{answer:?}");
        assert_eq!(answer.json()["result"]["of"], number, "{id}");
        assert_eq!(one.event(), None);
    }
    // No call is opened for a request whose id is too long to show.
    let spans = world.calls(4);
    assert_eq!(outcomes(&spans), ["ok"; 4]);
}

const NAMELESS: &str = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"what?"}}"#;
const OWN: &str = r#"{"jsonrpc":"2.0","id":{id},"result":{"own":true}}"#;

#[test]
fn an_error_that_names_nothing_is_for_the_one_request_that_is_open() {
    let world = World::start(&[], &[]);
    let without = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"what?"}}"#;
    for line in [NAMELESS, without] {
        let answer = world.caller("say").post(&says_modern(&json!("a"), &[line]));
        assert_eq!(answer.status, 400, "{}", answer.text());
        let message = &messages(&answer)[0];
        assert_eq!(message["id"], "a");
        assert_eq!(message["error"]["message"], "what?");
        let mut client = world.client().initialize("2025-06-18");
        let answer = client.post(&says("1", &[line]));
        let data: Vec<String> = events(&answer.text())
            .into_iter()
            .map(|event| event.data)
            .collect();
        assert_eq!(data, [line], "as it came");
        let mut end = world.websocket(&[]);
        say(&mut end, &says("1", &[line]));
        assert_eq!(hear(&mut end)["error"]["message"], "what?");
    }
    let (spans, ledger) = world.calls_and_ledger(8);
    let outcomes = outcomes(&spans);
    assert_eq!(outcomes, [["ok"; 2].as_slice(), &["rpc_error"; 6]].concat());
    assert_eq!(ledger.count("undelivered"), 0);
}

#[test]
fn an_error_that_names_nothing_is_counted_where_several_requests_are_open() {
    let world = World::start(&[], &[]);
    let mut modern_waits = world.caller("hold");
    let hold = json!({"name": "hold", "_meta": {"progressToken": 1}});
    let hold = modern(&json!(1), "tools/call", &hold);
    modern_waits.begin("POST", "/mcp", &[], &hold);
    assert!(modern_waits.event().is_some());
    let lines = [NAMELESS, OWN];
    let answer = world.caller("say").post(&says_modern(&json!(1), &lines));
    assert_eq!(messages(&answer)[0]["result"]["own"], true, "{answer:?}");
    let mut client = world.client().initialize("2025-06-18");
    let mut waits = client.again(world.proxy.address());
    let hold = call(&json!(1), "hold", &json!({}));
    waits.begin("POST", "/mcp", &[], &hold);
    let answer = client.post(&says("2", &lines));
    let own = messages(&answer);
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(own[0]["result"]["own"], true);
    drop((modern_waits, waits));
    assert_eq!(client.send("DELETE", "/mcp", &[]).status, 200);
    let (_, ledger) = world.calls_and_ledger(5);
    assert_eq!(ledger.count("undelivered"), 2);
}

#[test]
fn an_error_that_names_nothing_is_counted_where_it_can_mean_a_client_that_left() {
    let world = World::start(&[], &[]);
    let mut leaves = world.caller("hold");
    let hold = json!({"name": "hold", "_meta": {"progressToken": 1}});
    leaves.begin("POST", "/mcp", &[], &modern(&json!(1), "tools/call", &hold));
    assert!(leaves.event().is_some());
    drop(leaves);
    let left = world.otlp.wait_for_calls(1);
    assert_eq!(outcomes(&left), ["client_gone"]);
    let mut stays = world.caller("say");
    let answer = stays.post(&says_modern(&json!(1), &[NAMELESS, OWN]));
    assert_eq!(messages(&answer)[0]["result"]["own"], true, "{answer:?}");
    let answer = stays.post(&says_modern(&json!(2), &[NAMELESS]));
    assert_eq!(
        messages(&answer)[0]["id"],
        2,
        "what came before is answered"
    );
    let (_, ledger) = world.calls_and_ledger(3);
    assert_eq!(ledger.count("undelivered"), 1);
}

/// Over HTTP+SSE there is one stream, and nobody else whom it could be for.
#[test]
fn an_error_that_names_nothing_is_passed_on_where_there_is_one_stream() {
    let world = World::start(&[], &[]);
    let mut stream = world.client();
    stream.begin("GET", "/sse", &[], "");
    let endpoint = stream.event().expect("the endpoint").data;
    let mut client = world.client();
    for body in [
        call(&json!(1), "hold", &json!({})),
        says("2", &[NAMELESS, OWN]),
    ] {
        let json = [("content-type", "application/json")];
        let answer = client.http.send("POST", &endpoint, &json, body.as_bytes());
        assert_eq!(answer.expect("an answer").status, 202);
    }
    assert_eq!(stream.event().expect("the error").data, NAMELESS);
    assert_eq!(stream.event().expect("the answer").json()["id"], 2);
    drop(stream);
    let (_, ledger) = world.calls_and_ledger(2);
    assert_eq!(ledger.count("undelivered"), 0);
}
