//! Takes a script and where the server is. Gives one JSON line for each step.
//! Never hides an error: what the server refused is printed, everything else ends the program.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rmcp::model::{
    ClientConfig, ClientRequest, ElicitRequestParams, ElicitResult, ElicitationAction,
    ProgressNotificationParam, ProtocolVersion, RequestMetaObject,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestContext, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ErrorData, RoleClient, ServiceError,
    serve_client_with_lifecycle,
};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::mpsc;

/// How long reports of progress may take: this SDK hands them over beside the answer, not before it.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Arguments {
    modern: bool,
    traceparent: String,
    script: Vec<Value>,
    url: String,
    command: Vec<String>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self::default();
        while let Some(argument) = given.next() {
            if argument == "--" {
                parsed.command = given.by_ref().collect();
                break;
            }
            let value = given.next().context("an argument without a value")?;
            match argument.as_str() {
                // A command or an address says it all.
                "--transport" => {}
                "--era" => parsed.modern = value == "modern",
                "--traceparent" => parsed.traceparent = value,
                "--script" => parsed.script = serde_json::from_str(&value)?,
                "--url" => parsed.url = value,
                other => bail!("not understood: {other}"),
            }
        }
        Ok(parsed)
    }

    fn lifecycle(&self) -> ClientLifecycleMode {
        if self.modern {
            ClientLifecycleMode::Discover {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            }
        } else {
            ClientLifecycleMode::Initialize
        }
    }
}

struct Handler {
    reports: mpsc::Sender<Value>,
}

impl ClientHandler for Handler {
    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({"colour": "blue"})))
    }

    async fn on_progress(
        &self,
        report: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        // Nobody listens only when the program ends.
        let _ = self
            .reports
            .send(json!([report.progress, report.total]))
            .await;
    }

    fn get_info(&self) -> ClientConfig {
        let info = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "matrix", "version": "1.0.0"},
        });
        serde_json::from_value(info).expect("what a client says of itself")
    }
}

type Service = RunningService<RoleClient, Handler>;

async fn connect(arguments: &Arguments, handler: Handler) -> Result<Service> {
    let lifecycle = arguments.lifecycle();
    if let Some((program, rest)) = arguments.command.split_first() {
        let mut command = Command::new(program);
        command
            .args(rest)
            .env("TRACEPARENT", &arguments.traceparent);
        let pipes = TokioChildProcess::new(command)?;
        return Ok(serve_client_with_lifecycle(handler, pipes, lifecycle).await?);
    }
    let header = ("traceparent".parse()?, arguments.traceparent.parse()?);
    let config = StreamableHttpClientTransportConfig::with_uri(arguments.url.as_str())
        .custom_headers(HashMap::from([header]));
    let http = StreamableHttpClientTransport::from_config(config);
    Ok(serve_client_with_lifecycle(handler, http, lifecycle).await?)
}

pub async fn run(given: impl Iterator<Item = String>) -> Result<()> {
    let arguments = Arguments::parse(given)?;
    let (reports, mut noted) = mpsc::channel(100);
    let service = connect(&arguments, Handler { reports }).await?;
    let peer = service.peer_info().context("no server")?;
    let name = peer.server_info.as_ref().map(|info| info.name.as_str());
    say(&json!({"step": "connect", "version": peer.protocol_version, "server": name}));
    for step in &arguments.script {
        let mut line = play(&service, step, &arguments.traceparent).await?;
        let expected = step.pointer("/arguments/n").and_then(Value::as_u64);
        let mut progress = Vec::new();
        for _ in 0..expected.unwrap_or_default() {
            let report = tokio::time::timeout(PATIENCE, noted.recv()).await?;
            progress.push(report.context("no more progress")?);
        }
        if !progress.is_empty() {
            line["progress"] = json!(progress);
        }
        say(&line);
    }
    service.cancel().await?;
    Ok(())
}

async fn play(service: &Service, step: &Value, traceparent: &str) -> Result<Value> {
    let mut meta = RequestMetaObject::new();
    meta.set_traceparent(traceparent);
    let options = PeerRequestOptions::no_options().with_meta(meta);
    let (title, request) = request(step)?;
    let request: ClientRequest = serde_json::from_value(request)?;
    let answer = match service.send_request_with_option(request, options).await {
        Ok(handle) => handle.await_response().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(result) => Ok(json!({"step": title, "result": result})),
        Err(ServiceError::McpError(error)) => Ok(json!({"step": title, "error": error})),
        Err(error) => Err(error).with_context(|| title),
    }
}

/// The name of a step, and its message without an id.
fn request(step: &Value) -> Result<(String, Value)> {
    let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
    let (name, uri) = (text("name"), text("uri"));
    let named = json!({"name": name, "arguments": step.get("arguments")});
    let (method, params) = match text("do") {
        "tools" => ("tools/list", json!({})),
        "call" => ("tools/call", named),
        "prompt" => ("prompts/get", named),
        "resource" => ("resources/read", json!({"uri": uri})),
        other => bail!("unknown step {other}"),
    };
    let title = format!("{} {name}{uri}", text("do")).trim().to_owned();
    Ok((title, json!({"method": method, "params": params})))
}

#[expect(clippy::print_stdout, reason = "the lines are this client's answer")]
fn say(line: &Value) {
    println!("{line}");
}
