use http::HeaderValue;
use serde_json::json;

use super::*;

fn learned() -> Mirrors {
    let mut mirrors = Mirrors::default();
    let answer = json!({"id": 1, "result": {"tools": [
        {"name": "plain", "inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}}},
        {"name": "routed", "inputSchema": {"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "shard": {"type": "integer", "x-mcp-header": "Shard"},
            "deep": {"type": "object", "properties": {"dry": {"type": "boolean", "x-mcp-header": "Dry"}}},
            "list": {"type": "array", "items": {"type": "string", "x-mcp-header": "Not-Reached"}},
            "ratio": {"type": "number", "x-mcp-header": "Not-Allowed"},
        }}},
    ]}});
    mirrors.learn(answer.to_string().as_bytes());
    mirrors
}

fn is_right(tool: &str, arguments: &Value, given: &[(&str, &str)]) -> bool {
    let headers: HeaderMap = given
        .iter()
        .map(|(name, value)| {
            let name = format!("mcp-param-{name}").parse::<HeaderName>().unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect();
    let call =
        json!({"id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
    learned()
        .check(&headers, tool, call.to_string().as_bytes())
        .is_ok()
}

#[test]
fn headers_and_arguments_say_the_same_or_nothing() {
    let all = json!({"region": "eu", "shard": 7, "deep": {"dry": true}});
    let fine = [("region", "eu"), ("shard", "7"), ("dry", "true")];
    assert!(is_right("routed", &all, &fine));
    assert!(is_right("routed", &json!({}), &[]));
    assert!(is_right("routed", &json!({"region": null}), &[]));
    assert!(is_right("routed", &json!({"list": ["x"], "ratio": 1}), &[]));
    for (arguments, given) in [
        (json!({"region": "eu"}), &[][..]),
        (json!({"region": "eu"}), &[("region", "us")]),
        (json!({"region": "eu"}), &[("region", "EU")]),
        (
            json!({"region": "eu"}),
            &[("region", "eu"), ("region", "eu")],
        ),
        (json!({}), &[("region", "eu")]),
        (json!({"region": ["eu"]}), &[("region", "eu")]),
        (json!({"deep": {"dry": true}}), &[("dry", "1")]),
    ] {
        assert!(
            !is_right("routed", &arguments, given),
            "{arguments} {given:?}"
        );
    }
}

#[test]
fn texts_may_be_encoded_and_numbers_are_compared_as_numbers() {
    let region = json!({"region": "é"});
    assert!(is_right(
        "routed",
        &region,
        &[("region", "=?base64?w6k=?=")]
    ));
    assert!(!is_right(
        "routed",
        &region,
        &[("region", "=?base64?w6k?=")]
    ));
    for (shard, header, right) in [
        (json!(42), "42.0", true),
        (json!(42.0), "42", true),
        (json!(-0), "0", true),
        (json!(42), "42.5", false),
        (json!(42), "+42", false),
        (json!(9_007_199_254_740_993_i64), "9007199254740993", true),
        (json!(9_007_199_254_740_993_i64), "9007199254740992", false),
        (json!("x"), "y", false),
    ] {
        let arguments = json!({"shard": shard});
        assert_eq!(
            is_right("routed", &arguments, &[("shard", header)]),
            right,
            "{arguments} {header}"
        );
    }
}

#[test]
fn other_tools_are_left_alone_and_a_new_list_counts() {
    assert!(is_right("plain", &json!({"a": "b"}), &[("region", "eu")]));
    assert!(is_right("unknown", &json!({}), &[("region", "eu")]));
    let mut mirrors = learned();
    mirrors.learn(br#"{"id":2,"result":{"tools":[{"name":"routed","inputSchema":{}}]}}"#);
    assert!(mirrors.tools.is_empty());
    mirrors.learn(b"x-mcp-header but no JSON");
    assert!(mirrors.tools.is_empty());
}

#[test]
fn what_is_kept_of_tools_is_bounded_and_let_go_with_them() {
    let mut mirrors = Mirrors::default();
    let mut learn = |name: &str, key: &str| {
        let properties = json!({key: {"type": "string", "x-mcp-header": "X"}});
        let tool = json!({"name": name, "inputSchema": {"properties": properties}});
        let answer = json!({"result": {"tools": [tool]}, "x-mcp-header": 0});
        mirrors.learn(answer.to_string().as_bytes());
        (mirrors.tools.len(), mirrors.bytes)
    };
    let half = "k".repeat(MAX_BYTES / 2);
    let (_, one) = learn("one", &half);
    assert_eq!(learn("one", &half), (1, one), "it was listed again");
    assert_eq!(learn("two", &half), (1, one), "no room");
    let (tools, both) = learn("two", "k");
    assert!(tools == 2 && both > one);
    assert_eq!(learn("one", "k").0, 2);
    assert_eq!(learn("three", &half).0, 3);
}
