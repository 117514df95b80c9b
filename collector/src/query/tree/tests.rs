use super::*;

fn cells(spans: &[(&str, &str, &str)]) -> Cells {
    let names = [
        "StartUnixNano",
        "DurationMs",
        "TraceId",
        "SpanId",
        "ParentSpanId",
        "SpanName",
        "SpanKind",
        "ServiceName",
        "TenantId",
        "IsCall",
        "Outcome",
        "StatusCode",
        "ErrorType",
    ];
    let rows = spans.iter().map(|(id, parent, name)| {
        let marked = if *name == "call" { "true" } else { "false" };
        let cells = [
            "1795168800000000000",
            "1.5",
            "abc",
            id,
            parent,
            name,
            "Server",
            "svc",
            "acme",
            marked,
            "",
            "Unset",
            "",
        ];
        cells.map(str::to_owned).to_vec()
    });
    let mut cells = Cells::default();
    cells.names = names.map(str::to_owned).to_vec();
    cells.rows = rows.collect();
    cells
}

fn names(drawn: &str) -> Vec<String> {
    let lines = drawn.lines().skip(2);
    lines
        .map(|line| {
            line.split("  1.50 ms")
                .next()
                .unwrap()
                .trim_end()
                .to_owned()
        })
        .collect()
}

#[test]
fn children_stand_under_their_parents() {
    let drawn = draw(&cells(&[
        ("a", "", "agent"),
        ("b", "a", "call"),
        ("c", "b", "work"),
        ("d", "a", "more"),
    ]));
    assert!(
        drawn.starts_with("trace abc  2026-11-20T10:00:00.000Z  4 spans, 1 service\n"),
        "{drawn}"
    );
    assert_eq!(
        names(&drawn),
        ["  agent", "* ├─ call", "  │  └─ work", "  └─ more"]
    );
}

#[test]
fn orphans_and_circles_are_shown_and_say_so() {
    let drawn = draw(&cells(&[
        ("a", "", "one"),
        ("b", "gone", "two"),
        ("c", "d", "three"),
        ("d", "c", "four"),
        ("e", "e", "five"),
    ]));
    assert_eq!(
        names(&drawn),
        ["  one", "  two", "  three", "  └─ four", "  five"]
    );
    assert!(
        drawn.contains("two           1.50 ms") || drawn.contains("[parent gone is not stored]"),
        "{drawn}"
    );
    assert_eq!(drawn.matches("its own ancestor").count(), 2, "{drawn}");
}

#[test]
fn a_terminal_is_not_steered_by_names() {
    let drawn = draw(&cells(&[("a", "", "evil\u{1b}[2J\nname")]));
    assert!(!drawn.contains('\u{1b}'), "{drawn}");
    assert_eq!(drawn.lines().count(), 3);
}
