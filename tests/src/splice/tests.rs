use super::*;

const NEW: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OLD: &str = "00-11111111111111111111111111111111-2222222222222222-00";

fn verdict(sent: &str, arrived: &str) -> Result<Verdict, String> {
    judge(sent.as_bytes(), arrived.as_bytes())
}

fn injected(sent: &str, arrived: &str) -> usize {
    verdict(sent, arrived).unwrap().injected
}

#[test]
fn every_shape_of_insertion_is_accepted() {
    let member = format!(r#""traceparent":"{NEW}""#);
    for (sent, arrived) in [
        (
            r#"{"id":1,"method":"m"}"#.to_owned(),
            format!(r#"{{"params":{{"_meta":{{{member}}}}},"id":1,"method":"m"}}"#),
        ),
        (
            r#"{"id":1,"method":"m","params":{ }}"#.to_owned(),
            format!(r#"{{"id":1,"method":"m","params":{{"_meta":{{{member}}} }}}}"#),
        ),
        (
            r#"{"id":1,"method":"m","params":{"a":1.0}}"#.to_owned(),
            format!(r#"{{"id":1,"method":"m","params":{{"_meta":{{{member}}},"a":1.0}}}}"#),
        ),
        (
            r#"{"id":1,"method":"m","params":{"_meta":{}}}"#.to_owned(),
            format!(r#"{{"id":1,"method":"m","params":{{"_meta":{{{member}}}}}}}"#),
        ),
        (
            r#"{"id":1,"method":"m","params":{"_meta":{"trace":1}}}"#.to_owned(),
            format!(r#"{{"id":1,"method":"m","params":{{"_meta":{{{member},"trace":1}}}}}}"#),
        ),
        (
            format!(
                r#"{{"id":1,"method":"m","params":{{"\u005fmeta":{{"traceparent" : "{OLD}"}}}}}}"#
            ),
            format!(
                r#"{{"id":1,"method":"m","params":{{"\u005fmeta":{{"traceparent" : "{NEW}"}}}}}}"#
            ),
        ),
        (
            r#"{"id":1,"method":"m","params":{"_meta":{"tracestate":"x","traceparent":[1,"]"]}}}"#
                .to_owned(),
            format!(
                r#"{{"id":1,"method":"m","params":{{"_meta":{{"tracestate":"","traceparent":"{NEW}"}}}}}}"#
            ),
        ),
        (
            r#"{"id":1,"method":"m","params":{"_meta":{"tracestate":"a=1","b":2}}}"#.to_owned(),
            format!(
                r#"{{"id":1,"method":"m","params":{{"_meta":{{{member},"tracestate":"","b":2}}}}}}"#
            ),
        ),
        (
            r#"{"id":1,"method":"m","params":{"_meta":{"b":2}}}"#.to_owned(),
            format!(
                r#"{{"id":1,"method":"m","params":{{"_meta":{{{member},"tracestate":"a=1","b":2}}}}}}"#
            ),
        ),
    ] {
        assert_eq!(injected(&sent, &arrived), 1, "{sent}");
        assert_eq!(injected(&sent, &sent), 0, "{sent}");
    }
}

#[test]
fn a_batch_may_have_several() {
    let sent =
        r#"[{"id":1,"method":"m"},{"id":2,"result":{}},{"id":"3","method":"m","params":{}}]"#;
    let arrived = format!(
        r#"[{{"params":{{"_meta":{{"traceparent":"{NEW}"}}}},"id":1,"method":"m"}},{{"id":2,"result":{{}}}},{{"id":"3","method":"m","params":{{"_meta":{{"traceparent":"{NEW}"}}}}}}]"#
    );
    let verdict = verdict(sent, &arrived).unwrap();
    assert_eq!((verdict.injected, verdict.carriers), (2, 2));
    assert!(judge_all_injected(sent.as_bytes(), sent.as_bytes()).is_err());
}

#[test]
fn every_other_difference_is_refused() {
    let with = |text: &str| text.replace('@', &format!(r#""traceparent":"{NEW}""#));
    for (sent, arrived, what) in [
        (
            r#"{"id":1,"method":"m"}"#,
            r#"{"id":1,"method":"n"}"#,
            "a changed byte",
        ),
        (
            r#"{"id":1,"method":"m"}"#,
            r#"{"id":1,"method":"m"} "#,
            "a byte too many",
        ),
        (
            r#"{"id":1,"method":"m"}"#,
            r#"{"id":1,"method":"m""#,
            "a byte too few",
        ),
        (
            r#"{"id":1,"method":"m","params":{"a":1.0}}"#,
            r#"{"id":1,"method":"m","params":{"_meta":{@},"a":1}}"#,
            "a number",
        ),
        (
            r#"{"id":1,"method":"m","params":{"a":1}}"#,
            r#"{"id":1,"method":"m","params":{@,"a":1}}"#,
            "the wrong object",
        ),
        (
            r#"{"id":1,"method":"m","params":{"a":{}}}"#,
            r#"{"id":1,"method":"m","params":{"_meta":{@},"a":{@}}}"#,
            "one too many",
        ),
        (
            r#"{"id":1,"result":{}}"#,
            r#"{"id":1,"result":{"_meta":{@}}}"#,
            "a response",
        ),
        (
            r#"{"method":"m"}"#,
            r#"{"params":{"_meta":{@}},"method":"m"}"#,
            "a notification",
        ),
        (
            r#"{"id":1,"method":"m","params":[1]}"#,
            r#"{"params":{"_meta":{@}},"id":1,"method":"m","params":[1]}"#,
            "array params",
        ),
        (
            r#"{"id":1,"method":"m","params":{"_meta":{}},"params":{"_meta":{}}}"#,
            r#"{"id":1,"method":"m","params":{"_meta":{@}},"params":{"_meta":{}}}"#,
            "the first of two",
        ),
        (
            r#"{"id":1,"method":"m","params":{"_meta":{"a":1}}}"#,
            r#"{"id":1,"method":"m","params":{"_meta":{@ ,"a":1}}}"#,
            "white space",
        ),
        ("no json", "no  json", "what is no JSON"),
    ] {
        assert!(
            verdict(sent, &with(arrived)).is_err(),
            "{what} passed: {arrived}"
        );
    }
}

#[test]
fn an_invalid_context_is_refused() {
    for bad in [
        "",
        "00-0-0-00",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    ] {
        let sent = r#"{"id":1,"method":"m","params":{}}"#;
        let arrived =
            format!(r#"{{"id":1,"method":"m","params":{{"_meta":{{"traceparent":"{bad}"}}}}}}"#);
        assert!(verdict(sent, &arrived).is_err(), "{bad}");
    }
}
