use super::*;
use crate::tap::bridge::lines::scan;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (name.parse::<HeaderName>().unwrap(), value)
        })
        .collect()
}

fn call(method: &str, params: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{{params}"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
}

fn code(headers: &HeaderMap, body: &str) -> Option<i64> {
    let scanner = scan(body.as_bytes()).unwrap();
    let message = scanner.messages().next().unwrap();
    let refused = modern_request(headers, &message, body.as_bytes()).err()?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    Some(refused.code)
}

#[test]
fn a_get_for_events_is_told_from_one_for_a_page() {
    for (accepted, wished) in [
        ("text/event-stream", true),
        ("application/json, Text/Event-Stream;q=0.5", true),
        ("text/*", true),
        ("*/*", true),
        ("application/json, text/plain, */*", true),
        ("*/*;q=1.0", true),
        ("application/json", false),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", false),
        ("image/webp,image/*,*/*; q=.8", false),
        ("", false),
    ] {
        let judged = wishes_events(&headers(&[("accept", accepted)]));
        assert_eq!(judged.is_ok(), wished, "{accepted}");
    }
    assert!(wishes_events(&HeaderMap::new()).is_ok());
}

const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

#[test]
fn headers_must_say_what_the_body_says() {
    let body = call("tools/call", r#""name":"echo","#);
    let fine = [
        VERSION,
        ("mcp-method", "tools/call"),
        ("mcp-name", " echo\t"),
    ];
    assert_eq!(code(&headers(&fine), &body), None);
    for wrong in [
        &[("mcp-method", "tools/call"), ("mcp-name", "echo")][..],
        &[VERSION, ("mcp-name", "echo")],
        &[VERSION, ("mcp-method", "tools/call")],
        &[VERSION, ("mcp-method", "tools/list"), ("mcp-name", "echo")],
        &[VERSION, ("mcp-method", "tools/call"), ("mcp-name", "Echo")],
        &[
            ("mcp-protocol-version", "2025-11-25"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "echo"),
        ],
        &[
            VERSION,
            ("mcp-method", "tools/call"),
            ("mcp-name", "echo"),
            ("mcp-name", "echo"),
        ],
    ] {
        assert_eq!(
            code(&headers(wrong), &body),
            Some(HEADER_MISMATCH),
            "{wrong:?}"
        );
    }
}

#[test]
fn each_method_has_its_own_name() {
    for (method, params, name) in [
        ("prompts/get", r#""name":"greet","#, "greet"),
        (
            "resources/read",
            r#""uri":"file:///a b","name":"x","#,
            "file:///a b",
        ),
        ("tasks/get", r#""taskId":"t1","#, "t1"),
    ] {
        let body = call(method, params);
        let with = |name| headers(&[VERSION, ("mcp-method", method), ("mcp-name", name)]);
        assert_eq!(code(&with(name), &body), None, "{method}");
        assert_eq!(
            code(&with("other"), &body),
            Some(HEADER_MISMATCH),
            "{method}"
        );
    }
    let list = headers(&[VERSION, ("mcp-method", "tools/list")]);
    assert_eq!(
        code(&list, &call("tools/list", r#""name":"ignored","#)),
        None
    );
}

#[test]
fn a_name_that_is_no_header_comes_as_base64() {
    let body = call("tools/call", r#""name":"h\u00e9llo","#);
    let with = |name| headers(&[VERSION, ("mcp-method", "tools/call"), ("mcp-name", name)]);
    assert_eq!(code(&with("=?base64?aMOpbGxv?="), &body), None);
    assert_eq!(
        code(&with("=?base64?aMOpbGxw?="), &body),
        Some(HEADER_MISMATCH)
    );
    assert_eq!(
        code(&with("=?base64?aMOpbGxv"), &body),
        Some(HEADER_MISMATCH)
    );
    for (text, encoded) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
    ] {
        assert_eq!(base64(text.as_bytes()), encoded);
    }
}

#[test]
fn a_request_without_its_fields_is_told_so() {
    let all = headers(&[VERSION, ("mcp-method", "tools/list")]);
    for params in [
        "{}",
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}"#,
    ] {
        let body = format!(r#"{{"id":1,"method":"tools/list","params":{params}}}"#);
        assert_eq!(code(&all, &body), Some(INVALID_PARAMS), "{params}");
    }
}

#[test]
fn the_era_is_what_the_request_says() {
    let plain = r#"{"id":1,"method":"tools/list"}"#;
    let modern =
        |headers: &HeaderMap, body: &str| is_modern(headers, &scan(body.as_bytes()).unwrap());
    for (version, era) in [
        ("2025-11-25", false),
        ("2026-07-28", true),
        (" 2026-07-28 ", true),
        ("2027-01-01", true),
        ("later", false),
        ("9999", false),
    ] {
        assert_eq!(
            modern(&headers(&[("mcp-protocol-version", version)]), plain),
            era,
            "{version}"
        );
    }
    let none = headers(&[]);
    assert!(!modern(&none, plain));
    assert!(modern(&none, &call("tools/list", "")));
    assert!(modern(&none, r#"{"id":1,"method":"server/discover"}"#));
}

#[test]
fn a_legacy_version_is_known_or_left_out() {
    assert!(legacy_version(&headers(&[])).is_ok());
    for (version, fine) in [
        ("2025-03-26", true),
        ("2025-11-25", true),
        ("2025-01-01", false),
        ("", false),
    ] {
        let given = headers(&[("mcp-protocol-version", version)]);
        assert_eq!(legacy_version(&given).is_ok(), fine, "{version}");
    }
}

#[test]
fn clients_must_accept_what_they_may_get() {
    for (accept, both) in [
        ("application/json, text/event-stream", true),
        ("Application/JSON;q=0.9,text/*", true),
        ("*/*", true),
        ("application/json", false),
        ("text/event-stream", false),
        ("application/jsonl, text/event-stream", false),
    ] {
        let given = headers(&[("accept", accept)]);
        assert_eq!(accepts_both(&given).is_ok(), both, "{accept}");
    }
    assert!(accepts_both(&headers(&[])).is_err());
    assert!(accepts_events(&headers(&[("accept", "text/event-stream")])).is_ok());
}
