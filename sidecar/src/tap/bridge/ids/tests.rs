use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tap::bridge::lines::{pieces, place, scan};

/// What the child gets for a body, and the names that were taken out.
fn numbered(body: &str, to: u64) -> (String, Names) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let scanner = scan(&body).unwrap();
    let message = scanner.messages().next().unwrap();
    let (names, mut edits) = number(&message, &body, to);
    edits.sort_by_key(|edit| edit.at.start);
    let text = pieces(&body, place(&message), &edits).concat();
    (String::from_utf8(text).unwrap(), names)
}

/// What the client gets for a line of the child.
fn restored(line: &str, from: u64, names: &Names) -> String {
    let scanner = scan(line.as_bytes()).unwrap();
    let message = scanner.messages().next().unwrap();
    let edits = restore(&message, from, names);
    let text = pieces(line.as_bytes(), 0..line.len(), &edits).concat();
    String::from_utf8(text).unwrap()
}

fn belongs_to(line: &str) -> Belongs {
    let scanner = scan(line.as_bytes()).unwrap();
    belongs(&scanner.messages().next().unwrap())
}

#[test]
fn a_request_goes_under_its_number_and_comes_back_under_its_name() {
    let body = r#"{"id" : "a\u0062\"c", "method":"tools/call","params":{"_meta":{"progressToken": "t"},"id":"a"}}"#;
    let (sent, names) = numbered(body, 12);
    assert_eq!(
        sent,
        r#"{"id" : 12, "method":"tools/call","params":{"_meta":{"progressToken": 12},"id":"a"}}"#
    );
    assert_eq!(
        restored(r#"{"result":{"id":12},"id":12}"#, 12, &names),
        r#"{"result":{"id":12},"id":"a\u0062\"c"}"#
    );
    assert_eq!(
        restored(
            r#"{"method":"notifications/progress","params":{"progressToken":12,"progress":12}}"#,
            12,
            &names
        ),
        r#"{"method":"notifications/progress","params":{"progressToken":"t","progress":12}}"#
    );
}

#[test]
fn a_subscription_is_named_by_its_request() {
    let (_, names) = numbered(r#"{"id":1.5e3,"method":"subscriptions/listen"}"#, 3);
    for (line, expected) in [
        (
            r#"{"method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}}"#,
            r#"{"method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1.5e3}}}"#,
        ),
        (
            r#"{"method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"3"}}}"#,
            r#"{"method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1.5e3}}}"#,
        ),
        (
            r#"{"id":3,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}}"#,
            r#"{"id":1.5e3,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":1.5e3}}}"#,
        ),
        (
            r#"{"method":"notifications/cancelled","params":{"requestId":3}}"#,
            r#"{"method":"notifications/cancelled","params":{"requestId":1.5e3}}"#,
        ),
    ] {
        assert_eq!(restored(line, 3, &names), expected);
    }
}

#[test]
fn an_error_that_names_nothing_gets_the_name_of_its_request() {
    let (_, names) = numbered(r#"{"id":"a\u0062","method":"m"}"#, 3);
    for (line, expected) in [
        (
            r#"{"error":{"code":1}, "id": null }"#,
            r#"{"error":{"code":1}, "id": "a\u0062" }"#,
        ),
        (
            r#" { "error":{"code":1}}"#,
            r#" {"id":"a\u0062", "error":{"code":1}}"#,
        ),
    ] {
        assert_eq!(restored(line, 3, &names), expected);
    }
}

#[test]
fn a_message_of_the_child_says_where_it_belongs() {
    for (line, belongs) in [
        (r#"{"id":4,"result":{}}"#, Belongs::Answer(4)),
        (r#"{"id":4,"error":{"code":-1}}"#, Belongs::Answer(4)),
        (r#"{"id":"x","result":{}}"#, Belongs::Nowhere),
        (r#"{"error":{"code":-1}}"#, Belongs::NamelessError),
        (r#"{"id":null,"error":{"code":-1}}"#, Belongs::NamelessError),
        (r#"{"id":{},"error":{"code":-1}}"#, Belongs::Nowhere),
        (r#"{"id":null,"result":{}}"#, Belongs::Nowhere),
        (r#"{"id":4.0,"result":{}}"#, Belongs::Answer(4)),
        (
            r#"{"method":"notifications/progress","params":{"progressToken":4}}"#,
            Belongs::Within(4),
        ),
        (
            r#"{"method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":5}}}"#,
            Belongs::Within(5),
        ),
        (
            r#"{"method":"notifications/cancelled","params":{"requestId":6}}"#,
            Belongs::Ends(6),
        ),
        (
            r#"{"method":"notifications/message","params":{}}"#,
            Belongs::Unnamed,
        ),
        (
            r#"{"id":1,"method":"sampling/createMessage"}"#,
            Belongs::Nowhere,
        ),
    ] {
        assert_eq!(belongs_to(line), belongs, "{line}");
    }
}

fn name() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        "[ -~é\u{1F600}\n\"]{0,24}".prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("id|method|_meta|progressToken|x", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn only_the_names_of_a_message_change_and_they_come_back(
        id in name(),
        token in proptest::option::of(name()),
        arguments in any_json(),
        result in any_json(),
        pretty in any::<bool>(),
        to in any::<u64>(),
    ) {
        let mut meta = json!({"other": arguments.clone()});
        if let Some(token) = &token {
            meta["progressToken"] = token.clone();
        }
        let request = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": "n", "arguments": arguments, "_meta": meta},
        });
        let text = if pretty { serde_json::to_string_pretty(&request) } else { serde_json::to_string(&request) };
        let text = text.unwrap();
        let (sent, names) = numbered(&text, to);
        let mut expected = request.clone();
        expected["id"] = to.into();
        if token.is_some() {
            expected["params"]["_meta"]["progressToken"] = to.into();
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), expected);
        let written = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(&names.id[..], written.as_bytes());
        let answer = |id: &str| format!(r#"{{"result": {result}, "id":{id}}}"#);
        let back = restored(&answer(&to.to_string()), to, &names);
        prop_assert_eq!(back, answer(std::str::from_utf8(&names.id).unwrap()));
        if let Some(token) = &names.token {
            let progress = |token: &str| {
                format!(r#"{{"method":"notifications/progress","params":{{"x":{result}, "progressToken" : {token}}}}}"#)
            };
            let back = restored(&progress(&to.to_string()), to, &names);
            prop_assert_eq!(back, progress(std::str::from_utf8(token).unwrap()));
        }
    }
}
