use super::super::id::Id;
use super::super::message::Kind;
use super::*;
use proptest::prelude::*;

fn scan(text: &str) -> Scanner {
    let mut scanner = Scanner::new();
    scanner.feed(text.as_bytes()).unwrap();
    scanner.finish().unwrap();
    scanner
}

fn accepts(bytes: &[u8]) -> bool {
    let mut scanner = Scanner::new();
    scanner.feed(bytes).is_ok() && scanner.finish().is_ok()
}

#[test]
fn a_request_shows_its_fields() {
    let scanner = scan(
        r#" {"jsonrpc":"2.0","id":"a1","method":"tools/call","params":{"name":"ec\u0068o","arguments":{"name":"not this"},"\u005fmeta":{"traceparent":"x"}}} "#,
    );
    let message = scanner.messages().next().unwrap();
    assert_eq!(message.kind(), Kind::Request);
    assert_eq!(message.id(), Some(Id::String("a1".into())));
    assert_eq!(message.text(Slot::ParamsName).as_deref(), Some("echo"));
    assert_eq!(message.text(Slot::Traceparent).as_deref(), Some("x"));
    assert_eq!(message.shape(Slot::Meta), Shape::Object { empty: false });
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let scanner = scan(
        r#"{"id":1,"method":"a","params":{"_meta":{"traceparent":"old"},"name":"old"},"method":"b","params":{"_meta":{}}}"#,
    );
    let message = scanner.messages().next().unwrap();
    assert_eq!(message.text(Slot::Method).as_deref(), Some("b"));
    assert_eq!(message.shape(Slot::Traceparent), Shape::Absent);
    assert_eq!(message.shape(Slot::ParamsName), Shape::Absent);
    assert_eq!(message.shape(Slot::Meta), Shape::Object { empty: true });
}

