//! Takes MCP over standard input and output, or over Streamable HTTP on any free port. Gives the matrix's tools.
//! Never outlives its input: the program ends when standard input closes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetPromptRequestParams,
    GetPromptResponse, GetPromptResult, Implementation, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, serve_server};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

type Context = RequestContext<RoleServer>;

pub async fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["stdio"] => {
            let service = serve_server(Fixture, rmcp::transport::stdio()).await?;
            service.waiting().await?;
            Ok(())
        }
        ["http", "--port-file", file] => serve(Path::new(file)).await,
        other => bail!("not understood: {other:?}"),
    }
}

async fn serve(port_file: &Path) -> Result<()> {
    let config = StreamableHttpServerConfig::default();
    let sessions = Arc::new(LocalSessionManager::default());
    let mcp = StreamableHttpService::new(|| Ok(Fixture), sessions, config);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let scratch = PathBuf::from(format!("{}.new", port_file.display()));
    std::fs::write(&scratch, format!("{}\n", listener.local_addr()?))?;
    std::fs::rename(scratch, port_file)?;
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let mcp = mcp.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let mcp = mcp.clone();
                    async move { Ok::<_, std::convert::Infallible>(mcp.handle(request).await) }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A client that hangs up is no failure of the server.
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    };
    let mut input = tokio::io::stdin();
    let mut nothing = Vec::new();
    tokio::select! {
        failed = accept => failed,
        _ = input.read_to_end(&mut nothing) => Ok(()),
    }
}

struct Fixture;

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new(
            "matrix-rmcp",
            env!("CARGO_PKG_VERSION"),
        ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = [
            tool("echo", "Give the text back.", &[("text", "string")]),
            tool(
                "add",
                "Give the sum.",
                &[("a", "integer"), ("b", "integer")],
            ),
            tool("fail", "Answer with isError.", &[("message", "string")]),
            tool("progress", "Report progress n times.", &[("n", "integer")]),
            tool("trace", "Give the trace context that came.", &[]),
            tool("ask", "Ask the client for a colour.", &[]),
        ];
        // A constructor knows what a version demands of a result; its JSON alone does not.
        Ok(ListToolsResult::with_all_items(made(json!(tools))?))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        answer(&call, &context).await.map(CallToolResponse::from)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let note = json!({"uri": request.uri, "mimeType": "text/plain", "text": "a note"});
        Ok(ReadResourceResult::new(made(json!([note]))?).into())
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let name = request.arguments.as_ref().and_then(|all| all.get("name"));
        let name = name.and_then(Value::as_str).unwrap_or_default();
        let words = json!({"type": "text", "text": format!("Say hello to {name}.")});
        let messages = json!([{"role": "user", "content": words}]);
        Ok(GetPromptResult::new(made(messages)?).into())
    }
}

fn tool(name: &str, description: &str, arguments: &[(&str, &str)]) -> Value {
    let typed = arguments.iter().map(|(name, kind)| {
        let kind = json!({ "type": kind });
        ((*name).to_owned(), kind)
    });
    let properties: serde_json::Map<String, Value> = typed.collect();
    let schema = json!({"type": "object", "properties": properties});
    json!({"name": name, "description": description, "inputSchema": schema})
}

/// A value of the SDK out of its JSON.
fn made<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| internal(&error))
}

fn internal(error: &dyn std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

async fn answer(
    call: &CallToolRequestParams,
    context: &Context,
) -> Result<CallToolResult, ErrorData> {
    let argument = |name: &str| call.arguments.as_ref().and_then(|all| all.get(name));
    let text = |name: &str| argument(name).and_then(Value::as_str).unwrap_or_default();
    let integer = |name: &str| argument(name).and_then(Value::as_i64).unwrap_or_default();
    let said = match call.name.as_ref() {
        "echo" => text("text").to_owned(),
        "add" => (integer("a") + integer("b")).to_string(),
        "fail" => {
            let message = ContentBlock::text(text("message"));
            return Ok(CallToolResult::error(vec![message]));
        }
        "progress" => report(context, integer("n")).await?,
        "trace" => trace(context).to_string(),
        "ask" => ask(context).await?,
        other => return Err(ErrorData::invalid_params(format!("no tool {other}"), None)),
    };
    Ok(CallToolResult::success(vec![ContentBlock::text(said)]))
}

async fn report(context: &Context, n: i64) -> Result<String, ErrorData> {
    let token = context.meta.get_progress_token();
    for progress in 1..=n {
        let report = json!({"progressToken": token, "progress": progress, "total": n});
        let report: ProgressNotificationParam = made(report)?;
        let sent = context.peer.notify_progress(report).await;
        sent.map_err(|error| internal(&error))?;
    }
    Ok(format!("reported {n}"))
}

fn trace(context: &Context) -> Value {
    let head = context.extensions.get::<hyper::http::request::Parts>();
    let header = head.and_then(|head| head.headers.get("traceparent")?.to_str().ok());
    let meta = &context.meta;
    json!({"meta": meta.get_traceparent(), "state": meta.get_tracestate(), "header": header})
}

async fn ask(context: &Context) -> Result<String, ErrorData> {
    let schema = json!({"type": "object", "properties": {"colour": {"type": "string"}}});
    let question = json!({"mode": "form", "message": "Which colour?", "requestedSchema": schema});
    let answer = context.peer.create_elicitation(made(question)?).await;
    let answer = answer.map_err(|error| internal(&error))?;
    let colour = answer.content.as_ref().and_then(|all| all.get("colour"));
    Ok(format!("{:?} {colour:?}", answer.action))
}
