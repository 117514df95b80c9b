//! Takes exports of every shape. Gives that both stores hold the same rows in the same columns, that the schema is made,
//! kept and refused as it should be, and that an insert whose answer was lost is not stored twice.
//! Never reads the stores but as a user would.

mod exports;

use serde_json::{Value, json};
use tests::collector::{Collector, run};
use tests::engine::Database;
use tests::http_client::HttpClient;
use tests::process::{PATIENCE, eventually};

fn send(collector: &Collector, signal: &str, body: &[u8]) {
    let address = collector.http_url().trim_start_matches("http://");
    let address = address.parse().expect("an address");
    let mut client = HttpClient::connect(address).expect("the collector listens");
    let path = format!("/v1/{signal}");
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client
        .send("POST", &path, &headers, body)
        .expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Rows of the engine, once there are so many.
fn rows_of(database: &Database, sql: &str, count: usize) -> Vec<Value> {
    eventually(sql, PATIENCE, || {
        let tables = database.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'schema_version'");
        if tables.is_empty() || database.query("SELECT * FROM schema_version").is_empty() {
            return None;
        }
        let rows = database.query(sql);
        (rows.len() >= count).then_some(rows)
    })
}

/// The engines write times differently; everything else must be equal to the letter.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) if is_time(text) => {
            let text = text.replace('T', " ");
            let text = text.trim_end_matches('Z');
            match text.split_once('.') {
                Some((seconds, rest)) => json!(format!("{seconds}.{rest:0<9}")),
                None => json!(format!("{text}.000000000")),
            }
        }
        Value::Number(number) => number.as_f64().map_or(Value::Null, |number| json!(number)),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(pairs) => {
            let pairs = pairs.iter();
            Value::Object(
                pairs
                    .map(|(key, value)| (key.clone(), normal(value)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() >= 19 && bytes[4] == b'-' && bytes[7] == b'-' && matches!(bytes[10], b'T' | b' ')
}

fn assert_equal(embedded: &[Value], engine: &[Value]) {
    assert_eq!(embedded.len(), engine.len());
    for (ours, theirs) in embedded.iter().zip(engine) {
        let (ours, theirs) = (normal(ours), normal(theirs));
        for (column, theirs) in theirs.as_object().expect("a row is an object") {
            assert_eq!(&ours[column], theirs, "column {column}");
        }
        assert_eq!(
            ours.as_object().map(|row| row.len()),
            theirs.as_object().map(|row| row.len())
        );
    }
}

#[test]
fn both_stores_hold_the_same_rows_in_every_column() {
    let database = Database::fresh();
    // An empty database gets its schema by itself.
    let collector = Collector::start_in(
        tempfile::tempdir().expect("a folder"),
        Some(&database.url()),
    );
    send(&collector, "traces", &exports::traces());
    send(&collector, "metrics", &exports::metrics());
    let spans = "SELECT * FROM spans ORDER BY TimestampUnixNano, SpanId";
    let engine = rows_of(&database, spans, exports::SPANS);
    assert_equal(
        &collector.query_until(spans, |rows| rows.len() >= exports::SPANS),
        &engine,
    );
    let points = "SELECT * FROM metrics ORDER BY MetricName, TimestampUnixNano";
    let engine = rows_of(&database, points, exports::POINTS);
    assert_equal(
        &collector.query_until(points, |rows| rows.len() >= exports::POINTS),
        &engine,
    );
    let index =
        database.query("SELECT uniqExact(TenantId, TraceId) AS n FROM otel_traces_trace_id_ts");
    let traces = database.query("SELECT uniqExact(TenantId, TraceId) AS n FROM otel_traces");
    assert_eq!(index, traces);
    views_agree(&collector, &database);
}

/// A view, its flags, and the parameters that say the same.
type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

fn views_agree(collector: &Collector, database: &Database) {
    let sql = |view: &str| {
        let path = format!(
            "{}/../dashboards/queries/{view}.sql",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::read_to_string(path).expect("each view has its file")
    };
    let cases: [Case<'_>; 8] = [
        ("calls", &[], &[]),
        (
            "calls",
            &["--tenant", "o'x/y", "--limit", "3"],
            &[("tenant", "o'x/y"), ("limit", "3")],
        ),
        (
            "calls",
            &["--errors", "--tool", "get_weather"],
            &[("errors", "1"), ("tool", "get_weather")],
        ),
        (
            "calls",
            &["--since", "2026-11-20T10:00:00.05Z"],
            &[("since", "2026-11-20 10:00:00.05")],
        ),
        ("tools", &[], &[]),
        ("tools", &["--tenant", "acme"], &[("tenant", "acme")]),
        ("tenants", &[], &[]),
        (
            "trace",
            &["01010101010101010101010101010101"],
            &[("trace", "01010101010101010101010101010101")],
        ),
    ];
    for (view, flags, changed) in cases {
        let mut arguments = vec![view];
        arguments.extend(flags);
        let mut params = vec![
            ("tenant", ""),
            ("tool", ""),
            ("errors", "0"),
            ("since", "1970-01-01 00:00:00"),
            ("limit", "50"),
            ("trace", ""),
        ];
        for (name, value) in &mut params {
            if let Some((_, new)) = changed.iter().find(|(known, _)| known == name) {
                *value = new;
            }
        }
        let embedded = collector.view(&arguments);
        assert!(!embedded.is_empty(), "{arguments:?} shows nothing");
        let engine = database.query_with(&sql(view), &params);
        assert_equal(&embedded, &engine);
    }
}

#[test]
fn a_lost_answer_does_not_store_a_block_twice() {
    let database = Database::fresh();
    let collector = Collector::start_with(&database);
    database.set_faults(&json!({"mode": "drop_after_commit", "n": 2}));
    send(&collector, "traces", &exports::traces());
    let rows = rows_of(&database, "SELECT SpanId FROM spans", exports::SPANS);
    // The end of the collector says that the sink got through: all retries were answered.
    let _folder = collector.stop();
    assert_eq!(database.query("SELECT SpanId FROM spans").len(), rows.len());
    assert_eq!(rows.len(), exports::SPANS);
    let counted = database
        .query("SELECT count() AS n FROM (SELECT TenantId, TraceId FROM otel_traces_trace_id_ts)");
    let traces = database.query("SELECT uniqExact(TenantId, TraceId) AS n FROM spans");
    assert_eq!(counted, traces, "the view's target counted each trace once");
}

#[test]
fn applying_the_schema_again_changes_nothing() {
    let database = Database::fresh();
    let url = database.url();
    let apply = || run(&["schema", "apply", "--clickhouse-url", &url]);
    assert!(
        apply()
            .expect("it applies")
            .contains("created schema version 1")
    );
    assert!(
        apply()
            .expect("it applies again")
            .contains("is there already")
    );
    assert_eq!(
        database.query("SELECT Version FROM schema_version"),
        [json!({"Version": 1})]
    );
    let windows = database.query(
        "SELECT count() AS n FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' \
         AND create_table_query LIKE '%non_replicated_deduplication_window = 10000%'",
    );
    assert_eq!(
        windows,
        [json!({"n": 3})],
        "every table that takes inserts remembers them"
    );
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let database = Database::fresh();
    let url = database.url();
    run(&["schema", "apply", "--clickhouse-url", &url]).expect("it applies");
    database.execute("INSERT INTO schema_version (Version, AppliedBy) VALUES (99, 'the future')");
    let refused = run(&["schema", "apply", "--clickhouse-url", &url]).expect_err("it refuses");
    assert!(
        refused.contains("schema version 99, newer than this program's"),
        "{refused}"
    );
    let collector = Collector::start_in(tempfile::tempdir().expect("a folder"), Some(&url));
    send(&collector, "traces", &exports::traces());
    let here = collector.query_until("SELECT SpanId FROM spans", |rows| {
        rows.len() >= exports::SPANS
    });
    assert_eq!(
        here.len(),
        exports::SPANS,
        "the embedded store does not wait for the other"
    );
    assert!(database.query("SELECT SpanId FROM spans").is_empty());
}

#[test]
fn tables_of_others_are_not_taken_for_ours() {
    let database = Database::fresh();
    database.execute("CREATE TABLE otel_traces (a UInt8) ENGINE = MergeTree ORDER BY a");
    let collector = Collector::start_in(
        tempfile::tempdir().expect("a folder"),
        Some(&database.url()),
    );
    send(&collector, "traces", &exports::traces());
    let here = collector.query_until("SELECT SpanId FROM spans", |rows| {
        rows.len() >= exports::SPANS
    });
    assert_eq!(here.len(), exports::SPANS);
    let tables =
        database.query("SELECT name FROM system.tables WHERE database = currentDatabase()");
    assert_eq!(tables, [json!({"name": "otel_traces"})]);
}
