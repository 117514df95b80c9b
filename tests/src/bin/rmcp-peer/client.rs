//! Takes a script of calls and a command to spawn. Gives one JSON line for each request it sent.
//! Never hides a failure: each line says how the request ended and which span it was given.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rmcp::model::{ClientRequest, ProtocolVersion, RequestMetaObject, ServerResult};
use rmcp::service::PeerRequestOptions;
use rmcp::{ClientLifecycleMode, Peer, RoleClient, ServiceError, serve_client_with_lifecycle};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::spans::{self, Spans};

struct Arguments {
    mode: ClientLifecycleMode,
    handshake: &'static str,
    service: String,
    command: Vec<String>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self {
            mode: ClientLifecycleMode::Initialize,
            handshake: "initialize",
            service: "rmcp-client".to_owned(),
            command: Vec::new(),
        };
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--" => parsed.command = given.by_ref().collect(),
                "--service-name" => parsed.service = given.next().context("no service name")?,
                "--mode" if given.next().as_deref() == Some("modern") => {
                    parsed.handshake = "server/discover";
                    parsed.mode = ClientLifecycleMode::Discover {
                        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
                    };
                }
                "--mode" => {}
                other => bail!("unknown argument {other}"),
            }
        }
        Ok(parsed)
    }
}

/// What every request of a session shares.
#[derive(Clone)]
struct Session {
    peer: Peer<RoleClient>,
    spans: Arc<Spans>,
}

pub async fn run(given: impl Iterator<Item = String>) -> Result<()> {
    let arguments = Arguments::parse(given)?;
    let steps: Vec<Value> = serde_json::from_reader(std::io::stdin().lock())?;
    let spans = Arc::new(Spans::start(&arguments.service));
    let mut child = spawn(&arguments.command)?;
    let pipes = (
        child.stdout.take().context("no pipe from the server")?,
        child.stdin.take().context("no pipe to the server")?,
    );
    let began = Instant::now();
    let service = serve_client_with_lifecycle((), pipes, arguments.mode).await?;
    say(arguments.handshake, None, None, "ok", began);
    let session = Session {
        peer: service.peer().clone(),
        spans,
    };
    for step in &steps {
        session.repeat(step).await?;
    }
    service.cancel().await?;
    child.wait().await?;
    if let Some(spans) = Arc::into_inner(session.spans) {
        spans.end();
    }
    Ok(())
}

fn spawn(command: &[String]) -> Result<Child> {
    let (program, arguments) = command.split_first().context("no command")?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))
}

impl Session {
    async fn repeat(&self, step: &Value) -> Result<()> {
        let number = |name: &str| step.get(name).and_then(Value::as_u64).unwrap_or(1);
        let (times, together) = (number("times"), number("together"));
        let mut under_way = JoinSet::new();
        for _ in 0..times {
            if under_way.len() as u64 >= together {
                under_way.join_next().await.transpose()?.transpose()?;
            }
            under_way.spawn(self.clone().play(step.clone()));
        }
        for done in under_way.join_all().await {
            done?;
        }
        Ok(())
    }

    async fn play(self, step: Value) -> Result<()> {
        let (request, target) = request(&step)?;
        let method = request.get("method").and_then(Value::as_str);
        let method = method.context("no method")?.to_owned();
        let name = target
            .as_deref()
            .map_or(method.clone(), |t| format!("{method} {t}"));
        let span = spans::begin(name, SpanKind::Client, None);
        let began = Instant::now();
        if let Some(seconds) = step.get("die_after").and_then(Value::as_f64) {
            let (method, target, span) = (method.clone(), target.clone(), span.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                say(&method, target.as_deref(), Some(&span), "died", began);
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
            });
        }
        let timeout = step.get("timeout").and_then(Value::as_f64);
        let outcome = self.send(request, &span, timeout).await?;
        say(&method, target.as_deref(), Some(&span), &outcome, began);
        self.spans.send(spans::end(span));
        Ok(())
    }

    async fn send(&self, request: Value, span: &Span, timeout: Option<f64>) -> Result<String> {
        let request: ClientRequest = serde_json::from_value(request)?;
        let mut meta = RequestMetaObject::new();
        meta.set_traceparent(spans::traceparent(span));
        let mut options = PeerRequestOptions::no_options().with_meta(meta);
        options.timeout = timeout.map(Duration::from_secs_f64);
        let answer = match self.peer.send_request_with_option(request, options).await {
            Ok(handle) => handle.await_response().await,
            Err(error) => Err(error),
        };
        Ok(match answer {
            Ok(ServerResult::CallToolResult(result)) if result.is_error == Some(true) => {
                "tool_error".to_owned()
            }
            Ok(_) => "ok".to_owned(),
            Err(ServiceError::McpError(error)) => format!("rpc_error:{}", error.code.0),
            Err(ServiceError::Timeout { .. }) => "timed_out".to_owned(),
            Err(_) => "gone".to_owned(),
        })
    }
}

/// The message of a step without its id, and what it names.
fn request(step: &Value) -> Result<(Value, Option<String>)> {
    let text = |name: &str| step.get(name).and_then(Value::as_str).map(str::to_owned);
    let arguments = step.get("arguments").cloned().unwrap_or_else(|| json!({}));
    if let Some(tool) = text("call") {
        let params = json!({"name": tool, "arguments": arguments});
        return Ok((
            json!({"method": "tools/call", "params": params}),
            Some(tool),
        ));
    }
    if let Some(prompt) = text("prompt") {
        let params = json!({"name": prompt, "arguments": arguments});
        return Ok((
            json!({"method": "prompts/get", "params": params}),
            Some(prompt),
        ));
    }
    if let Some(uri) = text("resource") {
        let params = json!({ "uri": uri });
        return Ok((
            json!({"method": "resources/read", "params": params}),
            Some(uri),
        ));
    }
    if text("list").as_deref() == Some("tools") {
        return Ok((json!({"method": "tools/list", "params": {}}), None));
    }
    bail!("unknown step {step}")
}

#[expect(clippy::print_stdout, reason = "the lines are this client's answer")]
fn say(method: &str, target: Option<&str>, span: Option<&Span>, outcome: &str, began: Instant) {
    let line = json!({
        "method": method,
        "target": target,
        "trace_id": span.map(|span| spans::hex(&span.trace_id)),
        "span_id": span.map(|span| spans::hex(&span.span_id)),
        "outcome": outcome,
        "seconds": began.elapsed().as_secs_f64(),
    });
    println!("{line}");
}