#[test]
fn ids_are_typed() {
    for (text, id) in [
        ("1", Some(Id::Number("1".into()))),
        ("\"1\"", Some(Id::String("1".into()))),
        (
            "9007199254740993",
            Some(Id::Number("9007199254740993".into())),
        ),
        ("null", None),
        ("[1]", None),
    ] {
        let scanner = scan(&format!(r#"{{"id":{text},"method":"ping"}}"#));
        assert_eq!(scanner.messages().next().unwrap().id(), id, "{text}");
    }
}

#[test]
fn kinds_are_told_apart() {
    for (text, kind) in [
        (r#"{"id":1,"method":"ping"}"#, Kind::Request),
        (r#"{"method":"ping"}"#, Kind::Notification),
        (r#"{"id":1,"result":{}}"#, Kind::Response),
        (r#"{"error":{"code":-32700}}"#, Kind::Response),
        (r#"{"id":null,"error":{}}"#, Kind::Response),
        (r#"{"id":null,"method":"ping"}"#, Kind::Invalid),
        (r#"{"id":1,"method":"ping","result":{}}"#, Kind::Invalid),
        (r#"{"id":1}"#, Kind::Invalid),
        ("{}", Kind::Invalid),
    ] {
        assert_eq!(scan(text).messages().next().unwrap().kind(), kind, "{text}");
    }
}

#[test]
fn a_batch_has_a_message_for_each_object_in_it() {
    let scanner = scan(r#"[{"id":1,"method":"a"},7,{"method":"b"},[{"id":3,"method":"c"}],{}]"#);
    let kinds: Vec<_> = scanner.messages().map(|m| m.kind()).collect();
    assert_eq!(kinds, [Kind::Request, Kind::Notification, Kind::Invalid]);
    assert!(scanner.is_batch());
}

#[test]
fn a_batch_of_too_many_messages_is_told() {
    let text = format!("[{}]", vec![r#"{"id":1,"method":"a"}"#; 1025].join(","));
    let scanner = scan(&text);
    assert!(scanner.overflowed());
    assert_eq!(scanner.messages().count(), 1024);
}

#[test]
fn an_answer_is_known_before_it_ends() {
    let mut scanner = Scanner::new();
    scanner.feed(br#"{"jsonrpc":"2.0","id":1,"#).unwrap();
    assert!(!scanner.is_answer());
    scanner.feed(br#""result":{"content":["#).unwrap();
    assert!(scanner.is_answer());
}

#[test]
fn an_answer_shows_how_it_ended() {
    let scanner = scan(
        r#"{"id":1,"result":{"isError":true,"resultType":"input_required","structuredContent":{"isError":false}}}"#,
    );
    let message = scanner.messages().next().unwrap();
    assert_eq!(message.shape(Slot::IsError), Shape::True);
    assert_eq!(
        message.text(Slot::ResultType).as_deref(),
        Some("input_required")
    );
    let scanner = scan(r#"{"id":1,"error":{"code":-32602,"message":"no"}}"#);
    assert_eq!(
        scanner.messages().next().unwrap().integer(Slot::ErrorCode),
        Some(-32602)
    );
}

#[test]
fn deep_nesting_costs_a_bit_a_level() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(accepts(deep.as_bytes()));
    assert!(!accepts(&vec![b'['; 2_000_000]));
}

#[test]
fn what_is_no_json_is_refused() {
    for bad in [
        "",
        " ",
        "{",
        "{]",
        "[}",
        "{,}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "1.",
        "-",
        "1e",
        "+1",
        "tru",
        "nul",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "{}{}",
        "'a'",
        "NaN",
        "[1 2]",
        "\u{feff}{}",
        "//",
        "\0",
    ] {
        assert!(!accepts(bad.as_bytes()), "{bad:?}");
    }
    for bad in [
        &b"\"\xff\""[..],
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf5\x80\x80\x80\"",
        b"\"\xe2\x82\"",
    ] {
        assert!(!accepts(bad), "{bad:?}");
    }
    for good in [
        "0",
        "-0.5e+10",
        "[]",
        "{}",
        "\"\u{10ffff}\\ud800\"",
        " [ 1 , 2 ] ",
        "1e5",
    ] {
        assert!(accepts(good.as_bytes()), "{good:?}");
    }
}

#[test]
fn a_key_repeated_without_end_takes_no_memory() {
    let mut scanner = Scanner::new();
    scanner.feed(b"{").unwrap();
    let repeated = format!("\"id\":\"{}\",", "a".repeat(200)).repeat(1000);
    for _ in 0..100 {
        scanner.feed(repeated.as_bytes()).unwrap();
    }
    scanner.feed(br#""id":7,"method":"m"}"#).unwrap();
    scanner.finish().unwrap();
    assert!(
        scanner.kept.arena.capacity() < 4096,
        "{}",
        scanner.kept.arena.capacity()
    );
    let message = scanner.messages().next().unwrap();
    assert_eq!(message.id(), Some(Id::Number("7".into())));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter_map("finite", |f| serde_json::Number::from_f64(f)
            .map(Into::into)),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let key = prop_oneof![
            any::<String>(),
            proptest::sample::select(vec![
                "id", "method", "params", "_meta", "result", "error", "name"
            ])
            .prop_map(Into::into)
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            proptest::collection::hash_map(key, inner, 0..8)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn json_is_accepted_in_any_chunks(value in json(), size in 1_usize..9) {
        let text = serde_json::to_string(&value).unwrap();
        prop_assert!(accepts(text.as_bytes()));
        let mut scanner = Scanner::new();
        for chunk in text.as_bytes().chunks(size) {
            scanner.feed(chunk).unwrap();
        }
        scanner.finish().unwrap();
    }

    #[test]
    fn one_wrong_byte_is_judged_as_serde_json_does(value in json(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // serde_json refuses lone surrogates, which the grammar allows.
        prop_assume!(!bytes.windows(2).any(|w| w == b"\\u"));
        let judged = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
        prop_assert_eq!(accepts(&bytes), judged, "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        crate::frame::fuzz_jsonrpc(&bytes);
    }
}
