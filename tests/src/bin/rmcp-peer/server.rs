//! Takes MCP over standard input and output. Gives answers of every kind a call can have.
//! Never guesses: each tool does what its name says.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode,
    Implementation, JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, serve_server};
use serde_json::{Value, json};

use super::spans::{self, Spans};

/// An argument's name and its JSON type.
type Argument = (&'static str, &'static str);

/// Name, description and arguments.
const TOOLS: [(&str, &str, &[Argument]); 7] = [
    ("echo", "Give the text back.", &[("text", "string")]),
    (
        "add",
        "Give the sum of two integers.",
        &[("a", "integer"), ("b", "integer")],
    ),
    (
        "slow",
        "Answer after this many seconds.",
        &[("seconds", "number")],
    ),
    (
        "big",
        "Answer with a text of this many bytes.",
        &[("bytes", "integer")],
    ),
    (
        "tool_error",
        "Answer with a result whose isError is true.",
        &[("message", "string")],
    ),
    (
        "rpc_error",
        "Answer with a JSON-RPC error.",
        &[("message", "string")],
    ),
    (
        "crash",
        "End the server's process at once, without an answer.",
        &[],
    ),
];

pub async fn run() -> Result<()> {
    let handler = Fixture {
        spans: Arc::new(Spans::start("fixture")),
    };
    let spans = Arc::clone(&handler.spans);
    let service = serve_server(handler, rmcp::transport::stdio()).await?;
    service.waiting().await?;
    if let Some(spans) = Arc::into_inner(spans) {
        spans.end();
    }
    Ok(())
}

struct Fixture {
    spans: Arc<Spans>,
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_server_info(
            Implementation::new("rmcp-fixture", env!("CARGO_PKG_VERSION")),
        )
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = TOOLS.map(|(name, words, arguments)| Tool::new(name, words, schema(arguments)));
        Ok(ListToolsResult::with_all_items(tools.to_vec()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parent = context.meta.get_traceparent();
        let span = spans::begin(
            format!("tools/call {}", call.name),
            SpanKind::Server,
            parent,
        );
        let answer = tokio::select! {
            answer = answer(&call) => answer,
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
        };
        self.spans.send(spans::end(span));
        answer.map(CallToolResponse::from)
    }
}

fn schema(arguments: &[Argument]) -> JsonObject {
    let typed = arguments
        .iter()
        .map(|(name, kind)| ((*name).to_owned(), json!({ "type": kind })));
    let properties: JsonObject = typed.collect();
    JsonObject::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), Value::Object(properties)),
    ])
}

async fn answer(call: &CallToolRequestParams) -> Result<CallToolResult, ErrorData> {
    let argument = |name: &str| call.arguments.as_ref().and_then(|all| all.get(name));
    let text = |name: &str| argument(name).and_then(Value::as_str).unwrap_or_default();
    let wrong = |name: &str| ErrorData::invalid_params(format!("{name} is missing or wrong"), None);
    let integer = |name: &str| {
        argument(name)
            .and_then(Value::as_i64)
            .ok_or_else(|| wrong(name))
    };
    let said = match call.name.as_ref() {
        "echo" => text("text").to_owned(),
        "add" => (integer("a")? + integer("b")?).to_string(),
        "slow" => {
            let seconds = argument("seconds").and_then(Value::as_f64);
            let seconds = seconds.ok_or_else(|| wrong("seconds"))?;
            tokio::time::sleep(Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))).await;
            format!("slept {seconds}")
        }
        "big" => "x".repeat(usize::try_from(integer("bytes")?).map_err(|_| wrong("bytes"))?),
        "tool_error" => {
            return Ok(CallToolResult::error(vec![ContentBlock::text(text(
                "message",
            ))]));
        }
        "rpc_error" => {
            let message = text("message").to_owned();
            return Err(ErrorData::new(ErrorCode(-32055), message, None));
        }
        "crash" => std::process::exit(3),
        other => {
            return Err(ErrorData::invalid_params(format!("no tool {other}"), None));
        }
    };
    Ok(CallToolResult::success(vec![ContentBlock::text(said)]))
}
