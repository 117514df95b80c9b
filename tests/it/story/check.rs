//! Takes what the client sent. Gives that both stores hold exactly that.
//! Never accepts a call more than once.

use std::path::Path;

use serde_json::Value;
use tests::collector::Collector;
use tests::engine::Database;
use tests::process::{PATIENCE, eventually};
use tests::python::Sent;

use super::{expected_outcome, tree};

const COLUMNS: &str = "\"TraceId\", \"SpanId\", \"ParentSpanId\", \"TenantId\", \"TenantSource\", \
    \"ParentSource\", \"Outcome\", \"McpMethod\", \"McpTool\", \"McpTransport\", \"SpanKind\", \"SpanName\", \
    \"StatusCode\", \"ErrorType\", \"RpcStatusCode\", \"JsonRpcRequestId\", \"Duration\", \"RequestBytes\", \
    \"ResponseBytes\", \"McpProtocolVersion\"";

const CALLERS_MISTAKES: [&str; 5] = ["-32700", "-32600", "-32601", "-32602", "-32002"];

/// Where and for whom the calls were made.
pub struct Story<'a> {
    pub collector: &'a Collector,
    pub database: &'a Database,
    pub tenant: &'a str,
    pub transport: &'a str,
    /// Whether it exports spans of its own, to the same collector.
    pub server_traces_itself: bool,
}

impl Story<'_> {
    pub fn check(&self, sent: &[Sent]) {
        assert!(sent.len() > 10, "the client ran its script: {sent:?}");
        let parquet = self.parquet(sent.len());
        let engine = self.engine(sent.len());
        assert_eq!(parquet, engine, "both stores hold the same calls");
        for request in sent {
            self.check_one(request, &parquet);
        }
        assert_eq!(parquet.len(), sent.len(), "no call was made up");
        if self.server_traces_itself {
            tree::check(self.collector, sent);
        }
        self.check_views(sent);
        let log = self.collector.log();
        let bad = log
            .lines()
            .find(|line| line.contains(" ERROR ") || line.contains(" WARN "));
        assert_eq!(bad, None, "the collector complains of nothing");
    }

    fn parquet(&self, count: usize) -> Vec<Value> {
        let sql = format!("SELECT {COLUMNS} FROM spans WHERE \"IsCall\" ORDER BY \"SpanId\"");
        self.collector.query_until(&sql, |rows| rows.len() >= count)
    }

    fn engine(&self, count: usize) -> Vec<Value> {
        let sql = format!("SELECT {COLUMNS} FROM otel_traces WHERE IsCall ORDER BY SpanId");
        eventually("the calls in ClickHouse", PATIENCE, || {
            let rows = self.database.query(&sql);
            (rows.len() >= count).then_some(rows)
        })
    }

    fn check_one(&self, request: &Sent, rows: &[Value]) {
        let found: Vec<&Value> = rows
            .iter()
            .filter(|row| text(row, "ParentSpanId") == request.span_id)
            .collect();
        let [row] = found.as_slice() else {
            panic!("{request:?} is stored {} times", found.len());
        };
        for (column, expected) in [
            ("TraceId", request.trace_id.as_str()),
            ("TenantId", self.tenant),
            ("TenantSource", "fixed"),
            ("ParentSource", "meta"),
            ("McpMethod", request.method.as_str()),
            ("JsonRpcRequestId", request.request_id.as_str()),
            ("McpTransport", self.transport),
            ("SpanKind", "Server"),
            ("Outcome", expected_outcome(request)),
        ] {
            assert_eq!(text(row, column), expected, "{column} of {request:?}");
        }
        if request.method == "tools/call" {
            let tool = request.target.as_deref().unwrap_or_default();
            assert_eq!(text(row, "McpTool"), tool);
            assert_eq!(text(row, "SpanName"), format!("tools/call {tool}"));
        }
        self.check_error(request, row);
        let seconds = number(row, "Duration") / 1e9;
        assert!(
            seconds > 0.0 && seconds <= request.seconds,
            "{seconds} s were recorded of {request:?}"
        );
    }

    fn check_error(&self, request: &Sent, row: &Value) {
        let (status, error, code) = match request.outcome.as_str() {
            "tool_error" => ("Error", "tool_error", ""),
            outcome => match outcome.strip_prefix("rpc_error:") {
                // The caller's mistake is no error of a server.
                Some(code) if CALLERS_MISTAKES.contains(&code) => ("Unset", "", code),
                Some(code) => ("Error", code, code),
                None => ("Unset", "", ""),
            },
        };
        assert_eq!(text(row, "StatusCode"), status, "{request:?}");
        assert_eq!(text(row, "ErrorType"), error, "{request:?}");
        assert_eq!(text(row, "RpcStatusCode"), code, "{request:?}");
    }

    fn check_views(&self, sent: &[Sent]) {
        let trace = sent.last().map_or("", |request| &request.trace_id);
        for (name, arguments) in [
            ("calls", vec!["calls", "--limit", "1000"]),
            ("tools", vec!["tools"]),
            ("tenants", vec!["tenants"]),
            ("trace", vec!["trace", trace]),
        ] {
            let embedded = self.collector.view(&arguments);
            let engine = self.database.query_with(
                &sql_of(name),
                &[
                    ("tenant", ""),
                    ("tool", ""),
                    ("errors", "0"),
                    ("since", "1970-01-01 00:00:00"),
                    ("limit", "1000"),
                    ("trace", trace),
                ],
            );
            assert!(!embedded.is_empty(), "the view {name} is empty");
            assert_same(name, &embedded, &engine);
        }
    }
}

fn sql_of(view: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../dashboards/queries")
        .join(format!("{view}.sql"));
    std::fs::read_to_string(path).expect("each view has its file")
}

/// Same rows in the same order; numbers as numbers, for `1` and `1.0` are one.
fn assert_same(view: &str, embedded: &[Value], engine: &[Value]) {
    assert_eq!(embedded.len(), engine.len(), "rows of the view {view}");
    for (ours, theirs) in embedded.iter().zip(engine) {
        let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) else {
            panic!("rows of the view {view} are objects");
        };
        for (column, expected) in theirs {
            let found = ours.get(column).unwrap_or(&Value::Null);
            let same = match (found.as_f64(), expected.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
                _ => found == expected,
            };
            assert!(same, "{view}.{column}: {found} and {expected}");
        }
    }
}

pub fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row.get(column)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text {column} in {row}"))
}

fn number(row: &Value, column: &str) -> f64 {
    row.get(column)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no number {column} in {row}"))
}
