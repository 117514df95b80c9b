use super::*;

/// The headers of the example of RFC 6455, 1.2, with others in their place.
fn wish(others: &[(&'static str, &'static str)]) -> Result<Agreed, Refused> {
    let mut headers = HeaderMap::new();
    let example = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    for (name, value) in example.iter().chain(others) {
        if value.is_empty() {
            headers.remove(*name);
        } else {
            headers.insert(*name, HeaderValue::from_static(value));
        }
    }
    agree(&headers)
}

#[test]
fn the_example_of_the_specification_is_agreed_on() {
    let agreed = wish(&[]).unwrap();
    assert_eq!(agreed.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(agreed.protocol, None);
    let agreed = wish(&[
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, upgrade"),
        ("sec-websocket-protocol", "other, mcp"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ]);
    assert_eq!(agreed.unwrap().protocol, Some("mcp"));
}

#[test]
fn what_is_not_asked_for_in_order_is_refused() {
    for (name, value, refused) in [
        ("upgrade", "", Refused::Upgrade),
        ("upgrade", "h2c", Refused::Upgrade),
        ("sec-websocket-version", "8", Refused::Upgrade),
        ("sec-websocket-version", "", Refused::Upgrade),
        ("connection", "close", Refused::Connection),
        ("sec-websocket-key", "", Refused::Key),
        ("sec-websocket-key", "c2hvcnQ=", Refused::Key),
        (
            "sec-websocket-key",
            "no base64, but long enough",
            Refused::Key,
        ),
        ("sec-websocket-protocol", "other", Refused::Protocol),
        ("sec-websocket-protocol", "MCP", Refused::Protocol),
    ] {
        assert_eq!(wish(&[(name, value)]), Err(refused), "{name}: {value}");
    }
}
