use super::*;

fn found(statuses: &[(&str, usize, &str)]) -> Found {
    let findings = statuses
        .iter()
        .map(|(check, occurrence, status)| {
            let key = Key {
                scenario: "s".to_owned(),
                check: (*check).to_owned(),
                occurrence: *occurrence,
            };
            let finding = Finding {
                status: (*status).to_owned(),
                message: String::new(),
            };
            (key, finding)
        })
        .collect();
    Found { findings }
}

#[test]
fn a_check_that_came_to_something_else_is_a_difference_whichever_run_made_it() {
    let direct = found(&[("a", 1, "SUCCESS"), ("a", 2, "SUCCESS"), ("b", 1, "INFO")]);
    let through = found(&[("a", 1, "SUCCESS"), ("a", 2, "FAILURE"), ("c", 1, "INFO")]);
    let differing: Vec<_> = differences(&direct, &through)
        .iter()
        .map(|pair| {
            let pair_of = (status(pair.direct.as_ref()), status(pair.through.as_ref()));
            format!("{}{} {pair_of:?}", pair.key.check, pair.key.occurrence)
        })
        .collect();
    assert_eq!(
        differing,
        [
            r#"a2 ("SUCCESS", "FAILURE")"#,
            r#"b1 ("INFO", "(not made)")"#,
            r#"c1 ("(not made)", "INFO")"#,
        ]
    );
    assert!(differences(&direct, &direct).is_empty());
}

#[test]
fn an_exclusion_says_where_it_holds() {
    let line = Exclusion::parse("sidecar server * s a | the origin itself is the subject");
    assert!(line.is_of(Requirements::July2026, Side::Server, Path::Sidecar));
    assert!(!line.is_of(Requirements::July2026, Side::Client, Path::Sidecar));
    let key = |check: &str| Key {
        scenario: "s".to_owned(),
        check: check.to_owned(),
        occurrence: 7,
    };
    assert!(line.covers(&key("a")));
    assert!(!line.covers(&key("b")));
}

#[test]
#[should_panic(expected = "no reason")]
fn an_exclusion_without_a_reason_is_refused() {
    let _ = Exclusion::parse("sidecar server * s a |  ");
}
